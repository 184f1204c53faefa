//! [`Answer`]: what an authorization server answered, read strictly.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::error::{OauthError, ServerError};
use crate::json;

/// A successful answer.
pub struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Tells a success from a refusal.
    ///
    /// # Errors
    ///
    /// [`OauthError::Refused`] or [`OauthError::Status`] with any status but 200: RFC 6749, section
    /// 5.1, and all that build on it know no other success.
    pub(super) fn of(
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Self, OauthError> {
        let answer = Self { headers, body };
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let said = answer.object().ok();
        Err(match said.as_ref().and_then(ServerError::of) {
            Some(error) => OauthError::Refused { status, error },
            None => OauthError::Status(status),
        })
    }

    /// The media type, in lower case and without parameters.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let mut values = self.headers.get_all(CONTENT_TYPE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None; // two types are none
        };
        let value = value.to_str().ok()?;
        let bare = value.split_once(';').map_or(value, |(bare, _)| bare);
        Some(bare.trim().to_ascii_lowercase())
    }

    /// The bytes of the body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The one JSON object that the body is.
    ///
    /// # Errors
    ///
    /// [`OauthError::Answer`] if it is of another type, or not JSON of one meaning.
    pub fn object(&self) -> Result<Map<String, Value>, OauthError> {
        if self.media_type().as_deref() != Some("application/json") {
            return Err(OauthError::Answer("is not application/json"));
        }
        json::object(&self.body).map_err(|_may_show_a_token| {
            OauthError::Answer("is not one JSON object with each member once")
        })
    }
}

impl fmt::Debug for Answer {
    /// Nothing of the body: tokens stand in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("media_type", &self.media_type())
            .finish_non_exhaustive()
    }
}
