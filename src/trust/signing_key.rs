//! [`signing_key`]: a key that signs tokens of ours, from a file.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::error::TrustError;
use super::{key_pair, pem};

/// What was read.
pub struct SigningKeyFile {
    /// The key, on P-256.
    pub key: EcdsaKeyPair,
    /// What should be looked at and does not stop the gateway, one line each.
    pub warnings: Vec<String>,
}

/// Reads a PEM file with one private key on P-256, for ES256.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read, has not exactly one key in the clear, or one of
/// another kind.
pub fn signing_key(file: &Path) -> Result<SigningKeyFile, TrustError> {
    let der = pem::private_key(file)?;
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der()).map_err(
        |_says_nothing_more| TrustError::KeyNotP256 {
            file: file.to_owned(),
        },
    )?;
    Ok(SigningKeyFile {
        key,
        warnings: key_pair::warnings(file),
    })
}

impl fmt::Debug for SigningKeyFile {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyFile")
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
