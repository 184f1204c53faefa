//! [`Crl`]: one list of revoked certificates, read and verified at load, so that a handshake only
//! looks a number up in it.
//!
//! webpki reads the list and its entries; what it does not give back (times, number, signature) is
//! read here. The DER itself is not kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use webpki::{BorrowedCertRevocationList, CertRevocationList, Error as Chain};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::crl_problem::CrlProblem;
use super::crl_scope::Scope;
use super::der::{self, Reader, Signature, Signed};
use super::error::TrustError;
use super::info::sha256;
use super::serials::{BYTES_MAX, Serials, packed};
use crate::identity::certificate::Shown;

/// A CRL that was taken.
#[derive(Debug)]
pub(super) struct Crl {
    /// The content of the issuer's name.
    pub(super) issuer: Box<[u8]>,
    /// The content of the issuer's `SubjectPublicKeyInfo`: a renewed CA may keep its name.
    pub(super) key: Box<[u8]>,
    /// The issuer as RFC 4514 text.
    pub(super) shown: String,
    /// When it was made, in seconds since 1970.
    pub(super) this_update: i64,
    /// Until when it is good, in seconds since 1970.
    pub(super) next_update: i64,
    pub(super) scope: Scope,
    pub(super) revoked: Serials,
    /// SHA-256 of the DER.
    pub(super) digest: [u8; 32],
    pub(super) file: PathBuf,
    /// It grows with each CRL of an issuer (RFC 5280, section 5.2.3).
    number: Option<[u8; BYTES_MAX]>,
}

/// Who may sign the CRLs of a bundle.
#[derive(Debug)]
pub(super) struct Signer {
    /// The content of the name.
    pub(super) name: Box<[u8]>,
    /// The content of the `SubjectPublicKeyInfo`.
    pub(super) key: Box<[u8]>,
    /// Whether the certificate allows it.
    pub(super) signs_crls: bool,
}

/// In what light a CRL is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) signers: &'a [Signer],
    pub(super) accepted: &'a WebPkiSupportedAlgorithms,
    /// Those in use, of a bundle that this one takes the place of.
    pub(super) in_use: &'a [Arc<Crl>],
    /// In seconds since 1970.
    pub(super) now: i64,
}

/// 20 MB of memory.
pub(super) const ENTRIES_MAX: usize = 1_000_000;
/// By how much the clock of a CA may be ahead of ours.
const AHEAD_MAX: i64 = 300;
/// id-ce-cRLNumber.
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];

impl Crl {
    /// Reads CRL `place` (from 1) of a file. One that is in use is not read again.
    ///
    /// # Errors
    ///
    /// [`TrustError::Crl`].
    pub(super) fn read(
        der: &[u8],
        file: &Path,
        place: usize,
        around: Around<'_>,
    ) -> Result<Arc<Self>, TrustError> {
        let digest = sha256(der);
        let known = around.in_use.iter().find(|crl| crl.digest == digest);
        if let Some(known) = known.filter(|crl| around.signs(crl)) {
            return Ok(Arc::clone(known));
        }
        let refused = |problem| TrustError::Crl {
            file: file.to_owned(),
            number: place,
            problem,
        };
        let crl = Self::parse(der, file, digest, around).map_err(refused)?;
        Ok(Arc::new(crl))
    }

    fn parse(
        der: &[u8],
        file: &Path,
        digest: [u8; 32],
        around: Around<'_>,
    ) -> Result<Self, CrlProblem> {
        let signed = Signed::read(der).ok_or(CrlProblem::Unreadable)?;
        let head = Head::read(&signed)?;
        let shown = shown(head.issuer);
        let key = around.key_of(&signed, head.issuer, &shown)?;
        if head.this_update > around.now.saturating_add(AHEAD_MAX) {
            return Err(CrlProblem::Future {
                issuer: shown,
                this_update: head.this_update,
            });
        }
        let list = BorrowedCertRevocationList::from_der(der).map_err(|error| problem(&error))?;
        let mut serials = Vec::new();
        for entry in &list {
            let entry = entry.map_err(|error| problem(&error))?;
            if serials.len() == ENTRIES_MAX {
                return Err(CrlProblem::Entries);
            }
            serials.push(packed(entry.serial_number).ok_or(CrlProblem::Serial)?);
        }
        let list = CertRevocationList::from(list);
        let scope = list.issuing_distribution_point().map(Scope::read);
        Ok(Self {
            issuer: issuer_content(head.issuer).into(),
            key: key.into(),
            shown,
            this_update: head.this_update,
            next_update: head.next_update,
            scope: scope
                .unwrap_or(Some(Scope::ALL))
                .ok_or(CrlProblem::DistributionPoint)?,
            revoked: Serials::new(serials),
            digest,
            file: file.to_owned(),
            number: head.number,
        })
    }

    /// Whether both say something about the same certificates.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.key == other.key && self.scope == other.scope
    }

    /// Whether it takes the place of `other`.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        let by_number = match (self.number, other.number) {
            (Some(ours), Some(theirs)) if ours != theirs => ours > theirs,
            (Some(_) | None, _) => self.this_update > other.this_update,
        };
        by_number && self.is_of_the_same(other)
    }
}

