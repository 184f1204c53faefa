//! [`Issued`]: what a token endpoint gave for a token, read strictly (RFC 8693, section 2.2.1).

use std::fmt;

use http::HeaderValue;
use serde_json::{Map, Value};

use crate::config::exchange::TokenTypeSpec;

/// A token that is meant for the service.
pub(super) struct Issued {
    /// `Bearer TOKEN`, as it is sent.
    pub(super) authorization: HeaderValue,
    /// For how many seconds it lasts, if that is said.
    pub(super) seconds: Option<u64>,
}

/// Longer ones do not fit into the head that a service takes.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Longer than anything that a token should last; larger numbers are mistakes.
const SECONDS_MAX: u64 = 10 * 366 * 24 * 3_600;

/// Reads a token. `given` is what was exchanged, `requested` what it was to become.
///
/// # Errors
///
/// What is wrong with the answer, for the log.
pub(super) fn read(
    answer: &Map<String, Value>,
    given: &str,
    requested: Option<TokenTypeSpec>,
) -> Result<Issued, &'static str> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let token = text("access_token").ok_or("has no `access_token`")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(plain) {
        return Err("has an `access_token` that is none");
    }
    if bare(token) == bare(given) {
        return Err("gives back the token that was to be exchanged");
    }
    let kind = text("token_type").ok_or("has no `token_type`")?;
    // N_A: it is no access token and is used in another way; as a bearer token all the same here.
    if !kind.eq_ignore_ascii_case("Bearer") && !kind.eq_ignore_ascii_case("N_A") {
        return Err("has a `token_type` that is not for a bearer");
    }
    let issued = text("issued_token_type").ok_or("has no `issued_token_type`")?;
    // A refresh token, say, is nothing for a service.
    let known = [TokenTypeSpec::AccessToken, TokenTypeSpec::Jwt];
    let known = known.into_iter().find(|known| known.urn() == issued);
    if known.is_none() || requested.is_some() && known != requested {
        return Err("has an `issued_token_type` that was not asked for");
    }
    let seconds = match answer.get("expires_in") {
        None => None,
        Some(seconds) => Some(
            seconds
                .as_u64()
                .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
                .ok_or("has an `expires_in` that is no time")?,
        ),
    };
    let mut authorization =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_plain| "cannot be sent on")?;
    authorization.set_sensitive(true);
    Ok(Issued {
        authorization,
        seconds,
    })
}

/// How the header of a JWT begins: `{"` in base64url.
const JOSE: &str = "ey";

/// What a token is known by, in whatever spelling: without what may stand behind it and, of a JWT,
/// without its signature, which can be written in several ways.
fn bare(token: &str) -> &str {
    let token = token.trim_end_matches(['=', '.']);
    if !token.starts_with(JOSE) {
        return token;
    }
    match token.rsplit_once('.') {
        Some((signed, _signature)) if signed.contains('.') => signed.trim_end_matches('='),
        Some(_) | None => token,
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("seconds", &self.seconds)
            .finish_non_exhaustive()
    }
}
