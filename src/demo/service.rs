//! A sample service: HTTP/1.1 over mTLS. It answers the gateway alone, with what arrived.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::identity::certificate::peer_identity;

use super::DemoError;

/// Who answers, and to whom.
pub(super) struct Service {
    identity: String,
    /// The one caller that gets an answer.
    answers: String,
    tls: TlsAcceptor,
}

/// A demo has one client at a time; the gateway keeps a few connections.
const CONNECTIONS_MAX: usize = 256;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
const HEAD_WITHIN: Duration = Duration::from_secs(300);

impl Service {
    pub(super) const fn new(identity: String, answers: String, tls: TlsAcceptor) -> Self {
        Self {
            identity,
            answers,
            tls,
        }
    }

    /// What arrived, and from whom.
    async fn answer(&self, caller: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, mut body) = request.into_parts();
        if caller != self.answers {
            let problem = json!({"service": self.identity, "refused": caller});
            return response(StatusCode::FORBIDDEN, &problem);
        }
        let mut body_bytes = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            body_bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        let told = json!({
            "service": self.identity,
            "called_by": caller,
            "method": head.method.as_str(),
            "path": head.uri.to_string(),
            "headers": headers(&head.headers),
            "body_bytes": body_bytes,
        });
        response(StatusCode::OK, &told)
    }
}

/// Listens on an address; port 0 for any free one.
///
/// # Errors
///
/// [`DemoError::Port`].
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, DemoError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| DemoError::Port { address, error })
}

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                if let Ok((socket, _from)) = accepted {
                    connections.spawn(connection(socket, Arc::clone(&service)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. Whatever fails ends it; the gateway says what it saw.
async fn connection(socket: TcpStream, service: Arc<Service>) {
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, service.tls.accept(socket)).await else {
        return;
    };
    let leaf = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let caller = match leaf.map(|leaf| peer_identity(leaf)) {
        Some(Ok(peer)) => peer.display(),
        Some(Err(_)) | None => "nobody".to_owned(),
    };
    let answer =
        service_fn(|request| async { Ok::<_, Infallible>(service.answer(&caller, request).await) });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    match served {
        Ok(()) | Err(_) => {}
    }
}

/// The header fields as they arrived; of credentials only that they did.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let texts: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let text = if name == AUTHORIZATION {
            "(arrived, not shown)".to_owned()
        } else {
            texts.join(", ")
        };
        shown.insert(name.as_str().to_owned(), json!(text));
    }
    shown
}

fn response(status: StatusCode, told: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{told:#}\n")));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
