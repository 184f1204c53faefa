//! A server that refuses, lies, floods, hangs or is away: whose fault it is, and that the client's own
//! token never goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{ACCESS_TOKEN, DENIED, REFUSED, Stage, UNAVAILABLE, answer, error, issued, member};
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::service::{Reply, Step};
use crate::bench::token::Token;

#[tokio::test]
async fn the_clients_fault_is_told_from_the_servers() {
    let stage = Stage::set().await;
    let cases = [
        (400, "invalid_grant", 401, REFUSED),
        (400, "invalid_request", 401, REFUSED),
        (400, "invalid_token", 401, REFUSED),
        (400, "invalid_target", 403, DENIED),
        (400, "invalid_scope", 403, DENIED),
        (403, "access_denied", 403, DENIED),
        (401, "invalid_client", 503, UNAVAILABLE),
        (401, "invalid_token", 503, UNAVAILABLE),
        (401, "access_denied", 503, UNAVAILABLE),
        (429, "invalid_request", 503, UNAVAILABLE),
        (400, "invalid_client", 503, UNAVAILABLE),
        (400, "unauthorized_client", 503, UNAVAILABLE),
        (400, "unsupported_grant_type", 503, UNAVAILABLE),
        (400, "another", 503, UNAVAILABLE),
        (500, "invalid_grant", 503, UNAVAILABLE),
        (503, "temporarily_unavailable", 503, UNAVAILABLE),
    ];
    for (number, (status, why, want, reason)) in cases.into_iter().enumerate() {
        stage.tokens.set_reply(move |_| error(status, why));
        let token = stage.token(&format!("user-{number}"));
        assert_eq!(
            stage.get(&token).await,
            (want, reason.to_owned()),
            "{status} {why}"
        );
    }
    for (result, count) in [("refused", 3.0), ("denied", 3.0), ("failed", 10.0)] {
        assert_eq!(stage.exchanges(result).await, count, "{result}");
    }
    assert_eq!(stage.orders.requests().len(), 0);
    let token = stage.token("challenged");
    stage.tokens.set_reply(|_| error(400, "invalid_grant"));
    let answer = stage.ask(&Request::get("/open/x").bearer(&token)).await;
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("invalid_token"), "{challenge}");
    stage.tokens.set_reply(|_| error(500, "x"));
    let token = stage.token("unlucky");
    let answer = stage.ask(&Request::get("/open/x").bearer(&token)).await;
    assert_eq!(answer.header("www-authenticate"), None);
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn an_answer_that_is_none_is_the_servers_fault_and_nothing_goes_on() {
    let stage = Stage::set().await;
    let with = |name: &str, value: Value| {
        let mut body = issued("new", 3_600);
        body[name] = value;
        answer(200, &body)
    };
    let without = |name: &str| {
        let mut body = issued("new", 3_600);
        body.as_object_mut().expect("a map").remove(name);
        answer(200, &body)
    };
    let whole = issued("new", 60).to_string();
    let typed = |kind: &str, body: &str| Reply::new(200, &[("Content-Type", kind)], body);
    let twice = whole.replacen('{', "{\"access_token\":\"other\",", 1);
    let cases = [
        ("no token", without("access_token")),
        ("an empty token", with("access_token", json!(""))),
        ("a token that is a number", with("access_token", json!(7))),
        (
            "a token of two lines",
            with("access_token", json!("a\r\nX-Admin: 1")),
        ),
        ("a token with a space", with("access_token", json!("a b"))),
        (
            "a token without end",
            with("access_token", json!("x".repeat(9 * 1024))),
        ),
        ("no type", without("token_type")),
        ("a bound type", with("token_type", json!("DPoP"))),
        ("another type", with("token_type", json!("mac"))),
        ("nothing on what it is", without("issued_token_type")),
        (
            "a refresh token",
            with(
                "issued_token_type",
                json!("urn:ietf:params:oauth:token-type:refresh_token"),
            ),
        ),
        ("a time that is over", with("expires_in", json!(0))),
        ("a time before", with("expires_in", json!(-60))),
        ("a time that is a text", with("expires_in", json!("3600"))),
        ("half a second", with("expires_in", json!(0.5))),
        ("a time without end", with("expires_in", json!(1_u64 << 60))),
        ("a member twice", typed("application/json", &twice)),
        ("a page", typed("text/html", &whole)),
        ("half an answer", typed("application/json", &whole[..20])),
        ("a list", typed("application/json", "[]")),
        (
            "deep nonsense",
            typed("application/json", &"[".repeat(10_000)),
        ),
        ("too much", typed("application/json", &" ".repeat(10 << 20))),
        (
            "a redirect",
            Reply::new(307, &[("Location", "https://localhost/token")], ""),
        ),
        ("nothing", Reply::status(204)),
        ("the end", Reply::close()),
    ];
    for (number, (what, reply)) in cases.into_iter().enumerate() {
        stage.tokens.set_reply(move |_| reply.clone());
        let token = stage.token(&format!("user-{number}"));
        let want = (503, UNAVAILABLE.to_owned());
        assert_eq!(stage.get(&token).await, want, "{what}");
    }
    for behind in ["", "=", ".", "=.="] {
        stage.tokens.set_reply(move |request| {
            let given = member(request, "subject_token");
            answer(200, &issued(&format!("{given}{behind}"), 60))
        });
        let token = stage.token(&format!("mirror{behind}"));
        let want = (503, UNAVAILABLE.to_owned());
        assert_eq!(stage.get(&token).await, want, "given, and {behind:?}");
    }
    assert_eq!(stage.orders.requests().len(), 0);
    stage.tokens.set_reply(|_| {
        let body = json!({ "access_token": "x", "token_type": "bearer", "issued_token_type": ACCESS_TOKEN });
        answer(200, &body)
    });
    assert_eq!(
        stage.get(&stage.token("plain")).await.0,
        200,
        "a time need not be said"
    );
}

