//! What is asked, what the service gets, and how often the server is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::sync::Notify;

use super::{CACHE, EXCHANGES, JWT, Stage, answer, issued, member, subject};
use crate::bench::World;
use crate::bench::client::read_h2;
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::service::{Reply, Step};
use crate::bench::token::Token;

#[tokio::test]
async fn the_service_gets_the_new_token_and_the_server_is_asked_as_the_route_says() {
    let stage = Stage::with(&[
        ("exchange.resource", json!("https://orders.internal/")),
        ("exchange.requested_token_type", json!("access_token")),
    ])
    .await;
    let token = stage.token("alice");
    let request = Request::get("/open/x")
        .header("Authorization", &format!("bearer {token}"))
        .header("DPoP", "a proof for the other token");
    assert_eq!(stage.ask(&request).await.status, 200);
    let got = stage.orders.only_request();
    assert_eq!(got.headers.all("authorization"), ["Bearer for-alice"]);
    assert_eq!(got.header("dpop"), None);
    assert!(!String::from_utf8_lossy(&got.head).contains(&token));

    let asked = stage.tokens.only_request();
    assert_eq!((&*asked.method, &*asked.target), ("POST", "/token"));
    let basic = asked.header("authorization").expect("who we are");
    assert!(basic.starts_with("Basic dXM6"), "{basic}");
    let form = [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", token.as_str()),
        ("subject_token_type", super::ACCESS_TOKEN),
        ("requested_token_type", super::ACCESS_TOKEN),
        ("audience", "orders"),
        ("resource", "https://orders.internal/"),
        ("scope", "orders:read orders:list"),
    ];
    for (name, want) in form {
        assert_eq!(member(&asked, name), want, "{name}");
    }
    let log = stage.gateway.log().join("\n");
    assert!(
        !log.contains("for-alice") && !log.contains(&token),
        "no token in a log"
    );
}

#[tokio::test]
async fn a_token_that_stands_elsewhere_does_not_go_on_either() {
    let token =
        json!({ "issuer": "corp", "from": ["header:X-Token", "cookie:token", "query:token"] });
    let stage = Stage::with(&[("token", token)]).await;
    let token = stage.token("alice");
    let requests = [
        Request::get("/open/x").header("X-Token", &token),
        Request::get("/open/x").header("Cookie", &format!("a=1; token={token}; b=2")),
        Request::get(&format!("/open/x?a=1&token={token}")),
    ];
    for request in requests {
        assert_eq!(stage.ask(&request).await.status, 200, "{request:?}");
        let got = stage.orders.last_request();
        assert_eq!(got.headers.all("authorization"), ["Bearer for-alice"]);
        assert!(!String::from_utf8_lossy(&got.head).contains(&token));
    }
    assert_eq!(stage.tokens.requests().len(), 1, "it is one token");
}

#[tokio::test]
async fn a_token_is_exchanged_once_and_never_for_another() {
    let mut stage = Stage::set().await;
    let (alice, bob) = (stage.token("alice"), stage.token("bob"));
    for _ in 0..3 {
        for (token, want) in [(&alice, "Bearer for-alice"), (&bob, "Bearer for-bob")] {
            assert_eq!(stage.get(token).await.0, 200);
            let got = stage.orders.last_request();
            assert_eq!(got.header("authorization"), Some(want));
        }
    }
    assert_eq!(stage.tokens.requests().len(), 2);
    let found = [("client", "us"), ("result", "hit")];
    assert_eq!(stage.gateway.metrics().await.value(CACHE, &found), 4.0);

    // A reload keeps what was given, and other terms are another token.
    let mut config = stage.gateway.config.clone();
    config.set("routes.open.max_body", "1KiB");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(stage.get(&alice).await.0, 200);
    assert_eq!(stage.tokens.requests().len(), 2);
    stage.world.folder.write(
        "other.secret",
        "another secret of the tests, as long as it must be",
    );
    let other = json!({ "client_id": "us", "secret_file": "other.secret" });
    let terms = [
        ("routes.open.exchange.audience", json!("billing")),
        ("routes.open.exchange.cache", json!("1m")),
        (
            "routes.open.exchange.tls",
            json!({ "trust": ["mesh", "partners"], "identity": "gateway" }),
        ),
        ("oauth_clients.us", other),
    ];
    for (number, (key, value)) in terms.into_iter().enumerate() {
        config.set(key, value);
        let reloaded = stage.gateway.reload(&config).await;
        assert!(matches!(reloaded, Reloaded::Applied(_)), "{key}");
        assert_eq!(stage.get(&alice).await.0, 200, "{key}");
        let asked = stage.tokens.requests();
        assert_eq!(asked.len(), 3 + number, "{key}");
        assert_eq!(&*member(&asked[2 + number], "audience"), "billing");
    }
}

