//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6), after their signature was
//! verified.

use serde_json::{Map, Value};

use super::id_token::{Wrong, check_parties, check_times, seconds, text};

/// Whom a logout token ends the sessions of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended<'c> {
    /// By what it is known again.
    pub(super) jti: &'c str,
    pub(super) whose: Whose<'c>,
    /// When it is over, in seconds since 1970.
    pub(super) exp: u64,
}

/// Which sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose<'c> {
    /// One, by the server's `sid`. If its user is named too: also those of his that have no `sid`, for
    /// one of them may be meant.
    Session { sid: &'c str, sub: Option<&'c str> },
    /// All of a user.
    User(&'c str),
}

/// The one kind of token that ends sessions. Without it, another token of the same issuer might.
pub(super) const TYP: &str = "logout+jwt";
/// The event that it is about.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Older ones are not believed, whatever they say of their end: their `jti` may be forgotten.
pub(super) const AGE_SECONDS_MAX: u64 = 300;
const TEXT_BYTES_MAX: usize = 512;

/// Reads the claims.
pub(super) fn read<'c>(
    claims: &'c Map<String, Value>,
    typ: Option<&str>,
    (issuer, client_id): (&str, &str),
    (now, leeway): (u64, u64),
) -> Result<Ended<'c>, Wrong> {
    if typ != Some(TYP) {
        return Err("typ is not logout+jwt");
    }
    check_parties(claims, issuer, client_id)?;
    check_times(claims, now, leeway)?;
    let iat = seconds(claims, "iat").ok_or("iat is missing, or not a time")?;
    if iat.saturating_add(AGE_SECONDS_MAX).saturating_add(leeway) < now {
        return Err("iat is too long ago");
    }
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err("events does not name the logout");
    }
    // What tells it from an ID token (section 2.4).
    if claims.contains_key("nonce") {
        return Err("nonce is there");
    }
    let fits = |text: &&str| !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
    let jti = text(claims, "jti")
        .filter(fits)
        .ok_or("jti is missing, or too long")?;
    let named = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(_) => {
            let named = text(claims, name).filter(fits);
            named
                .map(Some)
                .ok_or("sid or sub is empty, too long, or not a text")
        }
    };
    let whose = match (named("sid")?, named("sub")?) {
        (Some(sid), sub) => Whose::Session { sid, sub },
        (None, Some(sub)) => Whose::User(sub),
        (None, None) => return Err("it names neither a session nor a user"),
    };
    let exp = seconds(claims, "exp").ok_or("exp is missing, or not a time")?;
    Ok(Ended { jti, whose, exp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_000_000;

    fn good() -> Map<String, Value> {
        let claims = json!({
            "iss": "https://id.example", "aud": "gateway", "sub": "alice", "sid": "s", "jti": "j",
            "iat": NOW, "exp": NOW + 120, "events": { EVENT: {} },
        });
        claims.as_object().unwrap().clone()
    }

    fn of(claims: &Map<String, Value>, typ: Option<&str>) -> Result<(), Wrong> {
        read(claims, typ, ("https://id.example", "gateway"), (NOW, 30)).map(|_| ())
    }

    #[test]
    fn only_a_whole_logout_token_ends_sessions() {
        let ended = good();
        let ended = read(
            &ended,
            Some(TYP),
            ("https://id.example", "gateway"),
            (NOW, 30),
        )
        .unwrap();
        let (sid, sub) = ("s", Some("alice"));
        assert_eq!(ended.whose, Whose::Session { sid, sub });
        for typ in [None, Some("jwt"), Some("at+jwt"), Some("")] {
            assert_eq!(of(&good(), typ), Err("typ is not logout+jwt"));
        }
        let cases = [
            (
                "iss",
                json!("https://other.example"),
                "iss is not the issuer",
            ),
            ("aud", json!("other"), "aud is not this client"),
            ("exp", json!(NOW - 31), "exp is over"),
            ("exp", json!(null), "exp is missing, or not a time"),
            ("iat", json!(null), "iat is missing, or not a time"),
            ("iat", json!(NOW + 31), "iat is to come"),
            ("iat", json!(NOW - 331), "iat is too long ago"),
            ("events", json!(null), "events does not name the logout"),
            ("events", json!({}), "events does not name the logout"),
            ("events", json!([EVENT]), "events does not name the logout"),
            (
                "events",
                json!({ EVENT: null }),
                "events does not name the logout",
            ),
            (
                "events",
                json!({ EVENT: "" }),
                "events does not name the logout",
            ),
            ("nonce", json!("n"), "nonce is there"),
            ("nonce", json!(null), "nonce is there"),
            ("jti", json!(null), "jti is missing, or too long"),
            ("jti", json!(""), "jti is missing, or too long"),
            ("jti", json!("x".repeat(513)), "jti is missing, or too long"),
            (
                "sid",
                json!(""),
                "sid or sub is empty, too long, or not a text",
            ),
            (
                "sid",
                json!(7),
                "sid or sub is empty, too long, or not a text",
            ),
            (
                "sub",
                json!([]),
                "sid or sub is empty, too long, or not a text",
            ),
        ];
        for (name, value, why) in cases {
            let mut claims = good();
            claims.insert(name.to_owned(), value.clone());
            assert_eq!(of(&claims, Some(TYP)), Err(why), "{name}: {value}");
        }
        let mut claims = good();
        claims.remove("sid");
        assert_eq!(of(&claims, Some(TYP)), Ok(()));
        claims.remove("sub");
        let neither = "it names neither a session nor a user";
        assert_eq!(of(&claims, Some(TYP)), Err(neither));
    }
}
