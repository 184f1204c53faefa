//! [`secret`] and [`private_key_text`]: what the gateway proves itself with to servers that want no
//! certificate, from files.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::TrustError;
use super::{key_pair, pem};

/// What was read.
pub struct SecretFile {
    /// The secret.
    pub text: String,
    /// What should be looked at and does not stop the gateway, one line each.
    pub warnings: Vec<String>,
}

/// A file does not hold the secret, or the key, that it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretProblem {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: WhyNoSecret,
}

/// Why a file does not hold what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNoSecret {
    /// There is nothing in it.
    Empty,
    /// It is not UTF-8.
    NotText,
    /// A line ends inside it, or it has another control character.
    SeveralLines,
    /// It is too long, or holds a key.
    NotASecret,
    /// Its private key does not sign with this algorithm.
    KeyNotFor(&'static str),
}

/// Longer ones are something else: a key, or a whole certificate.
const SECRET_BYTES_MAX: usize = 4 * 1024;
/// A file of key material has less.
const MIB_MAX: u64 = 4;

/// Reads a file with one line: a secret that somebody gave out. A line end after it is no part of
/// it.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read, or is not one line of text.
pub fn secret(file: &Path) -> Result<SecretFile, TrustError> {
    let problem = |why| {
        let file = file.to_owned();
        TrustError::Secret(SecretProblem { file, why })
    };
    let bytes = pem::read(file, MIB_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_not_shown| problem(WhyNoSecret::NotText))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(problem(WhyNoSecret::Empty));
    }
    if line.contains("-----BEGIN") || line.len() > SECRET_BYTES_MAX {
        return Err(problem(WhyNoSecret::NotASecret));
    }
    if line.contains(char::is_control) {
        return Err(problem(WhyNoSecret::SeveralLines));
    }
    Ok(SecretFile {
        text: line.to_owned(),
        warnings: key_pair::warnings(file),
    })
}

/// Reads a PEM file with one private key in the clear, of any kind.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read or has not exactly one.
pub fn private_key_text(file: &Path) -> Result<SecretFile, TrustError> {
    drop(pem::private_key(file)?); // says what is wrong with it
    let text = String::from_utf8(pem::read(file, MIB_MAX)?);
    let text = text.map_err(|_not_shown| TrustError::PemBroken {
        file: file.to_owned(),
    })?;
    Ok(SecretFile {
        text,
        warnings: key_pair::warnings(file),
    })
}

impl SecretProblem {
    /// What to do, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self.why {
            WhyNoSecret::KeyNotFor(_) => "name another key, or the algorithm that it is made for",
            WhyNoSecret::Empty
            | WhyNoSecret::NotText
            | WhyNoSecret::SeveralLines
            | WhyNoSecret::NotASecret => {
                "write the secret into it, in one line, as it was given out"
            }
        }
    }
}

impl fmt::Display for SecretProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.why {
            WhyNoSecret::Empty => write!(f, "{file} is empty"),
            WhyNoSecret::NotText => write!(f, "{file} is not UTF-8"),
            WhyNoSecret::SeveralLines => {
                write!(f, "{file} has more than one line, or a control character")
            }
            WhyNoSecret::NotASecret => {
                write!(f, "{file} is too long for a secret, or holds a key")
            }
            WhyNoSecret::KeyNotFor(algorithm) => {
                write!(f, "the private key in {file} is none for {algorithm}")
            }
        }
    }
}

impl fmt::Debug for SecretFile {
    /// Nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFile")
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
