//! Reload: all or nothing, by whatever way the files change, and nobody notices but the operator.

mod hostile;
mod material;
mod refused;
mod under_load;
mod watched;

use crate::bench::World;
use crate::bench::gateway::{Gateway, RELOADS, Reloaded};
use crate::bench::http1::Request;
use crate::bench::service::{Reply, Service, Step};
use std::sync::Arc;
use tokio::sync::Notify;

/// The counter of reloads with one result.
async fn reloads(gateway: &Gateway, result: &str) -> f64 {
    gateway
        .metrics()
        .await
        .value(RELOADS, &[("result", result)])
}

/// A gateway with the standard configuration, and its service.
async fn started(world: &World) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    (orders, gateway)
}

#[tokio::test]
async fn requests_under_way_keep_the_snapshot_with_which_they_began() {
    let world = World::new();
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let reply = move |request: &crate::bench::service::Received| {
        let answer = Reply::ok("late");
        if request.target == "/open/slow" {
            answer.after(Step::Gate(Arc::clone(&held)))
        } else {
            answer
        }
    };
    let orders = world.orders().reply(reply).start().await;
    let mut gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    let (mut h1, mut h2) = (client.connect().await, client.connect_h2().await);
    h1.send(Request::get("/open/slow").bytes("api.example.com"))
        .await
        .expect("a request is sent");
    let (slow, _body) = h2.start(&Request::get("/open/slow")).await.expect("sent");
    orders.wait_for_requests(2).await;

    let mut without = gateway.config.clone();
    without.remove("routes.open");
    assert_eq!(gateway.reload(&without).await, Reloaded::Applied(2));
    // On the very connection whose first request is still under way, and on a new one.
    assert_eq!(h2.get("/open/x").await.status, 404);
    assert_eq!(client.get("/open/x").await.status, 404);

    gate.notify_waiters();
    let h1_answer = h1.read_answer().await.expect("the answer of before");
    assert_eq!((h1_answer.status, h1_answer.text().as_str()), (200, "late"));
    let h2_answer = crate::bench::client::read_h2(slow).await.expect("h2");
    assert_eq!((h2_answer.status, h2_answer.text().as_str()), (200, "late"));
    assert_eq!(h1.get("/open/x").await.status, 404);
    assert_eq!(orders.requests().len(), 2);
}

#[tokio::test]
async fn an_upload_under_way_ends_under_the_limits_with_which_it_began() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut gateway = world.gateway(&orders).await;
    let mut client = gateway.client(&world.web()).connect().await;
    let head =
        "POST /open/up HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    client
        .send(format!("{head}5\r\nhello\r\n"))
        .await
        .expect("sent");
    orders.wait_for_handshakes(1).await;
    let mut smaller = gateway.config.clone();
    smaller.set("routes.open.max_body", "3B");
    assert_eq!(gateway.reload(&smaller).await, Reloaded::Applied(2));
    let answer = client.exchange("5\r\nworld\r\n0\r\n\r\n").await;
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(orders.last_request().body, b"helloworld");
    let refused = client
        .request(&Request::post("/open/up", "four"))
        .await
        .status;
    assert_eq!(refused, 413);
}

#[tokio::test]
async fn generation_and_time_move_with_a_reload_that_succeeds_and_with_no_other() {
    const TIME: &str = "portcullis_configuration_last_success_timestamp_seconds";
    let world = World::new();
    let (_orders, mut gateway) = started(&world).await;
    let start = gateway.metrics().await;
    let generation = |metrics: &crate::bench::gateway::Metrics| {
        metrics.value("portcullis_configuration_generation", &[])
    };
    assert_eq!(generation(&start), 1.0);
    let loaded = start.value(TIME, &[]);
    let now = crate::bench::token::unix_now() as f64;
    assert!((now - loaded).abs() < 60.0, "{loaded} is not now ({now})");

    assert_eq!(gateway.reload_text("version: 2\n").await, Reloaded::Refused);
    let refused = gateway.metrics().await;
    assert_eq!(generation(&refused), 1.0);
    assert_eq!(refused.value(TIME, &[]), loaded);

    let mut more = gateway.config.clone();
    more.route("more", "/more/**", "orders");
    assert_eq!(gateway.reload(&more).await, Reloaded::Applied(2));
    let applied = gateway.metrics().await;
    assert_eq!(generation(&applied), 2.0);
    assert!(applied.value(TIME, &[]) > loaded);
    assert_eq!(reloads(&gateway, "ok").await, 1.0);
    assert_eq!(reloads(&gateway, "problems").await, 1.0);
}

