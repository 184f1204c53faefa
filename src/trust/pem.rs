//! PEM files: certificates and private keys out of one, with an error for each way to be wrong.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::{TrustError, Wanted};

/// The bundle of a whole operating system is a quarter of a MiB.
pub(super) const MIB_MAX: u64 = 4;

/// All certificates of the file, in its order; other blocks (a key beside them) are left out.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read or has no certificate.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let text = read(file)?;
    let sections = sections(&text, file)?;
    let found = other_kind(&sections, &text);
    let certificates: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _der)| *kind == SectionKind::Certificate)
        .map(|(_kind, der)| CertificateDer::from(der))
        .collect();
    if certificates.is_empty() {
        return Err(nothing(file, Wanted::Certificates, found));
    }
    Ok(certificates)
}

/// The one private key of the file; other blocks (its certificate) are left out.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read or has not exactly one key in the clear.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    let text = read(file)?;
    if is_encrypted(&text) {
        let file = file.to_owned();
        return Err(TrustError::KeyEncrypted { file });
    }
    let sections = sections(&text, file)?;
    let found = other_kind(&sections, &text);
    let mut keys = sections
        .into_iter()
        .filter_map(|(kind, der)| key(kind, der));
    let Some(first) = keys.next() else {
        return Err(nothing(file, Wanted::PrivateKey, found));
    };
    match keys.count() {
        0 => Ok(first),
        more => Err(TrustError::SeveralKeys {
            file: file.to_owned(),
            count: more.saturating_add(1),
        }),
    }
}

type Section = (SectionKind, Vec<u8>);

fn sections(text: &[u8], file: &Path) -> Result<Vec<Section>, TrustError> {
    Section::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|_text_may_be_a_key| TrustError::PemBroken {
            file: file.to_owned(),
        })
}

fn key(kind: SectionKind, der: Vec<u8>) -> Option<PrivateKeyDer<'static>> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named here is no key"
    )]
    match kind {
        SectionKind::PrivateKey => Some(PrivatePkcs8KeyDer::from(der).into()),
        SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(der.into())),
        SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(der.into())),
        _ => None,
    }
}

fn nothing(file: &Path, wanted: Wanted, found: Option<&'static str>) -> TrustError {
    let file = file.to_owned();
    match found {
        Some(found) => TrustError::WrongKind {
            file,
            wanted,
            found,
        },
        None => TrustError::Empty { file, wanted },
    }
}

/// What the file holds, for the message that says it is the wrong thing.
fn other_kind(sections: &[Section], text: &[u8]) -> Option<&'static str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum grows")]
    let name = |kind: &SectionKind| match kind {
        SectionKind::Certificate => "a certificate",
        SectionKind::PublicKey => "a public key",
        SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
            "a private key"
        }
        SectionKind::Crl => "a revocation list",
        SectionKind::Csr => "a signing request",
        _ => "another PEM block",
    };
    let unknown = || contains(text, b"-----BEGIN ").then_some("another PEM block");
    sections
        .first()
        .map(|(kind, _der)| name(kind))
        .or_else(unknown)
}

fn is_encrypted(text: &[u8]) -> bool {
    contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || contains(text, b"Proc-Type: 4,ENCRYPTED")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn read(file: &Path) -> Result<Vec<u8>, TrustError> {
    let unreadable = |error| TrustError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let bytes_max = MIB_MAX * 1024 * 1024;
    let mut text = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    let read = opened
        .take(bytes_max + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        let file = file.to_owned();
        return Err(TrustError::TooLarge { file });
    }
    Ok(text)
}
