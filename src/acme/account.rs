//! [`account`]: our account at a directory: that of the folder, or a new one (RFC 8555, section 7.3).

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

use super::directory::Directory;
use super::error::{AcmeError, Retry};
use super::folder::Folder;
use crate::config::acme::{AcmeEabSpec, AcmeSpec};

/// A key has some 50 characters.
const EAB_BYTES_MAX: u64 = 4 * 1024;

/// The account that the folder knows.
///
/// # Errors
///
/// If the directory does not answer.
pub(super) async fn known(
    folder: &Folder,
    directory: &Directory,
) -> Result<Option<Account>, AcmeError> {
    let text = folder
        .read_account()
        .map_err(|error| unusable("read", &error))?;
    let Some(text) = text else {
        return Ok(None);
    };
    let Ok(credentials) = serde_json::from_slice::<AccountCredentials>(&text) else {
        tracing::warn!(
            folder = %folder.root().display(),
            "the file of the ACME account is broken, a new account takes its place"
        );
        return Ok(None);
    };
    let account = Account::builder_with_http(Box::new(directory.clone()))
        .from_credentials(credentials)
        .await
        .map_err(|error| AcmeError::of("reading the directory", &error))?;
    Ok(Some(account))
}

/// A new account, kept in the folder.
///
/// # Errors
///
/// If the directory gives none, or it cannot be kept: one that is lost each time would be made anew
/// each time.
pub(super) async fn register(
    spec: &AcmeSpec,
    folder: &Folder,
    directory: &Directory,
) -> Result<Account, AcmeError> {
    let contact: Vec<&str> = spec.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true, // the configuration says so in words
        only_return_existing: false,
    };
    let eab = spec.eab.as_ref().map(external_key).transpose();
    let eab = eab.map_err(|what| AcmeError::new(Retry::Later, what))?;
    let (account, credentials) = Account::builder_with_http(Box::new(directory.clone()))
        .create(&wanted, spec.directory.to_string(), eab.as_ref())
        .await
        .map_err(|error| AcmeError::of("making an account", &error))?;
    let text = serde_json::to_vec(&credentials)
        .map_err(|error| unusable("write", &io::Error::other(error)))?;
    folder
        .write_account(&text)
        .map_err(|error| unusable("write", &error))?;
    tracing::info!(directory = %spec.directory, "an ACME account was made");
    Ok(account)
}

fn unusable(verb: &str, error: &io::Error) -> AcmeError {
    let what = format!("the folder's account.json cannot be {verb}: {error}");
    AcmeError::new(Retry::Soon, what)
}

/// Reads the key that binds our account to that of a customer.
///
/// # Errors
///
/// What is wrong with the file. Nothing of the key is shown.
pub fn external_key(eab: &AcmeEabSpec) -> Result<ExternalAccountKey, String> {
    use io::Read as _;
    let shown = eab.key_file.display();
    let mut text = String::new();
    crate::trust::open(&eab.key_file)
        .and_then(|file| file.take(EAB_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let bare = text.trim().trim_end_matches('=');
    let key = URL_SAFE_NO_PAD.decode(bare);
    match key {
        Ok(key) if !key.is_empty() => Ok(ExternalAccountKey::new(eab.key_id.clone(), &key)),
        Ok(_) | Err(_) => Err(format!("{shown} does not hold a key in base64url")),
    }
}
