//! Which names are the same, which are not, and which are none.

use super::*;

const UTF8: u8 = 12;
const NUMERIC: u8 = 18;
const PRINTABLE: u8 = 19;
const TELETEX: u8 = 20;
const IA5: u8 = 22;
const VISIBLE: u8 = 26;
const UNIVERSAL: u8 = 28;
const BMP: u8 = 30;

const CN: &[u8] = &[85, 4, 3];
const O: &[u8] = &[85, 4, 10];
const OU: &[u8] = &[85, 4, 11];
const DC: &[u8] = &[9, 146, 38, 137, 147, 242, 44, 100, 1, 25];

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, u8::try_from(length).unwrap()],
        0x80..=0xff => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [
            &[tag, 0x82][..],
            &u16::try_from(length).unwrap().to_be_bytes(),
        ]
        .concat(),
    };
    [head, content.to_vec()].concat()
}

/// One attribute: type, string type, bytes.
fn pair(oid: &[u8], tag: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    tlv(0x30, &[tlv(6, oid), tlv(tag, value.as_ref())].concat())
}

/// A name of relative names, each of attributes.
fn name(relative: &[&[Vec<u8>]]) -> Vec<u8> {
    let sets: Vec<_> = relative
        .iter()
        .map(|pairs| tlv(0x31, &pairs.concat()))
        .collect();
    tlv(0x30, &sets.concat())
}

fn of_text(text: &str) -> Result<SubjectName, InvalidSubjectName> {
    text.parse()
}

#[test]
fn a_text_means_the_name_that_it_spells_in_every_encoding() {
    let cn = |tag: u8, value: &[u8]| name(&[&[pair(CN, tag, value)]]);
    let cases = [
        ("CN=orders", cn(UTF8, b"orders")),
        ("CN=orders", cn(PRINTABLE, b"orders")),
        ("CN=orders", cn(IA5, b"orders")),
        ("CN=orders", cn(VISIBLE, b"orders")),
        ("CN=orders", cn(TELETEX, b"orders")),
        ("CN=orders", cn(BMP, b"\0o\0r\0d\0e\0r\0s")),
        ("CN=or", cn(UNIVERSAL, b"\0\0\0o\0\0\0r")),
        ("CN=12", cn(NUMERIC, b"12")),
        ("cn=orders", cn(UTF8, b"orders")),
        ("2.5.4.3=orders", cn(UTF8, b"orders")),
        ("CN=#0C066F7264657273", cn(PRINTABLE, b"orders")),
        ("CN=#13066f7264657273", cn(UTF8, b"orders")),
        ("CN=#020105", cn(2, &[5])),
        ("CN=a\\,b", cn(UTF8, b"a,b")),
        ("CN=a\\2Cb", cn(UTF8, b"a,b")),
        ("CN=a\\2cb", cn(UTF8, b"a,b")),
        ("CN=\\61", cn(UTF8, b"a")),
        ("CN=\\ a\\ ", cn(UTF8, b" a ")),
        ("CN=\\20a\\20", cn(UTF8, b" a ")),
        ("CN=a b", cn(UTF8, b"a b")),
        ("CN=\\#a#", cn(UTF8, b"#a#")),
        ("CN=a=b\\=c", cn(UTF8, b"a=b=c")),
        ("CN=\\\"\\+\\;\\<\\>\\\\", cn(UTF8, b"\"+;<>\\")),
        ("CN=Before\\0DAfter", cn(UTF8, b"Before\rAfter")),
        ("CN=a\\00b", cn(UTF8, b"a\0b")),
        ("CN=Lu\\C4\\8Di\\C4\\87", cn(UTF8, "Lučić".as_bytes())),
        ("CN=Lučić", cn(UTF8, "Lučić".as_bytes())),
        ("CN=ć", cn(BMP, &[0x01, 0x07])),
        ("CN=a/b", cn(UTF8, b"a/b")),
        // The last relative name stands first in the text.
        (
            "CN=a,OU=b,O=c",
            name(&[
                &[pair(O, UTF8, "c")],
                &[pair(OU, UTF8, "b")],
                &[pair(CN, UTF8, "a")],
            ]),
        ),
        (
            "OU=Sales+CN=J.  Smith,DC=example,DC=net",
            name(&[
                &[pair(DC, IA5, "net")],
                &[pair(DC, IA5, "example")],
                &[pair(CN, UTF8, "J.  Smith"), pair(OU, UTF8, "Sales")],
            ]),
        ),
        (
            "CN=J.  Smith+OU=Sales",
            name(&[&[pair(OU, UTF8, "Sales"), pair(CN, UTF8, "J.  Smith")]]),
        ),
        (
            "CN=a+CN=b",
            name(&[&[pair(CN, UTF8, "b"), pair(CN, UTF8, "a")]]),
        ),
        (
            "1.3.6.1.4.1.1466.0=#04024869",
            name(&[&[pair(&[43, 6, 1, 4, 1, 0x8b, 0x3a, 0], 4, "Hi")]]),
        ),
        (
            "2.999.4294967295=x",
            name(&[&[pair(&[0x88, 0x37, 0x8f, 0xff, 0xff, 0xff, 0x7f], UTF8, "x")]]),
        ),
    ];
    for (text, der) in cases {
        let read = SubjectName::of(&der);
        assert!(read.is_some(), "{text}");
        assert_eq!(of_text(text).ok(), read, "{text}");
    }
}

