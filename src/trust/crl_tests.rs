//! CRLs, also those that no tool would write.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{KeyUsagePurpose, SigningKey as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::UnixTime;

use super::judge::unix_time;
use super::tests::{
    CLIENT, Ca, DAY, Folder, NOW, below, ca_params, issued, leaf, now, params, root,
};
use super::{BundleFiles, RevocationMode, TrustBundle, TrustError, TrustStore, Usage};
use crate::handshake_failure::HandshakeFailure;

const HOUR: i64 = 3600;
const ECDSA_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SHA1_RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0];

/// One value in DER.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let mut der = vec![tag];
    match length {
        [0, 0, 0, small] if small < 0x80 => der.push(small),
        [0, 0, 0, one] => der.extend([0x81, one]),
        [0, 0, two @ ..] => der.extend([&[0x82], &two[..]].concat()),
        [0, three @ ..] => der.extend([&[0x83], &three[..]].concat()),
        four => der.extend([&[0x84], &four[..]].concat()),
    }
    der.extend(content);
    der
}

fn time(offset: i64) -> Vec<u8> {
    let at = i64::try_from(NOW).unwrap() + offset;
    let at = time::OffsetDateTime::from_unix_timestamp(at).unwrap();
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    tlv(0x18, text.as_bytes())
}

fn extension(oid: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut content = tlv(6, &[0x55, 0x1d, oid]);
    if critical {
        content.extend(tlv(1, &[0xff]));
    }
    content.extend(tlv(4, value));
    tlv(0x30, &content)
}

/// A CRL to be: a sound one, and everything about it can be changed.
pub(super) struct Draft {
    version: Vec<u8>,
    algorithm: &'static [u8],
    this_update: Vec<u8>,
    next_update: Vec<u8>,
    entries: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub(super) fn new(serials: &[&[u8]]) -> Self {
        let entry = |serial: &&[u8]| tlv(0x30, &[tlv(2, serial), time(-DAY)].concat());
        Self {
            version: tlv(2, &[1]),
            algorithm: ECDSA_SHA256,
            this_update: time(-HOUR),
            next_update: time(HOUR),
            entries: serials.iter().flat_map(entry).collect(),
            extensions: vec![extension(20, false, &tlv(2, &[5]))],
        }
    }

    fn number(mut self, number: u8) -> Self {
        self.extensions = vec![extension(20, false, &tlv(2, &[number]))];
        self
    }

    fn updates(mut self, this: i64, next: i64) -> Self {
        (self.this_update, self.next_update) = (time(this), time(next));
        self
    }

    fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// `issuingDistributionPoint`, with these parts.
    fn point(self, parts: &[Vec<u8>]) -> Self {
        self.with(extension(28, true, &tlv(0x30, &parts.concat())))
    }

    pub(super) fn sign(&self, ca: &Ca) -> Vec<u8> {
        let name = super::der::Signed::read(&ca.der).unwrap().content;
        let mut parts = super::der::Reader::new(name);
        let subject = std::iter::from_fn(|| parts.next()).nth(5).unwrap().whole; // of a root: also the issuer
        let algorithm = tlv(0x30, self.algorithm);
        let entries = match self.entries.is_empty() {
            true => Vec::new(),
            false => tlv(0x30, &self.entries),
        };
        let extensions = match self.extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xa0, &tlv(0x30, &self.extensions.concat())),
        };
        let list = [
            &self.version,
            &algorithm,
            subject,
            &self.this_update,
            &self.next_update,
            &entries,
            &extensions,
        ];
        let list = tlv(0x30, &list.map(<[u8]>::to_vec).concat());
        let signature = ca.issuer.key().sign(&list).unwrap();
        let bits = [&[0], signature.as_slice()].concat();
        tlv(0x30, &[list, algorithm, tlv(3, &bits)].concat())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn files(folder: &Folder, ca: &str, crl: &[&[u8]], revocation: RevocationMode) -> BundleFiles {
    let crl = crl.iter().enumerate();
    let crl = crl.map(|(number, content)| folder.file(&format!("{number}.crl"), content));
    BundleFiles {
        ca: vec![folder.file("ca.pem", ca)],
        crl: crl.collect(),
        revocation,
        ..BundleFiles::default()
    }
}

