//! [`Question`]: whether one bundle vouches for one chain. The order of what is asked of a path that
//! leads to a CA: the CA, then from it downwards each certificate, by deny list and CRL.

use std::cell::Cell;

use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{Cert, EndEntityCert, Error as Chain, KeyUsage, VerifiedPath};

use super::bundle::{TrustBundle, Usage};
use super::candidates::candidates;
use super::crl_scope::Role;
use super::deny::DenyList;
use super::der;
use super::info::{RSA_BITS_MIN, moment, rsa_bits};
use super::revocation::Standing;
use super::untrusted::Untrusted;
use crate::handshake_failure::HandshakeFailure;

/// One chain, and in what light it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'q> {
    pub(super) leaf: &'q CertificateDer<'q>,
    pub(super) intermediates: &'q [CertificateDer<'q>],
    pub(super) usage: Usage,
    /// The time at which the leaf must be valid.
    pub(super) leaf_at: UnixTime,
    /// The time for all else.
    pub(super) now: UnixTime,
    pub(super) deny: &'q DenyList,
    pub(super) accepted: &'q WebPkiSupportedAlgorithms,
}

impl TrustBundle {
    /// Whether a path leads from the leaf to a CA of this bundle: signatures, the validity of each
    /// certificate, key usage, name constraints, path length (RFC 5280, section 6), the strength of
    /// keys, the deny list and revocation. Whom the leaf names is not looked at.
    ///
    /// # Errors
    ///
    /// [`Untrusted`]: why the path that came furthest was refused.
    pub(super) fn judge(&self, question: &Question<'_>) -> Result<(), Untrusted> {
        let leaf = EndEntityCert::try_from(question.leaf).map_err(Untrusted::of_chain)?;
        let above = candidates(&leaf, question.intermediates, &self.known)?;
        let usage = match question.usage {
            Usage::Client => KeyUsage::client_auth(),
            Usage::Server => KeyUsage::server_auth(),
        };
        // webpki has no word for most of our reasons, and goes on to look for another path.
        let refused: Cell<Option<Untrusted>> = Cell::new(None);
        let check = |path: &VerifiedPath<'_>| {
            self.check_path(path, question).map_err(|why| {
                let before = refused.take();
                refused.set(Some(before.filter(|b| !outweighs(&why, b)).unwrap_or(why)));
                Chain::CertRevoked
            })
        };
        let found = leaf.verify_for_usage(
            question.accepted.all,
            &self.roots.roots,
            &above,
            question.leaf_at,
            usage,
            None, // our own: webpki reads a CRL anew for each handshake
            Some(&check),
        );
        let error = match found {
            Ok(_path) => return Ok(()),
            Err(error) => error,
        };
        // A path that was checked was whole: what was found on it tells more than what webpki met
        // on its other ways.
        Err(match refused.take() {
            Some(why) => why,
            None => explain(error, &above),
        })
    }

    fn check_path(
        &self,
        path: &VerifiedPath<'_>,
        question: &Question<'_>,
    ) -> Result<(), Untrusted> {
        self.check_anchor(path, question)?;
        let now = i64::try_from(question.now.as_secs()).unwrap_or(i64::MAX);
        let mut key = path.anchor().subject_public_key_info.as_ref().to_vec();
        for ca in path.intermediate_certificates().rev() {
            if question.leaf_at != question.now {
                check_time(ca, now)?;
            }
            check_denied(ca, question.deny)?;
            self.check_revoked(ca, &key, Role::Ca, question.now)?;
            let whole = ca.subject_public_key_info();
            key = der::unwrapped(&whole).unwrap_or_default().to_vec();
        }
        let leaf = path.end_entity();
        check_key(leaf)?;
        check_denied(leaf, question.deny)?;
        self.check_revoked(leaf, &key, Role::Leaf, question.now)
    }

    fn check_revoked(
        &self,
        certificate: &Cert<'_>,
        key: &[u8],
        role: Role,
        time: UnixTime,
    ) -> Result<(), Untrusted> {
        let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let standing = match self.revocation.check(certificate, key, role, now) {
            Ok(()) => return Ok(()),
            Err(standing) => standing,
        };
        let what = match role {
            Role::Leaf => "the certificate",
            Role::Ca => "a CA above it",
        };
        Err(match standing {
            Standing::Revoked(crl) => Untrusted::new(
                HandshakeFailure::CertificateRevoked,
                CertificateError::Revoked,
                format!("{what} is revoked by the CRL of {}", crl.shown),
            ),
            Standing::Unknown => Untrusted::new(
                HandshakeFailure::RevocationUnknown,
                CertificateError::UnknownRevocationStatus,
                format!("no CRL covers {what}"),
            ),
            Standing::Stale(crl) => Untrusted::new(
                HandshakeFailure::CrlExpired,
                CertificateError::ExpiredRevocationListContext {
                    time,
                    next_update: unix_time(crl.next_update),
                },
                format!(
                    "the CRL of {} for {what} was to be renewed on {}",
                    crl.shown,
                    moment(crl.next_update)
                ),
            ),
        })
    }
}

