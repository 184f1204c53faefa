//! Why a token was refused, for the access log: read from the token once more, after the refusal,
//! so that a token that is good costs nothing.
//!
//! What no key has signed is called `unverified`, and never says whose the token is. Of claims only
//! `iss`, `aud`, `sub` of a workload and times are shown, of a header `alg`, `typ` and `kid`.

use serde_json::{Map, Value};

use super::algorithm;
use super::claims::{self, Facts};
use super::issuer::Issuer;
use super::jws;
use super::told::{Told, Whose};
use crate::config::spec::IssuerSpec;
use crate::config::token::SubjectsSpec;
use crate::detail::{Detail, Quoted, QuotedList};
use crate::json;
use crate::refusal::Refusal;

type Members = Map<String, Value>;

/// Notes what is known of a token that an issuer's rules refuse. The refusal is the answer.
pub(super) fn refused(
    refusal: Refusal,
    token: &str,
    issuer: &Issuer,
    now: u64,
    told: &mut Told,
) -> Refusal {
    let Ok(parts) = jws::take_apart(token) else {
        return refusal; // it says nothing by itself
    };
    let claims = json::object(&parts.payload).ok();
    let spec = issuer.spec();
    told.detail = if told.is_signed {
        let claims = claims.as_ref();
        // Several issuers may sign with one key: before `iss` is right, the token is none of this one's.
        let of_another = [Refusal::TokenIssuer, Refusal::TokenMalformed].contains(&refusal);
        let own = claims.filter(|_| !of_another);
        told.whose = own.map(|claims| Box::new(Whose::of_claims(issuer.name(), claims)));
        claims.and_then(|claims| of_claims(refusal, claims, spec, now))
    } else {
        let iss = claims.and_then(|claims| unverified_iss(&claims, spec));
        of_header(refusal, &parts.header, spec, &iss.unwrap_or_default())
    };
    refusal
}

/// Of a token that none of the route's issuers could have made.
pub(super) fn of_nobody(refusal: Refusal, token: &str) -> Option<Detail> {
    if refusal != Refusal::TokenIssuer {
        return None;
    }
    let claims = jws::unverified_claims(token).ok()?;
    let iss = shown(&claims, "iss");
    Some(Detail::new(format_args!(
        "unverified {iss} is none of the route's issuers"
    )))
}

/// Of a good token that is none of the kind that the route wants.
pub(super) fn of_type(
    refusal: Refusal,
    wanted: Option<&str>,
    facts: &Facts,
    claims: &Members,
) -> Option<Detail> {
    if refusal == Refusal::TokenIncomplete {
        // What RFC 9068, section 2.2, requires beside what every token must have.
        let is_text = |name: &&&str| claims.get(**name).is_some_and(Value::is_string);
        let missing = ["sub", "client_id", "jti"].iter();
        let missing = missing.filter(|name| !is_text(name)).copied();
        let iat = (!claims.contains_key("iat")).then_some("iat");
        let missing: Vec<&str> = missing.chain(iat).collect();
        return Some(Detail::new(format_args!("no {}", missing.join(", "))));
    }
    let typ = match facts.typ.as_deref() {
        Some(typ) => format!("typ {}", Quoted(typ)),
        None => "no typ".to_owned(),
    };
    let wanted = wanted.unwrap_or("jwt");
    Some(Detail::new(format_args!(
        "{typ}, expected {}",
        Quoted(wanted)
    )))
}

fn of_header(refusal: Refusal, header: &Members, spec: &IssuerSpec, iss: &str) -> Option<Detail> {
    let (alg, kid) = (shown(header, "alg"), shown(header, "kid"));
    if refusal == Refusal::TokenAlgorithm {
        let names: Vec<&str> = spec
            .algorithms
            .iter()
            .map(|it| algorithm::name(*it))
            .collect();
        let known = header.get("alg").and_then(Value::as_str);
        if known.is_some_and(|known| names.contains(&known)) {
            return Some(Detail::new(format_args!(
                "{alg} is not that of the key, {kid}{iss}"
            )));
        }
        let names = names.join(", ");
        return Some(Detail::new(format_args!("{alg}, expected {names}{iss}")));
    }
    if refusal == Refusal::TokenHeader {
        let member = jws::REFUSED
            .iter()
            .find(|name| header.contains_key(**name))?;
        return Some(Detail::new(format_args!("the header has {member}")));
    }
    if refusal == Refusal::TokenIssuer {
        let iss = iss.strip_prefix("; ")?;
        return Some(Detail::new(iss));
    }
    if refusal == Refusal::TokenKeyUnknown && !header.contains_key("kid") {
        // Only one key for `alg` would do then.
        return Some(Detail::new(format_args!("{kid}, {alg}{iss}")));
    }
    let of_key = [
        Refusal::TokenKeyUnknown,
        Refusal::TokenSignature,
        Refusal::IssuerKeysUnavailable,
    ];
    let of_key = of_key.contains(&refusal);
    of_key.then(|| Detail::new(format_args!("{kid}{iss}")))
}

