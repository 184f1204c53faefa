//! Key pairs and bundles, with certificates that are made for each test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair as Key, NameConstraints, SanType,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use super::judge::Question;
use super::{DenyList, KeyPair, TrustBundle, TrustError, Usage, provider};
use crate::handshake_failure::HandshakeFailure;

/// 2030-01-01: the certificates of this file are valid from a day before to a day after.
pub(super) const NOW: u64 = 1_893_456_000;
pub(super) const DAY: i64 = 86_400;

/// A folder of its own for each test, removed at the end.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-trust-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn file(&self, name: &str, text: &(impl AsRef<[u8]> + ?Sized)) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(super) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

pub(super) fn day(offset: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(NOW).unwrap() + offset * DAY).unwrap()
}

pub(super) fn params(name: &str, from: i64, to: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (day(from), day(to));
    params
}

pub(super) fn ca_params(name: &str, from: i64, to: i64) -> CertificateParams {
    let mut params = params(name, from, to);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(super) struct Ca {
    pub(super) pem: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, Key>,
}

pub(super) fn root(params: CertificateParams) -> Ca {
    let key = Key::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Ca {
        pem: certificate.pem(),
        der: certificate.der().clone(),
        issuer: Issuer::new(params, key),
    }
}

pub(super) fn below(above: &Ca, params: CertificateParams) -> Ca {
    let key = Key::generate().unwrap();
    let certificate = params.signed_by(&key, &above.issuer).unwrap();
    Ca {
        pem: certificate.pem(),
        der: certificate.der().clone(),
        issuer: Issuer::new(params, key),
    }
}

pub(super) fn leaf(from: i64, to: i64, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = params("leaf", from, to);
    params.extended_key_usages = vec![usage];
    params.subject_alt_names = vec![
        SanType::DnsName("api.example.com".try_into().unwrap()),
        SanType::DnsName("*.apps.example.com".try_into().unwrap()),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
    ];
    params
}

pub(super) const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;
pub(super) const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;

fn pair(ca: &Ca, params: &CertificateParams) -> (String, String) {
    let key = Key::generate().unwrap();
    let certificate = params.signed_by(&key, &ca.issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

pub(super) fn bundle(pem: &str) -> TrustBundle {
    let folder = Folder::new();
    TrustBundle::load(&folder.file("ca.pem", pem)).unwrap()
}

#[test]
fn a_key_pair_that_fits_is_taken_and_keeps_its_key_to_itself() {
    let folder = Folder::new();
    let ca = root(ca_params("ca", -1, 1));
    let (cert, key) = pair(&ca, &leaf(-1, 1, SERVER));
    let cert_file = folder.file("a.pem", &format!("{cert}{}", ca.pem));
    let key_file = folder.file("a.key", &key);
    let pair = KeyPair::load(&cert_file, &key_file, now()).unwrap();
    assert_eq!(pair.certified_key().cert.len(), 2);
    let is_ca: Vec<_> = pair.certificates().iter().map(|info| info.is_ca).collect();
    assert_eq!(is_ca, [false, true]);
    assert_eq!(pair.certificates()[0].subject, "CN=leaf");
    assert_eq!(pair.certificates()[0].not_after, day(1).unix_timestamp());
    let again = KeyPair::load(&cert_file, &key_file, now()).unwrap();
    assert_eq!(pair.digest(), again.digest());
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{pair:?}").contains(secret));
    assert!(pair.warnings().is_empty());
}

#[test]
fn every_kind_of_key_that_is_spoken_is_taken() {
    let folder = Folder::new();
    let ca = root(ca_params("ca", -1, 1));
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let key = Key::generate_for(algorithm).unwrap();
        let leaf = leaf(-1, 1, CLIENT).signed_by(&key, &ca.issuer).unwrap();
        let cert_file = folder.file("a.pem", &leaf.pem());
        let key_file = folder.file("a.key", &key.serialize_pem());
        let pair = KeyPair::load(&cert_file, &key_file, now());
        assert!(pair.is_ok(), "{algorithm:?}: {pair:?}");
        let trust = bundle(&ca.pem);
        assert_eq!(judged(&trust, leaf.der(), &[], Usage::Client), None);
    }
}

#[test]
fn a_key_file_that_others_can_read_is_a_warning() {
    let folder = Folder::new();
    let (cert, key) = pair(&root(ca_params("ca", -1, 1)), &leaf(-1, 1, SERVER));
    let key_file = folder.file("a.key", &key);
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let pair = KeyPair::load(&folder.file("a.pem", &cert), &key_file, now()).unwrap();
    assert!(
        pair.warnings()[0].contains("mode 644"),
        "{:?}",
        pair.warnings()
    );
}

#[test]
fn a_pair_serves_the_names_of_its_leaf_and_a_wildcard_is_one_label() {
    let folder = Folder::new();
    let (cert, key) = pair(&root(ca_params("ca", -1, 1)), &leaf(-1, 1, SERVER));
    let pair = KeyPair::load(
        &folder.file("a.pem", &cert),
        &folder.file("a.key", &key),
        now(),
    )
    .unwrap();
    let cases = [
        ("api.example.com", true),
        ("API.example.com.", true),
        ("x.apps.example.com", true),
        ("192.0.2.1", true),
        ("apps.example.com", false),
        ("x.y.apps.example.com", false),
        ("example.com", false),
        ("other.example.com", false),
        ("api.example.com.evil", false),
        ("192.0.2.2", false),
        ("leaf", false),
    ];
    for (host, want) in cases {
        assert_eq!(pair.serves(&host.parse().unwrap()), want, "{host}");
    }
}

/// One file text for the certificate, one for the key, and how the message begins and ends.
fn refused(cert: &str, key: &str, what: &str, hint: &str) {
    let folder = Folder::new();
    let error = KeyPair::load(
        &folder.file("a.pem", cert),
        &folder.file("a.key", key),
        now(),
    )
    .unwrap_err();
    let shown = |text: &str| text.replace(&format!("{}/", folder.0.display()), "");
    assert_eq!(shown(&error.what()), what);
    assert!(error.hint().starts_with(hint), "{}", error.hint());
    assert_eq!(
        shown(&error.to_string()),
        format!("{what}: {}", error.hint())
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_way_in_which_a_key_pair_is_wrong_has_its_own_text() {
    let ca = root(ca_params("ca", -1, 1));
    let (cert, key) = pair(&ca, &leaf(-1, 1, SERVER));
    let (_, other) = pair(&ca, &leaf(-1, 1, SERVER));
    let (over, over_key) = pair(&ca, &leaf(-9, -2, SERVER));
    let (early, early_key) = pair(&ca, &leaf(2, 9, SERVER));
    let pem =
        |kind: &str, body: &str| format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n");
    let cases = [
        (
            cert.as_str(),
            other.as_str(),
            "the key in a.key is not that of the certificate in a.pem",
            "name the",
        ),
        (
            &over,
            &over_key,
            "the certificate in a.pem (CN=leaf) expired on 2029-12-30",
            "renew",
        ),
        (
            &early,
            &early_key,
            "the certificate in a.pem (CN=leaf) is valid from 2030-01-03 on, not yet",
            "wait",
        ),
        (
            "",
            &key,
            "a.pem has no certificate in it",
            "name a PEM file",
        ),
        (
            &cert,
            "",
            "a.key has no private key in it",
            "name a PEM file",
        ),
        (
            "hello",
            &key,
            "a.pem has no certificate in it",
            "name a PEM file",
        ),
        (
            &key,
            &key,
            "a.pem has a private key in it and no certificate",
            "name a PEM file",
        ),
        (
            &cert,
            &cert,
            "a.key has a certificate in it and no private key",
            "name a PEM file",
        ),
        (
            &cert,
            &pem("EC PARAMETERS", "BggqhkjOPQMBBw=="),
            "a.key has another PEM block in it and no private key",
            "name a PEM file",
        ),
        (
            &cert,
            &format!("{key}{other}"),
            "a.key has 2 private keys in it",
            "leave only",
        ),
        (
            &cert,
            &pem("ENCRYPTED PRIVATE KEY", "MIIB"),
            "the private key in a.key has a passphrase",
            "store it without",
        ),
        (
            &cert,
            &pem("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"),
            "the private key in a.key has a passphrase",
            "store it without",
        ),
        (
            &cert,
            &pem("PRIVATE KEY", "MIIB"),
            "the private key in a.key cannot be used",
            "use RSA",
        ),
        (
            cert.get(..300).unwrap(),
            &key,
            "a.pem is broken PEM",
            "write the file anew",
        ),
        (
            &cert,
            &pem("PRIVATE KEY", "!!!!"),
            "a.key is broken PEM",
            "write the file anew",
        ),
        (
            &pem("CERTIFICATE", "MIIB"),
            &key,
            "certificate 1 in a.pem is no X.509",
            "have it issued",
        ),
        (
            &format!("{}{cert}", ca.pem),
            &key,
            "the first certificate in a.pem (CN=ca) is that of a CA",
            "put the",
        ),
        (
            &cert.repeat(12),
            &key,
            "a.pem has a chain of 12 certificates",
            "leave only",
        ),
    ];
    for (cert, key, what, hint) in cases {
        refused(cert, key, what, hint);
    }
}

#[test]
fn a_file_that_is_not_there_or_far_too_large_is_named() {
    let folder = Folder::new();
    let missing = folder.0.join("missing.pem");
    let error = TrustBundle::load(&missing).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("missing.pem cannot be read: No such file"),
        "{error}"
    );
    let large = folder.file("large.pem", &" ".repeat(4 * 1024 * 1024 + 1));
    let error = TrustBundle::load(&large).unwrap_err();
    assert!(matches!(error, TrustError::TooLarge { .. }), "{error}");
    let error = TrustBundle::load(Path::new("/")).unwrap_err();
    assert!(matches!(error, TrustError::Unreadable { .. }), "{error}");
}

#[test]
fn a_short_rsa_key_is_refused() {
    // OpenSSL: 1,024 bits, with basicConstraints CA:true, valid for a hundred years.
    let folder = Folder::new();
    let error = TrustBundle::load(&folder.file("ca.pem", WEAK_CA)).unwrap_err();
    assert_eq!(
        error.to_string().split('/').next_back().unwrap(),
        "ca.pem has an RSA key of 1024 bits: use 2048 bits or more, or ECDSA"
    );
}

#[test]
fn a_bundle_is_a_set_of_cas() {
    let (a, b) = (root(ca_params("a", -1, 1)), root(ca_params("b", -1, 1)));
    let ab = bundle(&format!("{}{}", a.pem, b.pem));
    let bab = bundle(&format!("{}{}{}", b.pem, a.pem, b.pem));
    assert_eq!(ab.digest(), bab.digest());
    assert_eq!((bab.certificates().len(), bab.roots().len()), (2, 2));
    assert_ne!(ab.digest(), bundle(&a.pem).digest());
    let folder = Folder::new();
    let (cert, key) = pair(&a, &leaf(-1, 1, CLIENT));
    for text in ["", "\n# none\n", &key, &cert, &format!("{}{cert}", a.pem)] {
        assert!(
            TrustBundle::load(&folder.file("ca.pem", text)).is_err(),
            "{text}"
        );
    }
    let error = TrustBundle::load(&folder.file("ca.pem", &format!("{}{cert}", a.pem))).unwrap_err();
    assert!(error.what().starts_with("certificate 2 in "), "{error}");
    assert!(
        error.what().ends_with("(CN=leaf) is not that of a CA"),
        "{error}"
    );
}

/// What `verify` says about a leaf, sorted as the metrics sort it.
fn judged(
    bundle: &TrustBundle,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    usage: Usage,
) -> Option<HandshakeFailure> {
    let verdict = bundle.judge(&Question {
        leaf,
        intermediates: between,
        usage,
        leaf_at: now(),
        now: now(),
        deny: &DenyList::default(),
        accepted: &provider().signature_verification_algorithms,
    });
    verdict.err().map(|untrusted| untrusted.reason)
}

pub(super) fn issued(above: &Ca, params: CertificateParams) -> CertificateDer<'static> {
    below(above, params).der
}

#[test]
fn every_reason_to_refuse_a_leaf_is_sorted() {
    let ca = root(ca_params("ca", -1, 1));
    let trust = bundle(&ca.pem);
    let mut no_usage = leaf(-1, 1, CLIENT);
    no_usage.extended_key_usages.clear();
    let cases = [
        (issued(&ca, leaf(-1, 1, CLIENT)), Usage::Client, None),
        (issued(&ca, leaf(-1, 1, SERVER)), Usage::Server, None),
        (issued(&ca, no_usage), Usage::Client, None),
        (
            issued(&ca, leaf(-1, 1, SERVER)),
            Usage::Client,
            Some(HandshakeFailure::WrongUsage),
        ),
        (
            issued(&ca, leaf(-1, 1, CLIENT)),
            Usage::Server,
            Some(HandshakeFailure::WrongUsage),
        ),
        (
            issued(&ca, ca_params("x", -1, 1)),
            Usage::Client,
            Some(HandshakeFailure::WrongUsage),
        ),
        (
            ca.der.clone(),
            Usage::Client,
            Some(HandshakeFailure::WrongUsage),
        ),
        (
            issued(&ca, leaf(-3, -1, CLIENT)),
            Usage::Client,
            Some(HandshakeFailure::CertificateExpired),
        ),
        (
            issued(&ca, leaf(1, 3, CLIENT)),
            Usage::Client,
            Some(HandshakeFailure::CertificateNotYetValid),
        ),
        (
            issued(&root(ca_params("no", -1, 1)), leaf(-1, 1, CLIENT)),
            Usage::Client,
            Some(HandshakeFailure::UnknownIssuer),
        ),
        (
            issued(&root(ca_params("ca", -1, 1)), leaf(-1, 1, CLIENT)),
            Usage::Client,
            Some(HandshakeFailure::BadSignature),
        ),
        (
            CertificateDer::from(vec![0x30, 0]),
            Usage::Client,
            Some(HandshakeFailure::CertificateMalformed),
        ),
        (
            CertificateDer::from(vec![]),
            Usage::Client,
            Some(HandshakeFailure::CertificateMalformed),
        ),
    ];
    for (number, (leaf, usage, want)) in cases.iter().enumerate() {
        assert_eq!(judged(&trust, leaf, &[], *usage), *want, "case {number}");
    }
    let mut forged = issued(&ca, leaf(-1, 1, CLIENT)).to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let want = Some(HandshakeFailure::BadSignature);
    assert_eq!(judged(&trust, &forged.into(), &[], Usage::Client), want);
}

#[test]
fn every_reason_above_the_leaf_is_sorted() {
    let ca = root(ca_params("ca", -9, 9));
    let trust = bundle(&ca.pem);
    let check = |middle: CertificateParams| {
        let middle = below(&ca, middle);
        let leaf = issued(&middle, leaf(-1, 1, CLIENT));
        judged(&trust, &leaf, &[middle.der], Usage::Client)
    };
    let mut constrained = ca_params("m", -1, 1);
    constrained.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("other.example".into())],
        excluded_subtrees: vec![],
    });
    assert_eq!(check(ca_params("m", -1, 1)), None);
    assert_eq!(
        check(ca_params("m", -3, -1)),
        Some(HandshakeFailure::CertificateExpired)
    );
    assert_eq!(
        check(ca_params("m", 1, 3)),
        Some(HandshakeFailure::CertificateNotYetValid)
    );
    assert_eq!(
        check(params("no ca", -1, 1)),
        Some(HandshakeFailure::UnknownIssuer)
    );
    assert_eq!(check(constrained), Some(HandshakeFailure::NameConstraint));

    let mut short = ca_params("short", -1, 1);
    short.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let short = below(&ca, short);
    let middle = below(&short, ca_params("m", -1, 1));
    let end = issued(&middle, leaf(-1, 1, CLIENT));
    let chain = [middle.der, short.der];
    let want = Some(HandshakeFailure::PathLength);
    assert_eq!(judged(&trust, &end, &chain, Usage::Client), want);
    assert_eq!(
        judged(&trust, &end, &[], Usage::Client),
        Some(HandshakeFailure::UnknownIssuer)
    );
}

