//! What it costs to verify a client's chain: without a CRL, with one of 100,000 entries, and with a
//! deny list. Prints how much memory the CRL takes.
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench may stop, writes its own files and says what it saw"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::trust::{
    BundleFiles, DenyList, RevocationMode, TrustBundle, TrustStore, Usage, Vouches,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::{Duration, OffsetDateTime};

const ENTRIES: usize = 100_000;

struct Stage {
    leaf: CertificateDer<'static>,
    middle: CertificateDer<'static>,
    plain: TrustStore,
    with_crl: TrustStore,
    with_all: TrustStore,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn crl(issuer: &Issuer<'_, KeyPair>, entries: usize) -> Vec<u8> {
    let now = OffsetDateTime::now_utc();
    let mut random = fastrand::Rng::with_seed(7);
    let revoked = |_| {
        let serial: Vec<u8> = (0..16).map(|_| random.u8(1..0x80)).collect();
        RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        }
    };
    let params = CertificateRevocationListParams {
        this_update: now - Duration::HOUR,
        next_update: now + Duration::WEEK,
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: (0..entries).map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).expect("a CRL").der().to_vec()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let text = line.and_then(|line| line.split_whitespace().nth(1));
    text.and_then(|text| text.parse().ok())
        .expect("a number of KiB")
}

fn stage(folder: &Path) -> Stage {
    let root_key = KeyPair::generate().expect("a key");
    let root = authority("root").self_signed(&root_key).expect("a root");
    let root_issuer = Issuer::new(authority("root"), root_key);
    let middle_key = KeyPair::generate().expect("a key");
    let middle = authority("middle")
        .signed_by(&middle_key, &root_issuer)
        .expect("a CA");
    let middle_issuer = Issuer::new(authority("middle"), middle_key);
    let mut leaf = CertificateParams::default();
    let name = "spiffe://partners.example/web/a".try_into().expect("ASCII");
    leaf.subject_alt_names.push(SanType::URI(name));
    let leaf_key = KeyPair::generate().expect("a key");
    let leaf = leaf.signed_by(&leaf_key, &middle_issuer).expect("a leaf");
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("a file");
        path
    };
    let files = BundleFiles {
        ca: vec![write("ca.pem", root.pem().as_bytes())],
        intermediates: Some(write("middle.pem", middle.pem().as_bytes())),
        ..BundleFiles::default()
    };
    let read = |files: &BundleFiles| {
        let bundle = TrustBundle::read(files, UnixTime::now(), None);
        vec![Arc::new(bundle.expect("a bundle"))]
    };
    let revoking = BundleFiles {
        crl: vec![
            write("root.crl", &crl(&root_issuer, 10)),
            write("middle.crl", &crl(&middle_issuer, ENTRIES)),
        ],
        revocation: RevocationMode::Required,
        ..files.clone()
    };
    // Many, for one fits into what reading the file has left free.
    let first: Vec<_> = (0..4).map(|_| read(&revoking)).collect();
    let before = resident();
    let held: Vec<_> = (0..16).map(|_| read(&revoking)).collect();
    let kib = resident().saturating_sub(before) / 16;
    println!("a bundle with a CRL of {ENTRIES} entries: {kib} KiB");
    drop((first, held));
    let bundles = read(&revoking);
    let bound = BundleFiles {
        vouches_for: Vouches::Domain("partners.example".parse().expect("a domain")),
        ..revoking
    };
    let entries: Vec<String> = (0..10_000)
        .map(|n| format!("spiffe://partners.example/gone/{n}\nfingerprint:sha256/{n:064x}\n"))
        .collect();
    let deny = DenyList::load(&[write("deny.list", entries.concat().as_bytes())]);
    Stage {
        leaf: leaf.der().clone(),
        middle: middle.der().clone(),
        plain: TrustStore::new(read(&files), Arc::default()),
        with_crl: TrustStore::new(bundles, Arc::default()),
        with_all: TrustStore::new(read(&bound), Arc::new(deny.expect("a list"))),
    }
}

fn verify(criterion: &mut Criterion) {
    let folder =
        std::env::temp_dir().join(format!("portcullis-bench-trust-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let stage = stage(&folder);
    let mut group = criterion.benchmark_group("trust");
    let now = UnixTime::now();
    for (name, store) in [
        ("verify, no CRL", &stage.plain),
        ("verify, CRL of 100,000", &stage.with_crl),
        ("verify, CRL, domain, deny list of 20,000", &stage.with_all),
    ] {
        let above = std::slice::from_ref(&stage.middle);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let verdict = store.verify(&stage.leaf, above, Usage::Client, now);
                black_box(verdict).expect("a good chain");
            });
        });
    }
    group.finish();
    std::fs::remove_dir_all(&folder).expect("the folder");
}

criterion_group!(benches, verify);
criterion_main!(benches);
