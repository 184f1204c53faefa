//! The request target: one normal form is matched, logged and forwarded; all else is refused.

use super::Stage;
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::raw_h2::{self, RawH2};

/// What a client sends, and what the service gets.
pub const PASSING: &[(&str, &str)] = &[
    ("/open", "/open"),
    ("/open/", "/open/"),
    ("/open/a", "/open/a"),
    ("/open/A", "/open/A"),
    ("/open/%61%2D%7e", "/open/a-~"),
    ("/%6fpen/a", "/open/a"),
    ("/open/%c3%a9", "/open/%C3%A9"),
    ("/open/a%20b", "/open/a%20b"),
    ("/open/%40@", "/open/%40@"),
    ("/open/a+b:c", "/open/a+b:c"),
    ("/open/a?q=1&r=%2e%2e/..;x", "/open/a?q=1&r=%2e%2e/..;x"),
    ("/open/a?", "/open/a?"),
    ("/open/a??", "/open/a??"),
];

/// Targets that two parties could read in two ways.
pub const AMBIGUOUS: &[&str] = &[
    "/open/../orders/7",
    "/open/..",
    "/open/./a",
    "/open/.",
    "/open/%2e%2e/orders",
    "/open/%2E%2e/orders",
    "/open/.%2e/orders",
    "/open/%2e/a",
    "/open/..%2forders",
    "/open/a%2fb",
    "/open/a%2Fb",
    "/open/a%5cb",
    "/open/a%5Cb",
    "/open//a",
    "//open/a",
    "//evil.example/open/a",
    "///",
    "/open/a//",
    "/open/a;b",
    "/open/a;/../b",
    "/open/..;/b",
    "/open/a%3bb",
    "/open/%00",
    "/open/a%00.json",
    "/open/%0d%0aX:%20y",
    "/open/%09",
    "/open/%7f",
    "/open/%c2%85",
    "/open/%252e%252e/a",
    "/open/%25",
    "/open/%c0%ae%c0%ae/a",
    "/open/%c0%af",
    "/open/%e0%80%ae",
    "/open/%ff",
    "/open/%",
    "/open/%4",
    "/open/%zz",
    "/open/%u002e",
];

/// Targets that are no path, or have bytes that no target has.
const NO_PATH: &[&str] = &[
    "http://api.example.com/open/a",
    "https://api.example.com/open/a",
    "http://evil.example/open/a",
    "ftp://api.example.com/open/a",
    "//api.example.com",
    "*",
    "foo",
    "?q",
    "@evil",
    "api.example.com:443",
    ".",
    "#",
    "/open/a#b",
    "/open/a#/../b",
    "/open/a?q#f",
    "/open/a\\b",
    "/open/..\\b",
    "\\open\\a",
    "/open/\u{e9}",
    "/open/<a>",
    "/open/\"a\"",
    "/open/{a}",
    "/open/a|b",
    "/open/a^b",
    "/open/a`b",
    "/open/a\tb",
];

#[tokio::test]
async fn one_normal_form_of_the_path_is_matched_logged_and_forwarded() {
    let stage = Stage::new().await;
    let mut connection = stage.connect().await;
    for (sent, forwarded) in PASSING {
        let answer = connection.get(sent).await;
        assert_eq!(answer.status, 200, "{sent}");
        assert_eq!(stage.orders.last_request().target, *forwarded, "{sent}");
        let path = forwarded.split('?').next().unwrap_or_default();
        stage
            .gateway
            .wait_for_event(|line| line["target"] == "access" && line["path"] == path)
            .await;
    }
    let logged = stage.gateway.log().join("\n");
    assert!(!logged.contains("q=1"), "a query must never be logged");
}

#[tokio::test]
async fn h2_forwards_the_same_normal_form() {
    let stage = Stage::new().await;
    let mut h2 = RawH2::start(&stage.client()).await;
    for (stream, (sent, forwarded)) in (1..).step_by(2).zip(PASSING) {
        h2.headers(stream, &raw_h2::get(HOST, sent), true)
            .await
            .expect("send");
        assert_eq!(h2.status(stream).await, 200, "{sent}");
        assert_eq!(stage.orders.last_request().target, *forwarded, "{sent}");
    }
}

