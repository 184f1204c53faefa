//! What a token claims (RFC 7519, section 4): read once, after the signature was verified.
//!
//! [`Facts`] is what is remembered of a token. It holds nothing that depends on a route or on a
//! connection except as facts to be compared anew for each request.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Number, Value};

use super::possession::binding::Binding;
use crate::config::spec::IssuerSpec;
use crate::config::token::SubjectsSpec;
use crate::identity::claim::ClaimPath;
use crate::identity::claims::Claims;
use crate::identity::name::Name;
use crate::identity::scopes::Scopes;
use crate::identity::spiffe::{SpiffeId, TrustDomain};
use crate::identity::subject::{Credential, Subject};
use crate::json;
use crate::refusal::Refusal;

/// What is known of a token whose signature, issuer and audience are right. Small: a hundred thousand
/// of these are kept.
#[derive(Debug)]
pub(super) struct Facts {
    /// By what it is known.
    pub(super) credential: Credential,
    /// The claim `sub`.
    sub: Option<Arc<str>>,
    scopes: Scopes,
    /// When the token ends (`exp`), in seconds since 1970.
    pub(super) expires: u64,
    /// The later one of `nbf` and `iat`, in seconds since 1970; 0 without them.
    not_before: u64,
    /// `iat`, in seconds since 1970.
    issued: Option<u64>,
    /// Whether it has the claims that RFC 9068, section 2.2, requires.
    pub(super) is_complete: bool,
    /// `typ` of the header, as `jws::normal_typ` writes it.
    pub(super) typ: Option<Box<str>>,
    /// Whose token it is.
    pub(super) binding: Binding,
    /// The claim `iss`, where the issuer's tokens need not have its own.
    pub(super) other_iss: Option<Box<str>>,
}

/// The end of the year 9999. Later times are mistakes (milliseconds) or attacks on arithmetic.
const SECONDS_MAX: u64 = 253_402_300_799;

impl Facts {
    /// Reads the payload of a verified token, and checks `iss` and `aud`. Times are checked by
    /// [`Self::check_times`], for each request.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenMalformed`] if it is not JSON with each member once, or a claim that we read
    /// has another type or is too long; [`Refusal::TokenIssuer`], [`Refusal::TokenAudience`]; and
    /// [`Refusal::TokenExpired`] without `exp`.
    pub(super) fn read(
        payload: &[u8],
        typ: Option<Box<str>>,
        spec: &IssuerSpec,
    ) -> Result<(Self, Map<String, Value>), Refusal> {
        let claims = json::object(payload).map_err(|_not_one_object| Refusal::TokenMalformed)?;
        let facts = Self::of_claims(&claims, typ, spec)?;
        Ok((facts, claims))
    }

    /// As [`Self::read`], for claims that are already JSON.
    pub(super) fn of_claims(
        claims: &Map<String, Value>,
        typ: Option<Box<str>>,
        spec: &IssuerSpec,
    ) -> Result<Self, Refusal> {
        let subjects = &spec.profile.subjects;
        let iss = text(claims, "iss")?;
        if subjects.asks_for_iss() && iss != Some(spec.issuer.as_str()) {
            return Err(Refusal::TokenIssuer);
        }
        let sub = text(claims, "sub")?;
        if has_long_sub(claims) {
            return Err(Refusal::TokenMalformed);
        }
        if let SubjectsSpec::Workloads { of, .. } = subjects
            && !is_workload_of(of, sub)
        {
            return Err(Refusal::TokenIssuer);
        }
        check_audience(claims, &spec.audiences)?;
        let expires = time(claims, "exp", f64::floor)?.ok_or(Refusal::TokenExpired)?;
        let not_before = time(claims, "nbf", f64::ceil)?.unwrap_or(0);
        let issued = time(claims, "iat", f64::ceil)?;
        let binding = Binding::read(claims)?;
        let is_complete = issued.is_some() && has_texts(claims, &["sub", "client_id", "jti"]);
        let other_iss = iss.filter(|_| !subjects.asks_for_iss());
        Ok(Self {
            credential: Credential::Jwt,
            sub: sub.map(Into::into),
            scopes: scopes(claims, &spec.profile.scopes_claims)?,
            expires,
            not_before: not_before.max(issued.unwrap_or(0)),
            issued,
            is_complete,
            typ,
            binding,
            other_iss: other_iss.map(Into::into),
        })
    }

    /// Whom the token speaks for: `issuer` is whose token it is, `iss` the claim if it was held against
    /// the issuer's, `claims` are its own.
    pub(super) fn subject(&self, issuer: &Name, iss: Option<&Arc<str>>, claims: Claims) -> Subject {
        Subject {
            credential: self.credential,
            issuer: issuer.clone(),
            iss: iss.cloned(),
            sub: self.sub.clone(),
            scopes: self.scopes.clone(),
            claims,
            expires: self.expires,
        }
    }

    /// How much memory its texts take.
    pub(super) fn text_bytes(&self) -> usize {
        let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let sub = self.sub.as_ref().map_or(0, |sub| sub.len());
        sub + self.scopes.bytes() + length(&self.typ) + length(&self.other_iss)
    }