#[tokio::test]
async fn one_that_hangs_is_waited_for_until_the_timeout() {
    let stage = Stage::with(&[("exchange.timeout", json!("300ms"))]).await;
    stage.tokens.set_reply(|_| Reply::hang());
    let want = (503, UNAVAILABLE.to_owned());
    assert_eq!(stage.get(&stage.token("alice")).await, want);
    assert_eq!(stage.orders.requests().len(), 0);
}

#[tokio::test]
async fn while_it_is_away_requests_are_refused_and_what_was_given_is_used() {
    let mut stage = Stage::set().await;
    let (alice, bob) = (stage.token("alice"), stage.token("bob"));
    assert_eq!(stage.get(&alice).await.0, 200);
    stage.tokens.stop().await;
    assert_eq!(stage.get(&bob).await, (503, UNAVAILABLE.to_owned()));
    assert_eq!(stage.get(&alice).await.0, 200, "known, and still good");
    assert_eq!(stage.orders.requests().len(), 2);
}

#[tokio::test]
async fn an_imposter_gets_no_token() {
    let stage = Stage::set().await;
    let stranger = Leaf::server("x").dns("localhost");
    let other = Leaf::server("x").dns("tokens.internal");
    let imposters = [
        stage.world.stranger.issue(stranger),
        stage.world.mesh.issue(other),
    ];
    for (number, imposter) in imposters.iter().enumerate() {
        stage.tokens.set_identity(imposter);
        let token = stage.token(&format!("user-{number}"));
        assert_eq!(stage.get(&token).await, (503, UNAVAILABLE.to_owned()));
    }
    assert_eq!(stage.tokens.bytes(), 0);
}

#[tokio::test]
async fn a_token_that_was_refused_is_not_asked_about_again_for_a_moment() {
    let stage = Stage::set().await;
    let count = AtomicUsize::new(0);
    stage.tokens.set_reply(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        error(400, "invalid_grant")
    });
    let token = stage.token("alice");
    for _ in 0..3 {
        assert_eq!(stage.get(&token).await, (401, REFUSED.to_owned()));
    }
    assert_eq!(stage.tokens.requests().len(), 1);
}

/// The moment begins when the failure is known, and not when the request came.
#[tokio::test]
async fn a_slow_failure_is_remembered_too() {
    let stage = Stage::with(&[("exchange.timeout", json!("1500ms"))]).await;
    stage.tokens.set_reply(|_| Reply::hang());
    for number in 0..3 {
        let token = stage.token(&format!("user-{number}"));
        let asked = stage.tokens.requests().len() + 1;
        for _ in 0..2 {
            assert_eq!(stage.get(&token).await, (503, UNAVAILABLE.to_owned()));
        }
        if stage.tokens.requests().len() == asked {
            return;
        }
        // A busy machine may have taken longer than that moment.
    }
    panic!("asked again each time");
}