/// Of two refused paths, which one tells more: that something was taken away on purpose.
const fn outweighs(why: &Untrusted, other: &Untrusted) -> bool {
    const fn on_purpose(untrusted: &Untrusted) -> bool {
        matches!(
            untrusted.reason,
            HandshakeFailure::CertificateRevoked | HandshakeFailure::CertificateDenied
        )
    }
    on_purpose(why) && !on_purpose(other)
}

/// webpki verifies no signature of a short RSA key; whether a key of the leaf is too short is asked
/// nowhere else.
fn check_key(certificate: &Cert<'_>) -> Result<(), Untrusted> {
    match rsa_bits(&certificate.subject_public_key_info()) {
        Some(bits) if bits < RSA_BITS_MIN => Err(key_weak(bits)),
        Some(_) | None => Ok(()),
    }
}

fn key_weak(bits: usize) -> Untrusted {
    let detail = format!("an RSA key of {bits} bits");
    Untrusted::plain(HandshakeFailure::KeyWeak, detail)
}

/// webpki was asked about the time at which the leaf ended: the CAs must be valid now.
fn check_time(ca: &Cert<'_>, now: i64) -> Result<(), Untrusted> {
    use x509_parser::prelude::FromDer as _;
    let der = ca.der();
    let Ok((_rest, ca)) = x509_parser::certificate::X509Certificate::from_der(&der) else {
        return Err(Untrusted::of_chain(Chain::BadDer));
    };
    let not_after = ca.validity().not_after.timestamp();
    if now > not_after {
        return Err(Untrusted::of_chain(Chain::CertExpired {
            time: unix_time(now),
            not_after: unix_time(not_after),
        }));
    }
    Ok(())
}

fn check_denied(certificate: &Cert<'_>, deny: &DenyList) -> Result<(), Untrusted> {
    if !deny.has_certificates() {
        return Ok(());
    }
    let der = certificate.der();
    let key = || certificate.subject_public_key_info();
    if deny.has(&der, certificate.serial(), key) {
        return Err(denied("the deny list names a certificate of the chain"));
    }
    Ok(())
}

pub(super) fn denied(detail: &str) -> Untrusted {
    Untrusted::new(
        HandshakeFailure::CertificateDenied,
        CertificateError::Revoked,
        detail.to_owned(),
    )
}

/// webpki calls a signature wrong that a short key made.
fn explain(error: Chain, above: &[CertificateDer<'_>]) -> Untrusted {
    let is_signature = matches!(error, Chain::InvalidSignatureForPublicKey);
    let bits = |der| {
        let ca = EndEntityCert::try_from(der).ok()?;
        rsa_bits(&ca.subject_public_key_info())
    };
    let shortest = above.iter().filter_map(bits).min();
    match shortest {
        Some(bits) if is_signature && bits < RSA_BITS_MIN => key_weak(bits),
        Some(_) | None => Untrusted::of_chain(error),
    }
}

pub(super) fn unix_time(seconds: i64) -> UnixTime {
    let since_1970 = u64::try_from(seconds).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(since_1970))
}
