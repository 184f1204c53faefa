//! An authorization service for tests: `envoy.service.auth.v3.Authorization` over HTTP/2 and mTLS,
//! spoken with the `h2` crate alone, so that it can also do what no gRPC server would.
//!
//! Messages are written and read byte by byte, with the field numbers of Envoy's own files: nothing of
//! the gateway's code is used.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::bench::World;
use crate::bench::pki::{Authority, Identity, Leaf};
use crate::bench::service::server_config;
use crate::bench::within;

pub const ID: &str = "spiffe://mesh.example/ns/policy/sa/opa";
pub const NAME: &str = "opa.internal";
const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";

/// What it does with a question.
#[derive(Clone, Debug)]
pub enum Script {
    /// Answers with this message.
    Say(Vec<u8>),
    /// Says that a message of this length comes, and sends zeros.
    Zeros(usize),
    /// Answers with these bytes as the body, whatever they are.
    Raw(Vec<u8>),
    /// Reads the question and says nothing.
    Hang,
    /// Ends with this status of gRPC.
    Status(u32),
    /// Answers with this status of HTTP.
    Http(u16),
    /// Answers with so many header fields of HTTP.
    Fields(usize),
    /// Sends a message and ends without trailers.
    NoTrailers(Vec<u8>),
    /// Resets the stream.
    Reset,
    /// Resets the stream with this code.
    ResetWith(u32),
    /// Answers with this message behind 80 KiB of header fields.
    LongHead(Vec<u8>),
    /// Answers with this message, and with these values of `grpc-status` in head and trailers.
    Statuses(Vec<u8>, &'static [&'static str], &'static [&'static str]),
    /// Drops the connection.
    Cut,
}

/// A question, read.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub connection: usize,
    pub fields: HeaderMap,
    pub principal: String,
    pub certificate: String,
    pub source: String,
    pub sni: String,
    pub method: String,
    pub path: String,
    pub host: String,
    pub scheme: String,
    pub protocol: String,
    pub size: i64,
    pub headers: BTreeMap<String, String>,
    pub context: BTreeMap<String, String>,
    /// The whole message.
    pub bytes: Vec<u8>,
}

type Decide = dyn Fn(&Question) -> Script + Send + Sync;

/// A service that runs until it is dropped or stopped.
pub struct Service {
    pub address: SocketAddr,
    state: Arc<State>,
    task: Option<JoinHandle<()>>,
}

struct State {
    config: Mutex<Arc<ServerConfig>>,
    decide: Mutex<Arc<Decide>>,
    questions: Mutex<Vec<Question>>,
    /// How many connections were accepted, handshakes completed, connections closed, and bytes of the
    /// application that came.
    counts: watch::Sender<Counts>,
    /// How many questions it takes at a time, as it says.
    streams: Mutex<Option<u32>>,
    /// Told when no more connections are taken.
    full: watch::Sender<()>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: usize,
    pub handshakes: usize,
    pub closed: usize,
    pub questions: usize,
    pub bytes: usize,
}

/// Its certificate.
pub fn identity(world: &World) -> Identity {
    world.mesh.issue(Leaf::server("opa").spiffe(ID).dns(NAME))
}

fn tls(identity: &Identity, clients: &Authority) -> Arc<ServerConfig> {
    let alpn = [b"h2".to_vec()];
    let config = server_config(identity, &clients.roots(), &alpn, rustls::ALL_VERSIONS);
    Arc::new(config)
}

impl Service {
    /// One that says yes to everything, and takes clients of the mesh alone.
    pub async fn start(world: &World) -> Self {
        Self::start_as(world, &identity(world)).await
    }