/// Reads a bundle with these CRL files.
fn read(ca: &str, crl: &[&[u8]], revocation: RevocationMode) -> Result<TrustBundle, TrustError> {
    let folder = Folder::new();
    TrustBundle::read(&files(&folder, ca, crl, revocation), now(), None)
}

fn judged(
    bundle: TrustBundle,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
) -> Option<HandshakeFailure> {
    judged_at(Arc::new(bundle), leaf, between, now())
}

fn judged_at(
    bundle: Arc<TrustBundle>,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    time: UnixTime,
) -> Option<HandshakeFailure> {
    let store = TrustStore::new(vec![bundle], Arc::default());
    let verdict = store.verify(leaf, between, Usage::Client, time);
    verdict.err().map(|untrusted| untrusted.reason)
}

fn numbered(ca: &Ca, serial: u64) -> CertificateDer<'static> {
    let mut leaf = leaf(-1, 1, CLIENT);
    leaf.serial_number = Some(serial.into());
    issued(ca, leaf)
}

use RevocationMode::{Off, Required, WhenKnown};

const REVOKED: Option<HandshakeFailure> = Some(HandshakeFailure::CertificateRevoked);
const UNKNOWN: Option<HandshakeFailure> = Some(HandshakeFailure::RevocationUnknown);
const STALE: Option<HandshakeFailure> = Some(HandshakeFailure::CrlExpired);

#[test]
fn what_is_listed_is_revoked_in_each_form_of_a_file() {
    let ca = root(ca_params("ca", -1, 1));
    let crl = Draft::new(&[&[1, 2], &[66]]).sign(&ca);
    let text = pem("X509 CRL", &crl);
    let empty = Draft::new(&[]).number(1).sign(&ca);
    let two = format!("{}{text}", pem("X509 CRL", &empty));
    for file in [crl.as_slice(), text.as_bytes(), two.as_bytes()] {
        let read = || read(&ca.pem, &[file], Required).unwrap();
        assert_eq!(judged(read(), &numbered(&ca, 66), &[]), REVOKED);
        assert_eq!(judged(read(), &numbered(&ca, 0x102), &[]), REVOKED);
        assert_eq!(judged(read(), &numbered(&ca, 67), &[]), None);
        assert_eq!(judged(read(), &numbered(&ca, 1), &[]), None);
    }
    let bundle = read(&ca.pem, &[&crl], Off).unwrap();
    assert_eq!(judged(bundle, &numbered(&ca, 66), &[]), None);
    let info = &read(&ca.pem, &[&crl], Required).unwrap().crls()[0];
    assert_eq!((info.issuer.as_str(), info.entries), ("CN=ca", 2));
    assert_eq!(info.next_update - info.this_update, 2 * HOUR);
}

#[test]
fn a_reason_changes_nothing_also_not_a_hold_or_a_removal() {
    let ca = root(ca_params("ca", -1, 1));
    for reason in 0..=10 {
        let reasons = extension(21, false, &tlv(10, &[reason]));
        let entry = [tlv(2, &[66]), time(-DAY), tlv(0x30, &reasons)].concat();
        let mut draft = Draft::new(&[]);
        draft.entries = tlv(0x30, &entry);
        let crl = draft.sign(&ca);
        match read(&ca.pem, &[&crl], Required) {
            Ok(bundle) => assert_eq!(judged(bundle, &numbered(&ca, 66), &[]), REVOKED, "{reason}"),
            Err(error) => assert_eq!(reason, 7, "{error}"), // is no reason
        }
    }
}

