//! The service behind the gateway: mTLS, HTTP/1.1, answers by script, and a record of all it saw:
//! handshakes, requests byte by byte, and whether any byte came at all.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::http1::{Fields, Wire, split_head};
use super::pki::{Authority, Identity, sha256};
use super::{provider, within};

/// A request that the service received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub method: String,
    pub target: String,
    pub headers: Fields,
    /// The head byte by byte, with the empty line.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// The number of its connection, from 0.
    pub connection: usize,
    /// SHA-256 of the certificate that the gateway showed.
    pub peer: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

/// A handshake that the service saw.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub connection: usize,
    pub resumed: bool,
    pub version: Option<ProtocolVersion>,
    pub server_name: Option<String>,
    pub alpn: Option<Vec<u8>>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes one by one, with this pause before each.
    Drip(Vec<u8>, Duration),
    /// Sends these bytes again and again until the connection breaks.
    Flood(Vec<u8>),
    Pause(Duration),
    /// Waits until the gate is notified.
    Gate(Arc<Notify>),
    /// Waits until the other side closes.
    Hang,
    /// Closes with close_notify.
    Close,
    /// Drops the connection without close_notify.
    Cut,
    /// Sends back whatever comes, until the end (after an upgrade).
    Echo,
    /// Reads this many bytes (of a body that [`Builder::at_head`] left unread).
    Read(usize),
}

/// What the service does when a request has come. Without `Close`, `Cut` or `Hang` at its end the
/// connection is kept.
#[derive(Clone, Debug, Default)]
pub struct Reply(pub Vec<Step>);

impl Reply {
    /// 200 with this body.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, &[], body)
    }

    pub fn status(status: u16) -> Self {
        Self::new(status, &[], "")
    }

    /// A whole answer with `Content-Length`.
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = format!(
            "HTTP/1.1 {status} Text\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(body);
        Self::raw(bytes)
    }

    /// These bytes.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self(vec![Step::Send(bytes.as_ref().to_vec())])
    }

    pub fn hang() -> Self {
        Self(vec![Step::Hang])
    }

    pub fn close() -> Self {
        Self(vec![Step::Close])
    }

    /// One step more.
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// One step before all others.
    pub fn after(mut self, step: Step) -> Self {
        self.0.insert(0, step);
        self
    }
}

type Script = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// How a service is to be. Ends in [`Builder::start`].
pub struct Builder {
    identity: Identity,
    clients: Authorities,
    anyone: bool,
    script: Script,
    at_head: bool,
    early: Vec<u8>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    address: SocketAddr,
}

struct Authorities(rustls::RootCertStore);

/// A service that runs until it is dropped.
pub struct Service {
    pub address: SocketAddr,
    record: Arc<Record>,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    script: Arc<Mutex<Script>>,
    clients: rustls::RootCertStore,
    acceptor: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    open: AtomicUsize,
    /// Bytes that came out of TLS.
    bytes: AtomicUsize,
    requests: Mutex<Vec<Received>>,
    handshakes: Mutex<Vec<Handshake>>,
    changed: watch::Sender<()>,
}

