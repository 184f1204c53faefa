//! [`Session`]: what a browser holds of a login, sealed: who logged in, until when, and the tokens.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::config::login::SessionTimes;
use crate::identity::name::Name;
use crate::identity::scopes::Scopes;
use crate::identity::subject::{Credential, Subject};
use crate::json;

/// A session.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Made at each login: whoever had a session before has another one after.
    pub(super) id: String,
    /// When the user logged in, in seconds since 1970.
    pub(super) begun: u64,
    /// When it was last heard of, about.
    pub(super) seen: u64,
    /// When it ends at the latest, as it was when the user logged in: whoever ended it before that was
    /// told that this is for good.
    pub(super) ends: u64,
    /// The certificate that it is good with, as `x5t#S256` has it; none: without one.
    pub(super) certificate: Option<String>,
    /// The ID token, as it was verified.
    pub(super) id_token: String,
    pub(super) tokens: Tokens,
    /// By what the ends of its user's sessions are known that came before it.
    pub(super) after: Vec<String>,
}

/// What else the server gave.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Kept only where services get it.
    pub(super) access: Option<String>,
    /// When it ends, in seconds since 1970. `None`: the server did not say.
    pub(super) access_ends: Option<u64>,
    /// When it was had.
    pub(super) got: u64,
    pub(super) refresh: Option<String>,
    /// What was granted, with spaces between.
    pub(super) scope: String,
}

/// Whether a session's time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    /// It is good, and it should be written down that it was heard of.
    Touch,
    Over,
}

/// A session is written anew when this part of its idle time is gone, so that not every answer
/// sets a cookie.
const TOUCH_PART: u64 = 8;

impl Session {
    pub(super) fn standing(&self, times: &SessionTimes, now: u64, leeway: u64) -> Standing {
        let idle = times.idle.as_secs().max(1);
        // Clocks of several gateways differ a little.
        let from_the_future = self.begun.max(self.seen) > now.saturating_add(leeway);
        let idle_for = now.saturating_sub(self.seen);
        if from_the_future || now >= self.ends_by(times) || idle_for >= idle {
            Standing::Over
        } else if idle_for > 0 && idle_for >= idle / TOUCH_PART {
            Standing::Touch
        } else {
            Standing::Good
        }
    }

    /// When it ends at the latest, by what is written now: that shortens it, and never lengthens it.
    fn ends_by(&self, times: &SessionTimes) -> u64 {
        let written = self.begun.saturating_add(times.max.as_secs());
        self.ends.min(written)
    }

    /// Whether the other came of the same login, and is of the same user and session of the server.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (self.claims(), other.claims()) else {
            return false;
        };
        let same = |name: &str| own.get(name) == others.get(name);
        self.id == other.id && same("sub") && (same("sid") || !others.contains_key("sid"))
    }

    /// The claims of the ID token.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        claims(&self.id_token)
    }

    /// Whom it speaks for.
    pub(super) fn subject(
        &self,
        claims: Map<String, Value>,
        issuer: &Name,
        times: &SessionTimes,
    ) -> Subject {
        subject(claims, issuer, &self.tokens.scope, self.ends_by(times))
    }

    pub(super) fn to_text(&self) -> String {
        json!({
            "i": self.id, "b": self.begun, "s": self.seen, "x": self.ends, "c": self.certificate,
            "t": self.id_token, "a": self.tokens.access, "e": self.tokens.access_ends, "g": self.tokens.got,
            "r": self.tokens.refresh, "o": self.tokens.scope, "n": self.after,
        })
        .to_string()
    }

    pub(super) fn of_text(text: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| all.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| all.get(name)?.as_u64();
        let after = all.get("n")?.as_array()?.iter();
        Some(Self {
            id: text("i")?,
            begun: number("b")?,
            seen: number("s")?,
            ends: number("x")?,
            certificate: text("c"),
            id_token: text("t")?,
            tokens: Tokens {
                access: text("a"),
                access_ends: number("e"),
                got: number("g")?,
                refresh: text("r"),
                scope: text("o")?,
            },
            after: after
                .filter_map(|mark| Some(mark.as_str()?.to_owned()))
                .collect(),
        })
    }
}

