//! [`Listener`]: the TLS of one listener, compiled. Never changed after it is built.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::verifier::ClientVerifier;
use crate::config::spec::{ClientCertificate, ListenerLimits, ListenerSpec, TlsVersion};
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::observe::ListenerMetrics;
use crate::trust::{KeyPair, TrustStore, provider};

/// What a listener answers handshakes with.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the configuration.
    pub name: Name,
    /// Its bounds.
    pub limits: ListenerLimits,
    /// What clients are verified against.
    pub trust: Arc<TrustStore>,
    /// Its counters.
    pub metrics: Arc<ListenerMetrics>,
    /// Whether clients must show a certificate.
    pub certificate: ClientCertificate,
    /// How long after its end a client's certificate passes the handshake: the largest grace of a
    /// route. Each request is held against its own route's.
    pub grace: Duration,
    served: Vec<Served>,
    ticketer: Arc<dyn ProducesTickets>,
}

/// One of our certificates, with the TLS configuration that serves it.
#[derive(Clone, Debug)]
pub struct Served {
    /// The certificate and its key.
    pub key_pair: Arc<KeyPair>,
    /// The configuration: built once, shared by all handshakes.
    pub config: Arc<ServerConfig>,
}

impl Listener {
    /// Compiles a listener. Sessions go on to resume with `previous` where it verified clients
    /// against the same bundle by the same policy; else every ticket of before is void.
    ///
    /// # Errors
    ///
    /// rustls', if the provider lacks what the configuration needs or has no randomness.
    pub fn new(
        name: &Name,
        spec: &ListenerSpec,
        key_pairs: Vec<Arc<KeyPair>>,
        trust: Arc<TrustStore>,
        metrics: Arc<ListenerMetrics>,
        grace: Duration,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let certificate = spec.tls.clients.certificate;
        let same_policy = |before: &&Self| {
            before.trust.digest() == trust.digest() && before.certificate == certificate
        };
        let ticketer = match previous.filter(same_policy) {
            Some(before) => Arc::clone(&before.ticketer),
            None => rustls::crypto::aws_lc_rs::Ticketer::new()?,
        };
        let verifier = Arc::new(ClientVerifier::new(Arc::clone(&trust), certificate, grace));
        let serve = |key_pair: Arc<KeyPair>| {
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_protocol_versions(versions(spec.tls.min_version))?
                .with_client_cert_verifier(Arc::clone(&verifier) as _)
                .with_cert_resolver(Arc::new(One(key_pair.certified_key())));
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = Arc::clone(&ticketer);
            config.ignore_client_order = true; // of cipher suites: see `trust::provider`
            // One ticket a handshake: a client that resumes gets a fresh one each time.
            config.send_tls13_tickets = 1;
            // 0-RTT can be replayed by whoever recorded it (RFC 8446, section 8).
            config.max_early_data_size = 0;
            Ok(Served {
                key_pair,
                config: Arc::new(config),
            })
        };
        let served = key_pairs
            .into_iter()
            .map(serve)
            .collect::<Result<_, rustls::Error>>()?;
        let limits = spec.limits.clone();
        Ok(Self {
            name: name.clone(),
            limits,
            trust,
            metrics,
            certificate,
            grace,
            served,
            ticketer,
        })
    }

    /// The certificate for a name: that of the first key pair which names it; without a name, the
    /// first of all. `None` if no certificate of ours is for that name.
    #[must_use]
    pub fn served_for(&self, server_name: Option<&Host>) -> Option<&Served> {
        match server_name {
            Some(host) => self
                .served
                .iter()
                .find(|served| served.key_pair.serves(host)),
            None => self.served.first(),
        }
    }
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => TLS13_ONLY,
    }
}

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A resolver that has one answer: the choice was made from the ClientHello before.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl rustls::server::ResolvesServerCert for One {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