#[test]
fn a_root_outside_its_time_verifies_nobody() {
    for (from, to, want) in [
        (-9, -2, HandshakeFailure::CertificateExpired),
        (2, 9, HandshakeFailure::CertificateNotYetValid),
    ] {
        let ca = root(ca_params("ca", from, to));
        let trust = bundle(&ca.pem);
        assert_eq!(trust.certificates()[0].not_after, day(to).unix_timestamp());
        let leaf = issued(&ca, leaf(-1, 1, CLIENT));
        assert_eq!(judged(&trust, &leaf, &[], Usage::Client), Some(want));
    }
}

#[test]
fn a_renewed_root_with_the_same_key_verifies_beside_its_expired_self() {
    let key = Key::generate().unwrap();
    let old = ca_params("ca", -9, -2).self_signed(&key).unwrap().pem();
    let renewed = ca_params("ca", -2, 9).self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(ca_params("ca", -2, 9), key);
    let leaf_key = Key::generate().unwrap();
    let leaf = leaf(-1, 1, CLIENT).signed_by(&leaf_key, &issuer).unwrap();
    for text in [format!("{old}{renewed}"), format!("{renewed}{old}")] {
        assert_eq!(judged(&bundle(&text), leaf.der(), &[], Usage::Client), None);
    }
    let want = Some(HandshakeFailure::CertificateExpired);
    assert_eq!(judged(&bundle(&old), leaf.der(), &[], Usage::Client), want);
}

