//! Clients that are slow or silent over h2: nothing is held for them without end.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bench::client::{HOST, read_h2};
use crate::bench::http1::Request;
use crate::bench::raw_h2::{self, RawH2};
use crate::bench::service::Reply;
use crate::http1::{Stage, limits};

#[tokio::test]
async fn a_client_without_a_preface_is_closed_within_header_timeout() {
    let stage = Stage::with(limits(json!({ "header_timeout": "300ms" }))).await;
    let begun = Instant::now();
    RawH2::connect(&stage.client())
        .await
        .connection
        .closed()
        .await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    stage.wait_for_closed("http2_silent", 1.0).await;
    let mut half = RawH2::connect(&stage.client()).await;
    half.connection.send("PRI * HTTP/2.0").await.expect("send");
    half.connection.closed().await;
    stage.wait_for_closed("http2_silent", 2.0).await;
}

#[tokio::test]
async fn a_client_that_never_asks_is_closed_within_header_timeout() {
    let stage = Stage::with(limits(
        json!({ "header_timeout": "300ms", "idle_timeout": "30s" }),
    ))
    .await;
    // It acknowledges SETTINGS.
    let mut h2 = RawH2::start(&stage.client()).await;
    while h2.next().await.is_some() {}
    stage.wait_for_closed("header_timeout", 1.0).await;
    // It does not.
    let mut h2 = RawH2::connect(&stage.client()).await;
    h2.connection.send(raw_h2::PREFACE).await.expect("send");
    h2.settings(&[]).await.expect("send");
    while h2.next().await.is_some() {}
    stage.wait_for_closed("header_timeout", 2.0).await;
    // Its first HEADERS never end.
    let mut h2 = RawH2::start(&stage.client()).await;
    let block = raw_h2::block(&raw_h2::get(HOST, "/open/a"));
    h2.frame(raw_h2::HEADERS, raw_h2::END_STREAM, 1, &block)
        .await
        .expect("send");
    while h2.next().await.is_some() {}
    stage.wait_for_closed("header_timeout", 3.0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_idle_timeout() {
    let stage = Stage::with(limits(json!({ "idle_timeout": "300ms" }))).await;
    for end_headers in [true, false] {
        let mut h2 = RawH2::start(&stage.client()).await;
        h2.headers(1, &raw_h2::get(HOST, "/open/a"), true)
            .await
            .expect("send");
        assert_eq!(h2.status(1).await, 200);
        if !end_headers {
            let block = raw_h2::block(&raw_h2::get(HOST, "/open/a"));
            h2.frame(raw_h2::HEADERS, raw_h2::END_STREAM, 3, &block)
                .await
                .expect("send");
        }
        let begun = Instant::now();
        while h2.next().await.is_some() {}
        assert!(begun.elapsed() < Duration::from_secs(4));
        stage
            .wait_for_closed("idle_timeout", if end_headers { 1.0 } else { 2.0 })
            .await;
    }
}

#[tokio::test]
async fn pings_do_not_keep_an_idle_connection_open() {
    let stage = Stage::with(limits(json!({ "idle_timeout": "400ms" }))).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    h2.headers(1, &raw_h2::get(HOST, "/open/a"), true)
        .await
        .expect("send");
    assert_eq!(h2.status(1).await, 200);
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while begun.elapsed() < Duration::from_secs(5) {
        tick.tick().await;
        if h2.ping().await.is_err() {
            break;
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "kept open by PING"
    );
    stage.wait_for_closed("idle_timeout", 1.0).await;
}

#[tokio::test]
async fn answers_that_nobody_takes_are_ended_and_the_memory_stays_bounded() {
    let stage = Stage::replying(
        limits(json!({ "body_timeout": "700ms", "http2": { "streams": 50 } })),
        Reply::ok(vec![b'x'; 1 << 20]),
    )
    .await;
    let before = stage.gateway.resident_bytes();
    // SETTINGS_INITIAL_WINDOW_SIZE 0: not a byte of a body may be sent.
    let mut h2 = RawH2::start_with(&stage.client(), &[(1, 0), (4, 0)]).await;
    for stream in (1..101).step_by(2) {
        h2.headers(stream, &raw_h2::get(HOST, "/open/a"), true)
            .await
            .expect("send");
    }
    stage.orders.wait_for_requests(50).await;
    let mut most = 0;
    let mut reset = 0;
    while reset < 50 {
        let frame = h2.next().await.expect("a frame");
        reset += usize::from(frame.kind == raw_h2::RST_STREAM);
        most = most.max(stage.gateway.resident_bytes());
    }
    let grown = most.saturating_sub(before);
    assert!(
        grown < 40 << 20,
        "{grown} bytes more for 50 answers of 1 MiB"
    );
    stage.wait_for_closed("slow_reader", 50.0).await;
    let line = stage
        .gateway
        .wait_for_event(|line| line["closed"] == "slow_reader")
        .await;
    assert_eq!(line["status"], 200);
    stage
        .orders
        .wait_until("the service to be let go", |service| {
            service.open_connections() == 0
        })
        .await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_from_its_socket_is_ended() {
    let stage = Stage::replying(
        limits(json!({ "body_timeout": "500ms", "idle_timeout": "60s" })),
        Reply::ok(vec![b'x'; 32 << 20]),
    )
    .await;
    let settings = [(1, 0), (4, 0x7fff_ffff)];
    let mut h2 = RawH2::start_with(&stage.client(), &settings).await;
    h2.window_update(0, 0x7000_0000).await.expect("send");
    h2.headers(1, &raw_h2::get(HOST, "/open/a"), true)
        .await
        .expect("send");
    stage.wait_for_closed("slow_reader", 1.0).await;
    let gauge = [("listener", "edge")];
    stage
        .gateway
        .wait_for_metric("portcullis_connections", &gauge, |open| open == 0.0)
        .await;
}

#[tokio::test]
async fn a_post_that_brings_no_data_is_ended_as_the_clients_fault() {
    let stage = Stage::with(|config| {
        config.set("upstreams.orders.timeouts.response", "400ms");
    })
    .await;
    let mut h2 = stage.client().connect_h2().await;
    let begun = Instant::now();
    let (response, _stream) = h2
        .open(&Request::new("POST", "/open/a"))
        .await
        .expect("a stream");
    assert_eq!(read_h2(response).await.expect("an answer").status, 408);
    assert!(begun.elapsed() < Duration::from_secs(4));
    stage.wait_for_refused("body_timeout", 1.0).await;
    stage.wait_for_closed("body_timeout", 1.0).await;
    assert_eq!(stage.refused("upstream_response_timeout").await, 0.0);
    assert_eq!(h2.get("/open/a").await.status, 200, "the connection lives");
}

#[tokio::test]
async fn a_service_that_is_silent_after_the_whole_body_is_the_services_fault() {
    let stage = Stage::replying(
        |config| {
            config.set("upstreams.orders.timeouts.response", "300ms");
        },
        Reply::hang(),
    )
    .await;
    let mut h2 = stage.client().connect_h2().await;
    for request in [Request::get("/open/a"), Request::post("/open/a", "body")] {
        assert_eq!(h2.request(&request).await.status, 504);
        assert_eq!(stage.client().request(&request).await.status, 504);
    }
    stage
        .wait_for_refused("upstream_response_timeout", 4.0)
        .await;
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn a_slow_honest_upload_is_not_ended() {
    let stage = Stage::with(|config| {
        config.set("upstreams.orders.timeouts.response", "400ms");
        config.set(
            "listeners.edge.limits",
            json!({ "body_timeout": "400ms", "min_rate": "100B/s" }),
        );
    })
    .await;
    let mut h2 = stage.client().connect_h2().await;
    let (response, mut stream) = h2
        .open(&Request::new("POST", "/open/a"))
        .await
        .expect("a stream");
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..15 {
        tick.tick().await;
        stream
            .send_data(vec![b'x'; 1000].into(), false)
            .expect("send");
    }
    stream.send_data(vec![].into(), true).expect("send");
    assert_eq!(read_h2(response).await.expect("an answer").status, 200);
    let seen = stage.orders.requests();
    let shown: Vec<_> = seen.iter().map(|r| (r.body.len(), &r.headers)).collect();
    assert!(seen.len() == 1 && seen[0].body.len() == 15_000, "{shown:?}");
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn unfinished_posts_are_bounded_per_client_and_so_are_connections_to_the_service() {
    let stage = Stage::with(|config| {
        config.set("listeners.edge.limits", json!({ "in_flight_per_peer": 30 }));
    })
    .await;
    let mut connections = Vec::new();
    for _ in 0..20 {
        let mut h2 = RawH2::start(&stage.client()).await;
        let mut post = raw_h2::get(HOST, "/open/a");
        post[0] = (":method", "POST");
        for stream in (1..101).step_by(2) {
            h2.headers(stream, &post, false).await.expect("send");
        }
        connections.push(h2);
    }
    stage
        .wait_for_refused("peer_in_flight_exceeded", 20.0 * 50.0 - 30.0)
        .await;
    assert!(
        stage.orders.connections() <= 30,
        "{}",
        stage.orders.connections()
    );
    // Another client is served meanwhile.
    let other = stage.world.partner("spiffe://partners.example/web/b");
    assert_eq!(
        stage.gateway.client(&other).get("/open/a").await.status,
        200
    );
}
