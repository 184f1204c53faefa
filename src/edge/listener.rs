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
    certificates: Vec<Slot>,
    ticketer: Arc<dyn ProducesTickets>,
}

/// One of our certificates, as the configuration names them.
#[derive(Debug)]
pub enum Certificate {
    /// It is there.
    There(Arc<KeyPair>),
    /// Its source has given none yet.
    Awaited {
        /// What it will be for.
        names: Vec<Host>,
        /// What is served until then for those of the names that it is for.
        meanwhile: Option<Arc<KeyPair>>,
    },
}

/// A [`Certificate`] that can be served, or the names for which nothing is.
#[derive(Debug)]
enum Slot {
    Served(Served),
    Awaited(Vec<Host>, Option<Served>),
}

/// Why a handshake gets no certificate. It never gets one that is for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// No certificate of ours is for the name.
    Unknown,
    /// Its source has given none yet.
    Awaited,
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
        certificates: Vec<Certificate>,
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
        let verifier = Arc::new(ClientVerifier::new(
            Arc::clone(&trust),
            certificate,
            grace,
            Arc::clone(&metrics),
        ));
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
        let slot = |certificate| match certificate {
            Certificate::There(key_pair) => serve(key_pair).map(Slot::Served),
            Certificate::Awaited { names, meanwhile } => {
                let meanwhile = meanwhile.map(serve).transpose()?;
                Ok(Slot::Awaited(names, meanwhile))
            }
        };
        let certificates = certificates
            .into_iter()
            .map(slot)
            .collect::<Result<_, rustls::Error>>()?;
        let limits = spec.limits.clone();
        Ok(Self {
            name: name.clone(),
            limits,
            trust,
            metrics,
            certificate,
            certificates,
            grace,
            ticketer,
        })
    }

    /// The certificate for a name: that of the first which names it; without a name, the first of
    /// all.
    ///
    /// # Errors
    ///
    /// [`NotServed`]: one that is awaited is not stood in for by another.
    pub fn served_for(&self, server_name: Option<&Host>) -> Result<&Served, NotServed> {
        let slot = match server_name {
            Some(host) => self.certificates.iter().find(|slot| slot.is_for(host)),
            None => self.certificates.first(),
        };
        let (served, awaited) = match slot {
            Some(Slot::Served(served)) => return Ok(served),
            Some(Slot::Awaited(_, meanwhile)) => (meanwhile.as_ref(), NotServed::Awaited),
            None => (None, NotServed::Unknown),
        };
        let fits = |served: &&Served| server_name.is_none_or(|host| served.key_pair.serves(host));
        served.filter(fits).ok_or(awaited)
    }
}

impl Slot {
    fn is_for(&self, host: &Host) -> bool {
        match self {
            Self::Served(served) => served.key_pair.serves(host),
            Self::Awaited(names, _) => names.contains(host),
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