impl Builder {
    /// What is done when a request has come; default: 200 with the body `hello`.
    pub fn reply(mut self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// Takes also clients without a certificate. [`Service::set_identity`] forgets it.
    pub fn anyone(mut self) -> Self {
        self.anyone = true;
        self
    }

    /// Runs the script when the head has come; the body stays unread and unrecorded.
    pub fn at_head(mut self) -> Self {
        self.at_head = true;
        self
    }

    /// Sends these bytes as soon as the handshake is done, before it is asked anything.
    pub fn early(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.early = bytes.as_ref().to_vec();
        self
    }

    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    pub fn versions(mut self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// Listens here (the address of a service that was stopped, say).
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    pub async fn start(self) -> Service {
        let listener = TcpListener::bind(self.address)
            .await
            .expect("a free address");
        let address = listener.local_addr().expect("a bound listener");
        let mut config = server_config(&self.identity, &self.clients.0, &self.alpn, &self.versions);
        if self.anyone {
            config = open_config(&self.identity, &self.clients.0);
        }
        let config = Arc::new(Mutex::new(Arc::new(config)));
        let script = Arc::new(Mutex::new(self.script));
        let record = Arc::new(Record::default());
        let party = Party {
            record: Arc::clone(&record),
            config: Arc::clone(&config),
            script: Arc::clone(&script),
            at_head: self.at_head,
            early: self.early.into(),
        };
        let acceptor = tokio::spawn(party.accept(listener));
        Service {
            address,
            record,
            config,
            script,
            clients: self.clients.0,
            acceptor,
        }
    }
}

/// The TLS of a service that proves `identity` to clients of `clients`.
pub fn server_config(
    identity: &Identity,
    clients: &rustls::RootCertStore,
    alpn: &[Vec<u8>],
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let roots = Arc::new(clients.clone());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(identity.chain.clone(), identity.key_der())
        .expect("a key pair");
    config.alpn_protocols = alpn.to_vec();
    config
}

/// As [`server_config`], for clients with or without a certificate.
fn open_config(identity: &Identity, clients: &rustls::RootCertStore) -> ServerConfig {
    let roots = Arc::new(clients.clone());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let verifier = verifier.allow_unauthenticated().build();
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(identity.chain.clone(), identity.key_der())
        .expect("a key pair")
}

impl Service {
    /// A service that proves `identity`, and takes clients of `clients` alone.
    pub fn builder(identity: &Identity, clients: &Authority) -> Builder {
        Builder {
            identity: identity.duplicate(),
            clients: Authorities(clients.roots()),
            anyone: false,
            script: Arc::new(|_| Reply::ok("hello")),
            at_head: false,
            early: Vec::new(),
            alpn: Vec::new(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    /// Another script from the next request on.
    pub fn set_reply(&self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.script.lock().expect("the script") = Arc::new(script);
    }

    /// Another identity from the next handshake on. Sessions of the old one cannot be resumed.
    pub fn set_identity(&self, identity: &Identity) {
        let config = server_config(identity, &self.clients, &[], rustls::ALL_VERSIONS);
        *self.config.lock().expect("the configuration") = Arc::new(config);
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.record.requests.lock().expect("the record").clone()
    }

    /// The only request so far; panics unless there is exactly one.
    pub fn only_request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "the service must have seen one request");
        requests.remove(0)
    }

    /// The last request; panics if there was none.
    pub fn last_request(&self) -> Received {
        self.requests()
            .pop()
            .expect("the service must have seen a request")
    }

    pub fn handshakes(&self) -> Vec<Handshake> {
        self.record.handshakes.lock().expect("the record").clone()
    }

    /// TCP connections accepted so far.
    pub fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// TCP connections open now.
    pub fn open_connections(&self) -> usize {
        self.record.open.load(Ordering::SeqCst)
    }

    /// Bytes of the application that came, over all connections: 0 means that it was told nothing.
    pub fn bytes(&self) -> usize {
        self.record.bytes.load(Ordering::SeqCst)
    }

    /// Waits until that many requests have come.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Received> {
        self.wait_until("requests at the service", |service| {
            service.requests().len() >= count
        })
        .await;
        self.requests()
    }

    /// Waits until that many handshakes have ended, well or not.
    pub async fn wait_for_handshakes(&self, count: usize) -> Vec<Handshake> {
        self.wait_until("handshakes at the service", |s| {
            s.handshakes().len() >= count
        })
        .await;
        self.handshakes()
    }

    /// Waits until what was recorded is as wanted.
    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let mut changes = self.record.changed.subscribe();
        within(what, async {
            while !wanted(self) {
                changes.changed().await.expect("the record lives");
            }
        })
        .await;
    }

    /// Closes the listener and every connection, and waits until both are closed.
    pub async fn stop(&mut self) {
        self.acceptor.abort();
        self.wait_until("the service to stop", |service| {
            service.open_connections() == 0
        })
        .await;
        within("the listener to close", async {
            drop((&mut self.acceptor).await);
        })
        .await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// What each connection's task knows.
#[derive(Clone)]
struct Party {
    record: Arc<Record>,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    script: Arc<Mutex<Script>>,
    at_head: bool,
    early: Arc<[u8]>,
}

/// Counts an open connection, also when its task is aborted.
struct Open(Arc<Record>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.send_replace(());
    }
}

impl Party {
    async fn accept(self, listener: TcpListener) {
        let mut tasks = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let number = self.record.connections.fetch_add(1, Ordering::SeqCst);
            self.record.open.fetch_add(1, Ordering::SeqCst);
            let open = Open(Arc::clone(&self.record));
            let party = self.clone();
            tasks.spawn(async move {
                drop(party.serve(stream, number).await);
                drop(open);
            });
            while tasks.try_join_next().is_some() {}
        }
    }

    async fn serve(self, stream: TcpStream, number: usize) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let config = Arc::clone(&self.config.lock().expect("the configuration"));
        let accepted = TlsAcceptor::from(config).accept(stream).await;
        let handshake = handshake_of(number, &accepted);
        self.record
            .handshakes
            .lock()
            .expect("the record")
            .push(handshake);
        self.record.changed.send_replace(());
        let stream = accepted?;
        let peer = stream.get_ref().1.peer_certificates();
        let peer = peer.map(|chain| sha256(&chain[0])).unwrap_or_default();
        let mut wire = Wire::new(stream);
        if !self.early.is_empty() {
            wire.send(&self.early).await?;
        }
        let mut counted = 0;
        loop {
            let received = self.receive(&mut wire, number).await;
            self.record
                .bytes
                .fetch_add(wire.received - counted, Ordering::SeqCst);
            counted = wire.received;
            let Some(mut received) = received? else {
                return Ok(());
            };
            received.peer.clone_from(&peer);
            self.record
                .requests
                .lock()
                .expect("the record")
                .push(received.clone());
            self.record.changed.send_replace(());
            let script = Arc::clone(&self.script.lock().expect("the script"));
            for step in script(&received).0 {
                if !play(&mut wire, step).await? {
                    return Ok(());
                }
            }
        }
    }