    pub async fn start_as(world: &World, identity: &Identity) -> Self {
        let mut service = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            state: Arc::new(State {
                config: Mutex::new(tls(identity, &world.mesh)),
                decide: Mutex::new(Arc::new(|_| Script::Say(yes()))),
                questions: Mutex::default(),
                counts: watch::Sender::default(),
                streams: Mutex::default(),
                full: watch::Sender::default(),
            }),
            task: None,
        };
        service.listen().await;
        service
    }

    /// Listens again, where it listened before.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("a free port");
        self.address = listener.local_addr().expect("an address");
        let state = Arc::clone(&self.state);
        self.task = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut full = state.full.subscribe();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = full.changed() => break,
                };
                let Ok((stream, _)) = accepted else { break };
                let mut number = 0;
                state.counts.send_modify(|counts| {
                    counts.connections += 1;
                    number = counts.connections;
                });
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    let _ended = serve(stream, number, Arc::clone(&state)).await;
                    state.counts.send_modify(|counts| counts.closed += 1);
                });
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        }));
    }

    /// Takes no more connections; those that are open go on.
    pub async fn close_door(&self) {
        self.state.full.send_replace(());
        let open = async { while TcpStream::connect(self.address).await.is_ok() {} };
        within("the door to close", open).await;
    }

    /// Closes the listener and every connection.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            drop(task.await);
        }
    }

    pub fn play(&self, script: Script) {
        self.decide(move |_| script.clone());
    }

    pub fn decide(&self, decide: impl Fn(&Question) -> Script + Send + Sync + 'static) {
        *self.state.decide.lock().expect("the script") = Arc::new(decide);
    }

    /// Another identity, or other clients, from the next handshake on.
    pub fn set_tls(&self, identity: &Identity, clients: &Authority) {
        *self.state.config.lock().expect("the TLS") = tls(identity, clients);
    }

    /// How many questions it takes at a time, from the next connection on.
    pub fn set_streams(&self, streams: u32) {
        *self.state.streams.lock().expect("the bound") = Some(streams);
    }

    pub fn counts(&self) -> Counts {
        *self.state.counts.borrow()
    }

    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&Counts) -> bool) {
        let mut counts = self.state.counts.subscribe();
        drop(within(what, counts.wait_for(wanted)).await.expect("alive"));
    }

    pub fn questions(&self) -> Vec<Question> {
        self.state.questions.lock().expect("the questions").clone()
    }

    pub fn last(&self) -> Question {
        self.questions().pop().expect("a question")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn serve(stream: TcpStream, number: usize, state: Arc<State>) -> Option<()> {
    let config = Arc::clone(&state.config.lock().expect("the TLS"));
    let mut stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
    state.counts.send_modify(|counts| counts.handshakes += 1);
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        return None;
    }
    let mut builder = h2::server::Builder::new();
    let most = *state.streams.lock().expect("the bound");
    if let Some(most) = most {
        builder.max_concurrent_streams(most);
    }
    let mut connection = builder.handshake(stream).await.ok()?;
    let mut streams = JoinSet::new();
    let (cut, mut is_cut) = watch::channel(false);
    loop {
        let next = tokio::select! {
            next = connection.accept() => next,
            _ = is_cut.changed() => return None,
        };
        let (request, respond) = next?.ok()?;
        let (state, cut) = (Arc::clone(&state), cut.clone());
        streams.spawn(async move { drop(answer(request, respond, number, &state, &cut).await) });
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    connection: usize,
    state: &State,
    cut: &watch::Sender<bool>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    let fits = head.uri.path() == METHOD && head.headers["content-type"] == "application/grpc";
    let question = read_question(connection, head.headers, &bytes[5..]);
    let decide = Arc::clone(&state.decide.lock().expect("the script"));
    let script = if fits {
        decide(&question)
    } else {
        Script::Status(12)
    };
    state
        .questions
        .lock()
        .expect("the questions")
        .push(question);
    state.counts.send_modify(|counts| {
        counts.questions += 1;
        counts.bytes += bytes.len();
    });
    match script {
        Script::Say(message) => {
            let mut body = respond.send_response(grpc(), false)?;
            send(&mut body, framed(message.len(), &message)).await?;
            body.send_trailers(trailers(0))
        }
        Script::NoTrailers(message) => {
            let mut body = respond.send_response(grpc(), false)?;
            body.send_data(framed(message.len(), &message), true)
        }
        Script::Zeros(length) => {
            let mut body = respond.send_response(grpc(), false)?;
            send(&mut body, framed(length, &vec![0; length])).await?;
            body.send_trailers(trailers(0))
        }
        Script::Raw(bytes) => {
            let mut body = respond.send_response(grpc(), false)?;
            send(&mut body, bytes.into()).await?;
            body.send_trailers(trailers(0))
        }
        Script::Hang => {
            std::future::pending::<()>().await;
            Ok(())
        }
        Script::Status(code) => {
            let mut head = grpc();
            head.headers_mut().extend(trailers(code));
            respond.send_response(head, true).map(drop)
        }
        Script::Http(status) => {
            let head = Response::builder().status(status).body(()).expect("a head");
            respond.send_response(head, true).map(drop)
        }
        Script::Fields(count) => {
            let mut head = grpc();
            for number in 0..count {
                let name = format!("x-field-{number}").parse::<http::HeaderName>();
                head.headers_mut()
                    .insert(name.expect("a name"), "1".parse().expect("a value"));
            }
            respond.send_response(head, true).map(drop)
        }
        Script::Reset => {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
            Ok(())
        }
        Script::ResetWith(code) => {
            respond.send_reset(code.into());
            Ok(())
        }
        Script::LongHead(message) => {
            let mut head = grpc();
            for number in 0..200 {
                let name = format!("x-field-{number}").parse::<http::HeaderName>();
                let value = "a".repeat(400).parse().expect("a value");
                head.headers_mut().insert(name.expect("a name"), value);
            }
            let mut body = respond.send_response(head, false)?;
            send(&mut body, framed(message.len(), &message)).await?;
            body.send_trailers(trailers(0))
        }
        Script::Statuses(message, of_head, of_trailers) => {
            let fields = |values: &[&'static str]| {
                let values = values
                    .iter()
                    .map(|value| http::HeaderValue::from_static(value));
                let name = http::HeaderName::from_static("grpc-status");
                values.map(|value| (name.clone(), value)).fold(
                    HeaderMap::new(),
                    |mut fields, (name, value)| {
                        fields.append(name, value);
                        fields
                    },
                )
            };
            let mut head = grpc();
            head.headers_mut().extend(fields(of_head));
            let mut body = respond.send_response(head, false)?;
            send(&mut body, framed(message.len(), &message)).await?;
            body.send_trailers(fields(of_trailers))
        }
        Script::Cut => {
            cut.send_replace(true);
            Ok(())
        }
    }
}

fn grpc() -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc+proto");
    head.body(()).expect("a head")
}

