//! [`roots`]: the CAs of a public server, as an operating system or an operator lists them.

use std::path::Path;

use rustls::RootCertStore;

use super::error::{TrustError, Wanted};
use super::pem;

/// Reads the CAs of a PEM file, for rustls to verify a server by its name. What is not usable among
/// them is passed over: the lists of operating systems hold CAs of every age.
///
/// # Errors
///
/// [`TrustError`] if the file cannot be read or has no usable CA.
pub fn roots(file: &Path) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let (usable, _passed_over) = roots.add_parsable_certificates(pem::certificates(file)?);
    if usable == 0 {
        return Err(TrustError::Empty {
            file: file.to_owned(),
            wanted: Wanted::Certificates,
        });
    }
    Ok(roots)
}
