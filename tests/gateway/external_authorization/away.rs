//! An authorization service that is away, comes back, hangs, or is there with other key material.

use serde_json::json;

use super::server::{Script, identity, yes};
use super::{Stage, UNAVAILABLE};
use crate::bench::ORDERS_ID;
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;

#[tokio::test]
async fn while_it_is_away_requests_are_refused_and_it_is_found_again() {
    let mut stage = Stage::set().await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    stage.opa.stop().await;
    for _ in 0..2 {
        let (status, reason) = stage.get("/open/x").await;
        assert_eq!((status, &*reason), (503, UNAVAILABLE));
    }
    assert_eq!(stage.orders.requests().len(), 1);
    stage.opa.listen().await;
    assert_eq!(stage.get("/open/x").await.0, 200, "at the first question");
    assert_eq!(stage.opa.counts().connections, 2);
}

#[tokio::test]
async fn a_restart_between_two_questions_is_not_noticed() {
    let mut stage = Stage::set().await;
    for _ in 0..3 {
        assert_eq!(stage.get("/open/x").await.0, 200);
        stage.opa.stop().await;
        stage.opa.listen().await;
    }
    assert_eq!(stage.checks("allowed").await, 3.0);
}

#[tokio::test]
async fn a_connection_or_a_stream_that_breaks_is_tried_once_more() {
    let stage = Stage::set().await;
    for broken in [Script::Cut, Script::Reset] {
        let first = std::sync::atomic::AtomicBool::new(true);
        stage.opa.decide(move |_| {
            if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                broken.clone()
            } else {
                Script::Say(yes())
            }
        });
        assert_eq!(stage.get("/open/x").await.0, 200);
    }
    stage.opa.play(Script::Cut);
    let before = stage.opa.counts().questions;
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.opa.counts().questions, before + 2, "and no more");
    assert_eq!(stage.checks("unavailable").await, 1.0);
}

#[tokio::test]
async fn one_that_hangs_is_waited_for_until_the_timeout_and_asked_anew_on_another_connection() {
    let stage = Stage::with(&[("timeout", json!("300ms"))]).await;
    stage.opa.play(Script::Hang);
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.checks("timed_out").await, 1.0);
    stage
        .opa
        .wait_until("the connection to be left", |c| c.closed == 1)
        .await;
    stage.opa.play(Script::Say(yes()));
    assert_eq!(stage.get("/open/x").await.0, 200);
    assert_eq!(stage.opa.counts().connections, 2);
}

#[tokio::test]
async fn where_it_is_written_requests_pass_while_it_is_away_and_are_counted() {
    let mut stage = Stage::with(&[
        ("when_away", json!("allow")),
        ("timeout", json!("300ms")),
        ("may_set", json!(["x-user"])),
    ])
    .await;
    let client = stage.gateway.client(&stage.world.web());
    for (number, script) in [
        Script::Hang,
        Script::Status(14),
        Script::Http(503),
        Script::Cut,
    ]
    .into_iter()
    .enumerate()
    {
        stage.opa.play(script);
        let request = Request::get("/open/x").header("x-user", "forged");
        assert_eq!(client.request(&request).await.status, 200, "{number}");
        assert_eq!(stage.orders.last_request().header("x-user"), None);
        assert_eq!(stage.waived("away").await, (number + 1) as f64);
    }
    stage.opa.play(Script::Http(429));
    let answer = client.get("/open/x").await;
    assert_eq!(answer.status, 503, "how many ask is up to clients");
    stage.opa.stop().await;
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(stage.waived("away").await, 5.0);
    assert_eq!(stage.checks("unreachable").await, 1.0);
}

#[tokio::test]
async fn clients_cannot_make_it_be_away() {
    let stage = Stage::with(&[
        ("when_away", json!("allow")),
        ("in_flight", json!(1)),
        ("timeout", json!("10s")),
    ])
    .await;
    stage.opa.play(Script::Hang);
    let mut first = stage.gateway.client(&stage.world.web()).connect().await;
    let head = "GET /open/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    first.send(head).await.expect("to send");
    stage
        .opa
        .wait_until("a question", |c| c.questions == 1)
        .await;
    let under_way = [("external_authorization", "opa")];
    let in_progress = "portcullis_external_authorization_checks_in_progress";
    assert_eq!(
        stage.gateway.metrics().await.value(in_progress, &under_way),
        1.0
    );
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.waived("away").await, 0.0);
}

#[tokio::test]
async fn new_key_material_is_another_connection() {
    let stage = Stage::set().await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    let ours = stage
        .world
        .mesh
        .issue(Leaf::client("gateway").spiffe("spiffe://mesh.example/gateway"));
    let written = || ours.write(&stage.world.folder, "gateway");
    let reloaded = stage.gateway.reload_by(written).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    stage
        .opa
        .wait_until("the old one to end", |c| c.closed == 1)
        .await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    assert_eq!(stage.opa.counts().connections, 2);
}

#[tokio::test]
async fn a_reload_that_does_not_concern_it_keeps_the_connection_and_one_that_does_does_not() {
    let mut stage = Stage::set().await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    let mut config = stage.gateway.config.clone();
    config.set("routes.open.max_body", "1KiB");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(stage.get("/open/x").await.0, 200);
    assert_eq!(stage.opa.counts().connections, 1);
    config.set("external_authorization.opa.tls.accept", json!([ORDERS_ID]));
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!(
        (status, &*reason),
        (503, UNAVAILABLE),
        "it is somebody else now"
    );
    stage
        .opa
        .wait_until("the old one to end", |c| c.closed >= 1)
        .await;
    config.remove("routes.open.external_authorization");
    config.remove("external_authorization");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(stage.get("/open/x").await.0, 200);
    drop(identity(&stage.world));
}
