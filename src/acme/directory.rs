//! [`Directory`]: the HTTP client for one ACME directory.
//!
//! It speaks with the directory's own host alone, over TLS that verifies under the CAs of the
//! configuration; each exchange has a deadline, and each answer a bound. Redirects are not followed
//! (RFC 8555 has none).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error as Foreign, HttpClient};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::plain;
use crate::trust::provider;

/// One directory. Clones share what they have heard.
#[derive(Clone, Debug)]
pub(super) struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    /// What the last answer said with `Retry-After`, bounded.
    retry_after: Mutex<Option<Duration>>,
}

/// Why an exchange with a directory failed. Nothing of it was decided by the directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    #[error("it names {0}, which is not on the directory's own host: refused")]
    Elsewhere(String),
    #[error("the directory {0} cannot be reached: {1}")]
    Unreachable(String, io::Error),
    #[error("TLS with the directory {0} failed: {1}")]
    Tls(String, io::Error),
    #[error("HTTP with the directory failed: {0}")]
    Http(hyper::Error),
    #[error("the directory's answer has no end, or more than {ANSWER_BYTES_MAX} bytes: {0}")]
    Body(String),
    #[error("the directory took longer than {} s to answer", EXCHANGE_TIME_MAX.as_secs())]
    TooSlow,
    #[error("the directory answered {0}")]
    Status(StatusCode),
    #[error("rustls has no configuration for this: {0}")]
    Provider(rustls::Error),
}

/// From connecting to the last byte of an answer.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(30);
/// A chain of certificates has some 10 KiB; a directory less.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// However long a directory wants us to wait, we look again once a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

const HTTPS: u16 = 443;
const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"), " instant-acme");

impl Directory {
    /// The client for the directory at `url`, which has a host.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Provider`].
    pub(super) fn new(url: &Uri, roots: RootCertStore) -> Result<Self, DirectoryError> {
        let mut tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(DirectoryError::Provider)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (host, port) = authority(url);
        Ok(Self(Arc::new(Inner {
            host: host.to_owned(),
            port,
            tls: Arc::new(tls),
            retry_after: Mutex::new(None),
        })))
    }

    /// How long the directory wanted us to wait when it last answered.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        *self.0.retry_after.lock()
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, DirectoryError> {
        let request = self.prepared(request)?;
        let response = timeout(EXCHANGE_TIME_MAX, self.sent(request))
            .await
            .map_err(|_elapsed| DirectoryError::TooSlow)??;
        *self.0.retry_after.lock() = retry_after(response.headers(), OffsetDateTime::now_utc());
        judged(response)
    }

