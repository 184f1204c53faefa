//! ID tokens (OpenID Connect Core, section 3.1.3.7), after their signature was verified.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::pending::same;
use crate::authenticate::algorithm;
use crate::config::spec::SignatureAlgorithm;
use crate::json;

/// What an ID token must say.
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) client_id: &'e str,
    /// That of the login. `None` for one that comes with refreshed tokens: it may have none.
    pub(super) nonce: Option<&'e str>,
    /// The access token that came with it.
    pub(super) access_token: Option<&'e str>,
    /// The user, where he is known: refreshed tokens are for the same one.
    pub(super) sub: Option<&'e str>,
    pub(super) now: u64,
    pub(super) leeway: u64,
}

/// What is wrong, for the log.
pub(super) type Wrong = &'static str;

/// OpenID Connect Core, section 2.
const SUB_BYTES_MAX: usize = 255;

/// `typ` of the header, as `jws::normal_typ` writes it: an ID token has none or `JWT`. One of another
/// kind (`at+jwt`, `logout+jwt`) of the same issuer is no ID token.
pub(super) fn check_typ(typ: Option<&str>) -> Result<(), Wrong> {
    match typ {
        None | Some("jwt") => Ok(()),
        Some(_) => Err("typ is that of another kind of token"),
    }
}

/// Holds the claims against what they must be.
pub(super) fn check(
    claims: &Map<String, Value>,
    token: &str,
    expected: &Expected<'_>,
) -> Result<(), Wrong> {
    check_parties(claims, expected.issuer, expected.client_id)?;
    check_times(claims, expected.now, expected.leeway)?;
    let sub = text(claims, "sub").filter(|sub| !sub.is_empty() && sub.len() <= SUB_BYTES_MAX);
    let sub = sub.ok_or("sub is missing, or not a text of 255 bytes at most")?;
    if expected.sub.is_some_and(|before| before != sub) {
        return Err("sub is not that of the session");
    }
    if let Some(nonce) = expected.nonce {
        let own = text(claims, "nonce").ok_or("nonce is missing")?;
        if !same(own, nonce) {
            return Err("nonce is not that of this login");
        }
    }
    match (claims.get("at_hash"), expected.access_token) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("at_hash is there without an access token"),
        (Some(hash), Some(access)) => {
            let hash = hash.as_str().ok_or("at_hash is not a text")?;
            let right = half_hash(token, access).ok_or("at_hash cannot be computed")?;
            let right = same(hash, &right);
            right
                .then_some(())
                .ok_or("at_hash is not that of the access token")
        }
    }
}

/// `iss`, `aud` and `azp`: of this issuer, and for us.
pub(super) fn check_parties(
    claims: &Map<String, Value>,
    issuer: &str,
    client_id: &str,
) -> Result<(), Wrong> {
    if text(claims, "iss") != Some(issuer) {
        return Err("iss is not the issuer");
    }
    let several = match claims.get("aud") {
        Some(Value::String(aud)) if aud == client_id => false,
        Some(Value::Array(all)) if all.iter().any(|aud| aud.as_str() == Some(client_id)) => {
            all.len() > 1
        }
        _ => return Err("aud is not this client"),
    };
    match claims.get("azp") {
        None if several => Err("azp is missing beside several audiences"),
        None => Ok(()),
        Some(azp) if azp.as_str() == Some(client_id) => Ok(()),
        Some(_) => Err("azp is not this client"),
    }
}

/// `exp` and `iat`: both must be there.
pub(super) fn check_times(claims: &Map<String, Value>, now: u64, leeway: u64) -> Result<(), Wrong> {
    let exp = seconds(claims, "exp").ok_or("exp is missing, or not a time")?;
    if now >= exp.saturating_add(leeway) {
        return Err("exp is over");
    }
    let iat = seconds(claims, "iat").ok_or("iat is missing, or not a time")?;
    if iat > now.saturating_add(leeway) {
        return Err("iat is to come");
    }
    match claims.get("nbf") {
        None => Ok(()),
        Some(_) if seconds(claims, "nbf").is_some_and(|nbf| nbf <= now + leeway) => Ok(()),
        Some(_) => Err("nbf is to come, or not a time"),
    }
}

pub(super) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// A time in whole seconds of this epoch: fractions are cut, as RFC 7519 allows them.
pub(super) fn seconds(claims: &Map<String, Value>, name: &str) -> Option<u64> {
    let number = claims.get(name)?.as_number()?;
    let whole = number.as_u64().or_else(|| {
        let seconds = number.as_f64()?;
        let fits = (0.0..SECONDS_MAX).contains(&seconds);
        let text = fits.then(|| format!("{:.0}", seconds.trunc()))?;
        text.parse().ok()
    })?;
    (whole < SECONDS_WHOLE_MAX).then_some(whole)
}

/// The end of the year 9999.
const SECONDS_MAX: f64 = 253_402_300_800.0;
const SECONDS_WHOLE_MAX: u64 = 253_402_300_800;

