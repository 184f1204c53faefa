//! [`Tls`]: on whose word a server is believed, and who we are to it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::identity::certificate::Fingerprint;
use crate::trust::{self, KeyPair, TrustError, TrustStore, Usage};

/// On whose word a server is believed, and who we are to it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who may have signed its certificate.
    pub believed: Believed,
    /// What we show of ourselves, if we do.
    pub key_pair: Option<Arc<KeyPair>>,
}

/// Who may have signed a server's certificate. Its names must have the host of the address.
#[derive(Clone, Debug)]
pub enum Believed {
    /// Trust bundles of the configuration, with their CRLs, and the deny list.
    Store(Arc<TrustStore>),
    /// A list of public CAs, as an operating system has one.
    PublicCas(Arc<rustls::RootCertStore>),
}

impl Believed {
    /// The CAs of a PEM file.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if it cannot be read or has none that is usable.
    pub fn public(file: &Path) -> Result<Self, TrustError> {
        trust::roots(file).map(|roots| Self::PublicCas(Arc::new(roots)))
    }

    /// Whether both believe the same.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Store(a), Self::Store(b)) => a.digest() == b.digest(),
            (Self::PublicCas(a), Self::PublicCas(b)) => a.roots == b.roots,
            (Self::Store(_), Self::PublicCas(_)) | (Self::PublicCas(_), Self::Store(_)) => false,
        }
    }
}

impl Tls {
    /// Whether both come to the same: connections may then be used on.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let ours = |tls: &Self| {
            let key = tls.key_pair.as_ref()?.certified_key();
            Some(Fingerprint::of(key.cert.first()?))
        };
        self.believed.is_same(&other.believed) && ours(self) == ours(other)
    }

    /// What rustls is to be told. Sessions resume only on the same value.
    ///
    /// # Errors
    ///
    /// rustls', if it has no configuration for this.
    pub fn config(&self) -> Result<ClientConfig, Error> {
        let provider = trust::provider();
        let verifier: Arc<dyn ServerCertVerifier> = match &self.believed {
            Believed::Store(trust) => Arc::new(ServerVerifier {
                trust: Arc::clone(trust),
                provider: Arc::clone(&provider),
            }),
            Believed::PublicCas(roots) => {
                let roots = Arc::clone(roots);
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|error| Error::General(error.to_string()))?
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls' word for a verifier that is not its own
            .with_custom_certificate_verifier(verifier);
        Ok(match &self.key_pair {
            Some(pair) => config
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified_key()))),
            None => config.with_no_client_auth(),
        })
    }
}

/// Believes the servers for which a [`TrustStore`] vouches, by the name in their address.
#[derive(Debug)]
struct ServerVerifier {
    trust: Arc<TrustStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let untrusted = |error: trust::Untrusted| error.error;
        self.trust
            .verify(leaf, intermediates, Usage::Server, now)
            .map_err(untrusted)?;
        // The store takes the names away from who may not have them: see `TrustStore::identity`.
        let identity = self.trust.identity(leaf).map_err(untrusted)?;
        if identity.spiffe.is_some() && identity.dns.is_empty() {
            return Err(CertificateError::NotValidForName.into());
        }
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