#[tokio::test]
async fn many_who_come_at_once_with_one_token_ask_once() {
    let stage = Stage::set().await;
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    stage.tokens.set_reply(move |request| {
        let token = format!("for-{}", subject(request));
        answer(200, &issued(&token, 3_600)).after(Step::Gate(Arc::clone(&opened)))
    });
    let token = stage.token("alice");
    let client = stage.gateway.client(&stage.world.web());
    let mut h2 = client.connect_h2().await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(h2.start(&Request::get("/open/x").bearer(&token)).await);
    }
    stage.tokens.wait_for_requests(1).await;
    let labels = [("client", "us")];
    let in_progress = "portcullis_token_exchanges_in_progress";
    assert_eq!(
        stage.gateway.metrics().await.value(in_progress, &labels),
        1.0
    );
    gate.notify_waiters();
    gate.notify_one();
    for answer in waiting {
        let (answer, _) = answer.expect("a stream");
        let answer = read_h2(answer).await.expect("whole");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(stage.tokens.requests().len(), 1);
    assert_eq!(stage.orders.requests().len(), 20);
    let took = "portcullis_token_exchange_duration_seconds_count";
    assert_eq!(stage.gateway.metrics().await.value(took, &labels), 1.0);
}

#[tokio::test]
async fn what_is_about_to_end_is_not_used_again() {
    let stage = Stage::set().await;
    let count = AtomicUsize::new(0);
    stage.tokens.set_reply(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        answer(200, &issued(&format!("number-{number}"), 10))
    });
    let token = stage.token("alice");
    for want in ["Bearer number-0", "Bearer number-1"] {
        assert_eq!(stage.get(&token).await.0, 200);
        let got = stage.orders.last_request();
        assert_eq!(
            got.header("authorization"),
            Some(want),
            "10 s are the margin"
        );
    }
}

#[tokio::test]
async fn what_was_given_ends_with_the_clients_own_token() {
    let stage = Stage::with(&[("token", json!({ "issuer": "corp" }))]).await;
    let short = Token::new().subject("alice").valid(-60, -28); // within the leeway of 30 s
    let short = short.sign(&stage.world.issuer);
    let (status, reason) = stage.get(&short).await;
    assert_eq!(
        (status, &*reason),
        (200, ""),
        "its time is over by less than clocks differ"
    );
    assert_eq!(stage.get(&short).await.0, 200);
    assert_eq!(stage.tokens.requests().len(), 2, "not kept beyond `exp`");
    let over = Token::new()
        .subject("alice")
        .expired()
        .sign(&stage.world.issuer);
    assert_eq!(stage.get(&over).await.1, "token_expired");
    assert_eq!(
        stage.tokens.requests().len(),
        2,
        "who is refused is not exchanged"
    );
}

#[tokio::test]
async fn a_type_that_was_asked_for_is_the_only_one_that_is_taken() {
    let stage = Stage::with(&[
        ("exchange.requested_token_type", json!("jwt")),
        ("exchange.subject_token_type", json!("jwt")),
    ])
    .await;
    assert_eq!(stage.get(&stage.token("alice")).await.1, super::UNAVAILABLE);
    assert_eq!(
        member(&stage.tokens.last_request(), "subject_token_type"),
        JWT
    );
    stage.tokens.set_reply(|_| {
        let mut body = issued("a.jwt", 60);
        body["issued_token_type"] = json!(JWT);
        body["token_type"] = json!("N_A");
        answer(200, &body)
    });
    assert_eq!(stage.get(&stage.token("bob")).await.0, 200);
    let got = stage.orders.only_request();
    assert_eq!(got.header("authorization"), Some("Bearer a.jwt"));
}

/// 64 exchanges are under way at a time at one server, and 16 times as many have a place; one client
/// has half of both.
#[tokio::test]
async fn one_client_takes_neither_all_places_nor_all_turns() {
    let world = World::new();
    let stage = Stage::of(world, |config| {
        config.set("routes.open.exchange.timeout", "20s");
        config.set(
            "listeners.edge.limits",
            json!({ "in_flight_per_peer": 2_000, "http2": { "streams": 1_000 } }),
        );
    })
    .await;
    stage.tokens.set_reply(|_| Reply::hang());
    let mut greedy = stage.gateway.client(&stage.world.web()).connect_h2().await;
    let mut answers = Vec::new();
    for number in 0..520 {
        let token = stage.token(&format!("made-up-{number}"));
        let request = Request::get("/open/x").bearer(&token);
        answers.push(greedy.start(&request).await.expect("a stream").0);
    }
    let busy = [("client", "us"), ("result", "busy")];
    let gateway = &stage.gateway;
    gateway
        .wait_for_metric(EXCHANGES, &busy, |busy| busy == 8.0)
        .await;
    let in_progress = "portcullis_token_exchanges_in_progress";
    let us = [("client", "us")];
    gateway
        .wait_for_metric(in_progress, &us, |count| count == 32.0)
        .await;
    stage.tokens.wait_for_requests(32).await;
    stage
        .tokens
        .set_reply(|_| answer(200, &issued("for-the-other", 60)));
    let other = stage.world.partner("spiffe://partners.example/web/other");
    let request = Request::get("/open/x").bearer(&stage.token("other"));
    let answer = gateway.client(&other).request(&request).await;
    assert_eq!(answer.status, 200, "it waits for nobody");
    assert_eq!(stage.tokens.requests().len(), 33);
    let mut refused = 0;
    for answer in &mut answers {
        // Those that are refused are answered; all others wait on.
        let answer = futures_util::poll!(std::pin::Pin::new(answer));
        if let std::task::Poll::Ready(answer) = answer {
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
            refused += 1;
        }
    }
    assert!(refused <= 8, "{refused}");
}
