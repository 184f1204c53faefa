//! [`Connection`]: one connection to an authorization service, and the questions on it.
//!
//! gRPC's framing (unary, without compression) is all that is spoken, by hand on `h2`: what is wrong
//! with an answer is told apart here, and each of its parts has its bound.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{Ping, RecvStream};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::failure::{Failure, Unusable};
use crate::identity::certificate::PeerIdentity;
use crate::upstream::{Lease, ServiceStream, UpstreamFacts};

/// What `Check` of Envoy's protocol is called at.
const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
const GRPC: &str = "application/grpc";
/// What a yes or a no takes: header fields and a page that says why not.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// A byte for compression, four for the length.
const PREFIX_BYTES: usize = 5;
/// Headers and trailers of an answer: a status and a sentence.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// What may be on its way of one answer before it is looked at.
const STREAM_BYTES: u32 = 96 << 10;
/// Of all answers together. More of them wait.
const CONNECTION_BYTES: u32 = 1 << 20;

/// A connection whose other end proved that it may answer.
pub(super) struct Connection {
    group_key: u64,
    identity: Arc<PeerIdentity>,
    lease: Arc<Lease>,
    requests: SendRequest<Bytes>,
    /// Answers so far.
    answers: AtomicU64,
    driver: AbortHandle,
}

/// Why a connection did not begin.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// The service ended it: it looks at our certificate when the handshake is complete for us.
    Refused(Option<io::Error>),
    /// For another reason.
    Failed(Failure),
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Ended {
    /// The service took back what it had not answered, on a connection that goes on.
    Reset,
    /// The connection is of no more use; another may be.
    Broken,
    /// There is nothing more to be had.
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Unusable> for Ended {
    fn from(unusable: Unusable) -> Self {
        Self::Failed(Failure::Unusable(unusable))
    }
}

impl Connection {
    /// Begins HTTP/2 on a stream that was proven, and waits for the first sign that the service takes
    /// us for whom we say we are: an answer to a ping.
    ///
    /// # Errors
    ///
    /// [`NotBegun`]. The service was told nothing then.
    pub(super) async fn begin(stream: ServiceStream, deadline: Instant) -> Result<Self, NotBegun> {
        let facts: &UpstreamFacts = stream.facts().ok_or(NotBegun::Failed(Failure::NotProven))?;
        if facts.tls.alpn != "h2" {
            return Err(NotBegun::Failed(Failure::Unusable(Unusable::NotGrpc)));
        }
        let group_key = facts.group_key;
        let (identity, lease) = (Arc::clone(&facts.identity), Arc::clone(&facts.lease));
        let began = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(HEADER_BYTES_MAX)
            .initial_window_size(STREAM_BYTES)
            .initial_connection_window_size(CONNECTION_BYTES)
            .handshake(stream)
            .await;
        let (requests, mut connection) =
            began.map_err(|error| NotBegun::Refused(error.into_io()))?;
        let ping = connection.ping_pong();
        let driver = tokio::spawn(connection);
        let begun = Self {
            group_key,
            identity,
            lease,
            requests,
            answers: AtomicU64::new(0),
            driver: driver.abort_handle(), // ends with this value
        };
        let mut ping = ping.ok_or(NotBegun::Failed(Failure::Unavailable))?;
        match timeout_at(deadline, ping.ping(Ping::opaque())).await {
            Ok(Ok(_pong)) => Ok(begun),
            Ok(Err(_ended)) => {
                let ended = timeout_at(deadline, driver).await;
                let error = ended.ok().and_then(Result::ok).and_then(Result::err);
                Err(NotBegun::Refused(error.and_then(h2::Error::into_io)))
            }
            Err(_elapsed) => Err(NotBegun::Failed(Failure::TimedOut)),
        }
    }

    /// Whether it may be asked again: it is open, and the certificate at the other end is in time.
    pub(super) fn is_usable(&self, group_key: u64, now: i64) -> bool {
        self.group_key == group_key && !self.driver.is_finished() && self.identity.not_after >= now
    }

    /// How many questions the service takes at a time, as it says now.
    pub(super) fn streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// How many answers it has given.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// Asks, and reads the one message of the answer.
    ///
    /// # Errors
    ///
    /// [`Ended`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the question back.
    pub(super) async fn ask(
        &self,
        authority: &str,
        message: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Ended> {
        let _in_use = self.lease.take();
        let mut requests = self
            .requests
            .clone()
            .ready()
            .await
            .map_err(|error| broken(&error))?;
        let head = head(authority, limit).ok_or(Ended::Broken)?;
        let (answer, mut body) = requests
            .send_request(head, false)
            .map_err(|error| broken(&error))?;
        body.send_data(framed(&message)?, true)
            .map_err(|error| broken(&error))?;
        let (head, mut body) = answer.await.map_err(|error| broken(&error))?.into_parts();
        self.answers.fetch_add(1, Relaxed);
        check_head(head.status, &head.headers)?;
        let bytes = read(&mut body).await?;
        let trailers = body.trailers().await.map_err(|error| broken(&error))?;
        check_status(&head.headers, trailers.as_ref())?;
        unframed(bytes)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn broken(error: &h2::Error) -> Ended {
    if error.is_reset() {
        Ended::Reset
    } else {
        Ended::Broken
    }
}

fn head(authority: &str, limit: Duration) -> Option<Request<()>> {
    let uri = Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query(METHOD);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.build().ok()?;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let timeout = format!("{}m", limit.as_millis());
    headers.insert("grpc-timeout", HeaderValue::from_str(&timeout).ok()?);
    Some(request)
}

fn framed(message: &Bytes) -> Result<Bytes, Ended> {
    let length = u32::try_from(message.len()).map_err(|_too_long| Ended::Broken)?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES.saturating_add(message.len()));
    framed.put_u8(0); // not compressed
    framed.put_u32(length);
    framed.put_slice(message);
    Ok(framed.freeze())
}

/// What stands in front of a service says that it is away with these (gRPC's own mapping).
fn check_head(status: StatusCode, headers: &HeaderMap) -> Result<(), Ended> {
    match status {
        StatusCode::OK => {}
        // How many ask is up to clients: it is there, and not away.
        StatusCode::TOO_MANY_REQUESTS => return Err(Failure::Busy.into()),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            return Err(Failure::Unavailable.into());
        }
        _another => return Err(Unusable::NotGrpc.into()),
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.strip_prefix(GRPC.as_bytes()));
    match kind {
        Some([] | [b'+' | b';', ..]) => Ok(()),
        Some(_) | None => Err(Unusable::NotGrpc.into()),
    }
}

async fn read(body: &mut RecvStream) -> Result<Bytes, Ended> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| broken(&error))?;
        let flow = body.flow_control();
        flow.release_capacity(piece.len())
            .map_err(|error| broken(&error))?;
        if bytes.len().saturating_add(piece.len()) > PREFIX_BYTES.saturating_add(MESSAGE_BYTES_MAX)
        {
            return Err(Unusable::TooLarge.into());
        }
        bytes.extend_from_slice(&piece);
        if announced(&bytes).is_some_and(|length| length > MESSAGE_BYTES_MAX) {
            return Err(Unusable::TooLarge.into());
        }
    }
    Ok(bytes.freeze())
}