/// That a token calls itself one of another issuer, which is why its key is not there.
fn unverified_iss(claims: &Members, spec: &IssuerSpec) -> Option<String> {
    let own = claims.get("iss").and_then(Value::as_str);
    if !spec.profile.subjects.asks_for_iss() || own == Some(&*spec.issuer) {
        return None;
    }
    let (iss, expected) = (shown(claims, "iss"), Quoted(&spec.issuer));
    Some(format!("; unverified {iss}, expected {expected}"))
}

/// `None` also where the token itself is not wrong in this: then the issuer that was asked about it
/// said something else.
fn of_claims(refusal: Refusal, claims: &Members, spec: &IssuerSpec, now: u64) -> Option<Detail> {
    if refusal == Refusal::TokenIssuer {
        return issuer(claims, spec);
    }
    if refusal == Refusal::TokenAudience {
        return audience(claims, spec);
    }
    if refusal == Refusal::TokenBindingUnknown {
        let methods = claims.get("cnf").and_then(Value::as_object)?;
        let methods: Vec<&String> = methods.keys().collect();
        let methods = QuotedList(&methods);
        return Some(Detail::new(format_args!("cnf has [{methods}]")));
    }
    of_times(refusal, claims, spec, now)
}

fn issuer(claims: &Members, spec: &IssuerSpec) -> Option<Detail> {
    let own = claims.get("iss").and_then(Value::as_str);
    let subjects = &spec.profile.subjects;
    if subjects.asks_for_iss() && own != Some(&*spec.issuer) {
        let (iss, expected) = (shown(claims, "iss"), Quoted(&spec.issuer));
        return Some(Detail::new(format_args!("{iss}, expected {expected}")));
    }
    match subjects {
        SubjectsSpec::Workloads { of, .. } => {
            let sub = shown(claims, "sub");
            Some(Detail::new(format_args!("{sub} is no workload of {of}")))
        }
        SubjectsSpec::Anybody => None,
    }
}

fn audience(claims: &Members, spec: &IssuerSpec) -> Option<Detail> {
    let list: Vec<&str> = match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    let is_ours = |aud: &&str| spec.audiences.iter().any(|ours| ours == aud);
    if list.iter().any(is_ours) {
        return None;
    }
    let aud = match claims.get("aud") {
        Some(Value::Array(_)) => format!("aud [{}]", QuotedList(&list)),
        Some(_) | None => shown(claims, "aud"),
    };
    let expected = QuotedList(&spec.audiences);
    Some(Detail::new(format_args!("{aud}, expected {expected}")))
}

fn of_times(refusal: Refusal, claims: &Members, spec: &IssuerSpec, now: u64) -> Option<Detail> {
    let time = |name: &str, whole: fn(f64) -> f64| claims::time(claims, name, whole).ok().flatten();
    let issued = time("iat", f64::ceil);
    if refusal == Refusal::TokenExpired {
        let Some(expires) = time("exp", f64::floor) else {
            return Some(Detail::new("no exp"));
        };
        let ago = now.checked_sub(expires)?;
        return Some(Detail::new(format_args!("expired {ago} s ago")));
    }
    if refusal == Refusal::TokenNotYetValid {
        let not_before = time("nbf", f64::ceil).unwrap_or(0);
        let issued = issued.unwrap_or(0);
        let name = if issued > not_before { "iat" } else { "nbf" };
        let ahead = issued.max(not_before).checked_sub(now)?;
        return Some(Detail::new(format_args!("{name} is {ahead} s ahead")));
    }
    if refusal == Refusal::TokenTooOld {
        let age = now.checked_sub(issued?)?;
        let most = spec.profile.max_age?.as_secs();
        let tell = || Detail::new(format_args!("issued {age} s ago, max_age {most} s"));
        return (age >= most).then(tell);
    }
    let no_age = refusal == Refusal::TokenIncomplete && issued.is_none();
    no_age.then(|| Detail::new("no iat"))
}

/// `NAME "value"`; that it is missing, or no text.
pub(super) fn shown(members: &Members, name: &str) -> String {
    match members.get(name) {
        Some(Value::String(text)) => format!("{name} {}", Quoted(text)),
        Some(_) => format!("{name} is no text"),
        None => format!("no {name}"),
    }
}
