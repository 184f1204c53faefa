//! Which chains are accepted: trust domains, strength, grace, and chains that were made to cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, Issuer, KeyPair as Key, SanType};
use rustls::pki_types::CertificateDer;

use super::tests::{
    CLIENT, Ca, DAY, Folder, below, bundle, ca_params, day, issued, leaf, now, root,
};
use super::{BundleFiles, DenyList, TrustBundle, TrustStore, Usage, Vouches};
use crate::handshake_failure::HandshakeFailure;

type Reason = Option<HandshakeFailure>;

fn verdict(
    store: &TrustStore,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
) -> Reason {
    let verdict = store.verify(leaf, between, Usage::Client, now());
    verdict.err().map(|untrusted| untrusted.reason)
}

fn store(bundles: Vec<TrustBundle>) -> TrustStore {
    let bundles = bundles.into_iter().map(Arc::new).collect();
    TrustStore::new(bundles, Arc::new(DenyList::default()))
}

fn bound(ca: &Ca, vouches_for: Vouches) -> TrustBundle {
    let folder = Folder::new();
    let files = BundleFiles {
        ca: vec![folder.file("ca.pem", &ca.pem)],
        vouches_for,
        ..BundleFiles::default()
    };
    TrustBundle::read(&files, now(), None).unwrap()
}

fn domain(name: &str) -> Vouches {
    Vouches::Domain(name.parse().unwrap())
}

fn named(ca: &Ca, uris: &[&str]) -> CertificateDer<'static> {
    let mut leaf = leaf(-1, 1, CLIENT);
    let uris = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()));
    leaf.subject_alt_names.extend(uris);
    issued(ca, leaf)
}

#[test]
fn each_trust_domain_is_verified_against_its_own_bundle_alone() {
    let [a, b, bare] = ["a", "b", "bare"].map(|name| root(ca_params(name, -1, 1)));
    let all = || {
        store(vec![
            bound(&a, domain("a.example")),
            bound(&b, domain("b.example")),
            bound(&bare, Vouches::NoSpiffe),
        ])
    };
    let unknown_issuer = Some(HandshakeFailure::UnknownIssuer);
    let unknown_domain = Some(HandshakeFailure::UnknownTrustDomain);
    let (in_a, in_b) = ("spiffe://a.example/x", "spiffe://b.example/x");
    let in_c = "spiffe://c.example/x";
    let cases = [
        (named(&a, &[in_a]), None),
        (named(&b, &[in_b]), None),
        (named(&bare, &[]), None),
        (named(&bare, &["https://a.example/x"]), None),
        (named(&a, &[in_b]), unknown_issuer),
        (named(&b, &[in_a]), unknown_issuer),
        (named(&bare, &[in_a]), unknown_issuer),
        (named(&a, &[]), unknown_issuer),
        (named(&a, &[in_c]), unknown_domain),
        (named(&bare, &[in_c]), unknown_domain),
        (
            named(&a, &["spiffe://A.example/x"]),
            Some(HandshakeFailure::InvalidSpiffeName),
        ),
        (
            named(&bare, &["spiffe://a.example"]),
            Some(HandshakeFailure::InvalidSpiffeName),
        ),
        (
            named(&bare, &["https://x.example/*"]),
            Some(HandshakeFailure::CertificateMalformed),
        ),
        (
            named(&a, &[in_a, "https://a.example/x"]),
            Some(HandshakeFailure::SeveralSpiffeNames),
        ),
    ];
    for (number, (leaf, want)) in cases.iter().enumerate() {
        assert_eq!(verdict(&all(), leaf, &[]), *want, "case {number}");
    }
    let alone = store(vec![bound(&a, domain("a.example"))]);
    assert_eq!(verdict(&alone, &named(&a, &[in_a]), &[]), None);
    assert_eq!(verdict(&alone, &named(&a, &[]), &[]), unknown_domain);
    assert_eq!(verdict(&alone, &named(&a, &[in_b]), &[]), unknown_domain);
    let anyone = store(vec![bundle(&a.pem)]);
    for leaf in [named(&a, &[in_a]), named(&a, &[in_b]), named(&a, &[])] {
        assert_eq!(verdict(&anyone, &leaf, &[]), None);
    }
    let twice = store(vec![
        bound(&b, domain("a.example")),
        bound(&a, domain("a.example")),
    ]);
    assert_eq!(verdict(&twice, &named(&a, &[in_a]), &[]), None);
    assert_eq!(
        verdict(&store(vec![]), &named(&a, &[]), &[]),
        unknown_issuer
    );
    assert_ne!(all().digest(), twice.digest());
}