#[test]
fn a_chain_of_junk_is_refused_before_it_is_looked_at() {
    let ca = root(ca_params("ca", -1, 1));
    let trust = bundle(&ca.pem);
    let good = issued(&ca, leaf(-1, 1, CLIENT));
    let junk = vec![ca.der.clone(); 11];
    assert_eq!(judged(&trust, &good, &junk[..10], Usage::Client), None);
    let want = Some(HandshakeFailure::ChainTooLong);
    assert_eq!(judged(&trust, &good, &junk, Usage::Client), want);
}

#[test]
fn the_provider_prefers_the_hybrid_group_and_has_no_suite_without_forward_secrecy() {
    let provider = provider();
    assert_eq!(
        provider.kx_groups[0].name(),
        rustls::NamedGroup::X25519MLKEM768
    );
    for suite in &provider.cipher_suites {
        let name = format!("{:?}", suite.suite());
        let ecdhe_aead = name.starts_with("TLS_ECDHE_") && !name.contains("CBC");
        assert!(name.starts_with("TLS13_") || ecdhe_aead, "{name}");
    }
}

/// Its private key was thrown away.
const WEAK_CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIB/DCCAWWgAwIBAgIUeqrP0xdlKmPFc1gMYOiZj9U1ld0wDQYJKoZIhvcNAQEL
BQAwDzENMAsGA1UEAwwEd2VhazAgFw0yNjExMjEyMjU3MzJaGA8yMTI2MTAyODIy
NTczMlowDzENMAsGA1UEAwwEd2VhazCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkC
gYEAyYk4Q7Qqd2P9mJlTSoM2mY2V0Eez5BO54lH9Cu+EjiWoEnSkDX1Z+FGWu3IO
LLX1H89sYBvOCK/pdvu9JCRjixHCd6mrv8KSH+iyB0j75CuqV8zqP3/SKkYiHTmM
V9RhGKf/tBi1xO2h0DofoQGq+oUGQLV8fDMoim+mYaulYwMCAwEAAaNTMFEwHQYD
VR0OBBYEFDj0VxuVp8TjfVRd0H0immzM0JX4MB8GA1UdIwQYMBaAFDj0VxuVp8Tj
fVRd0H0immzM0JX4MA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADgYEA
Dz7pWg1X4qDziVLhfgusthD5mhycR+59hJ3N3QHkO/Rdnh/kBHmyNr7M1Td7ZFZ6
DgDbXlDsLVLKHNicuVN+6ik9GM7b+qAuvA2BqQAp4DWWSwxIuDQCbp4ttqItNbIE
78QnR2zwO4QZO04+4WEdRajco20uP5QQSzRvzXqiJCk=
-----END CERTIFICATE-----
";
