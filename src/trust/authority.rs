//! [`Authority`]: one CA certificate of a bundle, with what webpki does not keep of it.

use std::path::Path;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::Error as Chain;

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
}

impl Authority {
    pub(super) fn read(
        der: &CertificateDer<'static>,
        number: usize,
        file: &Path,
    ) -> Result<Self, TrustError> {
        let parsed = parse(der, number, file)?;
        let info = ca_info(&parsed, number, file)?;
        Ok(Self {
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

    pub(super) fn check(&self, question: &Question<'_>) -> Result<(), Untrusted> {
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
        if question.deny.has(&self.der, &self.serial, || &self.key) {
            return Err(denied("the deny list names the CA"));
        }
        Ok(())
    }
}