fn refused(ca: &str, crl: &[u8]) -> String {
    let error = read(ca, &[crl], Required).unwrap_err();
    let text = error.to_string();
    let file = |word: &str| match word.split_once("portcullis-trust-") {
        Some((_, path)) => path.split('/').next_back().unwrap().to_owned(),
        None => word.to_owned(),
    };
    let words: Vec<String> = text.split(' ').map(file).collect();
    words.join(" ")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_crl_that_is_not_taken_says_why() {
    let ca = root(ca_params("ca", -1, 1));
    let stranger = root(ca_params("stranger", -1, 1));
    let namesake = root(ca_params("ca", -1, 1));
    let mut no_crls = ca_params("no crls", -1, 1);
    no_crls.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let no_crls = root(no_crls);
    let good = || Draft::new(&[&[66]]);
    let sound = good().sign(&ca);
    let critical = |oid, value: &[u8]| good().with(extension(oid, true, value)).sign(&ca);
    let uri = tlv(0xa0, &tlv(0xa0, &tlv(0x86, b"http://crl.example/1")));
    let changed = |change: fn(&mut Draft)| {
        let mut draft = good();
        change(&mut draft);
        draft.sign(&ca)
    };
    let foreign = tlv(
        0x30,
        &[
            tlv(2, &[66]),
            time(-DAY),
            tlv(0x30, &extension(29, true, &tlv(0x30, &[]))),
        ]
        .concat(),
    );
    let mut indirect = good();
    indirect.entries = foreign;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "empty",
            vec![],
            "0.crl has no revocation list in it: name a file with a block that begins `-----BEGIN X509 CRL-----`, or a CRL as DER",
        ),
        (
            "of another kind",
            ca.pem.clone().into_bytes(),
            "0.crl has a certificate in it and no revocation list: name a file with a block that begins `-----BEGIN X509 CRL-----`, or a CRL as DER",
        ),
        (
            "of a label that is none",
            pem("CRL", &sound).into_bytes(),
            "0.crl has another PEM block in it and no revocation list: name a file with a block that begins `-----BEGIN X509 CRL-----`, or a CRL as DER",
        ),
        (
            "with another block behind it",
            format!("{}{}", pem("X509 CRL", &sound), ca.pem).into_bytes(),
            "0.crl has a certificate in it and no revocation list: name a file with a block that begins `-----BEGIN X509 CRL-----`, or a CRL as DER",
        ),
        (
            "cut off, PEM",
            pem("X509 CRL", &sound).into_bytes()[..90].to_vec(),
            "0.crl is broken PEM: write the file anew: a block is cut off or is not base64",
        ),
        (
            "cut off, DER",
            sound[..sound.len() - 9].to_vec(),
            "CRL 1 in 0.crl is cut off or is no CRL: fetch it anew, as PEM (`-----BEGIN X509 CRL-----`) or DER",
        ),
        (
            "a certificate as DER",
            ca.der.to_vec(),
            "CRL 1 in 0.crl is cut off or is no CRL: fetch it anew, as PEM (`-----BEGIN X509 CRL-----`) or DER",
        ),
        (
            "of a stranger",
            good().sign(&stranger),
            "CRL 1 in 0.crl (CN=stranger) is of no CA or intermediate of this bundle: name it in the bundle of its CA, or the certificate of its issuer in `intermediates`",
        ),
        (
            "of a namesake",
            good().sign(&namesake),
            "CRL 1 in 0.crl (CN=ca) has a wrong signature: fetch it anew; if the CA was renewed under a new key, name the CRL of that key",
        ),
        (
            "from the future",
            good().updates(HOUR, 2 * HOUR).sign(&ca),
            "CRL 1 in 0.crl (CN=ca) begins on 2030-01-01T01:00:00Z, not yet: check the clock of this machine and that of the CA",
        ),
        (
            "by SHA-1",
            changed(|draft| draft.algorithm = SHA1_RSA),
            "CRL 1 in 0.crl (CN=ca) is signed by an algorithm that is not accepted: have the CA sign it with SHA-256 or better",
        ),
        (
            "version 1",
            changed(|draft| draft.version.clear()),
            "CRL 1 in 0.crl is of version 1: have the CA write version 2, with a number (openssl: `crl_extensions`)",
        ),
        (
            "version 3",
            changed(|draft| draft.version = tlv(2, &[2])),
            "CRL 1 in 0.crl is of version 1: have the CA write version 2, with a number (openssl: `crl_extensions`)",
        ),
        (
            "without an end",
            changed(|draft| draft.next_update.clear()),
            "CRL 1 in 0.crl does not say when the next one comes (nextUpdate): have the CA write it: without it no CRL is ever out of date",
        ),
        (
            "delta",
            critical(27, &tlv(2, &[1])),
            "CRL 1 in 0.crl is a delta CRL: name the whole CRL of the CA",
        ),
        (
            "indirect",
            good().point(&[uri.clone(), tlv(0x84, &[0xff])]).sign(&ca),
            "CRL 1 in 0.crl is an indirect CRL: name a CRL that the issuer of the certificates signs itself",
        ),
        (
            "with an entry of another issuer",
            indirect.sign(&ca),
            "CRL 1 in 0.crl is an indirect CRL: name a CRL that the issuer of the certificates signs itself",
        ),
        (
            "for some reasons",
            good()
                .point(&[uri.clone(), tlv(0x83, &[6, 0x40])])
                .sign(&ca),
            "CRL 1 in 0.crl is for some reasons of revocation alone: name a CRL for all reasons",
        ),
        (
            "for a point without a URI",
            good().point(&[tlv(0x81, &[0xff])]).sign(&ca),
            "CRL 1 in 0.crl is for a distribution point without a URI: name a CRL without an issuing distribution point, or with one that has a URI",
        ),
        (
            "with a critical extension",
            critical(99, &[5, 0]),
            "CRL 1 in 0.crl has a critical extension that is not known here: name a CRL without it",
        ),
        (
            "with a serial number of 21 bytes",
            Draft::new(&[&[7; 21]]).sign(&ca),
            "CRL 1 in 0.crl has a serial number of more than 20 bytes: have the CA write it anew: RFC 5280 allows 20 bytes",
        ),
        (
            "without extensions",
            changed(|draft| draft.extensions.clear()),
            "CRL 1 in 0.crl is cut off or is no CRL: fetch it anew, as PEM (`-----BEGIN X509 CRL-----`) or DER",
        ),
    ];
    let mut wrong = Vec::new();
    for (what, crl, want) in cases {
        let text = refused(&ca.pem, &crl);
        if text != want {
            wrong.push(format!("{what}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        refused(&no_crls.pem, &good().sign(&no_crls)),
        "CRL 1 in 0.crl (CN=no crls) is signed by a key that may sign no CRLs: \
         have the CA certificate issued with `cRLSign`"
    );
}

#[test]
fn a_crl_that_is_changed_or_cut_anywhere_is_refused() {
    let ca = root(ca_params("ca", -1, 1));
    let good = Draft::new(&[&[66], &[1, 2, 3]]).sign(&ca);
    let folder = Folder::new();
    let taken = |content: &[u8]| {
        let files = files(&folder, &ca.pem, &[content], Required);
        TrustBundle::read(&files, now(), None).is_ok()
    };
    assert!(taken(&good));
    for at in 0..good.len() {
        assert!(!taken(&good[..at]), "cut at {at}");
        let mut other = good.clone();
        other[at] ^= 1 << (at % 8);
        assert!(!taken(&other), "changed at {at}");
    }
    let mut longer = good;
    longer.push(0);
    assert!(!taken(&longer), "with a byte behind it");
}

#[test]
fn each_certificate_below_the_ca_needs_a_crl_of_its_issuer_that_is_not_stale() {
    let ca = root(ca_params("ca", -1, 1));
    let mut middle = ca_params("middle", -1, 1);
    middle.serial_number = Some(50_u64.into());
    let middle = below(&ca, middle);
    let (listed, free) = (numbered(&middle, 66), numbered(&middle, 67));
    let folder = Folder::new();
    let own = Draft::new(&[&[66]]).sign(&middle);
    let above = |serials: &[&[u8]], next| Draft::new(serials).updates(-DAY, next).sign(&ca);
    let (fresh, stale) = (above(&[&[1]], HOUR), above(&[&[1]], -1));
    let (takes, stale_takes) = (above(&[&[50]], HOUR), above(&[&[50]], -1));
    let cases: [(&[&[u8]], RevocationMode, _, _); 13] = [
        (&[&own, &fresh], Required, REVOKED, None),
        (&[&own], Required, REVOKED, UNKNOWN),
        (&[&fresh], Required, UNKNOWN, UNKNOWN),
        (&[&own, &stale], Required, REVOKED, STALE),
        (&[&own, &takes], Required, REVOKED, REVOKED),
        (&[&own, &stale_takes], Required, REVOKED, REVOKED),
        (&[&own, &fresh], WhenKnown, REVOKED, None),
        (&[&own], WhenKnown, REVOKED, None),
        (&[&fresh], WhenKnown, None, None),
        (&[&own, &stale], WhenKnown, REVOKED, None),
        (&[&takes], WhenKnown, REVOKED, REVOKED),
        (&[&stale_takes], WhenKnown, REVOKED, REVOKED),
        (&[&own, &takes], Off, None, None),
    ];
    for (number, (crls, mode, want_listed, want_free)) in cases.into_iter().enumerate() {
        let mut files = files(&folder, &ca.pem, crls, mode);
        files.intermediates = Some(folder.file("middle.pem", &middle.pem));
        let bundle = Arc::new(TrustBundle::read(&files, now(), None).unwrap());
        for sent in [std::slice::from_ref(&middle.der), &[]] {
            let of = |leaf| judged_at(Arc::clone(&bundle), leaf, sent, now());
            // The one that is higher up is found first.
            if want_free.is_none() {
                assert_eq!(of(&listed), want_listed, "case {number}");
            } else {
                assert!(of(&listed).is_some(), "case {number}");
            }
            assert_eq!(of(&free), want_free, "case {number}");
        }
    }
}

#[test]
fn a_judgement_holds_no_longer_than_the_crl_that_it_needs() {
    let ca = root(ca_params("ca", -9, 9));
    let crl = Draft::new(&[]).sign(&ca);
    let bundle = Arc::new(read(&ca.pem, &[&crl], Required).unwrap());
    let good = numbered(&ca, 1);
    let after = now().as_secs() + 3600;
    assert_eq!(bundle.next_end(now()), i64::try_from(after).unwrap());
    let at = |second| unix_time(i64::try_from(second).unwrap());
    assert_eq!(judged_at(Arc::clone(&bundle), &good, &[], at(after)), None);
    assert_eq!(judged_at(bundle, &good, &[], at(after + 1)), STALE);
    let lax = read(&ca.pem, &[&crl], WhenKnown).unwrap();
    assert!(lax.next_end(now()) > i64::try_from(after).unwrap());
    assert!(lax.warnings(now()).is_empty());
    let warnings = lax.warnings(at(after + 1));
    assert!(
        warnings[0].ends_with("0.crl: the CRL of CN=ca was to be renewed on 2030-01-01T01:00:00Z"),
        "{warnings:?}"
    );
}

#[test]
fn a_ca_with_a_new_key_under_its_old_name_has_two_crls() {
    let (old, new) = (root(ca_params("ca", -1, 1)), root(ca_params("ca", -1, 1)));
    let both = format!("{}{}", old.pem, new.pem);
    let of_old = Draft::new(&[&[66]]).sign(&old);
    let of_new = Draft::new(&[&[77]]).sign(&new);
    let read = |crls: &[&[u8]]| read(&both, crls, Required).unwrap();
    let crls: &[&[u8]] = &[&of_old, &of_new];
    assert_eq!(judged(read(crls), &numbered(&old, 66), &[]), REVOKED);
    assert_eq!(judged(read(crls), &numbered(&new, 77), &[]), REVOKED);
    assert_eq!(judged(read(crls), &numbered(&old, 77), &[]), None);
    assert_eq!(judged(read(crls), &numbered(&new, 66), &[]), None);
    // The CRL of the one key says nothing about what the other signed.
    assert_eq!(judged(read(&[&of_old]), &numbered(&new, 1), &[]), UNKNOWN);
    assert_eq!(judged(read(&[&of_new]), &numbered(&old, 1), &[]), UNKNOWN);
}

#[test]
fn of_two_crls_the_newer_counts_by_its_number_and_then_by_its_date() {
    let ca = root(ca_params("ca", -1, 1));
    let lists = Draft::new(&[&[66]])
        .number(7)
        .updates(-HOUR, HOUR)
        .sign(&ca);
    let cases = [
        (Draft::new(&[]).number(8).updates(-2 * HOUR, HOUR), None),
        (Draft::new(&[]).number(6).updates(-60, HOUR), REVOKED),
        (Draft::new(&[]).number(7).updates(-60, HOUR), None),
        (Draft::new(&[]).number(7).updates(-2 * HOUR, HOUR), REVOKED),
    ];
    for (number, (other, want)) in cases.into_iter().enumerate() {
        let other = other.sign(&ca);
        for crls in [[&*lists, &*other], [&*other, &*lists]] {
            let bundle = read(&ca.pem, &crls, Required).unwrap();
            assert_eq!(judged(bundle, &numbered(&ca, 66), &[]), want, "{number}");
        }
    }
}

#[test]
fn an_older_crl_never_takes_the_place_of_the_one_in_use() {
    let ca = root(ca_params("ca", -1, 1));
    let folder = Folder::new();
    let load = |crl: &[u8], before: Option<&TrustBundle>| {
        TrustBundle::read(&files(&folder, &ca.pem, &[crl], Required), now(), before)
    };
    let new = Draft::new(&[&[66]]).number(9).sign(&ca);
    let in_use = load(&new, None).unwrap();
    let old = Draft::new(&[]).number(8).sign(&ca);
    let error = load(&old, Some(&in_use)).unwrap_err().to_string();
    assert!(
        error.contains(
            "(CN=ca) of 2029-12-31T23:00:00Z is older than the one in use, of 2029-12-31T23:00:00Z: \
             fetch the newest one"
        ),
        "{error}"
    );
    assert!(load(&old, None).is_ok());
    let again = load(&new, Some(&in_use)).unwrap();
    assert_eq!(again.digest(), in_use.digest());
    let next = load(&Draft::new(&[]).number(10).sign(&ca), Some(&in_use)).unwrap();
    assert_ne!(next.digest(), in_use.digest());
}

#[test]
fn a_crl_that_lags_behind_another_copy_holds_nothing_up() {
    let ca = root(ca_params("ca", -1, 1));
    let folder = Folder::new();
    let load = |crls: &[&[u8]], before: Option<&TrustBundle>| {
        TrustBundle::read(&files(&folder, &ca.pem, crls, Required), now(), before)
    };
    let numbered = |number| Draft::new(&[&[number]]).number(number).sign(&ca);
    let (old, new, newest) = (numbered(8), numbered(9), numbered(10));
    let in_use = load(&[&old, &new], None).unwrap();
    for next in [&[&old[..], &newest], &[&newest[..], &old]] {
        let next = load(next, Some(&in_use)).unwrap();
        assert_ne!(next.digest(), in_use.digest());
        assert_eq!(next.crls().len(), 1);
    }
    let again = load(&[&old, &new], Some(&in_use)).unwrap();
    assert_eq!(again.digest(), in_use.digest());
    assert!(load(&[&old], Some(&in_use)).is_err());
}

#[test]
fn a_crl_in_parts_covers_what_names_its_part() {
    let ca = root(ca_params("ca", -1, 1));
    let uri = |uri: &str| tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes())));
    let named = |uris: &[&str], serial: u64| {
        let mut leaf = leaf(-1, 1, CLIENT);
        leaf.serial_number = Some(serial.into());
        let point = |uri: &&str| rcgen::CrlDistributionPoint {
            uris: vec![(*uri).to_owned()],
        };
        leaf.crl_distribution_points = uris.iter().map(point).collect();
        issued(&ca, leaf)
    };
    let part = |parts: &[Vec<u8>]| Draft::new(&[&[66]]).point(parts).sign(&ca);
    let one = part(&[uri("http://crl.example/1")]);
    let two = part(&[uri("http://crl.example/2")]);
    let users = part(&[uri("http://crl.example/1"), tlv(0x81, &[0xff])]);
    let cas = part(&[uri("http://crl.example/1"), tlv(0x82, &[0xff])]);
    let cases: [(&[&[u8]], _, _); 8] = [
        (&[&one], named(&["http://crl.example/1"], 7), None),
        (&[&two], named(&["http://crl.example/1"], 7), UNKNOWN),
        (&[&two, &one], named(&["http://crl.example/1"], 7), None),
        (
            &[&one],
            named(&["http://x.example/", "http://crl.example/1"], 7),
            None,
        ),
        (&[&one], named(&[], 7), UNKNOWN),
        (&[&users], named(&["http://crl.example/1"], 7), None),
        (&[&cas], named(&["http://crl.example/1"], 7), UNKNOWN),
        // What is listed is revoked, whatever the part is for.
        (&[&cas], named(&["http://crl.example/2"], 66), REVOKED),
    ];
    for (number, (crls, leaf, want)) in cases.into_iter().enumerate() {
        let bundle = read(&ca.pem, crls, Required).unwrap();
        assert_eq!(judged(bundle, &leaf, &[]), want, "case {number}");
    }
}