#[test]
fn a_leaf_that_ended_a_moment_ago_passes_with_grace_and_its_cas_do_not() {
    let ca = root(ca_params("ca", -9, 9));
    let middle = |to| below(&ca, ca_params("middle", -9, to));
    let hours = |hours: i64| Duration::from_secs(u64::try_from(hours * 3600).unwrap());
    let judged = |middle: &Ca, to: i64, grace: Duration| {
        let leaf = issued(middle, leaf(-8, to, CLIENT));
        let store = store(vec![bundle(&ca.pem)]);
        let between = std::slice::from_ref(&middle.der);
        let verdict = store.verify_with_grace(&leaf, between, Usage::Client, now(), grace);
        verdict.err().map(|untrusted| untrusted.reason)
    };
    let expired = Some(HandshakeFailure::CertificateExpired);
    let good = middle(9);
    assert_eq!(judged(&good, 1, hours(0)), None);
    assert_eq!(judged(&good, -1, hours(23)), expired);
    assert_eq!(judged(&good, -1, hours(24)), None);
    assert_eq!(judged(&good, -1, hours(72)), None);
    assert_eq!(judged(&good, -4, hours(72)), expired);
    assert_eq!(
        judged(&middle(-1), -2, hours(72)),
        expired,
        "the CA is over now"
    );
    assert_eq!(judged(&middle(-1), 1, hours(72)), expired);
    let over = root(ca_params("over", -9, -1));
    let leaf = issued(&over, leaf(-8, -2, CLIENT));
    let store = store(vec![bundle(&over.pem)]);
    let verdict = store.verify_with_grace(&leaf, &[], Usage::Client, now(), hours(72));
    assert_eq!(verdict.err().map(|untrusted| untrusted.reason), expired);
    assert_eq!(DAY, 86_400);
}

/// A key that is only public: an RSA key of 1,024 bits.
struct Short;

impl rcgen::PublicKeyData for Short {
    fn der_bytes(&self) -> &[u8] {
        // SEQUENCE { INTEGER of 1,024 bits, INTEGER 65537 }
        const KEY: &[u8] = &{
            let mut key = [0x99; 3 + 4 + 128 + 5];
            let head = [0x30, 0x81, 137, 0x02, 0x81, 129, 0x00];
            let mut at = 0;
            while at < head.len() {
                key[at] = head[at];
                at += 1;
            }
            let tail = [0x02, 0x03, 0x01, 0x00, 0x01];
            at = 0;
            while at < tail.len() {
                key[135 + at] = tail[at];
                at += 1;
            }
            key
        };
        KEY
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

#[test]
fn short_keys_and_broken_algorithms_have_reasons_of_their_own() {
    let ca = root(ca_params("ca", -1, 1));
    let trust = store(vec![bundle(&ca.pem)]);
    let weak = leaf(-1, 1, CLIENT).signed_by(&Short, &ca.issuer).unwrap();
    assert_eq!(super::info::rsa_bits(&spki(weak.der())), Some(1024));
    let want = Some(HandshakeFailure::KeyWeak);
    assert_eq!(verdict(&trust, weak.der(), &[]), want);

    // Below a CA with a short key: nobody can sign with it here, and nobody needs to.
    let weak_ca = ca_params("weak", -1, 1)
        .signed_by(&Short, &ca.issuer)
        .unwrap();
    let rsa = Key::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let issuer = Issuer::new(ca_params("weak", -1, 1), rsa);
    let key = Key::generate().unwrap();
    let below = leaf(-1, 1, CLIENT).signed_by(&key, &issuer).unwrap();
    let between = [weak_ca.der().clone()];
    assert_eq!(verdict(&trust, below.der(), &between), want);

    // SHA-256 with RSA, called SHA-1 with RSA.
    let rsa = Key::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = ca_params("rsa", -1, 1);
    let rsa_ca = params.self_signed(&rsa).unwrap();
    let trust = store(vec![bundle(&rsa_ca.pem())]);
    let issuer = Issuer::new(params, rsa);
    let good = leaf(-1, 1, CLIENT).signed_by(&key, &issuer).unwrap();
    assert_eq!(verdict(&trust, good.der(), &[]), None);
    for (last, want) in [
        (4, HandshakeFailure::SignatureWeak),
        (5, HandshakeFailure::SignatureWeak),
        (12, HandshakeFailure::BadSignature),
    ] {
        let oid = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
        let der = replaced(good.der(), &oid(11), &oid(last));
        assert_eq!(verdict(&trust, &der.into(), &[]), Some(want), "{last}");
    }
}

fn spki(der: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).unwrap();
    certificate.public_key().raw.to_vec()
}

fn replaced(der: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut der = der.to_vec();
    for at in 0..der.len() - old.len() {
        if der[at..].starts_with(old) {
            der[at..at + new.len()].copy_from_slice(new);
        }
    }
    der
}

fn signed(params: &CertificateParams, by: &CertificateParams) -> CertificateDer<'static> {
    let issuer = Issuer::new(by.clone(), Key::generate().unwrap());
    let key = Key::generate().unwrap();
    params.signed_by(&key, &issuer).unwrap().der().clone()
}