impl Around<'_> {
    pub(super) fn signs(&self, crl: &Crl) -> bool {
        let mut signers = self.signers.iter();
        signers.any(|one| one.name == crl.issuer && one.key == crl.key && one.signs_crls)
    }

    /// The key under which the signature is right.
    fn key_of(&self, signed: &Signed<'_>, issuer: &[u8], shown: &str) -> Result<&[u8], CrlProblem> {
        let issuer = issuer_content(issuer);
        let owned = || shown.to_owned();
        let mut refused = None;
        for signer in self.signers.iter().filter(|one| *one.name == *issuer) {
            match signed.verify(&signer.key, self.accepted) {
                Signature::Right if signer.signs_crls => return Ok(&signer.key),
                Signature::Right => refused = Some(CrlProblem::KeyUsage { issuer: owned() }),
                Signature::Wrong => {
                    refused = refused.or(Some(CrlProblem::Signature { issuer: owned() }));
                }
                Signature::NotAccepted => {
                    refused = refused.or(Some(CrlProblem::Algorithm { issuer: owned() }));
                }
            }
        }
        Err(refused.unwrap_or_else(|| CrlProblem::Stranger { issuer: owned() }))
    }
}

/// What stands before the entries, and the number behind them.
struct Head<'a> {
    /// With tag and length.
    issuer: &'a [u8],
    this_update: i64,
    next_update: i64,
    number: Option<[u8; BYTES_MAX]>,
}

impl<'a> Head<'a> {
    /// RFC 5280, section 5.1.
    fn read(signed: &Signed<'a>) -> Result<Self, CrlProblem> {
        const VERSION_2: &[u8] = &[1];
        let mut parts = Reader::new(signed.content);
        if parts.tag() != Some(der::INTEGER) {
            return Err(match parts.tag() {
                Some(der::SEQUENCE) => CrlProblem::Version, // it is left out in version 1
                Some(_) | None => CrlProblem::Unreadable,
            });
        }
        if parts.take(der::INTEGER) != Some(VERSION_2) {
            return Err(CrlProblem::Version);
        }
        let unreadable = CrlProblem::Unreadable;
        parts.take(der::SEQUENCE).ok_or(unreadable.clone())?;
        let issuer = parts.next().filter(|name| name.tag == der::SEQUENCE);
        let issuer = issuer.ok_or(unreadable.clone())?.whole;
        let this_update = time(&mut parts).ok_or(unreadable)?;
        let next_update = time(&mut parts).ok_or(CrlProblem::NoNextUpdate)?;
        if parts.tag() == Some(der::SEQUENCE) {
            parts.next();
        }
        Ok(Self {
            issuer,
            this_update,
            next_update,
            number: number(parts),
        })
    }
}

fn time(parts: &mut Reader<'_>) -> Option<i64> {
    let is_time = matches!(parts.tag(), Some(der::UTC_TIME | der::GENERALIZED_TIME));
    let value = parts.next().filter(|_| is_time)?;
    let (_rest, time) = ASN1Time::from_der(value.whole).ok()?;
    Some(time.timestamp())
}

/// The CRL number among the extensions; webpki has something to say about one that is no number.
fn number(mut parts: Reader<'_>) -> Option<[u8; BYTES_MAX]> {
    let extensions = parts.next().filter(|value| value.tag == 0xa0)?;
    let mut extensions = Reader::new(der::unwrapped(extensions.content)?);
    while let Some(extension) = extensions.take(der::SEQUENCE) {
        let mut extension = Reader::new(extension);
        if extension.take(der::OID)? != CRL_NUMBER {
            continue;
        }
        extension.take(der::BOOLEAN); // critical or not, it is read
        let mut value = Reader::new(extension.take(der::OCTET_STRING)?);
        return packed(value.take(der::INTEGER)?);
    }
    None
}

fn issuer_content(whole: &[u8]) -> &[u8] {
    der::unwrapped(whole).unwrap_or_default()
}

fn shown(issuer: &[u8]) -> String {
    let name = X509Name::from_der(issuer).map(|(_rest, name)| name.to_string());
    let name = name.unwrap_or_else(|_unreadable| "a name that cannot be read".to_owned());
    name.chars().take(Shown::CHARS_MAX).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "webpki's enum grows")]
const fn problem(error: &Chain) -> CrlProblem {
    match error {
        Chain::UnsupportedCrlVersion => CrlProblem::Version,
        Chain::UnsupportedDeltaCrl => CrlProblem::Delta,
        Chain::UnsupportedIndirectCrl => CrlProblem::Indirect,
        Chain::UnsupportedCriticalExtension => CrlProblem::CriticalExtension,
        Chain::UnsupportedRevocationReasonsPartitioning => CrlProblem::SomeReasons,
        Chain::UnsupportedCrlIssuingDistributionPoint => CrlProblem::DistributionPoint,
        _ => CrlProblem::Unreadable,
    }
}
