//! [`serve`]: the plain HTTP listener for HTTP-01 challenges (RFC 8555, section 8.3).
//!
//! It answers the tokens of this moment and nothing else: it reads no body, redirects nowhere and
//! knows nothing of routes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::challenge::Challenges;

/// Connections at a time; more wait in the socket's queue. A CA makes a handful.
const CONNECTIONS_MAX: usize = 64;
/// From accept to the end of the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// The head of a request. hyper takes no less.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// After an `accept` that fails (no file descriptor is left), another try would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const PREFIX: &str = "/.well-known/acme-challenge/";

/// Answers until it is dropped.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and every connection.
pub async fn serve(listener: TcpListener, challenges: Arc<Challenges>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&challenges)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the HTTP-01 listener cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, challenges: Arc<Challenges>) {
    let service = service_fn(move |request| {
        let answer = answer(&request, &challenges);
        async move { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, serving).await {
        tracing::debug!(%error, "an HTTP-01 connection ended early");
    }
}

fn answer(request: &Request<Incoming>, challenges: &Challenges) -> Response<Full<Bytes>> {
    let asked = request.uri().path().strip_prefix(PREFIX);
    let token = asked.filter(|_| request.method() == Method::GET);
    let found = token.and_then(|token| challenges.http(token));
    let (status, body) = match found {
        Some(authorization) => (StatusCode::OK, Bytes::from(String::from(authorization))),
        None => (StatusCode::NOT_FOUND, Bytes::from_static(b"not found\n")),
    };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    // RFC 8555, section 8.3.
    let kind = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}
