//! [`Told`] and [`Reply`]: what clients, and the access log, hear of how they were authenticated.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::possession::challenge::DpopChallenge;
use crate::identity::name::Name;

/// A nonce for the next proof (RFC 9449, section 8.1).
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What an answer must say besides, whoever gives it: the service, or the gateway with a refusal.
#[derive(Debug, Default)]
pub struct Told {
    /// Header fields of the answer, in their order: `DPoP-Nonce`, `Set-Cookie`.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// `WWW-Authenticate` of a refusal, where the one that follows from its kind does not do.
    pub challenge: Option<String>,
    /// That the route takes, or wants, tokens with a proof (RFC 9449), where it does.
    pub dpop: Option<DpopChallenge>,
    /// What of the possession of its token the request did not show, and the route only reports.
    pub reported: Vec<&'static str>,
    /// `Authorization` as the service gets it, in place of the client's.
    pub forwarded: Option<HeaderValue>,
    /// `Retry-After` of a refusal, where something is known about it.
    pub retry_after: Option<Duration>,
    /// What a refusal is to whoever asks.
    pub shown: Shown,
    /// Which login had to do with the request, and what it found: for the access log.
    pub login: Option<AtLogin>,
}

/// What a login found out about a request.
#[derive(Clone, Debug)]
pub struct AtLogin {
    /// The login, by its name in the configuration.
    pub login: Name,
    /// Who vouches for its users, by its name in the configuration.
    pub issuer: Name,
    /// The user, once he is known.
    pub sub: Option<Arc<str>>,
    /// Why the session that is shown is none, where somebody may have it who should not:
    /// `other_certificate` or `ended`.
    pub session: Option<&'static str>,
}

impl Told {
    /// Notes who the user is.
    pub(super) fn user(&mut self, sub: Option<&str>) {
        if let Some(login) = &mut self.login {
            login.sub = sub.map(Arc::from);
        }
    }

    /// Notes why a session is none.
    pub(super) fn no_session(&mut self, why: &'static str) {
        if let Some(login) = &mut self.login {
            login.session = Some(why);
        }
    }
}

/// What a refusal is told as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// A problem in JSON (RFC 9457), for programs.
    #[default]
    Problem,
    /// A page, for a person who logs in.
    Page,
}

/// An answer that the gateway gives by itself and that refuses nothing.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields; lengths and identifiers are added.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Bytes,
}