fn trailers(code: u32) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    trailers
}

fn framed(announced: usize, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(announced).expect("short"));
    framed.extend_from_slice(message);
    framed.freeze()
}

async fn send(body: &mut h2::SendStream<Bytes>, mut bytes: Bytes) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len());
        let Some(capacity) = std::future::poll_fn(|context| body.poll_capacity(context)).await
        else {
            return Err(h2::Reason::CANCEL.into());
        };
        let part = bytes.split_to(capacity?.min(bytes.len()));
        body.send_data(part, false)?;
    }
    Ok(())
}

// Messages, written.

/// A `CheckResponse` that says yes.
pub fn yes() -> Vec<u8> {
    field(1, &[])
}

/// That says yes, and what changes: an `OkHttpResponse`.
pub fn yes_with(ok: &[Vec<u8>]) -> Vec<u8> {
    [yes(), field(3, &ok.concat())].concat()
}

/// That says no: `PERMISSION_DENIED`.
pub fn no() -> Vec<u8> {
    field(1, &number(1, 7))
}

/// That says no, and what the client is told: a `DeniedHttpResponse`.
pub fn no_with(denied: &[Vec<u8>]) -> Vec<u8> {
    [no(), field(2, &denied.concat())].concat()
}

/// A status with these codes.
pub fn codes(codes: &[u64]) -> Vec<u8> {
    let codes: Vec<_> = codes.iter().map(|code| number(1, *code)).collect();
    field(1, &codes.concat())
}

/// An empty `OkHttpResponse`, and an empty `DeniedHttpResponse`.
pub fn ok_response() -> Vec<u8> {
    field(3, &[])
}

