//! An agent of the SPIFFE Workload API for tests: gRPC over HTTP/2 on a Unix socket, spoken with
//! the `h2` crate alone, so that it can also do what no gRPC server would: hang before the first
//! byte, break a message off, send any bytes as one.
//!
//! What it says is one [`Script`] at a time; every open stream follows it, and each change of it is
//! sent to all of them, as a real agent does with each rotation.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use rcgen::IsCa;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::bench::pki::{Authority, Identity, Leaf};
use crate::bench::{World, within};

/// `grpc-status` codes.
pub const INVALID_ARGUMENT: u32 = 3;
pub const PERMISSION_DENIED: u32 = 7;
pub const UNAVAILABLE: u32 = 14;

/// The one method that is asked.
const METHOD: &str = "/SpiffeWorkloadAPI/FetchX509SVID";

/// What the agent says from now on.
#[derive(Clone, Debug)]
pub enum Script {
    /// Sends this message.
    Message(Bytes),
    /// Says that a message of this length comes, and sends zeros.
    Zeros(usize),
    /// Takes the connection and reads nothing.
    Deaf,
    /// Reads the question and says nothing.
    Hang,
    /// Ends the stream with this status.
    Status(u32, String),
    /// Drops the connection.
    Cut,
}

/// An agent that runs until it is dropped or stopped.
#[derive(Debug)]
pub struct Agent {
    pub socket: PathBuf,
    state: Arc<State>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    script: watch::Sender<Script>,
    /// Connections and streams so far.
    connections: watch::Sender<usize>,
    open: watch::Sender<usize>,
    asked: watch::Sender<usize>,
    /// The header fields of the last question.
    headers: Mutex<HeaderMap>,
}

impl Agent {
    /// An agent that is not there yet.
    pub fn new(world: &World) -> Self {
        Self {
            socket: world.folder.join("a.sock"),
            state: Arc::new(State {
                script: watch::Sender::new(Script::Hang),
                connections: watch::Sender::new(0),
                open: watch::Sender::new(0),
                asked: watch::Sender::new(0),
                headers: Mutex::default(),
            }),
            task: None,
        }
    }

