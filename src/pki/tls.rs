//! [`mutual_server`]: TLS for a sample service that asks its clients for a certificate.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::authority::certificates;
use super::error::PkiError;

/// TLS for a server with this certificate and key (PEM) that lets in only clients of this CA.
/// HTTP/1.1 only.
///
/// # Errors
///
/// [`PkiError`] if one of the texts is not what it should be.
pub fn mutual_server(
    cert: &str,
    key: &str,
    client_ca: &str,
) -> Result<Arc<ServerConfig>, PkiError> {
    let provider = Arc::new(default_provider());
    let unusable = |_says_no_more| PkiError::KeyUnusable;
    let mut roots = RootCertStore::empty();
    for (ca, number) in certificates(client_ca)?.into_iter().zip(1..) {
        roots
            .add(ca)
            .map_err(|_unreadable| PkiError::CertificateMalformed { number })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|_no_roots| PkiError::NoCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_text_is_a_key| PkiError::KeyUnusable)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(cert)?, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