    async fn receive(
        &self,
        wire: &mut Wire<TlsStream<TcpStream>>,
        connection: usize,
    ) -> io::Result<Option<Received>> {
        let Some(head) = wire.read_head().await? else {
            return Ok(None);
        };
        let (line, headers) = split_head(&head);
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let (body, trailers) = if self.at_head {
            (Vec::new(), Fields::default())
        } else {
            wire.read_body(&headers, false).await?
        };
        let peer = Vec::new();
        Ok(Some(Received {
            method,
            target,
            headers,
            head,
            body,
            trailers,
            connection,
            peer,
        }))
    }
}

fn handshake_of(connection: usize, accepted: &io::Result<TlsStream<TcpStream>>) -> Handshake {
    let tls = accepted.as_ref().ok().map(|stream| stream.get_ref().1);
    Handshake {
        connection,
        resumed: tls.and_then(|tls| tls.handshake_kind()) == Some(HandshakeKind::Resumed),
        version: tls.and_then(|tls| tls.protocol_version()),
        server_name: tls.and_then(|tls| tls.server_name()).map(str::to_owned),
        alpn: tls.and_then(|tls| tls.alpn_protocol()).map(<[u8]>::to_vec),
        error: accepted.as_ref().err().map(ToString::to_string),
    }
}

/// Plays one step; says whether the connection goes on.
async fn play(wire: &mut Wire<TlsStream<TcpStream>>, step: Step) -> io::Result<bool> {
    match step {
        Step::Send(bytes) => wire.send(bytes).await?,
        Step::Drip(bytes, pause) => {
            for byte in bytes {
                tokio::time::sleep(pause).await;
                wire.send([byte]).await?;
            }
        }
        Step::Flood(bytes) => loop {
            wire.send(&bytes).await?;
        },
        Step::Pause(time) => tokio::time::sleep(time).await,
        Step::Gate(gate) => gate.notified().await,
        Step::Hang => {
            wire.read_to_end().await?;
            return Ok(false);
        }
        Step::Close => {
            wire.stream.shutdown().await?;
            return Ok(false);
        }
        Step::Cut => return Ok(false),
        Step::Read(count) => drop(wire.read_exact(count).await?),
        Step::Echo => loop {
            let bytes = wire.buffered().to_vec();
            wire.read_exact(bytes.len()).await?;
            wire.send(bytes).await?;
            if wire.fill().await? == 0 {
                return Ok(false);
            }
        },
    }
    Ok(true)
}

/// A TCP listener without TLS: it says what it is told to, closes or not, and counts what comes.
/// As a service it never completes a handshake.
pub struct Plain {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
    acceptor: tokio::task::JoinHandle<()>,
}

impl Plain {
    /// Sends `answer` to whoever has sent something, and then is silent.
    pub async fn start(answer: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let received = Arc::new(Mutex::new(Vec::new()));
        let (record, answer) = (Arc::clone(&received), answer.to_vec());
        let acceptor = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let (record, answer) = (Arc::clone(&record), answer.clone());
                tasks.spawn(async move {
                    let mut wire = Wire::new(stream);
                    let mut first = true;
                    while let Ok(1..) = wire.fill().await {
                        let bytes = wire.buffered().to_vec();
                        drop(wire.read_exact(bytes.len()).await);
                        record.lock().expect("the record").extend(bytes);
                        if std::mem::take(&mut first) && !answer.is_empty() {
                            drop(wire.send(&answer).await);
                        }
                    }
                });
            }
        });
        Self {
            address,
            received,
            acceptor,
        }
    }

    /// All bytes that came, over all connections.
    pub fn received(&self) -> Vec<u8> {
        self.received.lock().expect("the record").clone()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
