//! [`Subject`]: whom a verified token speaks for.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::Claims;
use super::name::Name;
use super::scopes::Scopes;

/// What was shown as a proof of whom one acts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A JWT that we verified.
    Jwt,
    /// A token that its issuer vouched for when it was asked (RFC 7662).
    Introspected,
    /// An API key.
    ApiKey,
    /// A session of a browser that logged in.
    Login,
}

/// Whom a token speaks for, as its issuer said and as we verified.
///
/// Only `authenticate` makes one from a token; the rehearsal of `tests:` makes one from what the
/// operator wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// What was shown.
    pub credential: Credential,
    /// The issuer, by its name in the configuration.
    pub issuer: Name,
    /// The claim `sub`, if the token has one. Cut for logs, never for comparing.
    pub sub: Option<Arc<str>>,
    /// The scopes: `scope` (a text, RFC 8693, section 4.2) or `scp` (an array or a text), or the
    /// claims that the operator named for the issuer.
    pub scopes: Scopes,
    /// All claims of the token. To ask for one costs some microseconds, the first time in a request.
    pub claims: Claims,
    /// When the token ends (`exp`), in seconds since 1970.
    pub expires: u64,
}

impl Subject {
    /// Whether the token gives this scope. Scopes are compared byte by byte (RFC 6749, section 3.3).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// The client that the token was given to, where the token speaks for nobody else: it has no `sub`.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self.credential {
            Credential::Jwt | Credential::Introspected if self.sub.is_none() => {
                client_id(&self.claims)
            }
            Credential::Jwt | Credential::Introspected | Credential::ApiKey | Credential::Login => {
                None
            }
        }
    }
}

/// `client_id` (RFC 9068, section 2.2; RFC 7662, section 2.2), or what issuers wrote before it, `azp`.
#[must_use]
pub fn client_id(claims: &Map<String, Value>) -> Option<&str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    text("client_id").or_else(|| text("azp"))
}
