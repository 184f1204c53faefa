//! [`Client`]: asks servers over HTTPS, on one set of terms.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::verifier::Tls;

/// Asks servers on one set of terms. Connections are kept for the next question, until the key
/// material behind them is another.
pub struct Client(ArcSwapOption<Current>);

struct Current {
    tls: Tls,
    pool: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// How long an answer may take, and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From connecting to the last byte of the answer.
    pub time: Duration,
    /// Bytes of its body.
    pub body: usize,
}

/// A whole answer, whatever its status is: a redirect too is only an answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer. What it shows holds nothing of the request.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not `https://HOST..`.
    #[error("only https is spoken")]
    NotHttps,
    /// There is no key material yet: a source of it has given nothing.
    #[error("the key material for this is not there yet")]
    NoKeyMaterial,
    /// Nothing was asked: there is no connection, or no TLS. The text is of libraries.
    #[error("{0}")]
    NotReached(String),
    /// No answer came on a connection that was there. The text is of libraries.
    #[error("{0}")]
    Failed(String),
    /// It did not come in time.
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    /// It has more bytes than it may, or was cut off.
    #[error("the answer's body was cut off or has more than {limit} bytes: {why}")]
    Body {
        /// How many it may have.
        limit: usize,
        /// The library's words.
        why: String,
    },
}

const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEAD_FIELDS_MAX: usize = 100;
/// Servers close idle connections after a minute or so; we are there before them.
const IDLE_MAX: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS_MAX: usize = 16;
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));

impl Client {
    /// One that can ask once it was given key material.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// Takes the key material of now. Connections on other terms are not used again.
    ///
    /// # Errors
    ///
    /// rustls', if it has no configuration for this: that of before stays.
    pub(super) fn renew(&self, tls: Tls) -> Result<(), rustls::Error> {
        let before = self.0.load();
        if before.as_ref().is_some_and(|now| now.tls.is_same(&tls)) {
            return Ok(());
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // it would refuse what TLS is put on
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.config()?)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(HEAD_FIELDS_MAX)
            .build(connector);
        self.0.store(Some(Arc::new(Current { tls, pool })));
        Ok(())
    }

    /// Takes the key material away: nothing is asked until there is some again.
    pub(super) fn withdraw(&self) {
        self.0.store(None);
    }

    /// Asks, and reads the whole answer. The address of `request` is absolute.
    ///
    /// # Errors
    ///
    /// [`FetchError`].
    pub async fn ask(
        &self,
        mut request: Request<Bytes>,
        bounds: &Bounds,
    ) -> Result<Answer, FetchError> {
        let uri = request.uri();
        if uri.scheme() != Some(&Scheme::HTTPS) || uri.host().is_none_or(str::is_empty) {
            return Err(FetchError::NotHttps);
        }
        let current = self.0.load_full().ok_or(FetchError::NoKeyMaterial)?;
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        let asked = async {
            let answer = current.pool.request(request.map(Full::new)).await;
            let (head, body) = answer.map_err(|error| failed(&error))?.into_parts();
            let body = Limited::new(body, bounds.body).collect().await;
            let body = body.map_err(|error| FetchError::Body {
                limit: bounds.body,
                why: error.to_string(),
            })?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        timeout(bounds.time, asked)
            .await
            .unwrap_or(Err(FetchError::TooSlow(bounds.time)))
    }
}

/// The words of all libraries on the way, outermost first.
fn failed(error: &legacy::Error) -> FetchError {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        next = cause.source();
    }
    let words = words.chars().take(WORDS_CHARS_MAX).collect();
    if error.is_connect() {
        FetchError::NotReached(words)
    } else {
        FetchError::Failed(words)
    }
}

const WORDS_CHARS_MAX: usize = 500;

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.0.load();
        let tls = current.as_ref().map(|current| &current.tls);
        f.debug_struct("Client").field("tls", &tls).finish()
    }
}
