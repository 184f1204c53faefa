//! The bench with the real gateway between its two ends: whatever a test asks of it works.

use super::client::{HOST, Rejection};
use super::gateway::{self, GENERATION, Reloaded};
use super::http1::Request;
use super::pki::Leaf;
use super::raw_h2::{self, RawH2};
use super::token::Token;
use super::{WEB_ID, World};

#[tokio::test]
async fn a_right_client_with_a_right_token_gets_the_services_answer() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    let token = Token::new().scope("orders:read").sign(&world.issuer);
    let request = Request::get("/orders/7").bearer(&token);
    let answer = client.request(&request).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(
        orders.only_request().header("x-client-identity"),
        Some(WEB_ID)
    );
    assert_eq!(
        client.connect_h2().await.request(&request).await.status,
        200
    );
    let access = gateway
        .wait_for_event(|event| event["route"] == "orders-read")
        .await;
    assert_eq!(access["peer"], WEB_ID);
    let passed = [("route", "orders-read"), ("status_class", "2xx")];
    gateway
        .wait_for_metric("portcullis_requests_total", &passed, |count| count >= 2.0)
        .await;
}

#[tokio::test]
async fn frames_by_hand_reach_the_gateway_and_its_answers_are_read() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let mut raw = RawH2::start(&gateway.client(&world.web())).await;
    raw.headers(1, &raw_h2::get(HOST, "/open/x"), true)
        .await
        .expect("send");
    assert_eq!(raw.status(1).await, 200);
    raw.headers(3, &raw_h2::get(HOST, "/nowhere"), true)
        .await
        .expect("send");
    assert_eq!(raw.status(3).await, 404);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_and_counted() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let stranger = world.stranger.issue(Leaf::client("x").spiffe(WEB_ID));
    for (client, reason) in [
        (gateway.anonymous(), "certificate_missing"),
        (gateway.client(&stranger), "unknown_issuer"),
    ] {
        let rejection = client.rejection().await;
        assert!(
            matches!(rejection, Rejection::Tls(_)),
            "{reason}: {rejection:?}"
        );
        let labels = [("side", "downstream"), ("reason", reason)];
        gateway
            .wait_for_metric("portcullis_handshakes_total", &labels, |count| count == 1.0)
            .await;
        gateway
            .wait_for_event(|event| event["reason"] == reason)
            .await;
    }
    assert_eq!(orders.connections(), 0);
}

#[tokio::test]
async fn a_reload_is_awaited_whether_it_is_taken_or_refused() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    let mut config = gateway.config.clone();
    config.route("more", "/more/**", "orders");
    assert_eq!(client.get("/more/1").await.status, 404);
    assert_eq!(gateway.reload(&config).await, Reloaded::Applied(2));
    assert_eq!(client.get("/more/1").await.status, 200);
    assert_eq!(
        gateway.reload_text("version: 1\nnonsense: 1\n").await,
        Reloaded::Refused
    );
    assert_eq!(gateway.metrics().await.value(GENERATION, &[]), 2.0);
    assert_eq!(client.get("/more/1").await.status, 200);
}

#[tokio::test]
async fn a_gateway_is_asked_to_stop_and_its_end_is_awaited() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut gateway = world.gateway(&orders).await;
    gateway.sigterm();
    assert!(gateway.exited().await.success());
}

#[tokio::test]
async fn the_binary_runs_to_its_end_with_any_arguments() {
    let world = World::new();
    let check = ["check", "--config", "gateway.yaml"];
    assert!(
        gateway::run(&world, &world.config(), &check)
            .status
            .success()
    );
    let mut config = world.config();
    config.set("nonsense", 1);
    assert!(!gateway::run(&world, &config, &check).status.success());
}