#[test]
fn intermediates_must_be_cas_below_the_bundle() {
    let ca = root(ca_params("ca", -1, 1));
    let upper = below(&ca, ca_params("upper", -1, 1));
    let lower = below(&upper, ca_params("lower", -1, 1));
    let stranger = below(&root(ca_params("ca", -1, 1)), ca_params("strange", -1, 1));
    let folder = Folder::new();
    let load = |text: &str| {
        let mut files = files(&folder, &ca.pem, &[], Off);
        files.intermediates = Some(folder.file("i.pem", text));
        TrustBundle::read(&files, now(), None)
    };
    let end = numbered(&lower, 1);
    for text in [
        format!("{}{}", lower.pem, upper.pem),
        format!("{}{}", upper.pem, lower.pem),
    ] {
        let bundle = load(&text).unwrap();
        assert_eq!(bundle.certificates().len(), 3);
        assert_eq!(judged(bundle, &end, &[]), None);
    }
    let half = load(&upper.pem).unwrap();
    assert_eq!(judged(half, &end, std::slice::from_ref(&lower.der)), None);
    let refused = |text: &str, want: &str| {
        let error = load(text).unwrap_err().what();
        assert!(error.ends_with(want), "{error}");
    };
    refused(
        &format!("{}{}", upper.pem, stranger.pem),
        "(CN=strange) is below no CA of this bundle",
    );
    refused(&lower.pem, "(CN=lower) is below no CA of this bundle");
    let no_ca = below(&ca, params("leaf", -1, 1));
    refused(&no_ca.pem, "(CN=leaf) is not that of a CA");
    let twins: String = (0..5)
        .map(|_| below(&ca, ca_params("twin", -1, 1)).pem)
        .collect();
    refused(&twins, "are those of CN=twin");
    let bundle = load(&upper.pem).unwrap();
    assert_ne!(
        bundle.digest(),
        load(&lower_and(&upper, &lower)).unwrap().digest()
    );
}

