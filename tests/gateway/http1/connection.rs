//! The connection: kept, closed, continued; what belongs to one hop ends at it.

use std::time::Duration;

use serde_json::json;

use super::{Stage, limits};
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::service::{Reply, Step};

#[tokio::test]
async fn one_connection_serves_many_requests_of_every_kind() {
    let stage = Stage::build(
        |_| {},
        |service| {
            service.reply(|request| match request.method.as_str() {
                "HEAD" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                _other => Reply::ok("hello"),
            })
        },
    )
    .await;
    let mut connection = stage.connect().await;
    for round in 0..50 {
        let answer = match round % 5 {
            0 => connection.get("/open/a").await,
            1 => connection.request(&Request::post("/open/a", "body")).await,
            2 => connection.request(&Request::new("HEAD", "/open/a")).await,
            3 => {
                let chunked = "POST /open/a HTTP/1.1\r\nHost: api.example.com\r\n\
                               Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
                connection.exchange(chunked).await.expect("an answer")
            }
            _ => {
                let refused = connection.get("/nowhere").await;
                assert_eq!(refused.status, 404, "round {round}");
                continue;
            }
        };
        assert_eq!(answer.status, 200, "round {round}");
    }
    assert_eq!(stage.orders.requests().len(), 40);
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value("portcullis_connections_total", &[]), 1.0);
    assert_eq!(
        stage.orders.connections(),
        1,
        "the service's connection is kept too"
    );
}

#[tokio::test]
async fn a_connection_is_closed_after_requests_per_connection() {
    let stage = Stage::with(limits(json!({ "requests_per_connection": 3 }))).await;
    let mut connection = stage.connect().await;
    for _ in 0..2 {
        let answer = connection.get("/open/a").await;
        assert_ne!(answer.header("connection"), Some("close"));
    }
    let last = connection.get("/open/a").await;
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    connection.closed().await;
}

#[tokio::test]
async fn connection_close_and_http_1_0_end_the_connection_after_the_answer() {
    let stage = Stage::new().await;
    let mut connection = stage.connect().await;
    let close = Request::get("/open/a").header("Connection", "close");
    assert_eq!(connection.request(&close).await.status, 200);
    connection.closed().await;
    let mut connection = stage.connect().await;
    let old = format!("GET /open/a HTTP/1.0\r\nHost: {HOST}\r\n\r\n");
    assert_eq!(
        connection.exchange(old).await.expect("an answer").status,
        200
    );
    connection.closed().await;
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_keep_the_connection() {
    let stage = Stage::build(
        |_| {},
        |service| {
            service.reply(|request| match request.target.as_str() {
                "/open/204" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
                "/open/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
                _head => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            })
        },
    )
    .await;
    let mut connection = stage.connect().await;
    for _ in 0..3 {
        let head = connection.request(&Request::new("HEAD", "/open/a")).await;
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("5"))
        );
        assert_eq!(connection.get("/open/204").await.status, 204);
        assert_eq!(connection.get("/open/304").await.status, 304);
    }
    let refused = connection.request(&Request::new("HEAD", "/nowhere")).await;
    assert_eq!(refused.status, 404);
    assert_eq!(
        connection.get("/open/204").await.status,
        204,
        "no body came after HEAD"
    );
    let mut h2 = stage.client().connect_h2().await;
    for (request, status) in [
        (Request::new("HEAD", "/open/a"), 200),
        (Request::get("/open/204"), 204),
        (Request::get("/open/304"), 304),
        (Request::new("HEAD", "/nowhere"), 404),
    ] {
        let answer = h2.request(&request).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
}

#[tokio::test]
async fn expect_100_continue_is_answered_by_the_service_before_the_body_is_sent() {
    let stage = Stage::build(
        |_| {},
        |service| {
            service.at_head().reply(|_| {
                Reply::raw("HTTP/1.1 100 Continue\r\n\r\n")
                    .then(Step::Read(5))
                    .then(Step::Send(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".to_vec(),
                    ))
            })
        },
    )
    .await;
    let mut connection = stage.connect().await;
    let head = format!(
        "POST /open/a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    );
    connection.send(head).await.expect("send");
    let go_on = connection
        .wire
        .read_head()
        .await
        .expect("a head")
        .expect("a head");
    assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{go_on:?}");
    connection.send("hello").await.expect("send");
    let answer = connection.read_answer().await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
}

#[tokio::test]
async fn an_early_refusal_needs_no_body_after_expect() {
    let stage = Stage::new().await;
    let head = format!(
        "POST /nowhere HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    );
    let answer = stage
        .connect()
        .await
        .exchange(head)
        .await
        .expect("an answer");
    assert_eq!((answer.status, answer.informational.len()), (404, 0));
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn informational_answers_are_not_passed_on_and_an_endless_row_is_ended() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3);
    let few = format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let stage = Stage::replying(|_| {}, Reply::raw(few)).await;
    let answer = stage.client().get("/open/a").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.informational.len(), 0);
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(2_000);
    let flood = format!("{flood}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    stage.orders.set_reply(move |_| Reply::raw(&flood));
    assert_eq!(stage.client().get("/open/a").await.status, 502);
    stage.wait_for_refused("upstream_protocol", 1.0).await;
    let mut h2 = stage.client().connect_h2().await;
    assert_eq!(h2.get("/open/a").await.status, 502);
}

#[tokio::test]
async fn hop_by_hop_fields_end_at_the_gateway_both_ways() {
    let reply = Reply::new(
        200,
        &[
            ("Connection", "X-Hop, keep-alive"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=99"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authenticate", "Basic"),
            ("TE", "trailers"),
            ("Trailer", "X-T"),
            ("Upgrade", "h2c"),
            ("X-Kept", "1"),
        ],
        "hello",
    );
    let stage = Stage::replying(|_| {}, reply).await;
    let request = Request::get("/open/a")
        .header("Connection", "X-Mine, keep-alive")
        .header("X-Mine", "1")
        .header("Keep-Alive", "timeout=99")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic eDp5")
        .header("TE", "trailers")
        .header("Trailer", "X-T")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
        .header("X-Kept", "1");
    let mut connection = stage.connect().await;
    let answer = connection.request(&request).await;
    let forwarded = stage.orders.only_request();
    for gone in [
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert!(
            !forwarded.headers.has(gone),
            "{gone}: {:?}",
            forwarded.headers
        );
    }
    assert_eq!(forwarded.header("x-kept"), Some("1"));
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert!(!answer.headers.has(gone), "{gone}: {:?}", answer.headers);
    }
    assert_eq!(answer.header("x-kept"), Some("1"));
    let again = tokio::time::timeout(Duration::from_secs(5), connection.get("/open/a")).await;
    assert_eq!(again.expect("in time").status, 200);
}

#[tokio::test]
async fn hop_by_hop_fields_of_an_answer_end_before_h2() {
    let fields = [
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=99"),
        ("TE", "trailers"),
        ("Trailer", "X-T"),
        ("Upgrade", "h2c"),
    ];
    let stage = Stage::replying(|_| {}, Reply::new(200, &fields, "hello")).await;
    let mut h2 = stage.client().connect_h2().await;
    let answer = h2.get("/open/a").await;
    for gone in [
        "connection",
        "x-hop",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert!(!answer.headers.has(gone), "{gone}: {:?}", answer.headers);
    }
}
