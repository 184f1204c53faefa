//! The spellings of paths: what becomes one path, what is refused, and that a normal form stays.

use super::*;

use AmbiguousPath::{Character, Dots, EmptySegment, Encoding, Target, Utf8};

#[test]
fn equivalent_spellings_become_one_path() {
    let cases = [
        // (as it is sent, the normal form)
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/orders/7", "/orders/7"),
        ("/Orders/7", "/Orders/7"),
        ("/%41%62%63", "/Abc"),
        ("/%7euser", "/~user"),
        ("/%7Euser", "/~user"),
        ("/a%2Db%5Fc", "/a-b_c"),
        ("/v1%2E2", "/v1.2"),
        ("/.well-known/jwks.json", "/.well-known/jwks.json"),
        ("/..a", "/..a"),
        ("/a..", "/a.."),
        ("/a.", "/a."),
        ("/a..b/c...d", "/a..b/c...d"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/%e2%82%ac", "/%E2%82%AC"),
        ("/%f0%9f%98%80/x", "/%F0%9F%98%80/x"),
        ("/%c3%a9%41%c3%a9", "/%C3%A9A%C3%A9"),
        ("/user@example.com", "/user@example.com"),
        ("/user%40example.com", "/user%40example.com"),
        ("/a%3ab", "/a%3Ab"),
        ("/a%2bb+c", "/a%2Bb+c"),
        ("/what%3f", "/what%3F"),
        ("/a%23b", "/a%23b"),
        ("/%5b0%5d", "/%5B0%5D"),
        ("/%7Bid%7d", "/%7Bid%7D"),
        ("/f(x='y',z=1)", "/f(x='y',z=1)"),
        ("/!$&*+,=:@", "/!$&*+,=:@"),
        ("/-._~", "/-._~"),
        ("/@evil", "/@evil"),
    ];
    for (sent, want) in cases {
        let path = NormalPath::parse(sent.as_bytes()).map(|path| path.to_string());
        assert_eq!(path.as_deref(), Ok(want), "{sent}");
    }
}

/// (as it is sent, why it is refused)
const REFUSED: &[(&[u8], AmbiguousPath)] = &[
    // not origin-form
    (b"", Target),
    (b"*", Target),
    (b"foo", Target),
    (b"?q", Target),
    (b"@evil", Target),
    (b"../a", Target),
    (b"\\a", Target),
    (b"%2fa", Target),
    (b" /a", Target),
    (b"http://host/", Target),
    // dot segments
    (b"/.", Dots),
    (b"/..", Dots),
    (b"/a/.", Dots),
    (b"/a/..", Dots),
    (b"/a/./b", Dots),
    (b"/a/../b", Dots),
    (b"/../", Dots),
    (b"/./", Dots),
    (b"/%2e", Dots),
    (b"/%2E%2e/a", Dots),
    (b"/a/.%2e/b", Dots),
    (b"/a/%2e./b", Dots),
    (b"/a/%2e", Dots),
    (b"/...", Dots),
    (b"/..../a", Dots),
    (b"/..%20/a", Dots),
    (b"/.%20", Dots),
    (b"/..%3fx", Dots),
    (b"/..%23", Dots),
    (b"/%2e%2e%3F", Dots),
    (b"/..%e2%80%8b/", Dots),
    // empty segments
    (b"//", EmptySegment),
    (b"//host", EmptySegment),
    (b"//host/a", EmptySegment),
    (b"/a//b", EmptySegment),
    (b"/a//", EmptySegment),
    (b"/a///", EmptySegment),
    // encoded delimiters
    (b"/a%2fb", Encoding),
    (b"/a%2Fb", Encoding),
    (b"/%2f", Encoding),
    (b"/..%2fa", Encoding),
    (b"/%2e%2e%2fa", Encoding),
    (b"/a%5cb", Encoding),
    (b"/a%5Cb", Encoding),
    (b"/..%5c..%5c", Encoding),
    (b"/a%3bb", Encoding),
    (b"/a%3B", Encoding),
    // encoded twice
    (b"/%25", Encoding),
    (b"/%252e%252e/a", Encoding),
    (b"/%252f", Encoding),
    (b"/%2525", Encoding),
    (b"/a%25", Encoding),
    (b"/%25%32%65", Encoding),
    // encoded control characters
    (b"/%00", Encoding),
    (b"/a%00.json", Encoding),
    (b"/a%0ab", Encoding),
    (b"/a%0D%0Ab", Encoding),
    (b"/%09", Encoding),
    (b"/%1f", Encoding),
    (b"/%7f", Encoding),
    (b"/%7F", Encoding),
    (b"/%c2%80", Utf8),
    (b"/%C2%85", Utf8),
    // no triplet
    (b"/%", Encoding),
    (b"/a%", Encoding),
    (b"/a%4", Encoding),
    (b"/a%zz", Encoding),
    (b"/a%4g", Encoding),
    (b"/a%g4", Encoding),
    (b"/a%/b", Encoding),
    (b"/a% 41", Encoding),
    (b"/a%+1", Encoding),
    (b"/%u002e", Encoding),
    (b"/%%41", Encoding),
    // no UTF-8
    (b"/%80", Utf8),
    (b"/%ff", Utf8),
    (b"/%c3", Utf8),
    (b"/%c3/%a9", Utf8),
    (b"/%c3A%a9", Utf8),
    (b"/%c3%41%a9", Utf8),
    (b"/%c3%20%a9", Utf8),
    (b"/%e2%82", Utf8),
    (b"/%c0%ae", Utf8),
    (b"/%c0%ae%c0%ae/a", Utf8),
    (b"/%c0%af", Utf8),
    (b"/%c1%9c", Utf8),
    (b"/%e0%80%af", Utf8),
    (b"/%e0%80%ae", Utf8),
    (b"/%f0%80%80%af", Utf8),
    (b"/%ed%a0%80", Utf8),
    (b"/%f4%90%80%80", Utf8),
    (b"/%f8%80%80%80%af", Utf8),
    // characters that paths do not have
    (b"/a\\b", Character),
    (b"/..\\a", Character),
    (b"/\\", Character),
    (b"/a;b", Character),
    (b"/a;jsessionid=1/b", Character),
    (b"/..;/a", Character),
    (b"/.;x/a", Character),
    (b"/;", Character),
    (b"/a b", Character),
    (b"/ ", Character),
    (b"/a\0b", Character),
    (b"/a\tb", Character),
    (b"/a\nb", Character),
    (b"/a\r\nb", Character),
    (b"/\x7f", Character),
    (b"/\x1b", Character),
    (b"/\x80", Character),
    (b"/caf\xc3\xa9", Character),
    (b"/\xff", Character),
    (b"/a?b", Character),
    (b"/a#b", Character),
    (b"/a\"b", Character),
    (b"/<a>", Character),
    (b"/a[0]", Character),
    (b"/{id}", Character),
    (b"/a|b", Character),
    (b"/a^b", Character),
    (b"/a`b", Character),
];

#[test]
fn a_spelling_that_could_be_read_in_two_ways_is_refused() {
    for (sent, want) in REFUSED {
        let shown = sent.escape_ascii().to_string();
        assert_eq!(NormalPath::parse(sent).err(), Some(*want), "{shown}");
    }
}

/// Every path of up to `length` pieces, given to `check`.
fn each_path(pieces: &[&[u8]], length: usize, path: &mut Vec<u8>, check: &mut dyn FnMut(&[u8])) {
    check(path);
    if length == 0 {
        return;
    }
    for piece in pieces {
        let before = path.len();
        path.extend_from_slice(piece);
        each_path(pieces, length - 1, path, check);
        path.truncate(before);
    }
}

#[test]
fn a_path_is_refused_or_has_a_normal_form_that_stays() {
    let pieces: &[&[u8]] = &[
        b"/", b".", b"a", b"%2e", b"%2F", b"%41", b"%c3", b"%a9", b"%C3%A9", b"%40", b"@", b";",
        b"%", b"25", b"\\", b"\xc3", b"%20", b"%7e",
    ];
    let mut normal_ones = 0;
    each_path(pieces, 4, &mut b"/".to_vec(), &mut |raw| {
        let Ok(path) = NormalPath::parse(raw) else {
            return;
        };
        normal_ones += 1;
        let shown = raw.escape_ascii().to_string();
        let text = path.as_str();
        assert_eq!(
            NormalPath::parse(text.as_bytes()).as_ref(),
            Ok(&path),
            "{shown}"
        );
        assert!(text.starts_with('/') && text.is_ascii(), "{shown}");
        assert!(!text.contains("//") && !text.contains("%2F"), "{shown}");
        assert!(!text.contains("%25") && !text.contains(';'), "{shown}");
        assert!(path.segments().all(|s| s != "." && s != ".."), "{shown}");
        // What a service that decodes reads has as many segments, and none of dots.
        let decoded = decode_all(text);
        assert_eq!(
            decoded.split('/').count(),
            path.segments().count() + 1,
            "{shown}"
        );
        assert!(
            !decoded.split('/').any(|s| s == "." || s == ".."),
            "{shown}"
        );
        assert!(!decoded.contains('%'), "{shown}");
    });
    assert!(normal_ones > 1_000, "{normal_ones}");
}

/// A plain decoder, as services have it.
fn decode_all(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let (triplet, tail) = after.split_at(2);
        bytes.push(u8::from_str_radix(triplet, 16).unwrap());
        rest = tail;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_single_byte_is_literal_encoded_or_refused() {
    for byte in 0..=255_u8 {
        let raw = NormalPath::parse(&[b'/', b'x', byte, b'x']);
        let allowed = byte == b'/' || is_literal(byte);
        assert_eq!(raw.is_ok(), allowed, "{byte:#04x}");

        let encoded = NormalPath::parse(format!("/x%{byte:02x}x").as_bytes());
        let never = !(0x20..0x7f).contains(&byte) || b"/\\%;".contains(&byte);
        assert_eq!(encoded.is_err(), never, "%{byte:02x}");
        if let Ok(path) = encoded {
            let decoded = path.as_str().len() == 4;
            assert_eq!(decoded, is_unreserved(byte), "%{byte:02x}");
        }
    }
}

#[test]
fn only_origin_form_is_a_target() {
    type Parts<'a> = (&'a [u8], Option<&'a [u8]>);
    let cases: &[(&[u8], Option<Parts<'_>>)] = &[
        (b"/", Some((b"/", None))),
        (b"/a?", Some((b"/a", Some(b"")))),
        (b"/a?b=c", Some((b"/a", Some(b"b=c")))),
        (b"/a?b?c/../d", Some((b"/a", Some(b"b?c/../d")))),
        (b"/?//x", Some((b"/", Some(b"//x")))),
        (b"/http://host/", Some((b"/http://host/", None))),
        (b"", None),
        (b"*", None),
        (b"foo", None),
        (b"?q", None),
        (b"@evil", None),
        (b":443", None),
        (b"host:443", None),
        (b"//host", None),
        (b"//host/a", None),
        (b"//", None),
        (b"\\\\host", None),
        (b"http://host/a", None),
        (b"https://host/a", None),
        (b"HTTP://host/a", None),
        (b"ftp://host/a", None),
        (b"/a#b", None),
        (b"/a?b#c", None),
        (b"#", None),
        (b"/#", None),
        (b" /a", None),
        (b"\t/a", None),
        (b".", None),
        (b"./a", None),
        (b"%2fa", None),
    ];
    for (target, want) in cases {
        let shown = target.escape_ascii().to_string();
        assert_eq!(split_target(target).ok(), *want, "{shown}");
    }
}

#[test]
fn a_query_is_visible_ascii_without_a_fragment() {
    for plain in ["", "a=b", "a=%00", "\"<>\\^`{|}[]", "??//..;", "%", "a;b"] {
        assert!(query_is_plain(plain.as_bytes()), "{plain}");
    }
    let refused: [&[u8]; 9] = [
        b" ",
        b"a b",
        b"a#b",
        b"a\0",
        b"a\tb",
        b"a\r\nb",
        b"\x7f",
        b"\xc3\xa9",
        b"\xff",
    ];
    for bad in refused {
        assert!(!query_is_plain(bad), "{}", bad.escape_ascii());
    }
}

#[test]
fn segments_are_what_stands_between_the_slashes() {
    let cases: &[(&str, &[&str])] = &[
        ("/", &[""]),
        ("/a", &["a"]),
        ("/a/", &["a", ""]),
        ("/a/b/c", &["a", "b", "c"]),
    ];
    for (path, want) in cases {
        let path = NormalPath::parse(path.as_bytes()).unwrap();
        assert_eq!(path.segments().collect::<Vec<_>>(), *want, "{path}");
    }
}

#[test]
fn a_pattern_has_literal_segments_in_normal_form_only() {
    for normal in [
        "orders",
        "v1.2",
        "caf%C3%A9",
        "a@b",
        "a%40b",
        "~x",
        "..a",
        "a%20b",
    ] {
        assert_eq!(normal_segment(normal).as_deref(), Some(normal), "{normal}");
    }
    let others = [
        "",
        "/",
        "a/",
        "/a",
        "a/b",
        ".",
        "..",
        "%2e",
        "%41",
        "caf%c3%a9",
        "café",
        "a b",
        "a;b",
        "{id}",
        "a%2Fb",
        "a%",
        "%25",
        "a?b",
        "a#b",
        "a\\b",
        "%ff",
    ];
    for other in others {
        assert_eq!(normal_segment(other), None, "{other}");
    }
}

/// What rules see of a path, whatever it was spelled as.
#[test]
fn a_path_has_one_form_for_whoever_decides_by_it() {
    let cases = [
        ("/v1/orders:cancel", "/v1/orders:cancel"),
        ("/v1/orders%3Acancel", "/v1/orders:cancel"),
        ("/v1/orders%3acancel", "/v1/orders:cancel"),
        ("/%76%31/a%40b%2Cc%3Dd%26e", "/v1/a@b,c=d&e"),
        ("/%21%24%27%28%29%2A%2B", "/!$'()*+"),
        // What a path cannot have in any other spelling keeps its one.
        ("/a%20b%22%3C%3E", "/a%20b%22%3C%3E"),
        ("/a%3Fb%23c%5bd%5D", "/a%3Fb%23c%5Bd%5D"),
        ("/%5e%60%7b%7C%7d", "/%5E%60%7B%7C%7D"),
        ("/caf%c3%a9/", "/caf%C3%A9/"),
        ("/", "/"),
    ];
    for (raw, want) in cases {
        let path = NormalPath::parse(raw.as_bytes()).expect(raw);
        assert_eq!(path.comparable(), want, "{raw}");
    }
    // These would be read in two ways, and are no path: nothing is left to see.
    for raw in [
        "/a%2Fb", "/a%2fb", "/a%25b", "/a%253Ab", "/a%5Cb", "/a%3Bb", "/a%00b",
    ] {
        assert!(NormalPath::parse(raw.as_bytes()).is_err(), "{raw}");
    }
    // No byte that stands as itself in one spelling is left encoded in another.
    for byte in 0..=u8::MAX {
        let encoded = NormalPath::parse(format!("/a%{byte:02X}b").as_bytes());
        let plain = NormalPath::parse(&[b'/', b'a', byte, b'b']);
        if let (Ok(encoded), Ok(plain)) = (encoded, plain) {
            assert_eq!(encoded.comparable(), plain.comparable(), "{byte:#x}");
        }
    }
}

#[test]
fn encoded_and_plain_delimiters_compare_as_equal() {
    let cases = [
        ("a@b", "a@b"),
        ("a%40b", "a@b"),
        ("%21%24%26%27%28%29%2A%2B%2C%3D%3A%40", "!$&'()*+,=:@"),
        ("caf%C3%A9%40", "caf%C3%A9@"),
        ("a%20b", "a%20b"),
        ("%3F%23%5B", "%3F%23%5B"),
        ("", ""),
    ];
    for (segment, want) in cases {
        assert_eq!(comparable(segment), want, "{segment}");
        assert_eq!(comparable(want), want, "{segment}: comparing again");
    }
}
