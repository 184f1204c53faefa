//! The public keys that identities are signed with, for services.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::reply::text;
use crate::snapshot::Live;

/// Where services expect a key set (RFC 8615).
pub(super) const PATH: &str = "/.well-known/jwks.json";

/// The keys of the configuration in use.
#[derive(Clone, Debug)]
pub struct KeySets(Option<Arc<Live>>);

impl KeySets {
    /// Those of whatever is live when they are asked for.
    #[must_use]
    pub fn of(live: Arc<Live>) -> Self {
        Self(Some(live))
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// A JWKS (RFC 7517, section 8.5, has its media type), or 404 where no identities are signed.
    pub(super) fn answer(&self) -> Response<Full<Bytes>> {
        let now = self.0.as_ref().map(|live| live.now());
        let Some(asserter) = now.as_ref().and_then(|now| now.asserter()) else {
            return text(StatusCode::NOT_FOUND, "not found\n");
        };
        let Some(keys) = asserter.key_set(Instant::now()) else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "no key could be made\n");
        };
        let mut answer = text(StatusCode::OK, keys.json);
        let kind = HeaderValue::from_static("application/jwk-set+json");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        let cache = format!("max-age={}", keys.max_age.as_secs());
        if let Ok(cache) = HeaderValue::try_from(cache) {
            answer.headers_mut().insert(CACHE_CONTROL, cache);
        }
        answer
    }
}