#[test]
fn chains_that_are_made_to_cost_end_soon() {
    let ca = root(ca_params("ca", -1, 1));
    let trust = store(vec![bundle(&ca.pem)]);
    let names: Vec<_> = (0..10)
        .map(|n| ca_params(&format!("n{n}"), -1, 1))
        .collect();
    let loops: Vec<_> = (0..10)
        .map(|n| signed(&names[n % 3], &names[(n + 1) % 3]))
        .collect();
    let one_name: Vec<_> = (0..10).map(|_| signed(&names[0], &names[0])).collect();
    let four: Vec<_> = (0..10)
        .map(|n| signed(&names[n / 4], &names[n / 4 + usize::from(n % 4 == 0)]))
        .collect();
    let ladder: Vec<_> = (0..9).map(|n| signed(&names[n], &names[n + 1])).collect();
    // All of the name of the CA: each is held against its key.
    let namesakes: Vec<_> = (0..10)
        .map(|_| signed(&ca_params("ca", -1, 1), &ca_params("ca", -1, 1)))
        .collect();
    let end = |issuer: &CertificateParams| signed(&leaf(-1, 1, CLIENT), issuer);
    let cases = [
        ("loops", end(&names[0]), loops),
        ("one name", end(&names[0]), one_name),
        ("four of a name", end(&names[0]), four),
        ("a ladder", end(&names[0]), ladder.clone()),
        (
            "namesakes of the CA",
            end(&ca_params("ca", -1, 1)),
            namesakes,
        ),
        (
            "twice the same",
            end(&names[0]),
            [ladder.clone(), ladder[..1].to_vec()].concat(),
        ),
        ("a hundred", end(&names[0]), vec![ca.der.clone(); 100]),
    ];
    for (what, end, between) in &cases {
        let began = Instant::now();
        let reason = verdict(&trust, end, between);
        let took = began.elapsed();
        assert!(reason.is_some(), "{what}");
        // Without the bound on namesakes it is 3.5 s in this build.
        assert!(took < Duration::from_millis(500), "{what}: {took:?}");
    }
    let long = Some(HandshakeFailure::ChainTooLong);
    assert_eq!(verdict(&trust, &cases[1].1, &cases[1].2), long);
    assert_eq!(verdict(&trust, &cases[6].1, &cases[6].2), long);
}

