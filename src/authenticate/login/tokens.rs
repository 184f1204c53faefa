//! What the token endpoint gives (RFC 6749, section 5.1; OpenID Connect Core, section 3.1.3.3).

use http::Uri;
use serde_json::{Map, Value};

use super::Login;
use super::id_token::{Expected, Wrong, check, check_typ};
use super::session::{Tokens, claims};
use crate::authenticate::told::Told;
use crate::oauth::error::{ErrorCode, OauthError};
use crate::refusal::Refusal;

/// What was given.
pub(super) struct Given {
    pub(super) access: String,
    pub(super) id_token: Option<String>,
    pub(super) rest: Rest,
}

/// What was given beside the tokens that are looked at.
pub(super) struct Rest {
    refresh: Option<String>,
    /// When the access token ends, and when it was had.
    ends: Option<u64>,
    got: u64,
    scope: Option<String>,
    asked: String,
}

/// Why nothing was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotGiven {
    /// The server does not take the code, or the refresh token.
    Refused,
    /// The server cannot be asked, or its answer cannot be read.
    Unavailable,
}

/// As long as any token that is read; what does not fit into cookies is found there.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// A year: what ends later is asked for again all the same.
const EXPIRES_MAX: u64 = 366 * 24 * 3_600;

impl NotGiven {
    pub(super) const fn at_login(self) -> Refusal {
        match self {
            Self::Refused => Refusal::LoginDenied,
            Self::Unavailable => Refusal::LoginUnavailable,
        }
    }
}

impl Login {
    /// Asks the token endpoint.
    pub(super) async fn given(
        &self,
        endpoint: &Uri,
        form: &[(&str, &str)],
        now: u64,
    ) -> Result<Given, NotGiven> {
        let answer = self.parts.client.post_form(endpoint, form).await;
        let object = answer.and_then(|answer| answer.object());
        let object = object.map_err(|error| {
            let why = not_given(&error);
            tracing::warn!(login = %self.name, %error, "the server for logins gave no tokens");
            why
        })?;
        let asked = self.spec.scopes.join(" ");
        Given::read(&object, now, asked).map_err(|error| {
            tracing::warn!(login = %self.name, error, "the server for logins gave no tokens");
            NotGiven::Unavailable
        })
    }

    /// Verifies an ID token in full. What is wrong is told in the log.
    pub(super) async fn check_id_token(
        &self,
        token: &str,
        nonce: Option<&str>,
        access_token: Option<&str>,
        sub: Option<&str>,
        now: u64,
        told: &mut Told,
    ) -> Result<Map<String, Value>, Refusal> {
        let signed = match self.issuer.signed(token, told).await {
            Ok(signed) => signed,
            Err(refusal) if refusal.status().is_server_error() => return Err(refusal),
            Err(refusal) => return Err(self.id_token_refused(refusal.reason())),
        };
        let expected = Expected {
            issuer: self.issuer_text(),
            client_id: self.parts.client.client_id(),
            nonce,
            access_token,
            sub,
            now,
            leeway: self.leeway(),
        };
        let claims = claims(token).ok_or("it is not one JSON object");
        let checked = claims.and_then(|claims| {
            check_typ(signed.typ.as_deref())?;
            check(&claims, token, &expected)?;
            Ok(claims)
        });
        checked.map_err(|wrong| self.id_token_refused(wrong))
    }

    fn id_token_refused(&self, wrong: Wrong) -> Refusal {
        tracing::warn!(login = %self.name, error = wrong, "an ID token is not believed");
        Refusal::IdTokenRefused
    }
}

/// Whether the server refused what was asked, or could not be asked (also: not by us).
fn not_given(error: &OauthError) -> NotGiven {
    match error.refused().map(|refused| refused.code) {
        Some(ErrorCode::InvalidGrant) => NotGiven::Refused,
        Some(_) | None => NotGiven::Unavailable,
    }
}

impl Given {
    fn read(answer: &Map<String, Value>, now: u64, asked: String) -> Result<Self, Wrong> {
        let token = |name: &str| match answer.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if is_token(text) => Ok(Some(text.clone())),
            Some(_) => Err("a token is not a text of visible characters, or too long"),
        };
        let typ = answer.get("token_type").and_then(Value::as_str);
        if !typ.is_some_and(|typ| typ.eq_ignore_ascii_case("Bearer")) {
            return Err("token_type is not Bearer");
        }
        let expires = match answer.get("expires_in") {
            None | Some(Value::Null) => None,
            Some(value) => Some(seconds(value).ok_or("expires_in is not a number of seconds")?),
        };
        let scope = match answer.get("scope") {
            None | Some(Value::Null) => None,
            Some(Value::String(scope)) if scope.len() <= TOKEN_BYTES_MAX => Some(scope.clone()),
            Some(_) => return Err("scope is not a text, or too long"),
        };
        Ok(Self {
            access: token("access_token")?.ok_or("there is no access_token")?,
            id_token: token("id_token")?,
            rest: Rest {
                refresh: token("refresh_token")?,
                ends: expires.map(|expires| now.saturating_add(expires.min(EXPIRES_MAX))),
                got: now,
                scope,
                asked,
            },
        })
    }
}

impl Rest {
    /// What of it stands in the session. The access token does only where services get it.
    pub(super) fn kept(self, access: &str, forwarded: bool) -> Tokens {
        Tokens {
            access: forwarded.then(|| access.to_owned()),
            access_ends: self.ends,
            got: self.got,
            refresh: self.refresh,
            // Left out where it is what was asked for (RFC 6749, section 5.1).
            scope: self.scope.unwrap_or(self.asked),
        }
    }

    /// The same, for tokens that take the place of others.
    pub(super) fn kept_after(self, access: &str, forwarded: bool, before: &Tokens) -> Tokens {
        let (scope, refresh) = (self.scope.clone(), self.refresh.clone());
        Tokens {
            // The server may go on with the one of before, and with what was granted.
            refresh: refresh.or_else(|| before.refresh.clone()),
            scope: scope.unwrap_or_else(|| before.scope.clone()),
            ..self.kept(access, forwarded)
        }
    }
}

/// Whole seconds; some servers write them as a text.
fn seconds(value: &Value) -> Option<u64> {
    match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_u64(),
    }
}

fn is_token(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic();
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(visible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_that_are_none_are_refused() {
        let good = json!({"access_token": "a", "token_type": "bearer", "expires_in": 60});
        let of =
            |answer: &Value| Given::read(answer.as_object().unwrap(), 1_000, "openid".to_owned());
        let read = of(&good).unwrap();
        let kept = read.rest.kept("a", false);
        assert_eq!((kept.access, kept.access_ends), (None, Some(1_060)));
        assert_eq!(kept.scope, "openid");
        let cases = [
            ("access_token", json!(null)),
            ("access_token", json!("")),
            ("access_token", json!("a b")),
            ("access_token", json!("a\r\nSet-Cookie: x")),
            ("access_token", json!(7)),
            ("access_token", json!("x".repeat(TOKEN_BYTES_MAX + 1))),
            ("token_type", json!("mac")),
            ("token_type", json!("DPoP")),
            ("token_type", json!(null)),
            ("expires_in", json!(-1)),
            ("expires_in", json!("soon")),
            ("id_token", json!({})),
            ("refresh_token", json!(["x"])),
            ("scope", json!(["openid"])),
        ];
        for (name, value) in cases {
            let mut answer = good.clone();
            answer[name] = value.clone();
            assert!(of(&answer).is_err(), "{name}: {value}");
        }
    }
}
