//! Requests that only h2 can spell.

use crate::bench::client::HOST;
use crate::bench::raw_h2::{self, RawH2};
use crate::http1::Stage;

type Field = (&'static str, &'static str);

const METHOD: Field = (":method", "GET");
const SCHEME: Field = (":scheme", "https");
const AUTHORITY: Field = (":authority", HOST);
const PATH: Field = (":path", "/open/a");

/// Header lists that RFC 9113, sections 8.2 and 8.3, forbids, or that nobody needs.
const MALFORMED: &[&[Field]] = &[
    &[SCHEME, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY],
    &[METHOD, AUTHORITY, PATH],
    &[METHOD, METHOD, SCHEME, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "websocket")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "x")],
    &[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("X-Upper", "y")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("", "y")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x y", "z")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x\r\ny", "z")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x:y", "z")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x", "a\r\ny: b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x", "a\nb")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x", "a\0b")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("connection", "close")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("connection", "x-kept")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("keep-alive", "timeout=5")],
    &[
        METHOD,
        SCHEME,
        AUTHORITY,
        PATH,
        ("proxy-connection", "close"),
    ],
    &[
        METHOD,
        SCHEME,
        AUTHORITY,
        PATH,
        ("transfer-encoding", "chunked"),
    ],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("upgrade", "websocket")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("te", "gzip")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "x")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "-1")],
    &[
        METHOD,
        SCHEME,
        AUTHORITY,
        PATH,
        ("content-length", "5"),
        ("content-length", "6"),
    ],
    &[METHOD, (":scheme", "foo"), AUTHORITY, PATH],
    &[METHOD, (":scheme", "http"), AUTHORITY, PATH],
    &[METHOD, (":scheme", ""), AUTHORITY, PATH],
];