#[test]
fn cross_signed_cas_lead_to_either_root() {
    let (old, new) = (root(ca_params("old", -1, 1)), root(ca_params("new", -1, 1)));
    let params = ca_params("issuing", -1, 1);
    let key = Key::generate().unwrap();
    let by_old = params.signed_by(&key, &old.issuer).unwrap().der().clone();
    let by_new = params.signed_by(&key, &new.issuer).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let leaf_key = Key::generate().unwrap();
    let leaf = leaf(-1, 1, CLIENT).signed_by(&leaf_key, &issuer).unwrap();
    let sent = [by_old.clone(), by_new.clone()];
    let both = format!("{}{}", old.pem, new.pem);
    for (ca, sent, want) in [
        (&old.pem, &sent[..], None),
        (&new.pem, &sent[..], None),
        (&both, &sent[..], None),
        (&both, &sent[..1], None),
        (&new.pem, &sent[..1], Some(HandshakeFailure::UnknownIssuer)),
    ] {
        assert_eq!(verdict(&store(vec![bundle(ca)]), leaf.der(), sent), want);
    }
    // One way is denied, the other is enough.
    let folder = Folder::new();
    let hash = super::info::sha256(&by_old);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let deny = folder.file("deny", &format!("fingerprint:sha256/{hex}"));
    let deny = Arc::new(DenyList::load(&[deny]).unwrap());
    let store = |ca: &str| TrustStore::new(vec![Arc::new(bundle(ca))], Arc::clone(&deny));
    assert_eq!(verdict(&store(&both), leaf.der(), &sent), None);
    let want = Some(HandshakeFailure::CertificateDenied);
    assert_eq!(verdict(&store(&old.pem), leaf.der(), &sent), want);
    assert_eq!(day(1) - day(0), time::Duration::DAY);
}

/// Two certificates of one CA, the first with other constraints than the second, and a leaf below.
fn twice(
    old: &CertificateParams,
    new: &CertificateParams,
) -> (String, String, Issuer<'static, Key>) {
    let key = Key::generate().unwrap();
    let (old, pem) = (
        old.self_signed(&key).unwrap().pem(),
        new.self_signed(&key).unwrap().pem(),
    );
    (old, pem, Issuer::new(new.clone(), key))
}

#[test]
fn the_certificate_of_a_ca_that_counts_is_the_one_whose_names_are_bounded() {
    let mut bounded = ca_params("ca", -9, 9);
    bounded.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("other.example".into())],
        excluded_subtrees: vec![],
    });
    let (over, bounded, issuer) = twice(&ca_params("ca", -9, -1), &bounded);
    let end = |name: Option<&str>| {
        let mut leaf = leaf(-1, 1, CLIENT);
        if let Some(name) = name {
            leaf.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        }
        let key = Key::generate().unwrap();
        leaf.signed_by(&key, &issuer).unwrap().der().clone()
    };
    for pem in [format!("{over}{bounded}"), format!("{bounded}{over}")] {
        let store = store(vec![bundle(&pem)]);
        let want = Some(HandshakeFailure::CertificateExpired);
        assert_eq!(verdict(&store, &end(None), &[]), want);
        assert_eq!(verdict(&store, &end(Some("a.other.example")), &[]), None);
    }
    let alone = store(vec![bundle(&bounded)]);
    let want = Some(HandshakeFailure::NameConstraint);
    assert_eq!(verdict(&alone, &end(None), &[]), want);
}

#[test]
fn the_path_length_of_the_ca_itself_holds() {
    let bounded = |length| {
        let mut params = ca_params("ca", -9, 9);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(length));
        params
    };
    let of = |ca: &Ca, steps: u8| {
        let mut chain: Vec<Ca> = Vec::new();
        for step in 0..steps {
            let above = chain.last().unwrap_or(ca);
            chain.push(below(above, ca_params(&format!("step {step}"), -1, 1)));
        }
        let leaf = issued(chain.last().unwrap_or(ca), leaf(-1, 1, CLIENT));
        let between: Vec<_> = chain.into_iter().map(|step| step.der).collect();
        verdict(&store(vec![bundle(&ca.pem)]), &leaf, &between)
    };
    let too_long = Some(HandshakeFailure::PathLength);
    for (length, steps, want) in [
        (0, 0, None),
        (0, 1, too_long),
        (1, 1, None),
        (1, 2, too_long),
        (1, 3, too_long),
    ] {
        let ca = root(bounded(length));
        assert_eq!(of(&ca, steps), want, "{length} {steps}");
    }
    assert_eq!(of(&root(ca_params("ca", -9, 9)), 3), None);
}

#[test]
fn a_bundle_whose_cas_are_all_over_makes_nobody_be_judged_again_and_again() {
    let ca = root(ca_params("ca", -9, 9));
    let over = root(ca_params("over", -9, -1));
    let end = day(9).unix_timestamp();
    for other in [bundle(&over.pem), empty()] {
        let store = store(vec![bundle(&ca.pem), other]);
        assert_eq!(store.next_end(now()), end);
    }
}

fn empty() -> TrustBundle {
    TrustBundle::from_der(Vec::new(), std::path::Path::new("agent"), Vouches::Anyone).unwrap()
}