#[tokio::test]
async fn the_log_tells_of_many_failures_once() {
    let stage = Stage::set().await;
    let began = Instant::now();
    for (status, name) in [(500, "server_error"), (401, "invalid_client")] {
        stage.tokens.set_reply(move |_| error(status, name));
        for number in 0..5 {
            let token = stage.token(&format!("{name}-{number}"));
            assert_eq!(stage.get(&token).await.0, 503);
        }
    }
    let log = stage.gateway.log();
    for name in ["server_error", "invalid_client"] {
        let told = |line: &&String| line.contains("a token could not be exchanged");
        let told = log.iter().filter(told).filter(|line| line.contains(name));
        let told = told.count();
        assert!(
            told == 1 || began.elapsed() > Duration::from_secs(10),
            "{name}: {told}"
        );
    }
    assert_eq!(stage.exchanges("failed").await, 10.0);
}

#[tokio::test]
async fn only_what_was_verified_is_exchanged() {
    let stage = Stage::set().await;
    let foreign = Token::new().claim("aud", "somebody-else");
    let foreign = foreign.sign(&stage.world.issuer);
    assert_eq!(stage.get(&foreign).await.1, "token_audience");
    let none = stage.ask(&Request::get("/open/x")).await;
    assert_eq!(none.status, 401);
    assert_eq!(stage.tokens.requests().len(), 0);
}

/// Nobody gets a token where the route asks for what is not there: the line says which route.
#[tokio::test]
async fn the_log_tells_which_route_gets_no_tokens_and_nothing_that_the_server_repeats() {
    let stage = Stage::set().await;
    let began = Instant::now();
    for (name, status, result) in [
        ("invalid_target", 400, "denied"),
        ("invalid_grant", 400, "refused"),
        ("server_error", 500, "failed"),
    ] {
        stage.tokens.set_reply(move |request| {
            let proof = request.header("authorization").unwrap_or_default();
            let given = member(request, "subject_token");
            let words = format!("{proof} {}", given.get(4..).unwrap_or_default());
            let said = json!({ "error": name, "error_description": words });
            answer(status, &said)
        });
        for number in 0..3 {
            let token = stage.token(&format!("{name}-{number}"));
            assert_ne!(stage.get(&token).await.0, 200);
            let log = stage.gateway.log().join("\n");
            let middle = &token[40..80];
            assert!(!log.contains(middle) && !log.contains("Basic "), "{log}");
        }
        let told = |line: &Value| {
            let error = line["error"].as_str().unwrap_or_default();
            error.contains(name) && line["route"] == "open"
        };
        let line = stage.gateway.wait_for_event(told).await;
        assert_eq!(line["client"], "us");
        let log = stage.gateway.log();
        let lines = log.iter().filter(|line| line.contains(name));
        let lines = lines.filter(|line| line.contains("\"hint\"") || result == "failed");
        let lines = lines.filter(|line| line.contains("\"error\"")).count();
        assert!(
            lines == 1 || began.elapsed() > Duration::from_secs(9),
            "{name}: {lines}"
        );
        if result != "failed" {
            assert_eq!(line["result"], result);
            assert!(!line["hint"].as_str().expect("hint").is_empty());
        }
    }
    stage
        .tokens
        .set_reply(|_| answer(200, &issued("new", 3_600)));
    assert_eq!(stage.get(&stage.token("alice")).await.0, 200);
    let again = |line: &str| line.contains("tokens are exchanged again");
    stage.gateway.wait_for_log(again).await;
}

#[tokio::test]
async fn what_was_asked_goes_on_when_nobody_waits_for_it() {
    let stage = Stage::set().await;
    let gate = Arc::new(Notify::new());
    let held = answer(200, &issued("new", 3_600)).after(Step::Gate(Arc::clone(&gate)));
    stage.tokens.set_reply(move |_| held.clone());
    let token = stage.token("alice");
    let client = stage.gateway.client(&stage.world.web());
    let mut h2 = client.connect_h2().await;
    let request = Request::get("/open/x").bearer(&token);
    let begun = h2.start(&request).await.expect("a stream");
    stage.tokens.wait_for_requests(1).await;
    drop((begun, h2));
    gate.notify_one();
    assert_eq!(stage.get(&token).await.0, 200);
    assert_eq!(stage.tokens.requests().len(), 1);
}
