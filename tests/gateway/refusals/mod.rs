//! Every refusal, provoked over real sockets: what the client is told, what it is not told, and
//! what the operator sees.

mod details;
mod rows;
mod stage;

use http::StatusCode;
use portcullis::refusal::Refusal;
use serde_json::json;

use crate::bench::http1::{Answer, Request};
use rows::{Row, of_another_key, row};
use stage::{SECRETS, Stage};

const TOTAL: &str = "portcullis_refusals_total";
const REQUESTS: &str = "portcullis_requests_total";

#[tokio::test]
async fn every_refusal_is_answered_counted_and_logged_by_its_name_and_helps_no_stranger() {
    let stage = Stage::set().await;
    let mut provoked = 0;
    for &refusal in Refusal::ALL {
        match row(&stage, refusal) {
            Row::Request(request) => {
                let told = stage.told();
                let answer = stage.client().request(&request).await;
                check(&stage, refusal, &answer, 1).await;
                let answer = stage.client().connect_h2().await.request(&request).await;
                check(&stage, refusal, &answer, 2).await;
                assert_eq!(stage.told(), told, "{refusal:?}: a service heard of it");
            }
            Row::Http1(request) => {
                let told = stage.told();
                let answer = stage.client().request(&request).await;
                check(&stage, refusal, &answer, 1).await;
                assert_eq!(stage.told(), told, "{refusal:?}: a service heard of it");
            }
            Row::Service(request) => {
                let answer = stage.client().request(&request).await;
                check(&stage, refusal, &answer, 1).await;
                let answer = stage.client().connect_h2().await.request(&request).await;
                check(&stage, refusal, &answer, 2).await;
            }
            Row::Steps(steps) => {
                let answer = steps(&stage).await;
                check(&stage, refusal, &answer, 1).await;
            }
            Row::NotFromOutside(why) => {
                assert!(why.len() > 20, "{refusal:?} needs a reason");
                continue;
            }
        }
        provoked += 1;
    }
    assert_eq!(
        provoked,
        Refusal::ALL.len() - 5,
        "all but those from inside"
    );
    let log = stage.gateway.log();
    assert!(log.len() > provoked, "{} lines", log.len());
    log.iter().for_each(|line| stage.check_no_credential(line));
}

#[tokio::test]
async fn a_token_of_another_key_under_the_right_name_is_a_wrong_signature() {
    let stage = Stage::set().await;
    let answer = stage.client().request(&of_another_key(&stage)).await;
    check(&stage, Refusal::TokenSignature, &answer, 1).await;
}

#[tokio::test]
async fn a_refused_head_gets_the_fields_of_the_problem_and_no_body() {
    let stage = Stage::set().await;
    let answer = stage
        .client()
        .request(&Request::new("HEAD", "/elsewhere"))
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.body, b"");
    assert!(answer.header("x-request-id").is_some());
}

