//! Requests under way: bounded for each peer and each upstream, and given back whatever ends them.

use std::time::Duration;

use serde_json::json;

use super::Stage;
use crate::bench::client::{Client, Connection};
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::service::Reply;
use crate::bench::within;

const HANG: &str = "GET /open/hang HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

/// Two at a time of each peer.
async fn two_per_peer() -> Stage {
    Stage::set(|config| {
        config.set("listeners.edge.limits.in_flight_per_peer", 2);
    })
    .await
}

/// Two at a time to `orders`; another upstream, with the same service, below `/other/**`.
async fn two_per_upstream() -> Stage {
    Stage::set(|config| {
        config.set("upstreams.orders.in_flight", 2);
        let other = config.get("upstreams.orders").clone();
        config.set("upstreams.other", other);
        config.set("upstreams.other.in_flight", 1024);
        config.route("other", "/other/**", "other");
    })
    .await
}

impl Stage {
    /// Sends what hangs, and waits until the service has it.
    async fn hanging(&self, client: &Client) -> Connection {
        let before = self.orders.requests().len();
        let mut connection = client.connect().await;
        connection.send(HANG).await.expect("to send");
        self.orders.wait_for_requests(before + 1).await;
        connection
    }

    /// Asks until it is let in.
    async fn let_in(&self, client: &Client) {
        let mut connection = client.connect().await;
        let asking = async {
            while connection.get("/open/x").await.status != 200 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("a place among those under way", asking).await;
    }

    async fn refused_for(&self, client: &Client, status: u16, reason: &str) {
        let answer = client.get("/open/x").await;
        assert_eq!(answer.status, status);
        assert_eq!(self.reason(&answer).await.as_deref(), Some(reason));
        assert!(answer.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn a_peer_has_so_many_under_way_and_gets_its_place_back_when_it_hangs_up() {
    let stage = two_per_peer().await;
    let web = stage.gateway.client(&stage.web);
    let other = stage.gateway.client(&stage.other);
    let first = stage.hanging(&web).await;
    let second = stage.hanging(&web.clone().source("127.0.0.9")).await;
    stage
        .refused_for(&web, 429, "peer_in_flight_exceeded")
        .await;
    assert_eq!(other.get("/open/x").await.status, 200, "another peer");
    drop(first);
    stage.let_in(&web).await;
    drop(second);
    let _again = (stage.hanging(&web).await, stage.hanging(&web).await);
    stage
        .refused_for(&web, 429, "peer_in_flight_exceeded")
        .await;
}

#[tokio::test]
async fn streams_of_one_connection_count_each_and_a_reset_gives_the_place_back() {
    let stage = two_per_peer().await;
    let web = stage.gateway.client(&stage.web);
    let mut h2 = web.connect_h2().await;
    let hang = Request::get("/open/hang");
    let (_one, mut first) = h2.start(&hang).await.expect("a stream");
    let (_two, _second) = h2.start(&hang).await.expect("a stream");
    stage.orders.wait_for_requests(2).await;
    assert_eq!(h2.get("/open/x").await.status, 429);
    first.send_reset(h2::Reason::CANCEL);
    stage.let_in(&web).await;
}

#[tokio::test]
async fn an_upstream_has_so_many_under_way_whoever_asks() {
    let stage = two_per_upstream().await;
    let web = stage.gateway.client(&stage.web);
    let other = stage.gateway.client(&stage.other);
    let first = stage.hanging(&web).await;
    let _second = stage.hanging(&other).await;
    stage
        .refused_for(&web, 503, "upstream_in_flight_exceeded")
        .await;
    stage
        .refused_for(&other, 503, "upstream_in_flight_exceeded")
        .await;
    assert_eq!(web.get("/other/x").await.status, 200, "another upstream");
    drop(first);
    stage.let_in(&other).await;
}

#[tokio::test]
async fn an_answer_a_failure_and_a_refusal_give_the_place_back() {
    let stage = Stage::set(|config| {
        config.set("upstreams.orders.in_flight", 1);
        config.set("listeners.edge.limits.in_flight_per_peer", 1);
        config.set("upstreams.orders.timeouts.response", "200ms");
        config.set("routes.open.max_body", "4B");
    })
    .await;
    let web = stage.gateway.client(&stage.web);
    for _ in 0..3 {
        assert_eq!(web.get("/open/x").await.status, 200);
        assert_eq!(web.get("/open/hang").await.status, 504);
        assert_eq!(web.get("/orders/7").await.status, 401);
        let large = Request::post("/open/x", "large");
        assert_eq!(web.request(&large).await.status, 413);
    }
    stage.orders.set_reply(|_| Reply::close());
    for _ in 0..3 {
        assert_eq!(web.get("/open/x").await.status, 502);
    }
    stage.orders.set_reply(|_| Reply::ok("back"));
    assert_eq!(web.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn what_is_under_way_counts_on_after_a_reload() {
    let mut stage = two_per_upstream().await;
    let web = stage.gateway.client(&stage.web);
    let first = stage.hanging(&web).await;
    let _second = stage.hanging(&web).await;
    let mut config = stage.gateway.config.clone();
    config.route("more", "/more/**", "orders");
    assert_eq!(stage.gateway.reload(&config).await, Reloaded::Applied(2));
    stage
        .refused_for(&web, 503, "upstream_in_flight_exceeded")
        .await;
    config.set("upstreams.orders.in_flight", json!(3));
    assert_eq!(stage.gateway.reload(&config).await, Reloaded::Applied(3));
    assert_eq!(web.get("/open/x").await.status, 200, "one more may");
    let third = stage.hanging(&web).await;
    stage
        .refused_for(&web, 503, "upstream_in_flight_exceeded")
        .await;
    drop((first, third));
    stage.let_in(&web).await;
}
