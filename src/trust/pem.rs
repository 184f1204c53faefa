//! PEM files: certificates and private keys out of one, with an error for each way to be wrong.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::{TrustError, Wanted};

/// The bundle of a whole operating system is a quarter of a MiB.
const MIB_MAX: u64 = 4;
/// A CRL of a million entries has 40 MiB; as PEM, a third more.
const CRL_MIB_MAX: u64 = 64;

/// All certificates of the file, in its order; other blocks (a key beside them) are left out.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read or has no certificate.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let text = read(file, MIB_MAX)?;
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
    let text = read(file, MIB_MAX)?;
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

/// All CRLs of the file, PEM or DER, in its order.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read or has no CRL, or has anything else in it.
pub(super) fn crls(file: &Path) -> Result<Vec<Vec<u8>>, TrustError> {
    const SEQUENCE: u8 = 0x30;
    let content = read(file, CRL_MIB_MAX)?;
    if content.first() == Some(&SEQUENCE) {
        return Ok(vec![content]);
    }
    let mut crls = Vec::new();
    let mut others = Vec::new();
    for (kind, der) in sections(&content, file)? {
        if kind == SectionKind::Crl {
            crls.push(der);
        } else {
            others.push((kind, der));
        }
    }
    // A CRL that is passed over for its label is one that revokes nothing.
    let blocks = memchr::memmem::find_iter(&content, b"-----BEGIN ").count();
    if crls.is_empty() || blocks != crls.len() {
        let found = other_kind(&others, &content);
        return Err(nothing(file, Wanted::RevocationLists, found));
    }
    Ok(crls)
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

pub(super) fn read(file: &Path, mib_max: u64) -> Result<Vec<u8>, TrustError> {
    let unreadable = |error| TrustError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let bytes_max = mib_max * 1024 * 1024;
    let mut text = Vec::new();
    let opened = open(file).map_err(unreadable)?;
    let read = opened
        .take(bytes_max + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        let file = file.to_owned();
        return Err(TrustError::TooLarge { file, mib_max });
    }
    Ok(text)
}

/// Opens a file that is named in the configuration. Not a pipe: to open one waits for somebody who
/// writes into it, and no revocation would be looked at meanwhile.
///
/// # Errors
///
/// Those of opening.
pub fn open(file: &Path) -> io::Result<File> {
    if std::fs::metadata(file)?.file_type().is_fifo() {
        return Err(io::Error::other("it is a pipe"));
    }
    File::open(file)
}