/// Holds an answer, and what is seen of it inside, against the refusal. `times`: how often it was
/// provoked so far.
async fn check(stage: &Stage, refusal: Refusal, answer: &Answer, times: u32) {
    let reason = refusal.reason();
    assert_eq!(answer.status, refusal.status(), "{reason}: {answer:?}");
    let id = answer.header("x-request-id").unwrap_or_default();
    assert!(!id.is_empty(), "{reason}: no X-Request-Id");
    // These were provoked by a person at a browser.
    let shown = matches!(
        refusal,
        Refusal::LoginDenied
            | Refusal::IdTokenRefused
            | Refusal::SessionTooLarge
            | Refusal::LoginUnavailable
    );
    let kind = if shown {
        let page = answer.text();
        for text in ["<!DOCTYPE html>", refusal.public_text(), id] {
            assert!(page.contains(text), "{reason}: {page}");
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        "text/html; charset=utf-8"
    } else {
        assert_eq!(
            answer.json(),
            json!({
                "title": refusal.status().canonical_reason(),
                "status": refusal.status().as_u16(),
                "detail": refusal.public_text(),
                "request_id": id,
            }),
            "{reason}"
        );
        "application/problem+json"
    };
    let fields = [("content-type", kind), ("cache-control", "no-store")];
    for (name, want) in fields {
        assert_eq!(answer.headers.all(name), [want], "{reason}: {name}");
    }
    assert_eq!(
        answer.header("www-authenticate"),
        challenge(refusal).as_deref(),
        "{reason}"
    );
    check_retry_after(refusal, answer);
    check_secrets(reason, answer);
    check_log(stage, refusal, answer).await;
    check_metrics(stage, refusal, f64::from(times)).await;
}

/// RFC 6750, section 3: parameters always; an error code only where a token was shown. RFC 9449,
/// section 7.1: who needs a proof, or tried one, hears of that alone.
fn challenge(refusal: Refusal) -> Option<String> {
    let text = refusal.public_text();
    let reason = refusal.reason();
    let of_key = matches!(
        refusal,
        Refusal::TokenBoundToKey | Refusal::TokenUnboundToKey | Refusal::ProofOfAnotherKey
    );
    if refusal.status() == StatusCode::UNAUTHORIZED && (of_key || reason.starts_with("proof_")) {
        let error = match reason {
            _ if of_key => "invalid_token",
            _ if reason.starts_with("proof_nonce_") => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        };
        return Some(format!(
            "DPoP error=\"{error}\", error_description=\"{text}\", algs=\"ES256 EdDSA Ed25519\""
        ));
    }
    match (refusal, refusal.status()) {
        (Refusal::TokenMissing, _) => Some("Bearer realm=\"api\"".to_owned()),
        (Refusal::LoginRequired, _) => Some("Cookie realm=\"api\"".to_owned()),
        (Refusal::ScopeMissing, _) => {
            Some("Bearer error=\"insufficient_scope\", scope=\"read\"".to_owned())
        }
        (_, StatusCode::UNAUTHORIZED) if refusal.reason().starts_with("api_key") => {
            Some("ApiKey in=\"header:x-api-key\"".to_owned())
        }
        (_, StatusCode::UNAUTHORIZED) => Some(format!(
            "Bearer error=\"invalid_token\", error_description=\"{text}\""
        )),
        _ => None,
    }
}

/// Where waiting helps the client is told how long; who ran into a limit of one an hour, an hour.
fn check_retry_after(refusal: Refusal, answer: &Answer) {
    let reason = refusal.reason();
    let seconds = answer.header("retry-after").map(str::parse::<u64>);
    let seconds = seconds.map(|number| number.expect("whole seconds"));
    let waits = matches!(
        refusal.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let hour = matches!(refusal, Refusal::RateExceeded | Refusal::PeerRateExceeded);
    match seconds {
        None => assert!(!waits, "{reason}: no Retry-After"),
        Some(seconds) if hour => assert!((3000..=3600).contains(&seconds), "{reason}: {seconds}"),
        Some(seconds) => assert!(waits && (1..=60).contains(&seconds), "{reason}: {seconds}"),
    }
    let limited = answer.header("ratelimit").is_some();
    assert_eq!(limited, hour, "{reason}: RateLimit");
    assert_eq!(answer.header("ratelimit-policy").is_some(), limited);
}

/// Nothing in the answer names a route, an upstream, an issuer, an identity or an address.
fn check_secrets(reason: &str, answer: &Answer) {
    let fields = answer.headers.0.iter();
    let mut text: String = fields
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    text.push_str(&answer.text());
    let text = text.to_lowercase();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{reason}: {secret:?} in {text}");
    }
}

async fn check_log(stage: &Stage, refusal: Refusal, answer: &Answer) {
    let line = stage.gateway.access_line(answer).await;
    assert_eq!(line["reason"], refusal.reason(), "{line}");
    assert_eq!(line["status"], refusal.status().as_u16(), "{line}");
    let detail = line["detail"].as_str().map(details::without_numbers);
    assert_eq!(detail.as_deref(), details::of(refusal), "{line}");
    let whose = (line["issuer"].as_str(), line["subject"].as_str());
    match details::whose(refusal) {
        Some((issuer, subject)) => assert_eq!(whose, (Some(issuer), Some(subject)), "{line}"),
        None if refusal.reason().starts_with("token_exchange_") => {} // whoever was admitted
        None if refusal == Refusal::SubjectNotPeer => {}
        None => assert_eq!(whose, (None, None), "{line}"),
    }
    let shows_key = matches!(
        refusal,
        Refusal::ApiKeyExpired | Refusal::ApiKeyOfAnotherPeer
    );
    assert_eq!(line["api_key"].is_string(), shows_key, "{line}");
}

/// The totals, and the series of the route with its class.
async fn check_metrics(stage: &Stage, refusal: Refusal, times: f64) {
    let reason = refusal.reason();
    let class = format!("{}xx", refusal.status().as_u16() / 100);
    let labels = [("reason", reason), ("status_class", class.as_str())];
    stage
        .gateway
        .wait_for_metric(TOTAL, &[("reason", reason)], |count| count >= times)
        .await;
    let metrics = stage.gateway.metrics().await;
    assert_eq!(
        metrics.value(TOTAL, &[("reason", reason)]),
        times,
        "{reason}"
    );
    assert_eq!(metrics.value(REQUESTS, &labels), times, "{reason}");
}
