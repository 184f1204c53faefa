//! The parties of the tests: CAs, a clock that tests set, and a service that requires mTLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pingora::protocols::{Digest, GetProxyDigest as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair as Key, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, SupportedProtocolVersion};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::identity::name::Name;
use crate::observe::{HandshakeLog, Metrics};
use crate::trust::{KeyPair, TrustBundle, TrustStore, provider};
use crate::upstream::{
    ConnectFailure, MtlsConnector, Policies, Policy, PolicyParts, Protocol, ServiceStream,
};

/// 2030-01-01: where the clock of the tests begins.
const NOW: u64 = 1_893_456_000;
pub(super) const HOUR: i64 = 3600;

/// A clock that tests set.
#[derive(Debug)]
pub(super) struct TestClock(AtomicU64);

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW)))
    }

    pub(super) fn advance(&self, seconds: i64) {
        let seconds = u64::try_from(seconds).unwrap();
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::SeqCst);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn at(offset: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(NOW).unwrap() + offset).unwrap()
}

/// A CA.
pub(super) struct Ca {
    pem: String,
    issuer: Issuer<'static, Key>,
}

/// What a leaf certificate says. Times are seconds from the beginning of the clock.
pub(super) struct Leaf<'a> {
    pub(super) uris: &'a [&'a str],
    pub(super) dns: &'a [&'a str],
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) usage: ExtendedKeyUsagePurpose,
}

impl<'a> Leaf<'a> {
    pub(super) fn server(uris: &'a [&'a str], dns: &'a [&'a str]) -> Self {
        Self {
            uris,
            dns,
            from: -HOUR,
            to: HOUR,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
        }
    }

    pub(super) fn client(uris: &'a [&'a str]) -> Self {
        Self {
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            to: 1000 * HOUR,
            ..Self::server(uris, &[])
        }
    }
}

/// A certificate with its key.
pub(super) struct Issued {
    cert: String,
    key: Key,
    pub(super) der: CertificateDer<'static>,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (at(-1000 * HOUR), at(1000 * HOUR));
        let key = Key::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    pub(super) fn issue(&self, leaf: &Leaf<'_>) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        (params.not_before, params.not_after) = (at(leaf.from), at(leaf.to));
        params.extended_key_usages = vec![leaf.usage.clone()];
        for uri in leaf.uris {
            let name = SanType::URI((*uri).try_into().unwrap());
            params.subject_alt_names.push(name);
        }
        for dns in leaf.dns {
            let name = SanType::DnsName((*dns).try_into().unwrap());
            params.subject_alt_names.push(name);
        }
        let key = Key::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            cert: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }

    pub(super) fn bundle(&self) -> TrustBundle {
        let file = temporary("ca.pem", &self.pem);
        TrustBundle::load(&file.0).unwrap()
    }

    pub(super) fn store(&self) -> Arc<TrustStore> {
        Arc::new(TrustStore::new(
            vec![Arc::new(self.bundle())],
            Arc::default(),
        ))
    }
}

impl Issued {
    pub(super) fn key_pair(&self) -> Arc<KeyPair> {
        let cert = temporary("leaf.pem", &self.cert);
        let key = temporary("leaf.key", &self.key.serialize_pem());
        let now = TestClock::new().current_time().unwrap();
        Arc::new(KeyPair::load(&cert.0, &key.0, now).unwrap())
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let key = provider().key_provider.load_private_key(key).unwrap();
        Arc::new(CertifiedKey::new(vec![self.der.clone()], key))
    }
}

/// A file that is there while a test reads it.
struct Temporary(PathBuf);

fn temporary(name: &str, text: &str) -> Temporary {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("portcullis-upstream-{}-{number}-{name}", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, text).unwrap();
    Temporary(file)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// The gateway's side: two CAs, our key pair, and a connector.
pub(super) struct Gateway {
    pub(super) mesh: Ca,
    pub(super) stranger: Ca,
    pub(super) clients: Ca,
    pub(super) ours: Issued,
    pub(super) clock: Arc<TestClock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) policies: Arc<Policies>,
}