#[tokio::test]
async fn malformed_header_lists_are_refused_or_reset_and_nothing_is_forwarded() {
    let stage = Stage::new().await;
    let mut passed = Vec::new();
    for fields in MALFORMED {
        let mut h2 = RawH2::start(&stage.client()).await;
        h2.headers(1, fields, true).await.expect("send");
        let end = h2
            .find(|f| [raw_h2::HEADERS, raw_h2::RST_STREAM, raw_h2::GOAWAY].contains(&f.kind))
            .await;
        let refused = end.as_ref().is_none_or(|end| {
            end.kind != raw_h2::HEADERS || end.status().is_some_and(|status| status >= 400)
        });
        if !refused {
            passed.push(fields);
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn what_pingora_refuses_is_counted_and_logged_too() {
    let stage = Stage::new().await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let fields = [METHOD, SCHEME, AUTHORITY, PATH, ("host", "evil.example")];
    h2.headers(1, &fields, true).await.expect("send");
    assert_eq!(h2.status(1).await, 400);
    stage.wait_for_refused("request_malformed", 1.0).await;
    let line = stage
        .gateway
        .wait_for_event(|line| line["reason"] == "request_malformed")
        .await;
    assert_eq!(line["alpn"], "h2");
}

#[tokio::test]
async fn trailers_reach_no_service_nor_do_pseudo_fields_in_them() {
    let stage = Stage::new().await;
    let post = [(":method", "POST"), SCHEME, AUTHORITY, PATH];
    let forged = [
        ("x-client-identity", "spiffe://partners.example/admin"),
        ("x-trailer", "t"),
    ];
    let mut h2 = RawH2::start(&stage.client()).await;
    h2.headers(1, &post, false).await.expect("send");
    h2.data(1, b"body", false).await.expect("send");
    h2.headers(1, &forged, true).await.expect("send");
    assert_eq!(h2.status(1).await, 200);
    let request = stage.orders.only_request();
    assert_eq!(request.body, b"body");
    assert!(request.trailers.0.is_empty(), "{:?}", request.trailers);
    for pseudo in [
        (":path", "/orders/7"),
        (":authority", "evil.example"),
        (":status", "200"),
    ] {
        let mut h2 = RawH2::start(&stage.client()).await;
        h2.headers(1, &post, false).await.expect("send");
        h2.data(1, b"body", false).await.expect("send");
        h2.headers(1, &[pseudo], true).await.expect("send");
        h2.until(|f| [raw_h2::HEADERS, raw_h2::RST_STREAM, raw_h2::GOAWAY].contains(&f.kind))
            .await;
    }
    for request in stage.orders.requests() {
        assert_eq!(
            (request.target.as_str(), request.body.as_slice()),
            ("/open/a", &b"body"[..])
        );
        assert_eq!(request.headers.all("host"), [HOST]);
        assert!(request.trailers.0.is_empty());
    }
}

/// A reset on the heels of an answer makes clients give up on the answer (curl 7.88 does).
#[tokio::test]
async fn a_refusal_is_not_followed_by_a_reset_while_the_body_is_on_its_way() {
    let stage = Stage::new().await;
    let post = [
        (":method", "POST"),
        SCHEME,
        AUTHORITY,
        (":path", "/nowhere"),
    ];
    let mut h2 = RawH2::start(&stage.client()).await;
    h2.headers(1, &post, false).await.expect("send");
    h2.data(1, b"first", false).await.expect("send");
    assert_eq!(h2.status(1).await, 404);
    h2.until(|f| f.kind == raw_h2::DATA && f.flags & raw_h2::END_STREAM != 0)
        .await;
    h2.ping().await.expect("send");
    let next = h2
        .until(|f| [raw_h2::PING, raw_h2::RST_STREAM].contains(&f.kind))
        .await;
    assert_eq!(next.kind, raw_h2::PING, "no reset before the body has come");
    h2.data(1, b"last", true).await.expect("send");
    h2.ping().await.expect("send");
    let next = h2
        .until(|f| [raw_h2::PING, raw_h2::RST_STREAM].contains(&f.kind))
        .await;
    assert_eq!(next.kind, raw_h2::PING, "nor after it");
}

#[tokio::test]
async fn a_body_that_ends_in_an_empty_frame_leaves_nothing_for_the_next_request() {
    let stage = Stage::new().await;
    let post = [(":method", "POST"), SCHEME, AUTHORITY, PATH];
    let mut h2 = RawH2::start(&stage.client()).await;
    for (stream, body) in [(1, &b"body"[..]), (3, b""), (5, b"more"), (7, b"")] {
        h2.headers(stream, &post, false).await.expect("send");
        if !body.is_empty() {
            h2.data(stream, body, false).await.expect("send");
        }
        h2.data(stream, b"", true).await.expect("send");
        assert_eq!(h2.status(stream).await, 200);
        // Another client, on the same connection to the service.
        assert_eq!(stage.client().get("/open/b").await.status, 200);
    }
    let seen = stage.orders.requests();
    let lines: Vec<_> = seen
        .iter()
        .map(|r| (r.method.as_str(), r.body.as_slice()))
        .collect();
    let get = ("GET", &b""[..]);
    let want = [
        ("POST", &b"body"[..]),
        get,
        ("POST", b""),
        get,
        ("POST", b"more"),
        get,
        ("POST", b""),
        get,
    ];
    assert_eq!(lines, want);
    assert_eq!(stage.orders.connections(), 1);
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_content_length_says_is_reset() {
    let stage = Stage::new().await;
    let post = [
        (":method", "POST"),
        SCHEME,
        AUTHORITY,
        PATH,
        ("content-length", "5"),
    ];
    for body in [&b"hell"[..], b"hello!"] {
        let mut h2 = RawH2::start(&stage.client()).await;
        h2.headers(1, &post, false).await.expect("send");
        h2.data(1, body, true).await.expect("send");
        let end = h2
            .until(|f| [raw_h2::HEADERS, raw_h2::RST_STREAM, raw_h2::GOAWAY].contains(&f.kind))
            .await;
        assert_ne!(end.status(), Some(200), "{body:?}");
    }
    assert_eq!(stage.orders.requests().len(), 0);
}

#[tokio::test]
async fn five_hundred_fields_are_refused() {
    let stage = Stage::new().await;
    let names: Vec<String> = (0..500).map(|n| format!("x-{n}")).collect();
    let mut fields: Vec<(&str, &str)> = vec![METHOD, SCHEME, AUTHORITY, PATH];
    fields.extend(names.iter().map(|name| (name.as_str(), "y")));
    let mut h2 = RawH2::start(&stage.client()).await;
    h2.headers(1, &fields, true).await.expect("send");
    assert_eq!(h2.status(1).await, 431);
    stage.wait_for_refused("headers_too_large", 1.0).await;
    assert_eq!(stage.orders.bytes(), 0);
}
