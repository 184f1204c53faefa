//! Clients that are slow: each has a deadline, and is counted by the name of the bound it met.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, limits};
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::service::Reply;

#[tokio::test]
async fn a_head_that_drips_gets_408_within_header_timeout() {
    let stage = Stage::with(limits(
        json!({ "header_timeout": "300ms", "idle_timeout": "20s" }),
    ))
    .await;
    let mut connection = stage.connect().await;
    assert_eq!(
        connection.get("/open/a").await.status,
        200,
        "also after a good request"
    );
    let begun = Instant::now();
    let head = format!(
        "GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nX: {}",
        "y".repeat(500)
    );
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for byte in head.as_bytes() {
        tick.tick().await;
        if begun.elapsed() > Duration::from_secs(2) || connection.send([*byte]).await.is_err() {
            break;
        }
        if begun.elapsed() > Duration::from_millis(400) {
            break;
        }
    }
    let answer = connection.read_answer().await.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("connection")),
        (408, Some("close"))
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
    stage.wait_for_refused("head_timeout", 1.0).await;
    stage.wait_for_closed("header_timeout", 1.0).await;
    let line = stage
        .gateway
        .wait_for_event(|line| line["reason"] == "head_timeout")
        .await;
    assert_eq!(line["status"], 408);
    connection.closed().await;
}

#[tokio::test]
async fn a_connection_without_a_first_byte_is_closed_within_header_timeout() {
    let stage = Stage::with(limits(
        json!({ "header_timeout": "200ms", "idle_timeout": "30s" }),
    ))
    .await;
    let begun = Instant::now();
    let came = stage.connect().await.closed().await;
    assert!(came.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(3));
    stage.wait_for_closed("header_timeout", 1.0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_idle_timeout() {
    let stage = Stage::with(limits(json!({ "idle_timeout": "300ms" }))).await;
    let mut connection = stage.connect().await;
    assert_eq!(connection.get("/open/a").await.status, 200);
    let begun = Instant::now();
    connection.closed().await;
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert!(begun.elapsed() < Duration::from_secs(4));
    stage.wait_for_closed("idle_timeout", 1.0).await;
}

#[tokio::test]
async fn a_body_that_stops_gets_408_within_body_timeout() {
    let stage = Stage::with(limits(json!({ "body_timeout": "300ms" }))).await;
    let head = format!("POST /open/a HTTP/1.1\r\nHost: {HOST}\r\n");
    for start in [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let begun = Instant::now();
        let mut connection = stage.connect().await;
        let answer = connection.exchange(format!("{head}{start}")).await;
        assert_eq!(answer.expect("an answer").status, 408, "{start:?}");
        assert!(begun.elapsed() < Duration::from_secs(4));
        connection.closed().await;
    }
    stage.wait_for_refused("body_timeout", 2.0).await;
    stage.wait_for_closed("body_timeout", 2.0).await;
    let line = stage
        .gateway
        .wait_for_event(|line| line["closed"] == "body_timeout")
        .await;
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&json!(408), &json!("body_timeout"))
    );
    assert_eq!(stage.orders.requests().len(), 0, "half a request is none");
}

#[tokio::test]
async fn a_body_slower_than_min_rate_is_ended() {
    let slow = json!({ "body_timeout": "500ms", "min_rate": "1KiB/s" });
    let stage = Stage::with(limits(slow)).await;
    let mut connection = stage.connect().await;
    let head = format!("POST /open/a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n");
    connection.send(head).await.expect("send");
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while begun.elapsed() < Duration::from_millis(900) {
        tick.tick().await;
        if connection.send("x").await.is_err() {
            break;
        }
    }
    assert_eq!(
        connection.read_answer().await.expect("an answer").status,
        408
    );
    stage.wait_for_refused("body_timeout", 1.0).await;
    stage.wait_for_closed("slow_body", 1.0).await;
}

#[tokio::test]
async fn a_slow_honest_upload_is_not_ended() {
    // Longer in all than every timeout, with a piece well within each.
    let stage = Stage::with(|config| {
        config.set(
            "listeners.edge.limits",
            json!({ "body_timeout": "400ms", "min_rate": "100B/s" }),
        );
        config.set("upstreams.orders.timeouts.response", "400ms");
    })
    .await;
    let mut connection = stage.connect().await;
    let head = format!("POST /open/a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 15000\r\n\r\n");
    connection.send(head).await.expect("send");
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..15 {
        tick.tick().await;
        connection.send([b'x'; 1000]).await.expect("send");
    }
    assert_eq!(
        connection.read_answer().await.expect("an answer").status,
        200
    );
    assert_eq!(stage.orders.only_request().body.len(), 15_000);
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_ended_and_the_memory_stays_bounded() {
    let large = Reply::ok(vec![b'x'; 32 << 20]);
    let stage = Stage::replying(limits(json!({ "body_timeout": "500ms" })), large).await;
    let before = stage.gateway.resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut connection = stage.connect().await;
        let request = Request::get("/open/a").bytes(HOST);
        connection.send(request).await.expect("send");
        clients.push(connection);
    }
    stage.wait_for_closed("slow_reader", 4.0).await;
    let grown = stage.gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more for four readers");
    let line = stage
        .gateway
        .wait_for_event(|line| line["closed"] == "slow_reader")
        .await;
    assert_eq!(line["status"], 200);
    let gauge = [("listener", "edge")];
    stage
        .gateway
        .wait_for_metric("portcullis_connections", &gauge, |open| open == 0.0)
        .await;
    stage
        .orders
        .wait_until("the service to be let go", |s| s.open_connections() == 0)
        .await;
}

#[tokio::test]
async fn a_reader_that_pauses_shorter_than_body_timeout_gets_everything() {
    let large = Reply::ok(vec![b'x'; 16 << 20]);
    let stage = Stage::replying(limits(json!({ "body_timeout": "2s" })), large).await;
    let mut connection = stage.connect().await;
    connection
        .send(Request::get("/open/a").bytes(HOST))
        .await
        .expect("send");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await; // the pause is the claim
        connection.wire.read_exact(1 << 20).await.expect("a piece");
    }
    let rest = connection.wire.read_exact(13 << 20).await;
    assert_eq!(rest.expect("the rest").len(), 13 << 20);
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn bytes_that_are_no_tls_end_the_connection_and_are_counted() {
    let stage = Stage::new().await;
    let mut connection = stage.connect().await;
    assert_eq!(connection.get("/open/a").await.status, 200);
    let socket = connection.wire.stream.get_mut().0;
    tokio::io::AsyncWriteExt::write_all(socket, b"GET /open/a HTTP/1.1\r\n\r\n")
        .await
        .expect("send");
    connection.closed().await;
    stage.wait_for_closed("protocol_error", 1.0).await;
    assert_eq!(stage.orders.requests().len(), 1);
}

#[tokio::test]
async fn the_time_that_reaching_the_service_takes_is_not_the_clients() {
    // A handshake with the service takes longer than this.
    let stage = Stage::with(limits(json!({ "body_timeout": "10ms" }))).await;
    assert_eq!(stage.client().get("/open/a").await.status, 200);
    let mut h2 = stage.client().connect_h2().await;
    assert_eq!(h2.get("/open/a").await.status, 200);
    assert_eq!(stage.closed().await, 0.0);
}
