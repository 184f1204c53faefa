//! [`serve`]: the admin listener's HTTP server.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, HeaderValue};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::key_set::{self, KeySets};
use super::query;
use super::readiness::{Readiness, State};
use super::reply::{Answer, Form, of_type, text};
use crate::observe::{self, ClientFilter, FailureFilter, Metrics};

/// Connections at a time. A Prometheus, a kubelet and a few people need a handful; those behind
/// wait in the listener's queue.
const CONNECTIONS_MAX: usize = 64;

/// How long a request's head may take, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may last: one that does not read its answer ends here.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long answers may take to be sent when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a request's head. A scrape has some 500.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// After an `accept` that fails (no file descriptor is left), another try would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What there is.
const CONTENTS: &str = "portcullis\n\n/metrics\n/livez\n/readyz\n/.well-known/jwks.json\n/tls/clients\n/tls/failures\n";

/// What every answer comes from.
#[derive(Clone, Debug)]
struct Pages {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    keys: KeySets,
    /// One page at a time: each takes memory in proportion to the configuration, or to the clients.
    render: Arc<Semaphore>,
}

/// Serves the pages of `CONTENTS` until `shutdown` is complete; then answers what was
/// asked, for a second at most.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and every connection.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    keys: KeySets,
    shutdown: impl Future<Output = ()>,
) {
    let pages = Pages {
        metrics,
        readiness,
        keys,
        render: Arc::new(Semaphore::new(1)),
    };
    let (stop, stopped) = tokio::sync::watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, pages.clone(), stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(stop);
    let ended = async { while connections.join_next().await.is_some() {} };
    // What is not sent by then is dropped with the set.
    timeout(STOP_TIMEOUT, ended).await.unwrap_or_default();
}

/// Serves one connection until it ends, its time is over, or `stopped` says so.
async fn connection(
    stream: TcpStream,
    pages: Pages,
    mut stopped: tokio::sync::watch::Receiver<()>,
) {
    let service = service_fn(move |request| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.answer(&request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let until_end = async {
        tokio::select! {
            ended = serving.as_mut() => return ended,
            _sender_is_gone = stopped.changed() => {}
        }
        serving.as_mut().graceful_shutdown();
        serving.await
    };
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, until_end).await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

impl Pages {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/" => text(StatusCode::OK, CONTENTS),
            "/livez" => text(StatusCode::OK, "alive\n"),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics().await,
            "/tls/clients" => self.clients(request).await,
            "/tls/failures" => self.failures(request).await,
            key_set::PATH => self.keys.answer(),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn ready(&self) -> Answer {
        let state = self.readiness.state();
        let status = match state {
            State::Ready => StatusCode::OK,
            State::Starting | State::Draining => StatusCode::SERVICE_UNAVAILABLE,
        };
        text(status, format!("{}\n", state.word()))
    }

    async fn metrics(&self) -> Answer {
        let metrics = Arc::clone(&self.metrics);
        let kind = HeaderValue::from_static(observe::CONTENT_TYPE);
        self.page(kind, move || metrics.render()).await
    }

    async fn failures(&self, request: &Request<Incoming>) -> Answer {
        let mut filter = FailureFilter::default();
        let form = match form(request, |name, value| filter.set(name, value)) {
            Ok(form) => form,
            Err(refused) => return refused,
        };
        let record = Arc::clone(self.metrics.failures());
        self.page(form.content_type(), move || match form {
            Form::Json => record.json(filter),
            Form::Text => record.text(filter),
        })
        .await
    }

    async fn clients(&self, request: &Request<Incoming>) -> Answer {
        let mut filter = ClientFilter::default();
        let form = match form(request, |name, value| filter.set(name, value)) {
            Ok(form) => form,
            Err(refused) => return refused,
        };
        let record = Arc::clone(self.metrics.clients());
        self.page(form.content_type(), move || match form {
            Form::Json => record.json(&filter),
            Form::Text => record.text(&filter),
        })
        .await
    }

    /// A page that takes a while, made on a thread that serves no requests.
    async fn page(
        &self,
        kind: HeaderValue,
        make: impl FnOnce() -> String + Send + 'static,
    ) -> Answer {
        let page = match Arc::clone(&self.render).acquire_owned().await {
            Ok(turn) => spawn_blocking(move || {
                let page = make();
                drop(turn);
                page
            })
            .await
            .ok(),
            Err(_closed) => None,
        };
        match page {
            Some(page) => of_type(text(StatusCode::OK, page), kind),
            None => text(StatusCode::INTERNAL_SERVER_ERROR, "no page could be made\n"),
        }
    }
}

/// The form that a request asks for, with its parameters handed to `set`; or how it is refused.
#[expect(clippy::result_large_err, reason = "one answer, made once")]
fn form(
    request: &Request<Incoming>,
    set: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<Form, Answer> {
    let accept = request.headers().get(ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let query = request.uri().query().unwrap_or_default();
    query::read(query, accept, set)
        .map_err(|wrong| text(StatusCode::BAD_REQUEST, format!("{wrong}\n")))
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