    /// An agent that runs and sends this.
    pub fn started(world: &World, answer: &Answer) -> Self {
        let mut agent = Self::new(world);
        agent.send(answer);
        agent.start();
        agent
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    pub fn start(&mut self) {
        drop(std::fs::remove_file(&self.socket));
        let listener = UnixListener::bind(&self.socket).expect("a socket");
        let state = Arc::clone(&self.state);
        self.task = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                state.connections.send_modify(|count| *count += 1);
                state.open.send_modify(|count| *count += 1);
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    drop(serve(stream, Arc::clone(&state)).await);
                    state.open.send_modify(|count| *count -= 1);
                });
            }
        }));
    }

    /// Closes the socket and every connection.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            drop(task.await);
        }
        drop(std::fs::remove_file(&self.socket));
    }

    pub fn send(&self, answer: &Answer) {
        self.play(Script::Message(answer.encode()));
    }

    pub fn play(&self, script: Script) {
        self.state.script.send_replace(script);
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits until nobody is connected.
    pub async fn wait_until_alone(&self) {
        let mut open = self.state.open.subscribe();
        let wait = open.wait_for(|count| *count == 0);
        within("the agent to be left alone", wait)
            .await
            .expect("alive");
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        *self.state.asked.borrow()
    }

    pub async fn wait_until_asked(&self, times: usize) {
        let mut asked = self.state.asked.subscribe();
        let wait = asked.wait_for(|count| *count >= times);
        within("a question to the agent", wait)
            .await
            .expect("alive");
    }

    pub async fn wait_for_connections(&self, number: usize) {
        let mut connections = self.state.connections.subscribe();
        let wait = connections.wait_for(|count| *count >= number);
        within("a connection to the agent", wait)
            .await
            .expect("alive");
    }

    /// The header fields of the last question.
    pub fn headers(&self) -> HeaderMap {
        self.state.headers.lock().expect("the headers").clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn serve(stream: UnixStream, state: Arc<State>) -> Result<(), h2::Error> {
    let mut script = state.script.subscribe();
    while matches!(*script.borrow_and_update(), Script::Deaf) {
        drop(script.changed().await);
    }
    let mut connection = h2::server::handshake(stream).await?;
    let mut streams = JoinSet::new();
    let (cut, mut is_cut) = watch::channel(false);
    loop {
        let next = tokio::select! {
            next = connection.accept() => next,
            _ = is_cut.changed() => return Ok(()),
        };
        let Some(next) = next else { return Ok(()) };
        let (request, respond) = next?;
        let (state, cut) = (Arc::clone(&state), cut.clone());
        streams.spawn(async move { drop(answer(request, respond, &state, &cut).await) });
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    state: &State,
    cut: &watch::Sender<bool>,
) -> Result<(), h2::Error> {
    let (head, _body) = request.into_parts();
    *state.headers.lock().expect("the headers") = head.headers.clone();
    state.asked.send_modify(|count| *count += 1);
    if head.uri.path() != METHOD {
        return end(&mut respond, None, 12, "no such method");
    }
    // As the specification wants it, section 6.2.2: else the question came from a browser.
    if head
        .headers
        .get("workload.spiffe.io")
        .is_none_or(|value| value != "true")
    {
        let text = "security header missing from request";
        return end(&mut respond, None, INVALID_ARGUMENT, text);
    }
    let mut script = state.script.subscribe();
    let mut body: Option<h2::SendStream<Bytes>> = None;
    loop {
        let now = script.borrow_and_update().clone();
        let message = match now {
            Script::Hang | Script::Deaf => None,
            Script::Message(message) => Some(message),
            Script::Zeros(length) => Some(Bytes::from(vec![0; length])),
            Script::Status(code, text) => return end(&mut respond, body, code, &text),
            Script::Cut => {
                cut.send_replace(true);
                return Ok(());
            }
        };
        if let Some(message) = message {
            let body = match &mut body {
                Some(body) => body,
                None => {
                    let head = Response::builder().header("content-type", "application/grpc");
                    let head = head.body(()).expect("a head");
                    body.insert(respond.send_response(head, false)?)
                }
            };
            let mut framed = BytesMut::with_capacity(message.len() + 5);
            framed.put_u8(0);
            framed.put_u32(u32::try_from(message.len()).expect("short"));
            framed.extend_from_slice(&message);
            send(body, framed.freeze()).await?;
        }
        if script.changed().await.is_err() {
            return Ok(());
        }
    }
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

fn end(
    respond: &mut h2::server::SendResponse<Bytes>,
    body: Option<h2::SendStream<Bytes>>,
    code: u32,
    text: &str,
) -> Result<(), h2::Error> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    trailers.insert("grpc-message", text.parse().expect("plain text"));
    match body {
        Some(mut body) => body.send_trailers(trailers),
        None => {
            let mut head = Response::new(());
            *head.headers_mut() = trailers;
            let kind = "application/grpc".parse().expect("plain text");
            head.headers_mut().insert("content-type", kind);
            respond.send_response(head, true).map(drop)
        }
    }
}

/// What an agent sends: `X509SVIDResponse`.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub svids: Vec<Svid>,
    /// Bundles of other trust domains, by their SPIFFE ID.
    pub federated: Vec<(String, Vec<u8>)>,
}

/// `X509SVID`.
#[derive(Clone, Debug)]
pub struct Svid {
    pub id: String,
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
    pub bundle: Vec<u8>,
}

impl Answer {
    /// One certificate, and the CAs of its trust domain.
    pub fn of(id: &str, identity: &Identity, authorities: &[&Authority]) -> Self {
        Self::default().svid(id, identity, authorities)
    }

    /// One certificate more.
    pub fn svid(mut self, id: &str, identity: &Identity, authorities: &[&Authority]) -> Self {
        self.svids.push(Svid {
            id: id.to_owned(),
            chain: identity.chain.iter().flat_map(|der| der.to_vec()).collect(),
            key: identity.key.serialize_der(),
            bundle: ders(authorities),
        });
        self
    }

    /// One bundle of another trust domain more.
    pub fn federated(mut self, trust_domain: &str, authorities: &[&Authority]) -> Self {
        let id = format!("spiffe://{trust_domain}");
        self.federated.push((id, ders(authorities)));
        self
    }

    pub fn encode(&self) -> Bytes {
        let mut message = Vec::new();
        for svid in &self.svids {
            let mut one = Vec::new();
            field(&mut one, 1, svid.id.as_bytes());
            field(&mut one, 2, &svid.chain);
            field(&mut one, 3, &svid.key);
            field(&mut one, 4, &svid.bundle);
            field(&mut message, 1, &one);
        }
        for (domain, bundle) in &self.federated {
            let mut entry = Vec::new();
            field(&mut entry, 1, domain.as_bytes());
            field(&mut entry, 2, bundle);
            field(&mut message, 3, &entry);
        }
        message.into()
    }
}

fn ders(authorities: &[&Authority]) -> Vec<u8> {
    let ders = authorities.iter().flat_map(|ca| ca.der().to_vec());
    ders.collect()
}

/// One field of a protobuf message: bytes, with their length.
fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
}

/// A certificate as agents issue them: for both sides of TLS, and it says that it is no CA's.
pub fn leaf(id: &str) -> Leaf {
    Leaf::both("workload")
        .spiffe(id)
        .change(|params| params.is_ca = IsCa::ExplicitNoCa)
}
