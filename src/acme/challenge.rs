//! [`Challenges`]: what we answer while a directory looks whether a name is ours.
//!
//! One table for the process: listeners ask it for the certificate of a TLS-ALPN-01 challenge, the
//! HTTP-01 listener for a token. An entry is there while an order waits for it, and no longer.

use std::collections::HashMap;
use std::sync::Arc;

use instant_acme::KeyAuthorization;
use parking_lot::RwLock;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::error::{AcmeError, Retry};
use crate::identity::host::Host;
use crate::trust::provider;

/// The protocol of a handshake that looks for a TLS-ALPN-01 challenge (RFC 8737, section 6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// The challenges of this moment.
#[derive(Debug, Default)]
pub struct Challenges {
    tls: RwLock<HashMap<Host, Arc<ServerConfig>>>,
    http: RwLock<HashMap<Box<str>, Box<str>>>,
}

/// A challenge that is answered until this is dropped.
#[must_use = "the challenge is answered only while this lives"]
#[derive(Debug)]
pub(super) struct Pending {
    challenges: Arc<Challenges>,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Tls(Host, Arc<ServerConfig>),
    Http(Box<str>),
}

/// RFC 8555, section 8.3, asks for 128 bits; CAs send 43 characters.
const TOKEN_BYTES_MAX: usize = 256;

impl Challenges {
    /// The whole TLS configuration for a handshake that offers [`ACME_TLS`] alone and asks for this
    /// name, while a challenge for it is open. No client certificate is asked for and no session
    /// begun: nothing but the handshake may happen on it.
    #[must_use]
    pub fn tls(&self, name: &Host) -> Option<Arc<ServerConfig>> {
        self.tls.read().get(name).cloned()
    }

    /// What to answer to `/.well-known/acme-challenge/TOKEN`.
    pub(super) fn http(&self, token: &str) -> Option<Box<str>> {
        self.http.read().get(token).cloned()
    }

    /// Answers a TLS-ALPN-01 challenge for this name.
    ///
    /// # Errors
    ///
    /// If no certificate can be made for it.
    pub(super) fn answer_tls(
        self: &Arc<Self>,
        name: &Host,
        authorization: &KeyAuthorization,
    ) -> Result<Pending, AcmeError> {
        let config = challenge_config(name, authorization.digest().as_ref())?;
        let config = Arc::new(config);
        self.tls.write().insert(name.clone(), Arc::clone(&config));
        Ok(Pending {
            challenges: Arc::clone(self),
            of: Of::Tls(name.clone(), config),
        })
    }

    /// Answers an HTTP-01 challenge.
    ///
    /// # Errors
    ///
    /// If the token is none (RFC 8555, section 8.3).
    pub(super) fn answer_http(
        self: &Arc<Self>,
        token: &str,
        authorization: &KeyAuthorization,
    ) -> Result<Pending, AcmeError> {
        let base64url = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !(1..=TOKEN_BYTES_MAX).contains(&token.len()) || !token.bytes().all(base64url) {
            let what = "the directory sent a challenge whose token is not base64url";
            return Err(AcmeError::new(Retry::Later, what));
        }
        let answer = authorization.as_str().into();
        self.http.write().insert(token.into(), answer);
        Ok(Pending {
            challenges: Arc::clone(self),
            of: Of::Http(token.into()),
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        match &self.of {
            Of::Tls(name, config) => {
                let mut tls = self.challenges.tls.write();
                // Not that of a later order for the same name.
                if tls.get(name).is_some_and(|now| Arc::ptr_eq(now, config)) {
                    tls.remove(name);
                }
            }
            Of::Http(token) => drop(self.challenges.http.write().remove(token)),
        }
    }
}

/// A certificate that says nothing but the name and the digest (RFC 8737, section 3), and the TLS
/// that shows it.
fn challenge_config(name: &Host, digest: &[u8]) -> Result<ServerConfig, AcmeError> {
    let failed = |error: &dyn std::fmt::Display| {
        let what = format!("no challenge certificate can be made for {name}: {error}");
        AcmeError::new(Retry::Later, what)
    };
    if digest.len() != SHA256_BYTES {
        return Err(failed(&"the digest has a wrong length"));
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failed(&error))?;
    let mut params = CertificateParams::new([name.to_string()]).map_err(|error| failed(&error))?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let signing = provider().key_provider.load_private_key(key.into());
    let signing = signing.map_err(|error| failed(&error))?;
    // Made together: rustls would not read the certificate for its critical extension.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], signing);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

const SHA256_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_only_while_it_is_open() {
        let name: Host = "api.example.com".parse().unwrap();
        let challenges = Arc::new(Challenges::default());
        let put = |digest: u8| {
            let config = Arc::new(challenge_config(&name, &[digest; 32]).unwrap());
            challenges
                .tls
                .write()
                .insert(name.clone(), Arc::clone(&config));
            Pending {
                challenges: Arc::clone(&challenges),
                of: Of::Tls(name.clone(), config),
            }
        };
        let first = put(1);
        assert!(challenges.tls(&name).is_some());
        assert!(challenges.tls(&"b.example.com".parse().unwrap()).is_none());
        let second = put(2);
        drop(first);
        assert!(challenges.tls(&name).is_some(), "that of the later order");
        drop(second);
        assert!(challenges.tls(&name).is_none());
        assert!(challenge_config(&name, &[1; 31]).is_err());
    }
}
