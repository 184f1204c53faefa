//! [`OauthError`]: why an authorization server gave nothing that can be used.
//!
//! Two kinds that must not be mixed: what the server says of the request (RFC 6749, section 5.2)
//! and what is wrong with the server, the way to it, or our own standing there.

use std::fmt;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::fetch::FetchError;

/// Why an authorization server gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// Our secret, or our key, is not there, or nothing can be signed with it.
    #[error("the gateway cannot prove who it is: its credential is not there or cannot sign")]
    Unproven,
    /// There was no exchange.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The server refuses the request, in the words of RFC 6749, section 5.2.
    #[error("the server answered {status}: {error}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// Why.
        error: ServerError,
    },
    /// The server answered with a status that is no success, and no reason that is understood.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The server's answer is not what it should be.
    #[error("the server's answer {0}")]
    Answer(&'static str),
}

/// What a server says is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Which of the known reasons.
    pub code: ErrorCode,
    /// `error`, cut and fit for a log line.
    pub text: Box<str>,
    /// `error_description`, the same way. Never shown to a client.
    pub description: Option<Box<str>>,
}

/// The reasons of RFC 6749, section 5.2, and RFC 8693, section 2.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request lacks something, or has it twice.
    InvalidRequest,
    /// The server does not know us, or does not believe us.
    InvalidClient,
    /// What was to be exchanged is not good (any more).
    InvalidGrant,
    /// We may not ask for this.
    UnauthorizedClient,
    /// The server does not do this.
    UnsupportedGrantType,
    /// The scopes are unknown, or more than are given.
    InvalidScope,
    /// There is no such resource or audience, or it is not for us.
    InvalidTarget,
    /// Another.
    Other,
}

/// How much of a server's text is kept.
const TEXT_CHARS_MAX: usize = 256;

impl OauthError {
    /// Whether the server refused what was asked, not who asked or how: a token that it does not
    /// take, a scope that it does not give.
    #[must_use]
    pub const fn refused(&self) -> Option<&ServerError> {
        match self {
            Self::Refused { error, .. } => Some(error),
            Self::Unproven | Self::Fetch(_) | Self::Status(_) | Self::Answer(_) => None,
        }
    }
}

impl OauthError {
    /// Without a description that repeats something of the request: a token, a code.
    pub(super) fn without(mut self, pairs: &[(&str, &str)]) -> Self {
        if let Self::Refused { error, .. } = &mut self {
            let repeats = |text: &str| {
                let mut values = pairs.iter().filter_map(|(_name, value)| start(value));
                values.any(|value| text.contains(value))
            };
            if error.description.as_deref().is_some_and(repeats) {
                error.description = None;
            }
            if error.code == ErrorCode::Other && repeats(&error.text) {
                error.text = "other".into();
            }
        }
        self
    }
}

/// The beginning of a value, by which it is known again. `None` for short ones (`access_token`): they
/// may well stand in a text for people, and are no secrets.
fn start(value: &str) -> Option<&str> {
    let (end, _) = value.char_indices().nth(REPEATED_CHARS)?;
    value.get(..end)
}

const REPEATED_CHARS: usize = 15;

impl ServerError {
    /// Reads the body of an error.
    pub(super) fn of(answer: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let error = text("error").filter(|error| !error.is_empty())?;
        Some(Self {
            code: ErrorCode::of(error),
            text: plain(error),
            description: text("error_description").map(plain),
        })
    }
}

impl ErrorCode {
    fn of(text: &str) -> Self {
        match text {
            "invalid_request" => Self::InvalidRequest,
            "invalid_client" => Self::InvalidClient,
            "invalid_grant" => Self::InvalidGrant,
            "unauthorized_client" => Self::UnauthorizedClient,
            "unsupported_grant_type" => Self::UnsupportedGrantType,
            "invalid_scope" => Self::InvalidScope,
            "invalid_target" => Self::InvalidTarget,
            _ => Self::Other,
        }
    }
}

/// A server's text, fit for a log line.
fn plain(text: &str) -> Box<str> {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(TEXT_CHARS_MAX).map(visible).collect()
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.description {
            Some(description) => write!(f, "{} ({description})", self.text),
            None => f.write_str(&self.text),
        }
    }
}
