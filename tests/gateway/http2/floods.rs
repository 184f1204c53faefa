//! Floods of frames and of resets: each ends the connection and is counted by name.

use serde_json::json;

use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::raw_h2::{self, RawH2};
use crate::bench::service::Reply;
use crate::http1::Stage;

const CALM: u32 = 11;

async fn stage(http2: serde_json::Value) -> Stage {
    Stage::with(|config| {
        config.set("listeners.edge.limits.http2", http2);
    })
    .await
}

/// Sends a frame again and again until the connection has ended; how often it could.
async fn flood(h2: &mut RawH2, frame: &[u8]) -> usize {
    let most = 200_000;
    let many = frame.repeat(50);
    let mut sent = 0;
    while sent < most {
        if h2.connection.wire.send(&many).await.is_err() {
            return sent;
        }
        sent += 50;
    }
    sent
}

#[tokio::test]
async fn frames_that_carry_no_request_end_the_connection_beyond_idle_frames() {
    let stage = stage(json!({ "idle_frames": 100 })).await;
    let unknown = raw_h2::frame(0xbe, 0, 0, b"grease");
    let floods = [
        (
            "SETTINGS",
            raw_h2::frame(raw_h2::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
        ),
        ("empty SETTINGS", raw_h2::frame(raw_h2::SETTINGS, 0, 0, &[])),
        ("PING", raw_h2::frame(raw_h2::PING, 0, 0, b"12345678")),
        (
            "PING ACK",
            raw_h2::frame(raw_h2::PING, raw_h2::ACK, 0, b"12345678"),
        ),
        (
            "PRIORITY",
            raw_h2::frame(raw_h2::PRIORITY, 0, 99, &[0, 0, 0, 0, 1]),
        ),
        (
            "WINDOW_UPDATE",
            raw_h2::frame(raw_h2::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ),
        ("unknown", unknown),
    ];
    let mut ended = 0.0;
    for (name, frame) in floods {
        let mut h2 = RawH2::start(&stage.client()).await;
        h2.headers(1, &raw_h2::get(HOST, "/open/a"), true)
            .await
            .expect("send");
        assert_eq!(h2.status(1).await, 200, "{name}");
        let sent = flood(&mut h2, &frame).await;
        assert!(sent < 200_000, "{name} without end");
        ended += 1.0;
        stage.wait_for_metric_closed(ended, name).await;
    }
}

#[tokio::test]
async fn empty_data_frames_end_the_connection() {
    let stage = stage(json!({ "idle_frames": 100 })).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let mut post = raw_h2::get(HOST, "/open/a");
    post[0] = (":method", "POST");
    h2.headers(1, &post, false).await.expect("send");
    let sent = flood(&mut h2, &raw_h2::frame(raw_h2::DATA, 0, 1, &[])).await;
    assert!(sent < 200_000);
    stage.wait_for_closed("http2_idle_frames", 1.0).await;
    assert!(stage.orders.requests().is_empty());
}

#[tokio::test]
async fn a_client_that_works_earns_its_frames() {
    let stage = stage(json!({ "idle_frames": 20 })).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    for stream in (1..200).step_by(2) {
        h2.headers(stream, &raw_h2::get(HOST, "/open/a"), true)
            .await
            .expect("send");
        assert_eq!(h2.status(stream).await, 200);
        for _ in 0..10 {
            h2.ping().await.expect("send");
        }
    }
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_are_counted() {
    let stage = stage(json!({ "resets": 20 })).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let mut bytes = Vec::new();
    for stream in (1..4_000).step_by(2) {
        let block = raw_h2::block(&raw_h2::get(HOST, "/open/a"));
        let flags = raw_h2::END_HEADERS | raw_h2::END_STREAM;
        bytes.extend(raw_h2::frame(raw_h2::HEADERS, flags, stream, &block));
        bytes.extend(raw_h2::frame(
            raw_h2::RST_STREAM,
            0,
            stream,
            &8_u32.to_be_bytes(),
        ));
    }
    drop(h2.connection.wire.send(&bytes).await); // it may have ended on the way
    let goaway = h2.find(|frame| frame.kind == raw_h2::GOAWAY).await;
    if let Some(goaway) = goaway {
        assert_eq!(goaway.error_code(), Some(CALM));
    }
    stage.wait_for_closed("http2_resets", 1.0).await;
    assert!(
        stage.orders.requests().len() < 200,
        "few of 2,000 reach the service"
    );
}

#[tokio::test]
async fn a_reset_shortly_after_each_request_ends_the_connection() {
    let stage = Stage::build(
        |config| {
            config.set("listeners.edge.limits.http2", json!({ "resets": 20 }));
        },
        |service| service.reply(|_| Reply::hang()),
    )
    .await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
    let mut sent = 0_u32;
    for stream in (1..2_000).step_by(2) {
        let headers = h2
            .headers(stream, &raw_h2::get(HOST, "/open/a"), true)
            .await;
        tick.tick().await;
        if headers.is_err() || h2.reset(stream, 8).await.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 999, "{sent} requests were reset one after the other");
    stage.wait_for_closed("http2_resets", 1.0).await;
    assert!(stage.orders.requests().len() < 150);
    let line = stage
        .gateway
        .wait_for_event(|line| line["status"] == 499)
        .await;
    assert_eq!(line["path"], "/open/a");
}

#[tokio::test]
async fn streams_that_make_us_reset_them_end_the_connection() {
    let stage = Stage::build(
        |config| {
            config.set("listeners.edge.limits.http2", json!({ "resets": 20 }));
        },
        |service| service.reply(|_| Reply::hang()),
    )
    .await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let mut bytes = Vec::new();
    for stream in (1..2_000).step_by(2) {
        // MadeYouReset: a whole request, then a window beyond 2^31, which is an error of the stream.
        let block = raw_h2::block(&raw_h2::get(HOST, "/open/a"));
        let flags = raw_h2::END_HEADERS | raw_h2::END_STREAM;
        bytes.extend(raw_h2::frame(raw_h2::HEADERS, flags, stream, &block));
        bytes.extend(raw_h2::frame(
            raw_h2::WINDOW_UPDATE,
            0,
            stream,
            &0x7fff_ffff_u32.to_be_bytes(),
        ));
    }
    drop(h2.connection.wire.send(&bytes).await);
    while h2.next().await.is_some() {}
    stage.wait_for_closed("http2_resets", 1.0).await;
    let reached = stage.orders.requests().len();
    assert!(reached < 100, "{reached} of 1,000 reached the service");
}

#[tokio::test]
async fn an_honest_client_may_cancel_half_of_its_requests() {
    let stage = stage(json!({ "resets": 20 })).await;
    let mut h2 = stage.client().connect_h2().await;
    for round in 0..30 {
        let (response, _) = h2.start(&Request::get("/open/a")).await.expect("a stream");
        drop(response); // resets it
        for _ in 0..3 {
            assert_eq!(h2.get("/open/a").await.status, 200, "round {round}");
        }
    }
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn headers_without_end_are_ended() {
    let stage = Stage::new().await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let block = raw_h2::block(&raw_h2::get(HOST, "/open/a"));
    h2.frame(raw_h2::HEADERS, raw_h2::END_STREAM, 1, &block)
        .await
        .expect("send");
    let piece = raw_h2::block(&[("x", "y")]);
    let sent = flood(&mut h2, &raw_h2::frame(raw_h2::CONTINUATION, 0, 1, &piece)).await;
    assert!(sent < 200_000, "{sent} CONTINUATION frames");
    stage.wait_for_closed("http2_idle_frames", 1.0).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    h2.frame(raw_h2::HEADERS, raw_h2::END_STREAM, 1, &block)
        .await
        .expect("send");
    let sent = flood(&mut h2, &raw_h2::frame(raw_h2::CONTINUATION, 0, 1, &[])).await;
    assert!(sent < 200_000, "{sent} empty CONTINUATION frames");
    stage.wait_for_closed("http2_idle_frames", 2.0).await;
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn header_blocks_that_unfold_are_refused_and_the_memory_stays_bounded() {
    let stage = Stage::new().await;
    let before = stage.gateway.resident_bytes();
    for name in ["cookie", "x-bomb"] {
        let mut h2 = RawH2::start(&stage.client()).await;
        // One entry of 4,000 bytes in the dynamic table (0x40), then 4,000 times its index (0xbe).
        let mut block = raw_h2::block(&raw_h2::get(HOST, "/open/a"));
        block.push(0x40);
        block.push(u8::try_from(name.len()).expect("short"));
        block.extend_from_slice(name.as_bytes());
        block.extend_from_slice(&[0x7f, 0x95, 0x1e]); // 127 + 0x15 + 0x1e * 128
        block.extend(std::iter::repeat_n(b'a', 127 + 0x15 + 0x1e * 128));
        block.extend(std::iter::repeat_n(0xbe, 4_000));
        let flags = raw_h2::END_HEADERS | raw_h2::END_STREAM;
        h2.frame(raw_h2::HEADERS, flags, 1, &block)
            .await
            .expect("send");
        let end = h2
            .find(|f| [raw_h2::HEADERS, raw_h2::RST_STREAM, raw_h2::GOAWAY].contains(&f.kind))
            .await;
        if let Some(end) = end {
            assert!(
                end.status() == Some(431) || end.kind != raw_h2::HEADERS,
                "{end:?}"
            );
        }
    }
    let grown = stage.gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown}");
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection_and_are_counted() {
    let stage = Stage::new().await;
    let broken = [
        raw_h2::frame(raw_h2::SETTINGS, raw_h2::ACK, 0, &[]),
        raw_h2::frame(raw_h2::DATA, 0, 0, b"x"),
        raw_h2::frame(raw_h2::DATA, 0, 99, b"x"),
        raw_h2::frame(raw_h2::PUSH_PROMISE, raw_h2::END_HEADERS, 1, &[0, 0, 0, 2]),
        raw_h2::frame(raw_h2::PING, 0, 0, b"short"),
        raw_h2::frame(raw_h2::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        raw_h2::frame(raw_h2::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        raw_h2::frame(raw_h2::HEADERS, raw_h2::END_HEADERS, 2, &[0x82]),
        raw_h2::frame(raw_h2::HEADERS, raw_h2::END_HEADERS, 1, &[0xff; 8]),
        raw_h2::frame(raw_h2::CONTINUATION, raw_h2::END_HEADERS, 1, &[0x82]),
        raw_h2::frame(raw_h2::DATA, 0, 1, &[0; 20_000]),
    ];
    for (count, bytes) in (1..).zip(&broken) {
        let mut h2 = RawH2::start(&stage.client()).await;
        h2.connection.send(bytes).await.expect("send");
        while h2.next().await.is_some() {}
        stage
            .wait_for_closed("protocol_error", f64::from(count))
            .await;
    }
    let mut none = RawH2::connect(&stage.client()).await;
    none.connection
        .send("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
        .await
        .expect("send");
    none.connection.closed().await;
    stage.wait_for_closed("protocol_error", 12.0).await;
    assert_eq!(stage.orders.bytes(), 0);
}

impl Stage {
    async fn wait_for_metric_closed(&self, count: f64, flood: &str) {
        let before = self.closed_for("http2_idle_frames").await;
        if before < count {
            self.wait_for_closed("http2_idle_frames", count).await;
        }
        let now = self.closed_for("http2_idle_frames").await;
        assert!((now - count).abs() < 0.5, "{flood}: {now}");
    }

    async fn closed_for(&self, reason: &str) -> f64 {
        let labels = [("reason", reason)];
        let metrics = self.gateway.metrics().await;
        metrics.value("portcullis_connections_closed_total", &labels)
    }
}
