//! The client: TLS with any certificate, name, version and resumption; HTTP/1.1 as bytes or by
//! convenience; HTTP/2 by the `h2` crate. Frames made by hand are in [`super::raw_h2`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http1::{Answer, Fields, Request, Wire};
use super::pki::{Authority, Identity};
use super::{PATIENCE, provider, within};

/// The host of the standard configuration.
pub const HOST: &str = "api.example.com";

/// How to connect. A value of it may connect many times; with `.resumption()` it resumes.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: Option<Arc<Identity>>,
    server_name: String,
    send_sni: bool,
    host: String,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    source: Option<IpAddr>,
    resumption: Resumption,
    /// Roots, certificate and versions as rustls wants them. Kept, for rustls resumes a session
    /// only with the very verifier and certificate that began it.
    base: Arc<OnceLock<ClientConfig>>,
}

/// How the server turned the client down.
#[derive(Debug)]
pub enum Rejection {
    /// By a TLS alert, or our side stopped: the error says.
    Tls(rustls::Error),
    /// By closing the connection.
    Closed,
}

impl Client {
    /// Trusts `authority`, shows no certificate, sends [`HOST`] as SNI, offers no ALPN.
    pub fn new(address: SocketAddr, authority: &Authority) -> Self {
        Self {
            address,
            roots: authority.roots(),
            chain: Vec::new(),
            key: None,
            server_name: HOST.to_owned(),
            send_sni: true,
            host: HOST.to_owned(),
            alpn: Vec::new(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            source: None,
            resumption: Resumption::disabled(),
            base: Arc::default(),
        }
    }

    /// Shows this certificate.
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.chain = identity.chain.clone();
        self.key = Some(Arc::new(identity.duplicate()));
        self.base = Arc::default();
        self
    }

