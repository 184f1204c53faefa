//! WebSocket where the route says so, and no other protocol anywhere.

use super::Stage;
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::service::{Reply, Step};

fn switch(to: &str) -> Reply {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    Reply::raw(head).then(Step::Echo)
}

fn ask(path: &str, to: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

async fn stage(to: &'static str) -> Stage {
    Stage::build(
        |config| {
            config.route("socket", "/socket", "orders");
            config.set("routes.socket.websocket", true);
        },
        |service| {
            service.at_head().reply(move |request| {
                if request.headers.has("upgrade") {
                    switch(to)
                } else {
                    Reply::ok("plain")
                }
            })
        },
    )
    .await
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_where_the_route_says_so() {
    let stage = stage("websocket").await;
    let mut connection = stage.connect().await;
    let answer = connection.exchange(ask("/socket", "websocket")).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    for round in 0..20 {
        let message = format!("\u{0}frame {round}\u{ff}");
        connection.send(&message).await.expect("send");
        let back = connection.wire.read_exact(message.len()).await;
        assert_eq!(back.expect("an echo"), message.as_bytes());
    }
    let large = vec![7; 256 * 1024];
    let (sent, back) = {
        let (mut read, mut write) = tokio::io::split(&mut connection.wire.stream);
        let mut back = vec![0; large.len()];
        let sent = tokio::io::AsyncWriteExt::write_all(&mut write, &large);
        let came = tokio::io::AsyncReadExt::read_exact(&mut read, &mut back);
        let (sent, came) = tokio::join!(sent, came);
        came.expect("an echo");
        (sent, back)
    };
    sent.expect("send");
    assert!(back == large);
    let request = stage.orders.only_request();
    assert_eq!(request.header("sec-websocket-version"), Some("13"));
}

/// The bounds of a body are none of a conversation: it may be quiet, slow, and long.
#[tokio::test]
async fn a_websocket_is_not_held_to_the_bounds_of_a_body() {
    let stage = Stage::build(
        |config| {
            config.route("socket", "/socket", "orders");
            config.set("routes.socket.websocket", true);
            config.set("routes.socket.max_body", "64B");
            config.set("listeners.edge.limits.body_timeout", "200ms");
            config.set("listeners.edge.limits.min_rate", "1000B/s");
        },
        |service| service.at_head().reply(|_| switch("websocket")),
    )
    .await;
    let mut connection = stage.connect().await;
    let answer = connection.exchange(ask("/socket", "websocket")).await;
    assert_eq!(answer.expect("an answer").status, 101);
    for round in 0..4 {
        let message = format!("a short message, number {round}, after a while");
        connection.send(&message).await.expect("send");
        let back = connection.wire.read_exact(message.len()).await;
        assert_eq!(back.expect("an echo"), message.as_bytes());
        tokio::time::sleep(std::time::Duration::from_millis(400)).await; // what is claimed is time
    }
}

#[tokio::test]
async fn a_route_without_websocket_forwards_no_upgrade() {
    let stage = stage("websocket").await;
    let answer = stage
        .connect()
        .await
        .exchange(ask("/open/a", "websocket"))
        .await;
    assert_eq!(answer.expect("an answer").status, 200);
    let request = stage.orders.only_request();
    assert!(!request.headers.has("upgrade"), "{:?}", request.headers);
    stage.orders.set_reply(|_| switch("websocket"));
    let answer = stage
        .connect()
        .await
        .exchange(ask("/open/a", "websocket"))
        .await;
    assert_eq!(
        answer.expect("an answer").status,
        502,
        "a 101 that nobody asked for"
    );
    let answer = stage.connect().await.get("/open/a").await;
    assert_eq!(answer.status, 502);
    stage.wait_for_refused("upstream_protocol", 2.0).await;
}

#[tokio::test]
async fn a_101_to_another_protocol_than_websocket_is_refused() {
    let stage = stage("h2c").await;
    let answer = stage
        .connect()
        .await
        .exchange(ask("/socket", "websocket"))
        .await;
    assert_eq!(answer.expect("an answer").status, 502);
    stage.wait_for_refused("upstream_protocol", 1.0).await;
    for to in [
        "h2c",
        "TLS/1.2",
        "websocket, h2c",
        "connect-udp",
        "WebSocket/13",
    ] {
        let before = stage.orders.requests().len();
        let answer = stage.connect().await.exchange(ask("/socket", to)).await;
        assert_eq!(
            answer.expect("an answer").status,
            200,
            "{to}: asked as a plain request"
        );
        let requests = stage.orders.wait_for_requests(before + 1).await;
        assert!(!requests[before].headers.has("upgrade"), "{to}");
    }
}

#[tokio::test]
async fn h2_has_no_websocket() {
    let stage = stage("websocket").await;
    let mut h2 = stage.client().connect_h2().await;
    assert_eq!(h2.get("/socket").await.status, 200);
    let connect = Request::new("CONNECT", "/socket");
    assert_ne!(
        h2.try_request(&connect).await.map(|a| a.status).ok(),
        Some(200)
    );
}