#[tokio::test]
async fn names_that_a_reload_removes_leave_the_metrics_and_those_that_stay_keep_their_counts() {
    let world = World::new();
    let other = world.service("spiffe://mesh.example/other", "other.internal");
    let other = other.start().await;
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.upstream(
        "leaving-up",
        other.address,
        "other.internal",
        &["spiffe://mesh.example/other"],
    );
    config.route("leaving-route", "/leaving/**", "leaving-up");
    let mut second = config.get("issuers.corp").clone();
    second["issuer"] = "https://leaving.example".into();
    config.set("issuers.leaving-issuer", second);
    let mut gateway = world.gateway_with(&config).await;
    let mut client = gateway.client(&world.web()).connect().await;
    assert_eq!(client.get("/leaving/x").await.status, 200);
    assert_eq!(client.get("/open/x").await.status, 200);
    let before = gateway.admin("/metrics").await.text();
    for name in ["leaving-route", "leaving-up", "leaving-issuer"] {
        assert!(before.contains(&format!("\"{name}\"")), "{name}");
    }

    let mut less = gateway.config.clone();
    less.remove("routes.leaving-route")
        .remove("upstreams.leaving-up")
        .remove("issuers.leaving-issuer");
    assert_eq!(gateway.reload(&less).await, Reloaded::Applied(2));
    let after = gateway.admin("/metrics").await.text();
    let left: Vec<&str> = after
        .lines()
        .filter(|line| line.contains("leaving"))
        .collect();
    assert!(left.is_empty(), "{left:#?}");
    assert_eq!(client.get("/leaving/x").await.status, 404);
    assert_eq!(client.get("/open/x").await.status, 200);
    gateway
        .wait_for_metric("portcullis_requests_total", &[("route", "open")], |count| {
            count == 2.0
        })
        .await;
}

#[tokio::test]
async fn a_reload_that_does_not_touch_an_upstream_leaves_its_connections_open() {
    let world = World::new();
    let (orders, mut gateway) = started(&world).await;
    let mut client = gateway.client(&world.web()).connect().await;
    assert_eq!(client.get("/open/1").await.status, 200);
    for round in 0..5 {
        let mut config = gateway.config.clone();
        config.route(&format!("more-{round}"), &format!("/r{round}"), "orders");
        config.set(
            "listeners.edge.limits.idle_timeout",
            format!("{}s", 61 + round),
        );
        assert_eq!(gateway.reload(&config).await, Reloaded::Applied(round + 2));
        assert_eq!(client.get("/open/2").await.status, 200);
        assert_eq!(client.get(&format!("/r{round}")).await.status, 200);
    }
    assert_eq!(orders.connections(), 1, "the pooled connection went on");
}

#[tokio::test]
async fn a_reload_that_does_not_touch_them_leaves_tls_sessions_on_both_sides() {
    let world = World::new();
    // One connection for each request: each begins with a handshake.
    let reply = |_: &_| Reply::new(200, &[("Connection", "close")], "hello").then(Step::Close);
    let orders = world.orders().reply(reply).start().await;
    let mut gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web()).resumption();
    assert_eq!(client.get("/open/1").await.status, 200);
    let mut config = gateway.config.clone();
    config.route("more", "/more", "orders");
    assert_eq!(gateway.reload(&config).await, Reloaded::Applied(2));
    let mut again = client.connect().await;
    assert_eq!(again.get("/open/2").await.status, 200);
    assert!(again.resumed(), "the client resumes");
    let handshakes = orders.wait_for_handshakes(2).await;
    let resumed: Vec<bool> = handshakes.iter().map(|one| one.resumed).collect();
    assert_eq!(resumed, [false, true], "the gateway resumes at the service");
}

#[tokio::test]
async fn an_upstream_that_a_reload_changes_is_asked_on_new_connections() {
    let world = World::new();
    let (orders, mut gateway) = started(&world).await;
    let mut client = gateway.client(&world.web()).connect().await;
    assert_eq!(client.get("/open/1").await.status, 200);
    let mut config = gateway.config.clone();
    config.set(
        "upstreams.orders.tls.accept",
        vec!["spiffe://mesh.example/another"],
    );
    assert_eq!(gateway.reload(&config).await, Reloaded::Applied(2));
    let bytes = orders.bytes();
    assert_eq!(client.get("/open/2").await.status, 502);
    assert_eq!(orders.bytes(), bytes, "it was told nothing more");
}