/// How long the message says that it is.
fn announced(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok(),
        _shorter => None,
    }
}

/// `grpc-status`, which stands once: in the trailers, or in the head if there is nothing else.
fn check_status(head: &HeaderMap, trailers: Option<&HeaderMap>) -> Result<(), Ended> {
    let fields = [Some(head), trailers].into_iter().flatten();
    let mut codes = fields.flat_map(|fields| fields.get_all("grpc-status"));
    let code = codes.next();
    if codes.next().is_some() {
        return Err(Unusable::Contradiction.into());
    }
    let of_trailers = trailers.is_none_or(|trailers| trailers.contains_key("grpc-status"));
    let code = code.filter(|_| of_trailers);
    let code = code.and_then(|code| code.to_str().ok());
    // A number in its one spelling.
    let number = code.and_then(|text| text.parse::<u32>().ok().filter(|n| n.to_string() == text));
    match number {
        Some(0) => Ok(()),
        Some(DEADLINE_EXCEEDED) => Err(Failure::TimedOut.into()),
        Some(UNAVAILABLE) => Err(Failure::Unavailable.into()),
        Some(code) => Err(Failure::Failed(code).into()),
        None => Err(Unusable::NotGrpc.into()),
    }
}

const DEADLINE_EXCEEDED: u32 = 4;
const UNAVAILABLE: u32 = 14;

/// The one message, which is not compressed: we have not said that we read that.
fn unframed(mut bytes: Bytes) -> Result<Bytes, Ended> {
    let length = announced(&bytes).ok_or(Unusable::Message)?;
    let prefix = bytes.split_to(PREFIX_BYTES);
    if prefix.first() == Some(&0) && length == bytes.len() {
        Ok(bytes)
    } else {
        Err(Unusable::Message.into())
    }
}
