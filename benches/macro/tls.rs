//! The TLS of floor, service and load: as the gateway's, from the files of the stage.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn chain(folder: &Path, name: &str) -> Vec<CertificateDer<'static>> {
    let file = folder.join(format!("{name}.pem"));
    let chain = CertificateDer::pem_file_iter(file).expect("a certificate file");
    chain
        .map(|certificate| certificate.expect("a certificate"))
        .collect()
}

fn key(folder: &Path, name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).expect("a key")
}

fn roots(folder: &Path, authority: &str) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in chain(folder, authority) {
        store.add(certificate).expect("a root");
    }
    Arc::new(store)
}

/// A server that is `name` and takes clients of `authority`. Resumes with tickets.
pub fn server(folder: &Path, name: &str, authority: &str) -> Arc<ServerConfig> {
    let roots = roots(folder, authority);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(chain(folder, name), key(folder, name))
        .expect("a key pair");
    config.ticketer = aws_lc_rs::Ticketer::new().expect("a ticketer");
    Arc::new(config)
}

/// A client that is `name` and takes servers of `authority`.
pub fn client(folder: &Path, name: &str, authority: &str, resumes: bool) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots(folder, authority))
        .with_client_auth_cert(chain(folder, name), key(folder, name))
        .expect("a key pair");
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Arc::new(config)
}