fn lower_and(upper: &Ca, lower: &Ca) -> String {
    format!("{}{}", upper.pem, lower.pem)
}

#[test]
fn a_hundred_thousand_entries_take_two_megabytes_and_little_time() {
    let ca = root(ca_params("ca", -1, 1));
    let mut random = fastrand::Rng::with_seed(1);
    let serials: Vec<Vec<u8>> = (0..100_000)
        .map(|_| (0..16).map(|_| random.u8(1..0x80)).collect())
        .collect();
    let listed: Vec<&[u8]> = serials.iter().map(Vec::as_slice).collect();
    let crl = Draft::new(&listed).sign(&ca);
    let began = Instant::now();
    let bundle = read(&ca.pem, &[&crl], Required).unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(bundle.crls()[0].entries, 100_000);
    let revoked = {
        let mut leaf = leaf(-1, 1, CLIENT);
        leaf.serial_number = Some(rcgen::SerialNumber::from_slice(&serials[77_777]));
        issued(&ca, leaf)
    };
    assert_eq!(judged(bundle, &revoked, &[]), REVOKED);
}

#[test]
fn all_that_decides_is_in_the_digest() {
    let ca = root(ca_params("ca", -1, 1));
    let (one, two) = (Draft::new(&[&[1]]).sign(&ca), Draft::new(&[&[2]]).sign(&ca));
    let folder = Folder::new();
    let digest = |crls: &[&[u8]], mode| {
        let files = files(&folder, &ca.pem, crls, mode);
        TrustBundle::read(&files, now(), None).unwrap().digest()
    };
    let all = [
        digest(&[], Off),
        digest(&[&one], Off),
        digest(&[&one], WhenKnown),
        digest(&[&one], Required),
        digest(&[&two], Required),
    ];
    let mut unique = all.to_vec();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), all.len());
    assert!(Path::new(&folder.0).exists());
}
