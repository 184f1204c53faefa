//! What honest clients do over h2 goes through: large bodies both ways, many streams, a farewell.

use serde_json::json;

use crate::bench::client::{HOST, read_h2};
use crate::bench::http1::Request;
use crate::bench::raw_h2::{self, RawH2};
use crate::bench::service::Reply;
use crate::http1::{Stage, limits};

const LARGE: usize = 50 << 20;

#[tokio::test]
async fn a_large_download_earns_its_window_updates() {
    let stage = Stage::replying(
        limits(json!({ "http2": { "idle_frames": 50 } })),
        Reply::ok(vec![b'x'; LARGE]),
    )
    .await;
    let mut h2 = stage.client().connect_h2().await;
    let answer = h2.get("/open/a").await;
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    assert_eq!(h2.get("/nowhere").await.status, 404, "the connection lives");
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn a_large_upload_in_small_pieces_arrives_whole() {
    let stage = Stage::with(|config| {
        config.set("listeners.edge.limits.http2.idle_frames", 50);
        config.set("routes.open.max_body", "64MiB");
    })
    .await;
    let mut h2 = stage.client().connect_h2().await;
    let (response, mut stream) = h2
        .open(&Request::new("POST", "/open/a"))
        .await
        .expect("a stream");
    let mut left = LARGE;
    while left > 0 {
        stream.reserve_capacity(left.min(8 * 1024));
        let ready = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let piece = ready.expect("open").expect("capacity").min(left);
        stream
            .send_data(vec![b'x'; piece].into(), left == piece)
            .expect("send");
        left -= piece;
    }
    assert_eq!(read_h2(response).await.expect("an answer").status, 200);
    assert_eq!(stage.orders.only_request().body.len(), LARGE);
    assert_eq!(stage.closed().await, 0.0);
}

#[tokio::test]
async fn goaway_comes_at_requests_per_connection_and_what_was_asked_is_answered() {
    let stage = Stage::with(limits(json!({ "requests_per_connection": 5 }))).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    for stream in (1..11).step_by(2) {
        h2.headers(stream, &raw_h2::get(HOST, "/open/a"), true)
            .await
            .expect("send");
    }
    let (mut answers, mut farewell) = (0, false);
    while let Some(frame) = h2.next().await {
        answers += u32::from(frame.kind == raw_h2::HEADERS && frame.status() == Some(200));
        farewell |= frame.kind == raw_h2::GOAWAY && frame.error_code() == Some(0);
        if frame.kind == raw_h2::PING && frame.flags & raw_h2::ACK == 0 {
            // h2 asks for a round trip before its last GOAWAY.
            h2.frame(raw_h2::PING, raw_h2::ACK, 0, &frame.payload)
                .await
                .expect("send");
        }
    }
    assert_eq!((answers, farewell), (5, true));
    assert_eq!(stage.orders.requests().len(), 5);
}

#[tokio::test]
async fn streams_at_a_time_are_bounded_by_settings() {
    let stage = Stage::replying(limits(json!({ "http2": { "streams": 3 } })), Reply::hang()).await;
    let mut h2 = RawH2::connect(&stage.client()).await;
    h2.connection.send(raw_h2::PREFACE).await.expect("send");
    h2.settings(&[(1, 0)]).await.expect("send");
    let settings = h2
        .until(|f| f.kind == raw_h2::SETTINGS && f.flags == 0)
        .await;
    let streams = [0, 3, 0, 0, 0, 3];
    assert!(settings.payload.chunks(6).any(|setting| setting == streams));
    h2.frame(raw_h2::SETTINGS, raw_h2::ACK, 0, &[])
        .await
        .expect("send");
    for stream in (1..9).step_by(2) {
        h2.headers(stream, &raw_h2::get(HOST, "/open/a"), true)
            .await
            .expect("send");
    }
    let refused = h2.until(|f| f.kind == raw_h2::RST_STREAM).await;
    assert_eq!(
        (refused.stream, refused.error_code()),
        (7, Some(7)),
        "REFUSED_STREAM"
    );
    assert_eq!(stage.orders.wait_for_requests(3).await.len(), 3);
}

#[tokio::test]
async fn many_streams_at_once_are_all_answered() {
    let stage = Stage::new().await;
    let mut h2 = stage.client().connect_h2().await;
    for _ in 0..5 {
        let mut answers = Vec::new();
        for _ in 0..40 {
            answers.push(
                h2.start(&Request::get("/open/a"))
                    .await
                    .expect("a stream")
                    .0,
            );
        }
        for answer in answers {
            assert_eq!(read_h2(answer).await.expect("an answer").status, 200);
        }
    }
    assert_eq!(stage.orders.requests().len(), 200);
    assert!(stage.orders.connections() <= 40);
}
