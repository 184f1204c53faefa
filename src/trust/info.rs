//! [`CertificateInfo`]: what metrics and `check` say about a certificate that we hold.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::identity::certificate::Shown;

use super::der::{self, Reader};
use super::error::TrustError;

/// A certificate that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The subject as RFC 4514 text, cut to [`Shown::CHARS_MAX`] characters.
    pub subject: String,
    /// The serial number in hexadecimal, cut likewise.
    pub serial: String,
    /// When its validity begins, in seconds since 1970.
    pub not_before: i64,
    /// When its validity ends, in seconds since 1970.
    pub not_after: i64,
    /// Whether it is that of a CA.
    pub is_ca: bool,
    /// Whether its key may sign CRLs.
    pub(super) signs_crls: bool,
    /// Where it came from.
    pub file: PathBuf,
}

/// RSA keys below this are refused by our side and by every peer of today.
pub(super) const RSA_BITS_MIN: usize = 2048;

/// Reads certificate `number` (from 1) of a file.
///
/// # Errors
///
/// [`TrustError::CertificateMalformed`] if it is no X.509.
pub(super) fn parse<'a>(
    der: &'a CertificateDer<'_>,
    number: usize,
    file: &Path,
) -> Result<X509Certificate<'a>, TrustError> {
    match X509Certificate::from_der(der.as_ref()) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(TrustError::CertificateMalformed {
            file: file.to_owned(),
            number,
        }),
    }
}

impl CertificateInfo {
    pub(super) fn of(certificate: &X509Certificate<'_>, file: &Path) -> Self {
        let cut = |text: String| text.chars().take(Shown::CHARS_MAX).collect();
        Self {
            subject: cut(certificate.subject().to_string()),
            serial: cut(certificate.raw_serial_as_string()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            is_ca: is_ca(certificate),
            signs_crls: signs_crls(certificate),
            file: file.to_owned(),
        }
    }
}

/// RFC 5280, section 4.2.1.9: a CA says so, and where it says what its key is for, that it signs
/// certificates (section 4.2.1.3).
fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    let signs = match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_twice_or_unreadable) => false,
    };
    certificate.is_ca() && signs
}

/// RFC 5280, section 4.2.1.3: where a certificate says what its key is for, `cRLSign` is among it.
fn signs_crls(certificate: &X509Certificate<'_>) -> bool {
    match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.crl_sign(),
        Ok(None) => true,
        Err(_twice_or_unreadable) => false,
    }
}

/// # Errors
///
/// [`TrustError::KeyWeak`] if it is an RSA key of less than 2048 bits.
pub(super) fn check_strength(
    certificate: &X509Certificate<'_>,
    file: &Path,
) -> Result<(), TrustError> {
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed() {
        let bits = key.key_size();
        if bits < RSA_BITS_MIN {
            let file = file.to_owned();
            return Err(TrustError::KeyWeak { file, bits });
        }
    }
    Ok(())
}

/// The length of an RSA key (a whole `SubjectPublicKeyInfo`); `None` if it is another kind of key.
pub(super) fn rsa_bits(key: &[u8]) -> Option<usize> {
    /// rsaEncryption and id-RSASSA-PSS.
    const RSA: [&[u8]; 2] = [
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1],
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10],
    ];
    let mut parts = Reader::new(der::unwrapped(key)?);
    let algorithm = Reader::new(parts.take(der::SEQUENCE)?).take(der::OID)?;
    if !RSA.contains(&algorithm) {
        return None;
    }
    let bits = parts.take(der::BIT_STRING)?;
    let modulus = Reader::new(der::unwrapped(bits.get(1..)?)?).take(der::INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = modulus.get(zeros..)?;
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    (modulus.len() * 8).checked_sub(usize::try_from(unused).ok()?)
}

/// The day of a time in seconds since 1970, as `2026-11-21`.
pub(super) fn date(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(time) => time.date().to_string(),
        Err(_out_of_range) => format!("second {seconds} since 1970"),
    }
}

/// The second, for what changes several times a day.
pub(super) fn moment(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| format!("second {seconds} since 1970"))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