pub fn denied_response() -> Vec<u8> {
    field(2, &[])
}

/// Parts of an `OkHttpResponse`.
pub fn set(name: &str, value: &str) -> Vec<u8> {
    field(2, &header(name, value))
}

pub fn append(name: &str, value: &str) -> Vec<u8> {
    let option = [header(name, value), field(2, &number(1, 1))].concat();
    field(2, &option)
}

pub fn action(name: &str, value: &str, action: u64) -> Vec<u8> {
    let option = [header(name, value), number(3, action)].concat();
    field(2, &option)
}

pub fn remove(name: &str) -> Vec<u8> {
    field(5, name.as_bytes())
}

pub fn tell(name: &str, value: &str) -> Vec<u8> {
    field(6, &header(name, value))
}

pub fn query(name: &str, value: &str) -> Vec<u8> {
    let parameter = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
    field(7, &parameter)
}

/// Parts of a `DeniedHttpResponse`.
pub fn status(code: u64) -> Vec<u8> {
    field(1, &number(1, code))
}

pub fn denied_field(name: &str, value: &str) -> Vec<u8> {
    field(2, &header(name, value))
}

pub fn body(text: &str) -> Vec<u8> {
    field(3, text.as_bytes())
}

/// A `HeaderValueOption`.
fn header(name: &str, value: &str) -> Vec<u8> {
    let pair = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
    field(1, &pair)
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    varint(&mut message, bytes.len() as u64);
    message.extend_from_slice(bytes);
    message
}

fn number(field: u8, value: u64) -> Vec<u8> {
    let mut message = vec![field << 3];
    varint(&mut message, value);
    message
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        message.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

// Messages, read.

/// The fields of a message: numbers as they are, the rest as bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = take_varint(&mut message);
        match key & 7 {
            0 => found.push((key >> 3, take_varint(&mut message), &[][..])),
            2 => {
                let length = take_varint(&mut message) as usize;
                let (bytes, rest) = message.split_at(length);
                found.push((key >> 3, 0, bytes));
                message = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    found
}

fn take_varint(message: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = message.split_first().expect("a number");
        *message = rest;
        value |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            return value;
        }
    }
}

fn at<'m>(message: &'m [u8], way: &[u64]) -> &'m [u8] {
    way.iter().fold(message, |message, number| {
        let found = fields(message);
        let found = found.iter().find(|(field, ..)| field == number);
        found.map_or(&[][..], |(_, _, bytes)| bytes)
    })
}

fn text(message: &[u8], way: &[u64]) -> String {
    String::from_utf8(at(message, way).to_vec()).expect("UTF-8")
}

fn map(message: &[u8], number: u64) -> BTreeMap<String, String> {
    let entries = fields(message);
    let entries = entries.iter().filter(|(field, ..)| *field == number);
    entries
        .map(|(_, _, entry)| (text(entry, &[1]), text(entry, &[2])))
        .collect()
}

fn read_question(connection: usize, fields_of_http: HeaderMap, bytes: &[u8]) -> Question {
    let attributes = at(bytes, &[1]);
    let http = at(attributes, &[4, 2]);
    let size = fields(http).into_iter().find(|(field, ..)| *field == 9);
    let port = fields(at(attributes, &[1, 1, 1]));
    let port = port.iter().find(|(field, ..)| *field == 3);
    Question {
        connection,
        fields: fields_of_http,
        principal: text(attributes, &[1, 4]),
        certificate: text(attributes, &[1, 5]),
        source: format!(
            "{}:{}",
            text(attributes, &[1, 1, 1, 2]),
            port.map_or(0, |(_, port, _)| *port)
        ),
        sni: text(attributes, &[12, 1]),
        method: text(http, &[2]),
        path: text(http, &[4]),
        host: text(http, &[5]),
        scheme: text(http, &[6]),
        protocol: text(http, &[10]),
        size: size.map_or(0, |(_, size, _)| size as i64),
        headers: map(http, 3),
        context: map(attributes, 10),
        bytes: bytes.to_vec(),
    }
}