    /// Trusts these CAs, and not the bench's.
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.roots = roots;
        self.base = Arc::default();
        self
    }

    /// Shows this chain, whatever it is, and signs with the identity's key.
    pub fn chain(mut self, chain: Vec<CertificateDer<'static>>) -> Self {
        self.chain = chain;
        self.base = Arc::default();
        self
    }

    /// The SNI, the name that the server must prove, and the default `Host`.
    pub fn name(mut self, name: &str) -> Self {
        self.server_name = name.to_owned();
        self.host = name.to_owned();
        self
    }

    /// The default `Host` alone.
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// Sends no SNI; the server must prove the name all the same.
    pub fn without_sni(mut self) -> Self {
        self.send_sni = false;
        self
    }

    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    /// `&rustls::version::TLS12`, `&rustls::version::TLS13`.
    pub fn versions(mut self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions.to_vec();
        self.base = Arc::default();
        self
    }

    /// Connects from this address (any of 127.0.0.0/8).
    pub fn source(mut self, address: &str) -> Self {
        self.source = Some(address.parse().expect("an address"));
        self
    }

    /// Keeps sessions from now on: later connections of this value and its clones resume.
    pub fn resumption(mut self) -> Self {
        self.resumption = Resumption::in_memory_sessions(64);
        self
    }

    /// Connects to another address.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Where it connects.
    pub const fn target(&self) -> SocketAddr {
        self.address
    }

    /// The TLS configuration of its connections.
    pub fn config(&self) -> ClientConfig {
        let mut config = self.base.get_or_init(|| self.base_config()).clone();
        config.alpn_protocols.clone_from(&self.alpn);
        config.enable_sni = self.send_sni;
        config.resumption = self.resumption.clone();
        config
    }

    fn base_config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        match &self.key {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = provider().key_provider.load_private_key(identity.key_der());
                let key = rustls::sign::CertifiedKey::new(self.chain.clone(), key.expect("a key"));
                let resolver = rustls::sign::SingleCertAndKey::from(key);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
        }
    }

    /// A bare TCP connection to the same place.
    pub async fn tcp(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = within("TCP connect", socket.connect(self.address)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Connects, or says why not. In TLS 1.3 a server that refuses our certificate says so only
    /// after this has succeeded: see [`Client::rejection`].
    pub async fn try_connect(&self) -> io::Result<Connection> {
        let stream = self.tcp().await?;
        let name = ServerName::try_from(self.server_name.clone()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(self.config()));
        let stream = within("TLS connect", connector.connect(name, stream)).await?;
        Ok(Connection {
            wire: Wire::new(stream),
            host: self.host.clone(),
        })
    }

    /// Connects; panics if it cannot.
    pub async fn connect(&self) -> Connection {
        match self.try_connect().await {
            Ok(connection) => connection,
            Err(error) => panic!("cannot connect to {}: {error}", self.address),
        }
    }

    /// Connects and returns how the server turned us down; panics if it did not in time.
    pub async fn rejection(&self) -> Rejection {
        let error = match self.try_connect().await {
            Err(error) => error,
            Ok(mut connection) => match within("a rejection", connection.wire.fill()).await {
                Ok(0) => return Rejection::Closed,
                Ok(_) => panic!("the server spoke: {:?}", connection.wire.buffered()),
                Err(error) => error,
            },
        };
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        inner.map_or(Rejection::Closed, |tls| Rejection::Tls(tls.clone()))
    }

    /// One request on a connection of its own.
    pub async fn request(&self, request: &Request) -> Answer {
        self.connect().await.request(request).await
    }

    /// One GET on a connection of its own.
    pub async fn get(&self, target: &str) -> Answer {
        self.request(&Request::get(target)).await
    }

    /// An HTTP/2 connection (ALPN `h2` alone).
    pub async fn connect_h2(&self) -> H2 {
        let connection = self.clone().alpn(&["h2"]).connect().await;
        assert_eq!(connection.alpn(), "h2", "the server must choose h2");
        let host = connection.host.clone();
        let (sender, driver) = h2::client::handshake(connection.wire.stream)
            .await
            .expect("an h2 preface");
        let driver = tokio::spawn(driver);
        H2 {
            sender,
            driver,
            host,
        }
    }
}

/// An open TLS connection.
#[derive(Debug)]
pub struct Connection {
    pub wire: Wire<TlsStream<TcpStream>>,
    host: String,
}

impl Connection {
    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("sending", self.wire.send(bytes)).await
    }

    /// Sends a request and reads its answer; an end or an error of the connection is an error.
    pub async fn try_request(&mut self, request: &Request) -> io::Result<Answer> {
        let bytes = request.bytes(&self.host);
        // An early refusal may close the way there while the answer is on its way back.
        let sent = self.send(bytes).await;
        let answer = within("an answer", self.wire.read_answer(&request.method)).await;
        sent.and(answer)
    }

    pub async fn request(&mut self, request: &Request) -> Answer {
        let answer = self.try_request(request).await;
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    pub async fn get(&mut self, target: &str) -> Answer {
        self.request(&Request::get(target)).await
    }

    /// Sends bytes as they are and reads one answer (as to a GET).
    pub async fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<Answer> {
        self.send(bytes).await?;
        self.read_answer().await
    }

    /// Reads one answer (as to a GET).
    pub async fn read_answer(&mut self) -> io::Result<Answer> {
        within("an answer", self.wire.read_answer("GET")).await
    }

    /// Waits until the server closes; returns what it sent before. Panics if it does not in time.
    pub async fn closed(&mut self) -> Vec<u8> {
        self.closed_within(PATIENCE).await
    }

    pub async fn closed_within(&mut self, time: Duration) -> Vec<u8> {
        let waited = tokio::time::timeout(time, async {
            while matches!(self.wire.fill().await, Ok(1..)) {}
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("the server keeps the connection open"));
        self.wire.buffered().to_vec()
    }

    pub fn resumed(&self) -> bool {
        self.tls().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub fn version(&self) -> ProtocolVersion {
        self.tls().protocol_version().expect("a finished handshake")
    }

    /// The protocol that the server chose; empty if none.
    pub fn alpn(&self) -> String {
        String::from_utf8_lossy(self.tls().alpn_protocol().unwrap_or_default()).into_owned()
    }

    /// The leaf certificate that the server showed.
    pub fn server_certificate(&self) -> CertificateDer<'static> {
        self.tls().peer_certificates().expect("a certificate")[0]
            .clone()
            .into_owned()
    }

    pub fn tls(&self) -> &rustls::ClientConnection {
        self.wire.stream.get_ref().1
    }

    /// The address that the connection comes from.
    pub fn local_address(&self) -> SocketAddr {
        self.wire
            .stream
            .get_ref()
            .0
            .local_addr()
            .expect("a bound socket")
    }
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub struct H2 {
    pub sender: h2::client::SendRequest<Bytes>,
    /// Ends when the connection ends: `Ok` after a GOAWAY without error.
    pub driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
    host: String,
}

impl H2 {
    /// Sends a request (its `host` becomes `:authority`) and reads its answer.
    pub async fn try_request(&mut self, request: &Request) -> Result<Answer, h2::Error> {
        let (response, _stream) = self.start(request).await?;
        within("an h2 answer", read_h2(response)).await
    }

    pub async fn request(&mut self, request: &Request) -> Answer {
        let answer = self.try_request(request).await;
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    pub async fn get(&mut self, target: &str) -> Answer {
        self.request(&Request::get(target)).await
    }

    /// Sends a request and leaves its answer to be read by [`read_h2`]. Without a body in
    /// `request` the stream is closed on our side.
    pub async fn start(
        &mut self,
        request: &Request,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let sender = within("an h2 stream", self.sender.clone().ready()).await?;
        self.sender = sender;
        let head = self.head(request);
        let (response, mut stream) = self.sender.send_request(head, request.body.is_none())?;
        if let Some(body) = &request.body {
            stream.send_data(Bytes::from(body.clone()), true)?;
        }
        Ok((response, stream))
    }

    /// Sends the head alone; the body is the caller's.
    pub async fn open(
        &mut self,
        request: &Request,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let sender = within("an h2 stream", self.sender.clone().ready()).await?;
        self.sender = sender;
        let head = self.head(request);
        self.sender.send_request(head, false)
    }

    fn head(&self, request: &Request) -> http::Request<()> {
        let host = request.host.as_deref().unwrap_or(&self.host);
        let mut head = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("https://{host}{}", request.target))
            .version(http::Version::HTTP_2);
        for (name, value) in &request.headers {
            head = head.header(name.to_ascii_lowercase(), value);
        }
        head.body(())
            .expect("a request that h2 can say; else use RawH2")
    }

    /// Waits until the connection has ended. That our own GOAWAY came after the gateway had closed
    /// is no error: nobody says who is first.
    pub async fn ended(self) -> Result<(), h2::Error> {
        drop(self.sender);
        let ended = within("the end of the h2 connection", self.driver)
            .await
            .expect("the driver");
        let late = |error: &h2::Error| {
            let kind = error.get_io().map(io::Error::kind);
            kind == Some(io::ErrorKind::BrokenPipe)
        };
        match ended {
            Err(error) if late(&error) => Ok(()),
            ended => ended,
        }
    }
}

/// Reads the answer of a stream that [`H2::start`] began.
pub async fn read_h2(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: fields_of(&head.headers),
        body,
        trailers: fields_of(&trailers),
        ..Answer::default()
    })
}

fn fields_of(map: &http::HeaderMap) -> Fields {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Fields(
        map.iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
    )
}
