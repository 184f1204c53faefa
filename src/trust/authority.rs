//! [`Authority`]: one CA certificate of a bundle, with what webpki does not keep of it.

use std::path::Path;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::{Error as Chain, VerifiedPath};

use super::crl::Signer;
use super::error::TrustError;
use super::info::{CertificateInfo, parse};
use super::intermediates::ca_info;
use super::judge::{Question, denied, unix_time};
use super::untrusted::Untrusted;

/// A CA.
pub(super) struct Authority {
    pub(super) info: CertificateInfo,
    pub(super) der: CertificateDer<'static>,
    pub(super) serial: Box<[u8]>,
    /// The whole `SubjectPublicKeyInfo`.
    pub(super) key: Box<[u8]>,
    /// How many CAs may stand between it and a leaf.
    path_length: Option<usize>,
}

impl Authority {
    pub(super) fn read(
        der: &CertificateDer<'static>,
        number: usize,
        file: &Path,
    ) -> Result<Self, TrustError> {
        let parsed = parse(der, number, file)?;
        let info = ca_info(&parsed, number, file)?;
        let constraints = parsed.basic_constraints().ok().flatten();
        let path_length = constraints.and_then(|it| it.value.path_len_constraint);
        Ok(Self {
            path_length: path_length.and_then(|length| usize::try_from(length).ok()),
            info,
            serial: parsed.raw_serial().into(),
            key: parsed.public_key().raw.into(),
            der: der.clone(),
        })
    }

    pub(super) fn signer(&self, anchor: &TrustAnchor<'_>) -> Signer {
        Signer {
            name: anchor.subject.as_ref().into(),
            key: anchor.subject_public_key_info.as_ref().into(),
            signs_crls: self.info.signs_crls,
        }
    }

    pub(super) fn check(
        &self,
        path: &VerifiedPath<'_>,
        question: &Question<'_>,
    ) -> Result<(), Untrusted> {
        let time = question.now;
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        if seconds > self.info.not_after {
            let not_after = unix_time(self.info.not_after);
            return Err(Untrusted::of_chain(Chain::CertExpired { time, not_after }));
        }
        if seconds < self.info.not_before {
            let not_before = unix_time(self.info.not_before);
            return Err(Untrusted::of_chain(Chain::CertNotValidYet {
                time,
                not_before,
            }));
        }
        // One that a CA made for itself is no step (RFC 5280, section 6.1.4).
        let steps = path.intermediate_certificates();
        let steps = steps.filter(|step| step.subject() != step.issuer()).count();
        if self.path_length.is_some_and(|most| steps > most) {
            return Err(Untrusted::of_chain(Chain::PathLenConstraintViolated));
        }
        if question.deny.has(&self.der, &self.serial, || &self.key) {
            return Err(denied("the deny list names the CA"));
        }
        Ok(())
    }
}
