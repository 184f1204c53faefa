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
///
/// Nothing of it is in the server's own words: they may repeat what was sent (a secret, a token, a
/// code), whole, in part or in another spelling, and what is shown here stands in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Which of the known reasons.
    pub code: ErrorCode,
    /// `error`, if it is a word that is known.
    word: Option<&'static str>,
    /// The server's number for it, where its maker numbers them.
    number: Option<Box<str>>,
}

/// The reasons that mean something here: those of RFC 6749, section 5.2, and RFC 8693, section 2.2.2,
/// and two that servers give as well.
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
    /// A token is not good (RFC 6750, section 3.1).
    InvalidToken,
    /// Somebody says no (RFC 6749, section 4.1.2.1).
    AccessDenied,
    /// Another.
    Other,
}

/// The words for `error` that may be shown: of RFC 6749 (sections 4.1.2.1 and 5.2), 6750, 7009, 8628,
/// 8693, 8707, 9101, 9396 and 9449, and of OpenID Connect.
const WORDS: &[&str] = &[
    "access_denied",
    "account_selection_required",
    "authorization_pending",
    "consent_required",
    "expired_token",
    "insufficient_scope",
    "insufficient_user_authentication",
    "interaction_required",
    "invalid_authorization_details",
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_grant",
    "invalid_request",
    "invalid_request_object",
    "invalid_request_uri",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "login_required",
    "registration_not_supported",
    "request_not_supported",
    "request_uri_not_supported",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
    "use_dpop_nonce",
];

/// What Microsoft's numbers begin with; digits follow, and nothing else.
const NUMBERS: [&str; 2] = ["AADSTS", "AADB2C"];
const DIGITS_MAX: usize = 8;

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

impl ServerError {
    /// Reads the body of an error.
    pub(super) fn of(answer: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let error = text("error").filter(|error| !error.is_empty())?;
        Some(Self {
            code: ErrorCode::of(error),
            word: WORDS.iter().find(|word| **word == error).copied(),
            number: text("error_description").and_then(number),
        })
    }
}

/// The number that a description begins with: `AADSTS700016: Application with identifier ..`.
fn number(description: &str) -> Option<Box<str>> {
    let prefix = NUMBERS.iter().find(|one| description.starts_with(**one))?;
    let rest = description.get(prefix.len()..)?;
    let (digits, _words) = rest.split_once(':')?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = all_digits && (1..=DIGITS_MAX).contains(&digits.len());
    is_number.then(|| format!("{prefix}{digits}").into())
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
            "invalid_token" => Self::InvalidToken,
            "access_denied" => Self::AccessDenied,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word.unwrap_or("an error in words of its own"))?;
        match &self.number {
            Some(number) => write!(f, " ({number})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_of_a_servers_own_words_is_shown() {
        let own = "an error in words of its own";
        let cases = [
            ("invalid_client", "", "invalid_client"),
            ("unsupported_token_type", "why", "unsupported_token_type"),
            ("use_dpop_nonce", "x", "use_dpop_nonce"),
            (
                "unauthorized_client",
                "AADSTS700016: Application with identifier 'portcullis' was not found",
                "unauthorized_client (AADSTS700016)",
            ),
            (
                "invalid_grant",
                "AADB2C90088: x",
                "invalid_grant (AADB2C90088)",
            ),
            ("invalid_grant", "AADSTS123456789: x", "invalid_grant"),
            ("invalid_grant", "AADSTS12secret34: x", "invalid_grant"),
            ("invalid_grant", "AADSTS: x", "invalid_grant"),
            ("invalid_grant", "it was AADSTS50034: x", "invalid_grant"),
            ("eyJhbGciOiJFUzI1NiJ9", "", own),
            ("INVALID_CLIENT", "", own),
            ("invalid_client ", "", own),
        ];
        for (error, description, shown) in cases {
            let answer = json!({ "error": error, "error_description": description });
            let read = ServerError::of(answer.as_object().unwrap()).unwrap();
            assert_eq!(read.to_string(), shown, "{error} {description}");
            let debug = format!("{read:?}");
            assert!(
                !debug.contains("secret") && !debug.contains("eyJ"),
                "{debug}"
            );
        }
    }
}
