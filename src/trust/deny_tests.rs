//! The deny list: what it names, and lines that are none.

use std::sync::Arc;

use rcgen::{DnType, SanType};
use rustls::pki_types::CertificateDer;

use super::info::sha256;
use super::tests::{CLIENT, Ca, Folder, below, bundle, ca_params, issued, leaf, now, root};
use super::{DenyList, TrustError, TrustStore, Usage};
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::peer_identity;

fn load(text: &str) -> Result<DenyList, TrustError> {
    let folder = Folder::new();
    DenyList::load(&[folder.file("deny.list", text)])
}

fn judged(
    ca: &Ca,
    deny: &str,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
) -> Option<HandshakeFailure> {
    let deny = load(deny).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(deny.len(), deny_lines(&deny));
    let store = TrustStore::new(vec![Arc::new(bundle(&ca.pem))], Arc::new(deny));
    let verdict = store.verify(leaf, between, Usage::Client, now());
    verdict.err().map(|untrusted| untrusted.reason)
}

fn deny_lines(deny: &DenyList) -> usize {
    let text = format!("{deny:?}");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A CA with a long name, one below it, and a leaf.
struct Stage {
    ca: Ca,
    middle: Ca,
    leaf: CertificateDer<'static>,
}

fn stage() -> Stage {
    let mut params = ca_params("Partners CA", -1, 1);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Partners, Ltd");
    params.distinguished_name.push(DnType::CountryName, "DE");
    params.serial_number = Some(0xca_u64.into());
    let ca = root(params);
    let mut params = ca_params("middle", -1, 1);
    params.serial_number = Some(0x0102_u64.into());
    let middle = below(&ca, params);
    let mut leaf = leaf(-1, 1, CLIENT);
    leaf.serial_number = Some(0x4f1a_u64.into());
    let id = "spiffe://partners.example/web/a".try_into().unwrap();
    leaf.subject_alt_names.push(SanType::URI(id));
    let leaf = issued(&middle, leaf);
    Stage { ca, middle, leaf }
}

#[test]
fn each_entry_refuses_what_it_names_and_nothing_else() {
    let Stage { ca, middle, leaf } = stage();
    let between = std::slice::from_ref(&middle.der);
    let pin = |der| peer_identity(der).unwrap().public_key.to_string();
    let pairs = sha256(&leaf).map(|byte| format!("{byte:02X}"));
    let denied = [
        "spiffe://partners.example/web/a".to_owned(),
        "  spiffe://partners.example/web/a  # stolen".to_owned(),
        "# first\n\nspiffe://partners.example/web/a\r\n".to_owned(),
        format!("fingerprint:sha256/{}", hex(&sha256(&leaf))),
        format!("fingerprint:sha256/{}", pairs.join(":")),
        format!("fingerprint:sha256/{}", hex(&sha256(&middle.der))),
        format!("fingerprint:sha256/{}", hex(&sha256(&ca.der))),
        format!("pin:sha256/{}", pin(&leaf)),
        format!("pin:sha256/{}", pin(&middle.der)),
        format!("pin:sha256/{}", pin(&ca.der)),
        "serial:4f1a issuer:CN=middle".to_owned(),
        "serial:00:4F:1A issuer:CN=middle".to_owned(),
        "serial:102 issuer:C=DE,O=Partners\\, Ltd,CN=Partners CA".to_owned(),
        "serial:102 issuer:CN=Partners CA,O=Partners\\, Ltd,C=DE".to_owned(),
        "serial:ca issuer:C=DE,O=Partners\\, Ltd,CN=Partners CA".to_owned(),
        "serial:4f1a issuer:CN=middle # of Till 7; see the ticket".to_owned(),
    ];
    for entry in denied {
        let want = Some(HandshakeFailure::CertificateDenied);
        assert_eq!(judged(&ca, &entry, &leaf, between), want, "{entry}");
    }
    let passes = [
        String::new(),
        "# spiffe://partners.example/web/a".to_owned(),
        "spiffe://partners.example/web/ab".to_owned(),
        "spiffe://partners.example/web/A".to_owned(),
        format!("fingerprint:sha256/{}", hex(&[7; 32])),
        "pin:sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        "serial:4f1b issuer:CN=middle".to_owned(),
        "serial:4f1a issuer:CN=Middle".to_owned(),
        "serial:4f1a issuer:C=DE,O=Partners\\, Ltd,CN=Partners CA".to_owned(),
    ];
    for entry in passes {
        assert_eq!(judged(&ca, &entry, &leaf, between), None, "{entry}");
    }
}

#[test]
fn a_ca_that_is_denied_under_one_certificate_counts_under_another_of_its_key() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = |to| ca_params("ca", -9, to);
    let (old, new) = (
        params(5).self_signed(&key).unwrap(),
        params(9).self_signed(&key).unwrap(),
    );
    let both = format!("{}{}", old.pem(), new.pem());
    let deny = format!("fingerprint:sha256/{}", hex(&sha256(old.der())));
    let issuer = rcgen::Issuer::new(params(9), key);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = leaf(-1, 1, CLIENT).signed_by(&leaf_key, &issuer).unwrap();
    let judged = |pem: &str| {
        let deny = Arc::new(load(&deny).unwrap());
        let store = TrustStore::new(vec![Arc::new(bundle(pem))], deny);
        let verdict = store.verify(leaf.der(), &[], Usage::Client, now());
        verdict.err().map(|untrusted| untrusted.reason)
    };
    assert_eq!(judged(&both), None);
    assert_eq!(
        judged(&old.pem()),
        Some(HandshakeFailure::CertificateDenied)
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_line_that_is_no_entry_refuses_the_file_with_its_number() {
    let cases = [
        ("web/a", "is none of the entries that are known"),
        (
            "SPIFFE://partners.example/web/a",
            "is no SPIFFE ID: a SPIFFE ID begins with `spiffe://`",
        ),
        (
            "spiffe://partners.example/web/*",
            "is no SPIFFE ID: the path of a SPIFFE ID has segments of letters, digits, `.`, `-` \
             and `_`; none is empty, `.` or `..`",
        ),
        (
            "spiffe://partners.example/web/a spiffe://partners.example/web/b",
            "is no SPIFFE ID: the path of a SPIFFE ID has segments of letters, digits, `.`, `-` \
             and `_`; none is empty, `.` or `..`",
        ),
        (
            "fingerprint:sha256/00",
            "is no fingerprint: write 64 hexadecimal digits",
        ),
        (
            "fingerprint:sha256/000000000000000000000000000000000000000000000000000000000000000",
            "is no fingerprint: write 64 hexadecimal digits",
        ),
        (
            "fingerprint:sha256/000000000000000000000000000000000000000000000000000000000000000g",
            "is no fingerprint: write 64 hexadecimal digits",
        ),
        (
            "fingerprint:sha1/00",
            "is none of the entries that are known",
        ),
        (
            "pin:sha256/AAAA",
            "is no pin: write SHA-256 of the public key, as base64",
        ),
        (
            "serial:4f1a",
            "names no issuer: write `serial:HEX issuer:NAME`",
        ),
        (
            "serial:xx issuer:CN=ca",
            "is no serial number: write 1 to 40 hexadecimal digits",
        ),
        (
            "serial: issuer:CN=ca",
            "is no serial number: write 1 to 40 hexadecimal digits",
        ),
        (
            "serial:0102030405060708090a0b0c0d0e0f101112131415 issuer:CN=ca",
            "is no serial number: write 1 to 40 hexadecimal digits",
        ),
    ];
    for (line, want) in cases {
        let text = format!("# a list\nspiffe://partners.example/x\n{line}\n");
        let error = load(&text).unwrap_err();
        let what = error.what();
        assert!(what.starts_with("line 3 of "), "{what}");
        assert!(what.ends_with(&format!("deny.list {want}")), "{what}");
        assert!(error.hint().starts_with("write `spiffe://..`, "));
    }
    for issuer in ["", "CN", "CN=a, O=b", "XX=a"] {
        let what = load(&format!("serial:1 issuer:{issuer}"))
            .unwrap_err()
            .what();
        assert!(what.contains("issuer"), "{issuer}: {what}");
    }
    let long = format!("#{}", "x".repeat(9000));
    let what = load(&long).unwrap_err().what();
    assert!(what.ends_with("has more than 8192 bytes"), "{what}");
    let folder = Folder::new();
    let what = DenyList::load(&[folder.file("deny.list", &[0xff, 0xfe])]).unwrap_err();
    assert!(what.what().ends_with("is no UTF-8 text"), "{what}");
    let many: String = (0..=100_000)
        .map(|n| format!("spiffe://a.example/{n}\n"))
        .collect();
    let what = load(&many).unwrap_err().what();
    assert!(
        what.ends_with("the deny list has more than 100000 entries"),
        "{what}"
    );
}

#[test]
fn the_list_of_several_files_is_one_and_its_digest_is_that_of_all() {
    let folder = Folder::new();
    let a = folder.file("a", "spiffe://a.example/a\n");
    let b = folder.file("b", "spiffe://a.example/b\n");
    let both = DenyList::load(&[a.clone(), b]).unwrap();
    assert_eq!(both.len(), 2);
    assert_ne!(both.digest(), DenyList::load(&[a]).unwrap().digest());
    assert!(DenyList::default().is_empty());
}

#[test]
fn a_number_sign_in_the_name_of_an_issuer_does_not_let_its_certificate_in() {
    let ca = root(ca_params("Partners CA #2", -1, 1));
    let mut leaf = leaf(-1, 1, CLIENT);
    leaf.serial_number = Some(7_u64.into());
    let leaf = issued(&ca, leaf);
    for entry in [
        "serial:7 issuer:CN=Partners CA #2",
        "serial:7 issuer:CN=Partners CA #2 # stolen",
        "serial:7 issuer:CN=Partners CA #2 # stolen; #4711 says when",
    ] {
        let want = Some(HandshakeFailure::CertificateDenied);
        assert_eq!(judged(&ca, entry, &leaf, &[]), want, "{entry}");
    }
    let other = "serial:7 issuer:CN=Partners CA # 2";
    assert_eq!(judged(&ca, other, &leaf, &[]), None);
    let many = format!("serial:7 issuer:CN=a{}", " #".repeat(4000));
    let what = load(&many).unwrap_err().what();
    assert!(what.contains("issuer"), "{what}");
}

#[test]
fn lines_that_end_in_another_way_are_refused_and_not_taken_for_a_comment() {
    for text in [
        "# a list\rspiffe://a.example/b\r",
        "# a list\u{2028}spiffe://a.example/b",
        "# a list\u{85}spiffe://a.example/b",
        "spiffe://a.example/b # c\rspiffe://a.example/c",
    ] {
        let what = load(text).unwrap_err().what();
        assert!(what.contains("line 1 of "), "{text:?}: {what}");
    }
    assert_eq!(load("# a\tb\r\nspiffe://a.example/b\r\n").unwrap().len(), 1);
}