    /// Whether the token may be used at `now` (seconds since 1970), by the issuer's bounds.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenExpired`] from `exp` plus the leeway on; [`Refusal::TokenNotYetValid`]
    /// before `nbf` or `iat` less the leeway; [`Refusal::TokenTooOld`] from `iat` plus the greatest age
    /// plus the leeway on, and [`Refusal::TokenIncomplete`] where there is such an age and no `iat`.
    pub(super) fn check_times(&self, now: u64, spec: &IssuerSpec) -> Result<(), Refusal> {
        self.check_span(now, spec)?;
        let leeway = spec.leeway.as_secs();
        if let Some(max_age) = spec.profile.max_age {
            let issued = self.issued.ok_or(Refusal::TokenIncomplete)?;
            let end = issued.saturating_add(max_age.as_secs());
            if now >= end.saturating_add(leeway) {
                return Err(Refusal::TokenTooOld);
            }
        }
        Ok(())
    }

    /// As [`Self::check_times`], whatever its age.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenExpired`] and [`Refusal::TokenNotYetValid`].
    pub(super) fn check_span(&self, now: u64, spec: &IssuerSpec) -> Result<(), Refusal> {
        let leeway = spec.leeway.as_secs();
        if now >= self.expires.saturating_add(leeway) {
            return Err(Refusal::TokenExpired);
        }
        if now.saturating_add(leeway) < self.not_before {
            return Err(Refusal::TokenNotYetValid);
        }
        Ok(())
    }
}

/// Whether `sub` is a SPIFFE ID of this trust domain (JWT-SVID, section 3.1).
pub(super) fn is_workload_of(domain: &TrustDomain, sub: Option<&str>) -> bool {
    let id = sub.and_then(|sub| sub.parse::<SpiffeId>().ok());
    id.is_some_and(|id| id.trust_domain() == domain.as_str())
}

/// Whether `sub` is longer than anybody can be told whole.
pub(super) fn has_long_sub(claims: &Map<String, Value>) -> bool {
    let sub = claims.get("sub").and_then(Value::as_str);
    sub.is_some_and(|sub| sub.len() > Subject::SUB_BYTES_MAX)
}

fn has_texts(claims: &Map<String, Value>, names: &[&str]) -> bool {
    names
        .iter()
        .all(|name| claims.get(*name).is_some_and(Value::is_string))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::TokenMalformed),
    }
}

/// `aud` is one text or an array of texts (RFC 7519, section 4.1.3); one of them must be ours.
fn check_audience(claims: &Map<String, Value>, ours: &[String]) -> Result<(), Refusal> {
    let is_ours = |value: &Value| match value {
        Value::String(text) => Ok(ours.contains(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Refusal::TokenMalformed)
        }
    };
    let found = match claims.get("aud") {
        None => false,
        Some(Value::Array(list)) => list
            .iter()
            .try_fold(false, |found, item| Ok(is_ours(item)? || found))?,
        Some(single) => is_ours(single)?,
    };
    if found {
        Ok(())
    } else {
        Err(Refusal::TokenAudience)
    }
}

/// A `NumericDate` (RFC 7519, section 2): a JSON number from 0 to [`SECONDS_MAX`]. Parts of a
/// second are rounded with `whole`, so that they never lengthen the token's time.
///
/// # Errors
///
/// [`Refusal::TokenMalformed`] if something else stands there.
pub(super) fn time(
    claims: &Map<String, Value>,
    name: &str,
    whole: fn(f64) -> f64,
) -> Result<Option<u64>, Refusal> {
    let number = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(Refusal::TokenMalformed),
    };
    let seconds = number.as_u64().or_else(|| whole_seconds(number, whole));
    let seconds = seconds.filter(|&seconds| seconds <= SECONDS_MAX);
    seconds.map(Some).ok_or(Refusal::TokenMalformed)
}

fn whole_seconds(number: &Number, whole: fn(f64) -> f64) -> Option<u64> {
    let seconds = whole(number.as_f64()?);
    // Fails for what is negative, not finite or too large.
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(|duration| duration.as_secs())
}

/// The scopes that the claims give: those that the operator named, else `scope` (RFC 8693, section
/// 4.2), or without it `scp`. If both are there, `scope` alone counts: the standard one.
fn scopes(claims: &Map<String, Value>, named: &[ClaimPath]) -> Result<Scopes, Refusal> {
    if !named.is_empty() {
        let mut all = Vec::new();
        for path in named {
            if let Some(claim) = path.find(claims) {
                all.extend(names(claim)?);
            }
        }
        return Ok(Scopes::of(all));
    }
    if let Some(scope) = text(claims, "scope")? {
        return Ok(scope.split(' ').collect());
    }
    let scp = claims.get("scp").map(names).transpose()?;
    Ok(Scopes::of(scp.unwrap_or_default()))
}

/// Names in a text, between spaces, or in an array.
fn names(claim: &Value) -> Result<Vec<&str>, Refusal> {
    fn name(item: &Value) -> Result<&str, Refusal> {
        match item {
            Value::String(name) => Ok(name.as_str()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Err(Refusal::TokenMalformed),
        }
    }
    match claim {
        Value::String(text) => Ok(text.split(' ').collect()),
        Value::Array(items) => items.iter().map(name).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err(Refusal::TokenMalformed)
        }
    }
}