impl Gateway {
    pub(super) fn new() -> Self {
        let clients = Ca::new("clients");
        let ours = clients.issue(&Leaf::client(&["spiffe://mesh.example/gateway"]));
        let clock = TestClock::new();
        Self {
            mesh: Ca::new("mesh"),
            stranger: Ca::new("stranger"),
            clients,
            ours,
            metrics: Metrics::new(),
            policies: Policies::with_clock(Arc::clone(&clock) as _),
            clock,
        }
    }

    pub(super) fn parts(&self, accept: &[&str]) -> PolicyParts {
        let upstream: Name = "orders".parse().unwrap();
        PolicyParts {
            metrics: self.metrics.upstream(&upstream),
            upstream,
            key_pair: self.ours.key_pair(),
            trust: self.mesh.store(),
            server_name: "orders.internal".parse().unwrap(),
            accept: accept.iter().map(|text| text.parse().unwrap()).collect(),
            protocol: Protocol::Http1,
        }
    }

    pub(super) fn policy(&self, accept: &[&str]) -> Arc<Policy> {
        self.policies.policy(&self.parts(accept)).unwrap()
    }

    pub(super) fn connector(&self) -> MtlsConnector {
        MtlsConnector::new(
            Arc::clone(&self.policies),
            Arc::new(HandshakeLog::default()),
        )
    }

    pub(super) async fn connect(
        &self,
        policy: &Policy,
        address: SocketAddr,
    ) -> Result<ServiceStream, ConnectFailure> {
        let limit = Duration::from_secs(20); // loaded machines are slow
        self.connector().connect(policy, address, limit).await
    }

    /// A service that trusts our CA and shows this certificate.
    pub(super) async fn service(&self, certificate: &Issued) -> Service {
        let versions = rustls::ALL_VERSIONS;
        Service::start(certificate, &self.clients, &self.clock, versions).await
    }
}

/// What a service saw of one connection: our certificate and how the handshake went, or why it
/// failed.
pub(super) type Seen = Result<(CertificateDer<'static>, HandshakeKind, ProtocolVersion), String>;

/// A service that requires a client certificate, and answers whatever it reads with a 204.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
    shown: Arc<Shown>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shown(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }
}

pub(super) const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

impl Service {
    pub(super) async fn start(
        certificate: &Issued,
        clients: &Ca,
        clock: &Arc<TestClock>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let shown = Arc::new(Shown(Mutex::new(certificate.certified())));
        let verifier =
            WebPkiClientVerifier::builder_with_provider(clients.bundle().roots(), provider());
        let config = ServerConfig::builder_with_details(provider(), Arc::clone(clock) as _)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_cert_resolver(Arc::clone(&shown) as _);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _peer) = listener.accept().await.unwrap();
                connections.spawn(serve(acceptor.clone(), tcp, tell.clone()));
            }
        });
        Self {
            address,
            seen,
            shown,
            _tasks: tasks,
        }
    }

    /// What the service saw of the next connection.
    pub(super) async fn seen(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// Shows another certificate from now on.
    pub(super) fn show(&self, certificate: &Issued) {
        *self.shown.0.lock().unwrap() = certificate.certified();
    }
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, tell: mpsc::UnboundedSender<Seen>) {
    let mut stream = match acceptor.accept(tcp).await {
        Ok(stream) => stream,
        Err(error) => {
            drop(tell.send(Err(error.to_string())));
            return;
        }
    };
    let tls = stream.get_ref().1;
    let client = tls.peer_certificates().unwrap()[0].clone().into_owned();
    let (kind, version) = (tls.handshake_kind(), tls.protocol_version());
    drop(tell.send(Ok((client, kind.unwrap(), version.unwrap()))));
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer).await {
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// Asks and reads the whole answer, so that session tickets before it are taken too.
pub(super) async fn ask(stream: &mut ServiceStream) -> std::io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, ANSWER);
    Ok(())
}

/// The digest from which the proxy reads what a connection has proven.
pub(super) fn digest(stream: &ServiceStream) -> Digest {
    Digest {
        proxy_digest: stream.get_proxy_digest(),
        ..Digest::default()
    }
}
