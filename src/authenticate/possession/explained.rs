//! Why a proof was refused, for the access log: read from the proof once more, after the refusal.
//!
//! The proof is the client's own word about its request. Its signature, its key, its `jti`, its `ath`
//! and its nonce are not shown.

use serde_json::Value;

use super::super::authenticator::Asked;
use super::super::explained::shown;
use super::super::{claims, jws, key};
use super::proof;
use super::target;
use crate::detail::{Detail, Quoted};
use crate::json;
use crate::refusal::Refusal;

/// What proofs are held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    /// The algorithms, with spaces between.
    pub(super) algorithms: &'a str,
    /// In seconds, as the leeway.
    pub(super) window: u64,
    pub(super) leeway: u64,
    /// Seconds since 1970.
    pub(super) now: u64,
}

type Members = serde_json::Map<String, Value>;

/// What of a refusal its reason does not say.
pub(super) fn refused(refusal: Refusal, asked: &Asked<'_>, bounds: &Bounds<'_>) -> Option<Detail> {
    let text = proof::field(asked.headers).ok()?;
    if text.len() > proof::PROOF_BYTES_MAX {
        return None;
    }
    let parts = jws::take_apart(text).ok()?;
    of_header(refusal, &parts.header, bounds).or_else(|| {
        let claims = json::object(&parts.payload).ok()?;
        of_request(refusal, &claims, asked).or_else(|| of_times(refusal, &claims, bounds))
    })
}

fn of_header(refusal: Refusal, header: &Members, bounds: &Bounds<'_>) -> Option<Detail> {
    if refusal == Refusal::ProofType {
        let typ = shown(header, "typ");
        return Some(Detail::new(format_args!("{typ}, expected \"dpop+jwt\"")));
    }
    if refusal == Refusal::ProofAlgorithm {
        let (alg, names) = (shown(header, "alg"), bounds.algorithms.replace(' ', ", "));
        return Some(Detail::new(format_args!("{alg}, expected {names}")));
    }
    if refusal == Refusal::ProofHeader {
        let mut refused = proof::REFUSED.iter();
        let member = refused.find(|name| header.contains_key(**name))?;
        return Some(Detail::new(format_args!("the header has {member}")));
    }
    (refusal == Refusal::ProofKey).then(|| of_key(header))
}

fn of_key(header: &Members) -> Detail {
    let Some(jwk) = header.get("jwk").and_then(Value::as_object) else {
        return Detail::new("no jwk");
    };
    if proof::is_secret(jwk) {
        return Detail::new("jwk has a part that is secret");
    }
    let alg = header.get("alg").and_then(Value::as_str);
    let algorithm = alg.and_then(proof::algorithm_by_name);
    match key::Key::read(jwk, algorithm.as_slice()) {
        Ok(_key) => Detail::new("jwk is no key of alg"),
        Err(why) => Detail::new(format_args!("jwk: {why}")),
    }
}

fn of_request(refusal: Refusal, claims: &Members, asked: &Asked<'_>) -> Option<Detail> {
    if refusal == Refusal::ProofMalformed {
        return malformed(claims);
    }
    if refusal == Refusal::ProofMethod {
        let (htm, method) = (shown(claims, "htm"), Quoted(asked.method.as_str()));
        return Some(Detail::new(format_args!("{htm}, expected {method}")));
    }
    if refusal == Refusal::ProofTarget {
        let htu = claims
            .get("htu")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let expected = target::of(asked.authority, asked.path);
        let (htu, expected) = (Quoted(without_secrets(htu)), Quoted(&expected));
        return Some(Detail::new(format_args!("htu {htu}, expected {expected}")));
    }
    (refusal == Refusal::ProofToken).then(|| {
        let there = claims.contains_key("ath");
        Detail::new(if there {
            "ath is that of another token"
        } else {
            "no ath"
        })
    })
}

/// Which claim is missing, or is not what it must be.
fn malformed(claims: &Members) -> Option<Detail> {
    let text = |name: &&str| claims.get(*name).is_none_or(|value| !value.is_string());
    let name = ["jti", "htm", "htu"].into_iter().find(text);
    let no_time = claims::time(claims, "iat", f64::floor).ok().flatten();
    let name = name.or_else(|| no_time.is_none().then_some("iat"));
    name.map(|name| Detail::new(format_args!("{name} is missing, or of another kind")))
}

/// A URL that says nothing of its query, in which secrets travel, nor of a password.
fn without_secrets(htu: &str) -> &str {
    let htu = htu.split(['?', '#']).next().unwrap_or_default();
    if htu.contains('@') {
        "(with user information)"
    } else {
        htu
    }
}

fn of_times(refusal: Refusal, claims: &Members, bounds: &Bounds<'_>) -> Option<Detail> {
    let time = |name: &str, whole: fn(f64) -> f64| claims::time(claims, name, whole).ok().flatten();
    let (now, issued) = (bounds.now, time("iat", f64::floor)?);
    if refusal == Refusal::ProofExpired {
        let age = now.saturating_sub(issued);
        if age <= bounds.window
            && let Some(expires) = time("exp", f64::floor)
        {
            let ago = now.saturating_sub(expires);
            return Some(Detail::new(format_args!("expired {ago} s ago")));
        }
        let window = bounds.window;
        return Some(Detail::new(format_args!(
            "made {age} s ago, window {window} s"
        )));
    }
    if refusal != Refusal::ProofNotYetValid {
        return None;
    }
    let not_before = time("nbf", f64::ceil).unwrap_or(0);
    let name = if not_before > issued { "nbf" } else { "iat" };
    let ahead = issued.max(not_before).saturating_sub(now);
    let leeway = bounds.leeway;
    Some(Detail::new(format_args!(
        "{name} is {ahead} s ahead, leeway {leeway} s"
    )))
}