#[tokio::test]
async fn spellings_that_two_parties_could_read_in_two_ways_are_refused() {
    let stage = Stage::new().await;
    for target in AMBIGUOUS.iter().chain(NO_PATH) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        stage.refuses(request, 400, "path_ambiguous").await;
    }
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn h2_refuses_the_same_spellings_and_keeps_the_connection() {
    let stage = Stage::new().await;
    let mut h2 = RawH2::start(&stage.client()).await;
    for (stream, target) in (1..).step_by(2).zip(AMBIGUOUS) {
        h2.headers(stream, &raw_h2::get(HOST, target), true)
            .await
            .expect("send");
        assert_eq!(h2.status(stream).await, 400, "{target}");
    }
    let refused = AMBIGUOUS.len() as f64;
    stage.wait_for_refused("path_ambiguous", refused).await;
    assert_eq!(stage.refused("path_ambiguous").await, refused);
    let next = u32::try_from(AMBIGUOUS.len() * 2 + 1).expect("a stream");
    h2.headers(next, &raw_h2::get(HOST, "/open/a"), true)
        .await
        .expect("send");
    assert_eq!(h2.status(next).await, 200);
    assert_eq!(stage.orders.requests().len(), 1);
}

#[tokio::test]
async fn h2_targets_that_are_no_path_are_refused_or_reset_and_nothing_is_forwarded() {
    let stage = Stage::new().await;
    let more = [
        "",
        "/open/\0",
        "/open/a b",
        "/open/a\r\nX: y",
        "/open/\u{7f}",
    ];
    for target in NO_PATH.iter().chain(&more) {
        let mut h2 = RawH2::start(&stage.client()).await;
        h2.headers(1, &raw_h2::get(HOST, target), true)
            .await
            .expect("send");
        let end = h2
            .find(|frame| {
                matches!(
                    frame.kind,
                    raw_h2::HEADERS | raw_h2::RST_STREAM | raw_h2::GOAWAY
                )
            })
            .await
            .expect("an answer");
        if target.contains('#') && end.kind == raw_h2::HEADERS {
            continue; // h2 hands on what stands before it: see the next test
        }
        let refused = match end.kind {
            raw_h2::HEADERS => end.status() == Some(400),
            _reset => end.error_code() == Some(1),
        };
        assert!(refused, "{target:?}: {end:?}");
    }
    let seen = stage.orders.requests();
    assert!(
        seen.iter()
            .all(|request| request.target.starts_with("/open/a")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn an_h2_path_ends_at_its_fragment_for_the_route_the_log_and_the_service_alike() {
    let stage = Stage::new().await;
    let mut h2 = RawH2::start(&stage.client()).await;
    for (stream, target) in (1..)
        .step_by(2)
        .zip(["/open/a#/../b", "/open/a#?q", "/open/a#"])
    {
        h2.headers(stream, &raw_h2::get(HOST, target), true)
            .await
            .expect("send");
        assert_eq!(h2.status(stream).await, 200, "{target}");
        assert_eq!(stage.orders.last_request().target, "/open/a", "{target}");
    }
    // What stands behind it opens no route.
    h2.headers(7, &raw_h2::get(HOST, "/nowhere#/open/a"), true)
        .await
        .expect("send");
    assert_eq!(h2.status(7).await, 404);
    assert_eq!(stage.orders.requests().len(), 3);
}

#[tokio::test]
async fn a_path_is_matched_as_it_is_forwarded_so_no_spelling_walks_around_a_route() {
    let stage = Stage::new().await;
    let mut connection = stage.connect().await;
    for target in ["/%6frders/7", "/orders/%37", "/%6f%72ders/7"] {
        let answer = connection.get(target).await;
        assert_eq!(answer.status, 401, "{target} is orders-read");
    }
    let answer = connection.request(&Request::get("/Orders/7")).await;
    assert_eq!(answer.status, 404, "case is never folded");
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn a_target_longer_than_uri_bytes_gets_414_over_both_protocols() {
    let stage = Stage::with(super::limits(serde_json::json!({ "uri_bytes": "1KiB" }))).await;
    let fits = format!("/open/{}", "a".repeat(1024 - 6));
    assert_eq!(stage.client().get(&fits).await.status, 200);
    let mut h2 = stage.client().connect_h2().await;
    assert_eq!(h2.get(&fits).await.status, 200);
    let long = format!("{fits}a");
    let request = format!("GET {long} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stage.refuses(&request, 414, "uri_too_long").await;
    let query = format!(
        "GET /open/a?{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        "q".repeat(1024)
    );
    stage.refuses(query, 414, "uri_too_long").await;
    // A line that never ends is refused before its end.
    stage
        .refuses(format!("GET /{}", "a".repeat(2048)), 414, "uri_too_long")
        .await;
    let before = stage.refused("uri_too_long").await;
    assert_eq!(h2.get(&long).await.status, 414);
    stage.wait_for_refused("uri_too_long", before + 1.0).await;
}
