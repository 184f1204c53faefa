//! What an issuer answers about a token (RFC 7662, section 2.2; RFC 9701, section 5), read as
//! strictly as a token is.

use serde_json::{Map, Value, json};

use crate::authenticate::claims::{Facts, has_long_sub, time};
use crate::authenticate::jws::Signed;
use crate::config::introspection::AudienceRule;
use crate::config::spec::IssuerSpec;
use crate::identity::subject::Credential;
use crate::json;
use crate::refusal::Refusal;

/// What an issuer says of a token.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is good, and this is known of it.
    Active(Map<String, Value>),
    /// It is not, or is not for us to know.
    Inactive,
}

/// Why an answer is not believed, for the log: a clause about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(pub(super) &'static str);

/// Why nothing is known of an active token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoFacts {
    /// The token is none for us.
    Refused(Refusal),
    /// The issuer's answer is at fault.
    Unusable(Unusable),
}

/// What a signed answer must be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'e> {
    /// `iss`, byte by byte.
    pub(super) issuer: &'e str,
    /// `aud`: the client that asked.
    pub(super) client_id: &'e str,
    /// In seconds since 1970.
    pub(super) now: u64,
    /// By how much clocks may differ, in seconds.
    pub(super) leeway: u64,
}

/// The media type of a signed answer, and with `application/` the `typ` of its header.
pub(super) const SIGNED: &str = "application/token-introspection+jwt";
const SIGNED_TYP: &str = "token-introspection+jwt";

/// An answer is made when it is asked for. One that is older was made for somebody else.
const AGE_SECONDS_MAX: u64 = 60;

/// Reads what stands in plain JSON, or in a signed answer.
pub(super) fn verdict(mut answer: Map<String, Value>) -> Result<Verdict, Unusable> {
    match answer.remove("active") {
        Some(Value::Bool(true)) => Ok(Verdict::Active(answer)),
        Some(Value::Bool(false)) => Ok(Verdict::Inactive),
        // Texts and numbers that somebody might take for true.
        Some(_) => Err(Unusable("has an `active` that is neither true nor false")),
        None => Err(Unusable("has no `active`")),
    }
}

/// Reads a signed answer, after its signature was found right.
pub(super) fn signed(signed: &Signed, expected: &Expected<'_>) -> Result<Verdict, Unusable> {
    if signed.typ.as_deref() != Some(SIGNED_TYP) {
        return Err(Unusable("is a JWT of another type"));
    }
    let mut claims = json::object(&signed.payload)
        .map_err(|_not_shown| Unusable("is not one JSON object with each member once"))?;
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Unusable("is of another issuer"));
    }
    if !is_for(claims.get("aud"), expected.client_id) {
        return Err(Unusable("is for somebody else"));
    }
    let issued = claims.get("iat").and_then(Value::as_u64);
    let issued = issued.ok_or(Unusable("has no `iat`"))?;
    let late = expected.now.saturating_sub(issued);
    let early = issued.saturating_sub(expected.now);
    if late > AGE_SECONDS_MAX.saturating_add(expected.leeway) || early > expected.leeway {
        return Err(Unusable("was made at another time"));
    }
    let read = |name, whole| {
        let read = time(&claims, name, whole);
        read.map_err(|_not_a_time| Unusable("has an `exp` or `nbf` that is no time"))
    };
    let (expires, not_before) = (read("exp", f64::floor)?, read("nbf", f64::ceil)?);
    let is_over = expires.is_some_and(|at| expected.now >= at.saturating_add(expected.leeway));
    let is_early = not_before.is_some_and(|at| expected.now.saturating_add(expected.leeway) < at);
    if is_over || is_early {
        return Err(Unusable("is over, or not good yet"));
    }
    match claims.remove("token_introspection") {
        Some(Value::Object(answer)) => verdict(answer),
        Some(_) | None => Err(Unusable("has no `token_introspection`")),
    }
}

fn is_for(aud: Option<&Value>, client_id: &str) -> bool {
    match aud {
        Some(Value::String(text)) => text == client_id,
        Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(client_id)),
        Some(_) | None => false,
    }
}

/// What the issuer need not say, for it is known otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beside {
    /// Nothing is.
    Nothing,
    /// A JWT that was verified here, which ends then: the answer only says whether it still counts.
    Jwt {
        /// In seconds since 1970.
        expires: u64,
    },
}

/// What is known of an active token, by the rules for JWTs of this issuer. Its claims are completed.
pub(super) fn facts(
    claims: &mut Map<String, Value>,
    beside: Beside,
    spec: &IssuerSpec,
) -> Result<Facts, NoFacts> {
    let unusable = |why| NoFacts::Unusable(Unusable(why));
    for text in ["client_id", "username"] {
        if claims.get(text).is_some_and(|value| !value.is_string()) {
            return Err(unusable("has a `client_id` or `username` that is no text"));
        }
    }
    if has_long_sub(claims) {
        return Err(NoFacts::Refused(Refusal::TokenMalformed)); // the answer is right, and of no use
    }
    let kind = Kind::read(claims)?;
    if kind == Kind::Dpop && claims.get("cnf").is_none() {
        return Err(unusable(
            "has `token_type` DPoP, and no key that the token is bound to",
        ));
    }
    let told_audience = claims.contains_key("aud");
    let mut assume = |name: &str, value: Value| {
        claims.entry(name).or_insert(value);
    };
    // The connection says who answers. What is written must be right all the same.
    assume("iss", json!(spec.issuer));
    match beside {
        Beside::Jwt { expires } => {
            assume("aud", json!(spec.audiences));
            assume("exp", json!(expires));
        }
        // A refresh token is active as well. One of the two must tell it from a token for us.
        Beside::Nothing if kind == Kind::Unknown && !told_audience => {
            return Err(NoFacts::Refused(Refusal::TokenAudience));
        }
        Beside::Nothing => {
            let rule = spec.introspection.as_ref().map(|spec| spec.audience);
            if rule == Some(AudienceRule::WhenTold) {
                assume("aud", json!(spec.audiences));
            }
        }
    }
    let mut facts = Facts::of_claims(claims, None, spec).map_err(|refusal| {
        if refusal == Refusal::TokenMalformed {
            unusable("has a claim of a wrong type, or a time that is none")
        } else {
            NoFacts::Refused(refusal)
        }
    })?;
    facts.credential = Credential::Introspected;
    Ok(facts)
}

/// `token_type` (RFC 6749, section 7.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bearer,
    Dpop,
    Unknown,
}

impl Kind {
    fn read(claims: &Map<String, Value>) -> Result<Self, NoFacts> {
        match claims.get("token_type") {
            None => Ok(Self::Unknown),
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("Bearer") => Ok(Self::Bearer),
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("DPoP") => Ok(Self::Dpop),
            // A refresh token, or something that nobody here can use.
            Some(Value::String(_)) => Err(NoFacts::Refused(Refusal::TokenType)),
            Some(_) => Err(NoFacts::Unusable(Unusable(
                "has a `token_type` that is no text",
            ))),
        }
    }
}
