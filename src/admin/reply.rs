//! Answers of the admin listener.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

/// An answer in full.
pub(super) type Answer = Response<Full<Bytes>>;

/// In which form a page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For programs.
    Json,
    /// For people.
    Text,
}

impl Form {
    pub(super) const fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json"),
            Self::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
        }
    }
}

/// A plain text. Nothing of this listener is to be kept by anybody.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, Form::Text.content_type());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The same answer with another content type.
pub(super) fn of_type(mut answer: Answer, kind: HeaderValue) -> Answer {
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
