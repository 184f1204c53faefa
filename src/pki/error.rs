//! [`PkiError`]: why something could not be made, for the person at the command line.

use std::path::{Path, PathBuf};

/// Why a certificate, key or token could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {error}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is there already and would be lost.
    #[error("{} is there already: `--force` replaces it, or name another", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The file has no certificate in PEM form.
    #[error("there is no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("certificate {number} is no X.509")]
    CertificateMalformed {
        /// Which one, from 1.
        number: usize,
    },
    /// The certificate that should sign is not that of a CA.
    #[error("{} is not the certificate of a CA: make one with `portcullis pki ca`", file.display())]
    NotACa {
        /// The file.
        file: PathBuf,
    },
    /// The key is not that of the CA's certificate.
    #[error("{} is not the key of the certificate in {}", key.display(), cert.display())]
    KeyMismatch {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The private key cannot be read.
    #[error("the private key cannot be used: it must be one PEM block, without a passphrase")]
    KeyUnusable,
    /// The private key does not sign with this algorithm.
    #[error("the key does not sign with {algorithm}")]
    KeyOfAnotherKind {
        /// The algorithm's name.
        algorithm: &'static str,
    },
    /// A name has characters that certificates do not take.
    #[error("{name:?} cannot stand in a certificate: only ASCII (write IDN as `xn--...`)")]
    Name {
        /// The name.
        name: String,
    },
    /// The certificate would outlive the CA that signs it.
    #[error("the certificate would outlive its CA, which ends on {ca_ends}: ask for less")]
    OutlivesCa {
        /// The day.
        ca_ends: String,
    },
    /// The library that makes certificates fails.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What is wrong, with the file where it is.
    #[error("{}: {error}", file.display())]
    In {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: Box<Self>,
    },
    /// The library that signs fails.
    #[error("signing failed")]
    Sign,
}

impl PkiError {
    /// The same, with the file where it is.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        Self::In {
            file: file.to_owned(),
            error: Box::new(self),
        }
    }
}