/// The claims of a JWT that was verified before.
pub(super) fn claims(jwt: &str) -> Option<Map<String, Value>> {
    let payload = jwt.split('.').nth(1)?;
    json::object(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Whom these claims, whose `iss` was verified, speak for. The scopes are those that were granted.
pub(super) fn subject(
    claims: Map<String, Value>,
    issuer: &Name,
    scope: &str,
    expires: u64,
) -> Subject {
    Subject {
        credential: Credential::Login,
        issuer: issuer.clone(),
        iss: claims.get("iss").and_then(Value::as_str).map(Arc::from),
        sub: claims.get("sub").and_then(Value::as_str).map(Arc::from),
        scopes: Scopes::of(scope.split(' ')),
        claims: claims.into(),
        expires,
    }
}

impl fmt::Debug for Session {
    /// Nothing of its tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("begun", &self.begun)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn session() -> Session {
        Session {
            id: "id".to_owned(),
            begun: 1_000,
            seen: 1_000,
            ends: 1_200,
            certificate: Some("c".to_owned()),
            id_token: "a.e30.c".to_owned(),
            tokens: Tokens {
                access: Some("at".to_owned()),
                access_ends: Some(1_300),
                got: 1_000,
                refresh: None,
                scope: "openid profile".to_owned(),
            },
            after: vec!["mark".to_owned()],
        }
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let one = session();
        assert_eq!(Session::of_text(&one.to_text()), Some(one));
        for broken in ["", "{}", "[]", "null", r#"{"i":"x"}"#] {
            assert_eq!(Session::of_text(broken), None, "{broken}");
        }
    }

    #[test]
    fn it_is_the_same_only_for_its_own_user() {
        let of = |id: &str, claims: Value| Session {
            id: id.to_owned(),
            id_token: format!("a.{}.c", URL_SAFE_NO_PAD.encode(claims.to_string())),
            ..session()
        };
        let own = of("1", json!({"sub": "alice", "sid": "s"}));
        let cases = [
            (of("1", json!({"sub": "alice", "sid": "s", "iat": 1})), true),
            (of("2", json!({"sub": "alice", "sid": "s"})), false),
            (of("1", json!({"sub": "bob", "sid": "s"})), false),
            (of("1", json!({"sub": "alice", "sid": "t"})), false),
            (of("1", json!({"sub": "alice"})), false),
            (of("1", json!({})), false),
        ];
        for (renewed, same) in cases {
            assert_eq!(renewed.is_same(&own), same, "{:?}", renewed.claims());
        }
    }

    #[test]
    fn it_ends_when_it_was_idle_and_when_its_time_is_over() {
        let times = SessionTimes {
            idle: Duration::from_secs(80),
            max: Duration::from_secs(200),
        };
        let cases = [
            // (seen, now, standing)
            (1_000, 1_000, Standing::Good),
            (1_000, 1_009, Standing::Good),
            (1_000, 1_010, Standing::Touch),
            (1_000, 1_079, Standing::Touch),
            (1_000, 1_080, Standing::Over),
            (1_190, 1_199, Standing::Good),
            (1_199, 1_200, Standing::Over),
            (1_000, 970, Standing::Good),
            (1_000, 969, Standing::Over),
            (2_000, 1_010, Standing::Over),
        ];
        for (seen, now, want) in cases {
            let session = Session { seen, ..session() };
            assert_eq!(session.standing(&times, now, 30), want, "{seen} {now}");
        }
    }

    #[test]
    fn what_is_written_later_shortens_it_and_never_lengthens_it() {
        for (max, ends) in [(100, 1_100), (200, 1_200), (300, 1_200)] {
            let times = SessionTimes {
                idle: Duration::from_secs(1_000),
                max: Duration::from_secs(max),
            };
            let at = |now| session().standing(&times, now, 30) == Standing::Over;
            assert_eq!((at(ends - 1), at(ends)), (false, true), "{max}");
        }
    }
}