/// The subject of a certificate that OpenSSL 3 made, and what it says of it with
/// `x509 -noout -subject -nameopt RFC2253`.
#[test]
fn what_openssl_prints_is_what_it_made() {
    let text = "CN=Lu\\C4\\8Di\\C4\\87 7,street=\\#a b\\ ,emailAddress=a@b.de,serialNumber=9,postalCode=1,\
                UID=7+OU=Sales,O=Ex\\, Inc. \\\"x\\\",C=DE";
    let hex = "308198310b300906035504061302444531153013060355040a0c0c45782c20496e632e2022782231\
               1f300c060355040b0c0553616c6573300f060a0992268993f22c6401010c0137310a300806035504\
               110c0131310a300806035504051301393115301306092a864886f70d01090116066140622e646531\
               0e300c06035504090c0523612062203112301006035504030c094c75c48d69c4872037";
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
        panic!("pairs of digits")
    };
    let der: Vec<u8> = pairs
        .iter()
        .map(|[high, low]| octet(*high, *low).unwrap())
        .collect();
    assert_eq!(of_text(text).ok(), SubjectName::of(&der));
    assert!(of_text(text).is_ok());
}

#[test]
fn names_that_differ_in_anything_are_different() {
    let texts = [
        "CN=a,O=b",
        "O=b,CN=a",
        "CN=a+O=b",
        "CN=a",
        "O=a",
        "CN=A",
        "CN=a\\ ",
        "CN=\\ a",
        "CN=a b",
        "CN=a  b",
        "CN=a\\,O=b",
        "CN=a\\+O=b",
        "CN=ä",
        "CN=a\u{308}",
        "CN=a\\00",
        "CN=a,CN=a",
        "CN=a,CN=b",
        "CN=b,CN=a",
        "CN=a+CN=b",
        "CN=a,O=b,C=c",
        "CN=a,O=b+C=c",
        "CN=a+O=b,C=c",
        "CN=#020105",
        "CN=#04024869",
        "CN=\\02\\01\\05",
        "2.5.4.3.1=a",
        "2.5.4.33=a",
    ];
    for (at, one) in texts.iter().enumerate() {
        let first = of_text(one).unwrap_or_else(|error| panic!("{one}: {error}"));
        for other in &texts[at + 1..] {
            assert_ne!(Ok(first), of_text(other), "{one} {other}");
        }
    }
}

#[test]
fn a_text_that_could_mean_two_names_means_none() {
    use InvalidSubjectName as Bad;
    let unknown = |name: &str| Bad::Type(name.into());
    let long = format!("CN={}", "a".repeat(BYTES_MAX));
    let cases = [
        ("", Bad::Empty),
        (&long, Bad::TooLong),
        ("orders", Bad::NoValue),
        ("CN", Bad::NoValue),
        ("CN=a,", Bad::NoValue),
        (",CN=a", Bad::NoValue),
        ("CN=a,,O=b", Bad::NoValue),
        ("CN=a+", Bad::NoValue),
        ("CN=a,b", Bad::NoValue),
        ("CN=a,b,O=c", Bad::NoValue),
        ("=a", unknown("")),
        ("X=a", unknown("X")),
        ("/CN=a/O=b", unknown("/CN")),
        ("OID.2.5.4.3=a", unknown("OID.2.5.4.3")),
        ("2.5.4.03=a", unknown("2.5.4.03")),
        ("2=a", unknown("2")),
        ("2.5.=a", unknown("2.5.")),
        ("3.5=a", unknown("3.5")),
        ("1.40=a", unknown("1.40")),
        ("2.4294967296=a", unknown("2.4294967296")),
        ("2.+5=a", Bad::NoValue),
        ("C\u{7}N=a", unknown("C\\u{7}N")),
        (" CN=a", Bad::Space),
        ("CN =a", Bad::Space),
        ("CN= a", Bad::Space),
        ("CN=a ", Bad::Space),
        ("CN=a ,O=b", Bad::Space),
        ("CN=a, O=b", Bad::Space),
        ("CN=a + O=b", Bad::Space),
        ("CN=\\  ", Bad::Space),
        ("CN=", Bad::EmptyValue),
        ("CN=,O=b", Bad::EmptyValue),
        ("CN=\"a\"", Bad::Escape),
        ("CN=a;O=b", Bad::Escape),
        ("CN=a<", Bad::Escape),
        ("CN=a>", Bad::Escape),
        ("CN=a\0", Bad::Escape),
        ("CN=a\nb", Bad::Escape),
        ("CN=a\u{7f}", Bad::Escape),
        ("CN=a\\", Bad::Escape),
        ("CN=a\\4", Bad::Escape),
        ("CN=a\\n", Bad::Escape),
        ("CN=a\\xyz", Bad::Escape),
        ("CN=\\C4", Bad::Utf8),
        ("CN=\\ED\\A0\\80", Bad::Utf8),
        ("CN=#", Bad::Hex),
        ("CN=#0", Bad::Hex),
        ("CN=#0C", Bad::Hex),
        ("CN=#0C01", Bad::Hex),
        ("CN=#0C014141", Bad::Hex),
        ("CN=#0C8101410", Bad::Hex),
        ("CN=#0C810141", Bad::Hex),
        ("CN=#0C0141 ", Bad::Hex),
        ("CN=#0C01FF", Bad::Hex),
        ("CN=#gg", Bad::Hex),
        ("CN=#+1", Bad::Hex),
        ("CN=a+CN=a", Bad::Twice),
        ("CN=a+O=b+CN=a", Bad::Twice),
    ];
    for (text, want) in cases {
        assert_eq!(of_text(text), Err(want), "{text:?}");
    }
}