/// The left half of the hash that belongs to the token's algorithm (section 3.1.3.6).
fn half_hash(token: &str, access: &str) -> Option<String> {
    let header = token.split('.').next()?;
    let header = json::object(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let hash = hash_of(algorithm::by_name(text(&header, "alg")?)?);
    let all = digest(hash, access.as_bytes());
    let (left, _) = all.as_ref().split_at_checked(all.as_ref().len() / 2)?;
    Some(URL_SAFE_NO_PAD.encode(left))
}

fn hash_of(algorithm: SignatureAlgorithm) -> &'static Algorithm {
    match algorithm {
        SignatureAlgorithm::RS256 | SignatureAlgorithm::PS256 | SignatureAlgorithm::ES256 => {
            &SHA256
        }
        SignatureAlgorithm::RS384 | SignatureAlgorithm::PS384 | SignatureAlgorithm::ES384 => {
            &SHA384
        }
        // Ed25519 hashes with SHA-512 itself.
        SignatureAlgorithm::RS512 | SignatureAlgorithm::PS512 | SignatureAlgorithm::EdDSA => {
            &SHA512
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_000_000;

    fn expected<'e>() -> Expected<'e> {
        Expected {
            issuer: "https://id.example",
            client_id: "gateway",
            nonce: Some("n"),
            access_token: Some("access"),
            sub: None,
            now: NOW,
            leeway: 30,
        }
    }

    fn good() -> Map<String, Value> {
        let claims = json!({
            "iss": "https://id.example", "aud": "gateway", "sub": "alice", "nonce": "n",
            "iat": NOW, "exp": NOW + 300,
        });
        claims.as_object().unwrap().clone()
    }

    fn token(alg: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
        format!("{header}.e30.x")
    }

    #[test]
    fn what_is_not_for_this_login_is_refused() {
        let cases = [
            (
                "iss",
                json!("https://other.example"),
                "iss is not the issuer",
            ),
            ("iss", json!(null), "iss is not the issuer"),
            ("aud", json!("other"), "aud is not this client"),
            ("aud", json!(["other"]), "aud is not this client"),
            ("aud", json!([]), "aud is not this client"),
            ("aud", json!({"gateway": 1}), "aud is not this client"),
            (
                "aud",
                json!(["gateway", "other"]),
                "azp is missing beside several audiences",
            ),
            ("azp", json!("other"), "azp is not this client"),
            ("azp", json!(1), "azp is not this client"),
            ("exp", json!(NOW - 30), "exp is over"),
            ("exp", json!(null), "exp is missing, or not a time"),
            ("exp", json!("9999999999"), "exp is missing, or not a time"),
            ("exp", json!(1e300), "exp is missing, or not a time"),
            ("iat", json!(NOW + 31), "iat is to come"),
            ("iat", json!(null), "iat is missing, or not a time"),
            ("iat", json!(-1), "iat is missing, or not a time"),
            ("nbf", json!(NOW + 31), "nbf is to come, or not a time"),
            ("nbf", json!("x"), "nbf is to come, or not a time"),
            (
                "sub",
                json!(""),
                "sub is missing, or not a text of 255 bytes at most",
            ),
            (
                "sub",
                json!(7),
                "sub is missing, or not a text of 255 bytes at most",
            ),
            (
                "sub",
                json!("x".repeat(256)),
                "sub is missing, or not a text of 255 bytes at most",
            ),
            ("nonce", json!("m"), "nonce is not that of this login"),
            ("nonce", json!(null), "nonce is missing"),
            ("nonce", json!(["n"]), "nonce is missing"),
            (
                "at_hash",
                json!("x"),
                "at_hash is not that of the access token",
            ),
            ("at_hash", json!(1), "at_hash is not a text"),
        ];
        assert_eq!(check(&good(), &token("ES256"), &expected()), Ok(()));
        for (name, value, why) in cases {
            let mut claims = good();
            claims.insert(name.to_owned(), value.clone());
            let came = check(&claims, &token("ES256"), &expected());
            assert_eq!(came, Err(why), "{name}: {value}");
        }
        let mut claims = good();
        claims.insert("aud".to_owned(), json!(["gateway", "other"]));
        claims.insert("azp".to_owned(), json!("gateway"));
        assert_eq!(check(&claims, &token("ES256"), &expected()), Ok(()));
        let other = Expected {
            sub: Some("bob"),
            ..expected()
        };
        let came = check(&good(), &token("ES256"), &other);
        assert_eq!(came, Err("sub is not that of the session"));
    }

    #[test]
    fn the_hash_is_that_of_the_tokens_algorithm() {
        for (alg, hash) in [("ES256", &SHA256), ("PS384", &SHA384), ("EdDSA", &SHA512)] {
            let all = digest(hash, b"access");
            let half = &all.as_ref()[..all.as_ref().len() / 2];
            let mut claims = good();
            claims.insert("at_hash".to_owned(), json!(URL_SAFE_NO_PAD.encode(half)));
            assert_eq!(check(&claims, &token(alg), &expected()), Ok(()), "{alg}");
            assert!(check(&claims, &token("none"), &expected()).is_err());
        }
    }

    #[test]
    fn tokens_of_other_kinds_are_no_id_tokens() {
        assert_eq!(check_typ(None), Ok(()));
        assert_eq!(check_typ(Some("jwt")), Ok(()));
        for typ in [
            "at+jwt",
            "logout+jwt",
            "dpop+jwt",
            "",
            "token-introspection+jwt",
        ] {
            assert!(check_typ(Some(typ)).is_err(), "{typ}");
        }
    }
}
