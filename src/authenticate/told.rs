//! [`Told`] and [`Reply`]: what clients hear of how they were authenticated, and what the access log
//! alone does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use serde_json::{Map, Value};

use super::possession::challenge::DpopChallenge;
use crate::detail::Detail;
use crate::identity::name::Name;
use crate::identity::subject::{Subject, client_id};

/// A nonce for the next proof (RFC 9449, section 8.1).
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What an answer must say besides, whoever gives it: the service, or the gateway with a refusal.
#[derive(Debug, Default)]
pub struct Told {
    /// Header fields of the answer, in their order: `DPoP-Nonce`, `Set-Cookie`.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// `WWW-Authenticate` of a refusal, where the one that follows from its kind does not do.
    pub challenge: Option<String>,
    /// A challenge that stands beside it where nothing was shown: another kind of credential does too.
    pub challenge_beside: Option<String>,
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
    /// For the log alone: what of the refusal its reason does not say.
    pub detail: Option<Detail>,
    /// For the log alone: whose credential it is that is good and refused all the same.
    pub whose: Option<Box<Whose>>,
    /// For the log alone: the id of the API key, which is no secret. Anybody can make one up.
    pub api_key: Option<[u8; 8]>,
    /// Whether a key of its issuer has signed the token.
    pub(super) is_signed: bool,
}

/// Whom a credential speaks for that was verified, for the log.
#[derive(Debug)]
pub struct Whose {
    /// The issuer, or the list of API keys, by its name in the configuration.
    pub issuer: Name,
    /// The claim `sub`, or the owner.
    pub sub: Option<Arc<str>>,
    /// The client of a token without `sub`.
    pub client_id: Option<Box<str>>,
}

impl Whose {
    pub(super) fn of_claims(issuer: &Name, claims: &Map<String, Value>) -> Self {
        let sub = claims.get("sub").and_then(Value::as_str);
        let client_id = client_id(claims).filter(|_| sub.is_none());
        Self {
            issuer: issuer.clone(),
            sub: sub.map(Into::into),
            client_id: client_id.map(Into::into),
        }
    }
}

impl From<&Subject> for Whose {
    fn from(subject: &Subject) -> Self {
        Self {
            issuer: subject.issuer.clone(),
            sub: subject.sub.clone(),
            client_id: subject.client_id().map(Into::into),
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