#[test]
fn a_subject_that_cannot_be_read_to_its_last_byte_is_none() {
    let good = name(&[&[pair(CN, UTF8, "a")]]);
    assert!(SubjectName::of(&good).is_some());
    for cut in 0..good.len() {
        assert_eq!(SubjectName::of(&good[..cut]), None, "{cut}");
    }
    let set = |pairs: &[u8]| tlv(0x30, &tlv(0x31, pairs));
    let both = |first: Vec<u8>, second: Vec<u8>| set(&[first, second].concat());
    let cn = |tag: u8, value: &[u8]| name(&[&[pair(CN, tag, value)]]);
    let bad = [
        Vec::new(),
        tlv(0x30, &[]),
        tlv(0x30, &tlv(0x31, &[])),
        [good.clone(), vec![0]].concat(),
        tlv(0x31, &tlv(0x31, &pair(CN, UTF8, "a"))),
        tlv(0x30, &tlv(0x30, &pair(CN, UTF8, "a"))),
        set(&tlv(0x31, &[tlv(6, CN), tlv(12, b"a")].concat())),
        set(&tlv(0x30, &tlv(6, CN))),
        set(&tlv(0x30, &[tlv(5, CN), tlv(12, b"a")].concat())),
        set(&tlv(
            0x30,
            &[tlv(6, CN), tlv(12, b"a"), tlv(12, b"b")].concat(),
        )),
        both(pair(CN, UTF8, "a"), vec![0]),
        both(pair(CN, UTF8, "a"), pair(CN, UTF8, "a")),
        both(pair(CN, UTF8, "a"), pair(CN, PRINTABLE, "a")),
        cn(UTF8, &[0xc4]),
        cn(PRINTABLE, "ä".as_bytes()),
        cn(IA5, &[0xe4]),
        cn(TELETEX, &[0xe4]),
        cn(BMP, b"\0o\0"),
        cn(BMP, &[0xd8, 0x00]),
        cn(UNIVERSAL, b"\0\0\0"),
        cn(UNIVERSAL, &[0, 0x11, 0, 0]),
        cn(UTF8, &[b'a'; 5000]),
        // Lengths in a longer form, and without an end.
        [&[0x30, 0x81, 12][..], &good[2..]].concat(),
        [&[0x30, 0x82, 0, 12][..], &good[2..]].concat(),
        [&[0x30, 0x80][..], &good[2..], &[0, 0]].concat(),
        [&[0x3f, 0x30, 12][..], &good[2..]].concat(),
    ];
    assert_eq!(good.len(), 14);
    for der in bad {
        assert_eq!(SubjectName::of(&der), None, "{der:02x?}");
    }
    let long = "a".repeat(300);
    assert_eq!(
        SubjectName::of(&cn(UTF8, long.as_bytes())),
        of_text(&format!("CN={long}")).ok()
    );
}

/// Whatever bytes a certificate has as its subject, reading them ends, and a byte changed is another
/// name or none.
#[test]
fn a_changed_byte_is_another_name_or_none() {
    let der = name(&[
        &[pair(O, PRINTABLE, "Example"), pair(OU, UTF8, "x")],
        &[pair(CN, UTF8, "orders")],
    ]);
    let good = SubjectName::of(&der);
    let mut seen = 0;
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut other = der.clone();
            other[at] ^= 1 << bit;
            let read = SubjectName::of(&other);
            let other_string_type = matches!(
                (der[at], other[at]),
                (PRINTABLE, NUMERIC) | (UTF8, BMP | UNIVERSAL) | (PRINTABLE, 0x17)
            );
            if !other_string_type {
                assert_ne!(read, good, "byte {at}, bit {bit}");
            }
            seen += usize::from(read.is_some());
        }
    }
    assert!(seen > 0);
}