    /// The request in origin form, if it is for this directory.
    fn prepared(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Request<BodyWrapper<Bytes>>, DirectoryError> {
        let url = request.uri().clone();
        let elsewhere = || DirectoryError::Elsewhere(plain(&url.to_string()));
        let (host, port) = authority(&url);
        let own = host.eq_ignore_ascii_case(&self.0.host) && port == self.0.port;
        if url.scheme_str() != Some("https") || !own {
            return Err(elsewhere());
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_not_a_path| elsewhere())?;
        let named = match self.0.port {
            HTTPS => self.0.host.clone(),
            port => format!("{}:{port}", self.0.host),
        };
        let named = HeaderValue::from_str(&named).map_err(|_not_ascii| elsewhere())?;
        request.headers_mut().insert(HOST, named);
        let agent = HeaderValue::from_static(AGENT);
        request.headers_mut().insert(USER_AGENT, agent);
        Ok(request)
    }

    /// A connection of its own for each exchange: an order has a dozen of them, once in weeks.
    async fn sent(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, DirectoryError> {
        let Inner { host, port, .. } = &*self.0;
        let shown = || format!("{host}:{port}");
        let unreachable = |error| DirectoryError::Unreachable(shown(), error);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((bare, *port))
            .await
            .map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let tls = |error| DirectoryError::Tls(shown(), error);
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|error| tls(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(&self.0.tls))
            .connect(name, socket)
            .await
            .map_err(tls)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(DirectoryError::Http)?;
        // Ends with the exchange: it is dropped with this future.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .map_err(DirectoryError::Http)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| DirectoryError::Body(error.to_string()))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

impl HttpClient for Directory {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Foreign>> + Send>> {
        let directory = self.clone();
        Box::pin(async move {
            let response = directory.exchange(request).await;
            let (parts, body) = response
                .map_err(|error| Foreign::Other(Box::new(error)))?
                .into_parts();
            Ok(BytesResponse {
                parts,
                body: Box::new(body),
            })
        })
    }
}

/// Lets through what the library can read: an answer, or a problem document (RFC 7807).
fn judged(mut response: Response<Bytes>) -> Result<Response<Bytes>, DirectoryError> {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_problem = kind.trim().starts_with("application/problem+json");
    if !status.is_success() && (!is_problem || status.is_redirection()) {
        return Err(DirectoryError::Status(status));
    }
    // The library adds what stands here to the time of now, however much it is.
    let bounded = retry_after(response.headers(), OffsetDateTime::now_utc());
    response.headers_mut().remove(RETRY_AFTER);
    if let Some(wait) = bounded {
        let seconds = HeaderValue::from(wait.as_secs());
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// RFC 9110, section 10.2.3: seconds or a date.
fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    const DATE: &[FormatItem<'_>] = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = time::PrimitiveDateTime::parse(text, DATE).ok()?;
        Duration::try_from(until.assume_utc() - now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Host and port; of an URL without a host the empty one, which is nobody's.
fn authority(url: &Uri) -> (&str, u16) {
    (
        url.host().unwrap_or_default(),
        url.port_u16().unwrap_or(HTTPS),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let url = Uri::from_static("https://acme.example:14000/dir");
        Directory::new(&url, RootCertStore::empty()).unwrap()
    }

    #[test]
    fn only_the_directorys_own_host_is_asked() {
        let cases = [
            (
                "https://acme.example:14000/order/1?x=y",
                Some("/order/1?x=y"),
            ),
            ("https://ACME.example:14000/", Some("/")),
            ("https://acme.example/order", None),
            ("http://acme.example:14000/order", None),
            ("https://acme.example.evil:14000/order", None),
            ("https://169.254.169.254/latest", None),
            ("/order/1", None),
        ];
        for (url, want) in cases {
            let request = Request::builder().uri(url).body(BodyWrapper::default());
            let prepared = directory().prepared(request.unwrap());
            let path = prepared
                .as_ref()
                .ok()
                .map(|request| request.uri().to_string());
            assert_eq!(path.as_deref(), want, "{url}");
        }
    }

    #[test]
    fn the_time_to_wait_is_read_and_bounded() {
        let now = time::macros::datetime!(2026-11-22 01:00:00 UTC);
        let cases = [
            ("120", Some(120)),
            ("0", Some(0)),
            ("18446744073709551615", Some(86_400)),
            ("Sun, 22 Nov 2026 01:10:00 GMT", Some(600)),
            ("Sun, 22 Nov 2026 00:10:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ];
        for (text, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            let wait = retry_after(&headers, now).map(|wait| wait.as_secs());
            assert_eq!(wait, want, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn only_answers_and_problem_documents_are_read() {
        let cases = [
            (200, "text/html", true),
            (201, "application/json", true),
            (400, "application/problem+json", true),
            (429, "application/problem+json; charset=utf-8", true),
            (302, "application/problem+json", false),
            (404, "text/html", false),
            (503, "", false),
        ];
        for (status, kind, want) in cases {
            let response = Response::builder()
                .status(status)
                .header(CONTENT_TYPE, kind)
                .header(RETRY_AFTER, "18446744073709551615")
                .body(Bytes::new());
            let judged = judged(response.unwrap());
            assert_eq!(judged.is_ok(), want, "{status} {kind}");
            if let Ok(response) = judged {
                assert_eq!(response.headers()[RETRY_AFTER], "86400");
            }
        }
    }
}
