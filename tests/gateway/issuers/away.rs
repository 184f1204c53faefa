//! An issuer that is away: at the start, later, and for too long.

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::config::free_port;
use crate::bench::pki::Leaf;
use crate::bench::service::Reply;
use crate::bench::token::{IssuerKey, Token};
use crate::bench::within;

use super::idp::Idp;
use super::{KEYS, Stage, UNAVAILABLE, fetched_from, retry_after};

#[tokio::test]
async fn a_gateway_starts_without_its_issuer_and_takes_the_keys_when_they_come() {
    let world = World::new();
    let orders = world.orders().start().await;
    let port = free_port();
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    let url = format!("https://localhost:{port}/jwks");
    config.set("issuers.corp.keys", fetched_from(&url));
    let gateway = world.gateway_with(&config).await; // ready after a while
    let told = |event: &Value| {
        let problem = event["problem"].as_str().unwrap_or_default();
        event["issuer"] == "corp" && event["result"] == "unreachable" && problem.contains(&url)
    };
    let line = gateway.wait_for_event(told).await;
    assert_eq!(line["level"], "ERROR", "{line}");
    assert!(
        line["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("tls"))
    );
    let web = world.web();
    let token = Token::new().sign(&world.issuer);
    let request = crate::bench::http1::Request::get("/orders/7").bearer(&token);
    let answer = gateway.client(&web).request(&request).await;
    let reason = gateway.reason(&answer).await;
    assert_eq!((answer.status, reason.as_deref()), (503, Some(UNAVAILABLE)));
    assert!(retry_after(&answer).is_some_and(|seconds| (1..=60).contains(&seconds)));
    assert!(orders.requests().is_empty());
    // What is the client's fault is told all the same, and what needs no token goes on.
    let malformed = crate::bench::http1::Request::get("/orders/7").bearer("a.b");
    assert_eq!(gateway.client(&web).request(&malformed).await.status, 401);
    assert_eq!(gateway.client(&web).get("/open/x").await.status, 200);
    // It comes.
    let leaf = Leaf::server("idp").dns("localhost");
    let address = ([127, 0, 0, 1], port).into();
    let idp = Idp::start_as(&world, &world.mesh.issue(leaf), address).await;
    idp.publish(&[&world.issuer]);
    gateway
        .wait_for_metric(KEYS, &[("issuer", "corp")], |keys| keys == 1.0)
        .await;
    assert_eq!(gateway.client(&web).request(&request).await.status, 200);
}

#[tokio::test]
async fn keys_stay_while_the_issuer_is_away_but_not_for_longer_than_max_stale() {
    let stage = Stage::with(|config, _| {
        config.set("issuers.corp.keys.max_stale", "4s");
    })
    .await;
    let token = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&token).await, (200, None));
    stage.idp.page("/jwks", Reply::status(500));
    stage.next_fetch("unreachable").await;
    assert_eq!(
        stage.verdict(&token).await,
        (200, None),
        "kept, and remembered"
    );
    let fresh = Token::new().subject("bob").sign(&stage.world.issuer);
    assert_eq!(
        stage.verdict(&fresh).await,
        (200, None),
        "kept, and verified"
    );
    // A key that may be new: the issuer cannot be asked, and that is not the client's fault.
    let new = IssuerKey::es256("new");
    let answer = stage.ask(&stage.token(&new)).await;
    let reason = stage.gateway.reason(&answer).await;
    assert_eq!((answer.status, reason.as_deref()), (503, Some(UNAVAILABLE)));
    // Too old: also for tokens that are remembered.
    stage
        .gateway
        .wait_for_metric(KEYS, &[("issuer", "corp")], |keys| keys == 0.0)
        .await;
    within("the keys to be too old", async {
        while stage.verdict(&token).await.0 == 200 {}
    })
    .await;
    let answer = stage.ask(&token).await;
    let reason = stage.gateway.reason(&answer).await;
    assert_eq!((answer.status, reason.as_deref()), (503, Some(UNAVAILABLE)));
    assert!(answer.header("www-authenticate").is_none(), "no challenge");
    assert!(retry_after(&answer).is_some());
    let told = |event: &Value| event["issuer"] == "corp" && event["level"] == "ERROR";
    stage.gateway.wait_for_event(told).await;
    // 500, and then good.
    stage.idp.publish(&[&stage.world.issuer]);
    stage.next_fetch("ok").await;
    assert_eq!(stage.verdict(&token).await, (200, None));
}

#[tokio::test]
async fn check_asks_no_issuer() {
    let world = World::new();
    let idp = Idp::start(&world).await;
    let mut config = world.config();
    config.set("issuers.corp.keys", idp.keys("/jwks"));
    config.set(
        "tests",
        json!([{
            "request": { "url": "https://api.example.com/orders/7",
                "client": crate::bench::WEB_ID, "claims": { "scope": "orders:read" } },
            "expect": { "route": "orders-read" },
        }]),
    );
    config.choose_ports();
    let output = crate::bench::gateway::run(&world, &config, &["check"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(idp.service.connections(), 0);
}
