//! Methods, hosts, header fields and their sizes.

use serde_json::json;

use super::{Stage, limits};
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::raw_h2::{self, RawH2};

#[tokio::test]
async fn methods_that_nobody_needs_are_refused() {
    let stage = Stage::new().await;
    for method in [
        "TRACE", "TRACK", "CONNECT", "PROPFIND", "PURGE", "DEBUG", "get", "Get", "X", "M-SEARCH",
    ] {
        let request = format!("{method} /open/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        stage.refuses(request, 405, "method_refused").await;
    }
    let malformed = [
        "G(T",
        "G\tT",
        "",
        "G\u{e9}T",
        &"A".repeat(33),
        &"A".repeat(1_000),
    ];
    for method in malformed {
        let request = format!("{method} /open/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        stage.refuses(request, 400, "request_malformed").await;
    }
    let endless = format!("{} /open/a HTTP/1.1\r\n\r\n", "A".repeat(10_000));
    stage.refuses(endless, 400, "request_malformed").await;
    let endless = "A".repeat(10_000); // refused before its end
    stage.refuses(endless, 400, "request_malformed").await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = stage
            .client()
            .request(&Request::new(method, "/open/a"))
            .await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(stage.orders.last_request().method, method);
    }
}

#[tokio::test]
async fn h2_methods_that_nobody_needs_are_refused() {
    let stage = Stage::new().await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let long = "A".repeat(10_000);
    let methods = ["TRACE", "CONNECT", "PROPFIND", "get", "X", &long];
    for (stream, method) in (1..).step_by(2).zip(methods) {
        let fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", HOST),
            (":path", "/open/a"),
        ];
        h2.headers(stream, &fields, true).await.expect("send");
        let end = h2
            .until(|f| {
                f.stream == stream && [raw_h2::HEADERS, raw_h2::RST_STREAM].contains(&f.kind)
            })
            .await;
        let refused = end.status() == Some(405) || end.kind == raw_h2::RST_STREAM;
        assert!(refused, "{}: {end:?}", &method[..method.len().min(20)]);
    }
    stage.wait_for_refused("method_refused", 4.0).await;
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn a_request_names_exactly_one_well_formed_host() {
    let stage = Stage::new().await;
    let long = "a".repeat(5_000);
    let hosts = [
        "",
        " ",
        ",",
        "api.example.com,evil.example",
        "api.example.com evil.example",
        "api.example.com/open",
        "api.example.com/",
        "http://api.example.com",
        "api.example.com:99999",
        "api.example.com:abc",
        "api.example.com:-1",
        "api.example.com:443:443",
        "user@api.example.com",
        "api.example.com@evil.example",
        "*.example.com",
        "api..example.com",
        ".api.example.com",
        "api_example.com!",
        "api.example.com?q",
        "api.example.com#f",
        "api.example.com\\",
        "%61pi.example.com",
        "[::1",
        "\u{e9}.example.com",
        "xn--",
        &long,
    ];
    for host in hosts {
        let request = format!("GET /open/a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let told = stage.orders.bytes();
        let answer = stage.connect().await.exchange(&request).await;
        let answer = answer.expect("an answer");
        let shown = &host.chars().take(40).collect::<String>();
        assert_eq!(answer.status, 400, "{shown:?}: {}", answer.text());
        assert_eq!(stage.orders.bytes(), told, "{shown:?}");
    }
    stage.wait_for_refused("host_malformed", 15.0).await;
    let missing = "GET /open/a HTTP/1.1\r\n\r\n";
    let twice = format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n");
    let differ = format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nhost: evil.example\r\n\r\n");
    for request in [missing, &twice, &differ] {
        let answer = stage.connect().await.exchange(request).await;
        assert_eq!(answer.expect("an answer").status, 400, "{request}");
    }
    assert_eq!(stage.orders.bytes(), 0);
    for (sent, forwarded) in [
        ("api.example.com", "api.example.com"),
        ("API.Example.COM", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("api.example.com:8443", "api.example.com:8443"),
    ] {
        let answer = stage
            .client()
            .request(&Request::get("/open/a").host(sent))
            .await;
        assert_eq!(answer.status, 200, "{sent}");
        let request = stage.orders.last_request();
        assert_eq!(request.headers.all("host"), [forwarded], "{sent}");
    }
}

#[tokio::test]
async fn every_refused_host_is_counted() {
    let stage = Stage::new().await;
    for (host, count) in [("", 1.0), ("a,b", 2.0), ("api.example.com:99999", 3.0)] {
        let request = format!("GET /open/a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = stage.connect().await.exchange(&request).await;
        assert_eq!(answer.expect("an answer").status, 400);
        let all = stage.gateway.wait_for_metric(
            "portcullis_requests_total",
            &[("route", "(none)"), ("status_class", "4xx")],
            |now| now >= count,
        );
        all.await;
    }
}

#[tokio::test]
async fn h2_authority_and_host_name_the_same_host() {
    let stage = Stage::new().await;
    let rows: &[(&[(&str, &str)], bool)] = &[
        (&[(":authority", HOST)], true),
        (&[(":authority", HOST), ("host", HOST)], true),
        (&[("host", HOST)], true),
        (&[(":authority", HOST), ("host", "evil.example")], false),
        (
            &[(":authority", HOST), ("host", HOST), ("host", HOST)],
            false,
        ),
        (&[(":authority", "evil.example"), ("host", HOST)], false),
        (&[(":authority", "user@api.example.com")], false),
        (&[(":authority", "api.example.com:99999")], false),
        (&[(":authority", "api.example.com:abc")], false),
        (&[(":authority", "a,b")], false),
        (&[(":authority", "*.example.com")], false),
        (&[(":authority", "")], false),
        (&[(":authority", HOST), (":authority", HOST)], false),
        (&[], false),
    ];
    for (hosts, passes) in rows {
        let mut h2 = RawH2::start(&stage.client()).await;
        let mut fields = vec![
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/open/a"),
        ];
        fields.extend_from_slice(hosts);
        let told = stage.orders.bytes();
        h2.headers(1, &fields, true).await.expect("send");
        let end = h2
            .until(|f| [raw_h2::HEADERS, raw_h2::RST_STREAM, raw_h2::GOAWAY].contains(&f.kind))
            .await;
        if *passes {
            assert_eq!(end.status(), Some(200), "{hosts:?}");
            let request = stage.orders.last_request();
            assert_eq!(request.headers.all("host"), [HOST], "{hosts:?}");
        } else {
            let refused = end.status() == Some(400) || end.error_code() == Some(1);
            assert!(refused, "{hosts:?}: {end:?}");
            assert_eq!(stage.orders.bytes(), told, "{hosts:?}");
        }
    }
}

#[tokio::test]
async fn lines_that_parsers_disagree_about_are_refused() {
    let stage = Stage::new().await;
    let heads: &[&[u8]] = &[
        b"GET /open/a HTTP/1.1\nHost: api.example.com\n\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\nX: y\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nX: y\rZ: z\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nX: y\r\n folded\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nX: y\r\n\tfolded\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\n Host: api.example.com\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost : api.example.com\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nX: a\0b\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nX\0Y: b\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nX: a\x7fb\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nno colon\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\n: no name\r\n\r\n",
        b"GET /open/a HTTP/1.1\r\nHost: api.example.com\r\nX(y): z\r\n\r\n",
        b"GET  /open/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a  HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a b HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"GET\t/open/a\tHTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a HTTP/2.0\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a HTTP/0.9\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a HTTP/1.2\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a http/1.1\r\nHost: api.example.com\r\n\r\n",
        b"GET /open/a\0 HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\nGET /open/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"\x16\x03\x01\x00\x00\r\n\r\n",
    ];
    for head in heads {
        let told = stage.orders.bytes();
        let answer = stage.connect().await.exchange(head).await;
        let shown = String::from_utf8_lossy(head);
        let answer = answer.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        assert_eq!(answer.status, 400, "{shown:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{shown:?}");
        assert_eq!(stage.orders.bytes(), told, "{shown:?}");
    }
    let count = heads.len() as f64;
    let labels = [("route", "(none)"), ("status_class", "4xx")];
    stage
        .gateway
        .wait_for_metric("portcullis_requests_total", &labels, |now| now >= count)
        .await;
    let line = stage
        .gateway
        .wait_for_event(|line| line["target"] == "access" && line["reason"] == "request_malformed")
        .await;
    assert_eq!(line["status"], 400);
}

#[tokio::test]
async fn too_many_or_too_long_fields_get_431_over_both_protocols() {
    let stage = Stage::with(limits(
        json!({ "header_fields": 20, "header_bytes": "2KiB" }),
    ))
    .await;
    let many = |count: usize| {
        let fields: String = (0..count).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n")
    };
    let answer = stage.connect().await.exchange(many(19)).await;
    assert_eq!(answer.expect("an answer").status, 200);
    stage.refuses(many(20), 431, "headers_too_large").await;
    stage.refuses(many(500), 431, "headers_too_large").await;
    let large = |size: usize| {
        format!(
            "GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n",
            "y".repeat(size)
        )
    };
    let answer = stage.connect().await.exchange(large(1_900)).await;
    assert_eq!(answer.expect("an answer").status, 200);
    stage.refuses(large(2_048), 431, "headers_too_large").await;
    stage
        .refuses(large(200_000), 431, "headers_too_large")
        .await;
    // A head that never ends is refused before its end.
    let endless = format!("GET /open/a HTTP/1.1\r\nX: {}", "y".repeat(4_096));
    stage.refuses(endless, 431, "headers_too_large").await;

    let before = stage.refused("headers_too_large").await;
    let mut h2 = stage.client().connect_h2().await;
    let fields = |count: usize| {
        let mut request = Request::get("/open/a");
        for n in 0..count {
            request = request.header(&format!("x-{n}"), "y");
        }
        request
    };
    assert_eq!(h2.request(&fields(20)).await.status, 200);
    assert_eq!(h2.request(&fields(21)).await.status, 431);
    stage
        .wait_for_refused("headers_too_large", before + 1.0)
        .await;
    // Above what SETTINGS announce, h2 itself answers.
    let large = Request::get("/open/a").header("x", &"y".repeat(4_096));
    assert_eq!(h2.request(&large).await.status, 431);
    assert_eq!(h2.get("/open/a").await.status, 200, "the connection lives");
}

#[tokio::test]
async fn a_field_that_folds_to_a_known_name_is_refused() {
    let stage = Stage::new().await;
    for field in [
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "Transfer.Encoding: chunked",
        "Content.Length: 5",
        "CONTENT_LENGTH: 0",
        "authori_zation: x\r\nAuthor.ization: y\r\nAuthorization: a\r\nAuthorization: b",
        "Proxy_Authorization: x",
        "X_Request_Id: 1",
        "Content_Type: text/html",
        "X-HTTP-Method-Override: DELETE",
        "x_http_method: DELETE",
        "X-Method-Override: DELETE",
    ] {
        let request = format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n\r\n");
        stage.refuses(request, 400, "header_ambiguous").await;
    }
    let token = "Authorization: Bearer a\r\nAuthorization: Bearer b";
    let twice = format!("GET /orders/7 HTTP/1.1\r\nHost: {HOST}\r\n{token}\r\n\r\n");
    stage.refuses(twice, 400, "header_ambiguous").await;
    let before = stage.refused("header_ambiguous").await;
    let mut h2 = stage.client().connect_h2().await;
    for request in [
        Request::get("/open/a").header("content_length", "5"),
        Request::get("/open/a").header("transfer.encoding", "chunked"),
        Request::get("/open/a").bearer("a").bearer("b"),
    ] {
        assert_eq!(h2.request(&request).await.status, 400, "{request:?}");
    }
    stage
        .wait_for_refused("header_ambiguous", before + 3.0)
        .await;
    assert_eq!(stage.orders.bytes(), 0);
}

/// Each piece is a TLS record of its own: what is decided does not depend on where they are cut.
#[tokio::test]
async fn a_head_that_comes_in_pieces_is_judged_as_one_that_comes_whole() {
    let limits = json!({ "uri_bytes": "1KiB", "header_bytes": "2KiB" });
    let stage = Stage::with(super::limits(limits)).await;
    let good = format!(
        "GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nX-Long: {}\r\n\r\n",
        "x".repeat(300)
    );
    let long_target = format!("GET /open/{}", "a".repeat(1_200));
    let long_field = format!(
        "GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nX-Long: {}",
        "x".repeat(2_100)
    );
    let bare_cr = format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nA: b\rC: d\r\n\r\n");
    for (head, status) in [
        (good.as_str(), 200),
        (&long_target, 414), // the line never ends
        (&long_field, 431),
        (&bare_cr, 400),
    ] {
        for piece in [1, 7, 64] {
            let mut connection = stage.connect().await;
            for bytes in head.as_bytes().chunks(piece) {
                if connection.send(bytes).await.is_err() {
                    break; // refused before its end
                }
            }
            let answer = connection.read_answer().await.expect("an answer");
            assert_eq!(
                answer.status,
                status,
                "{piece} bytes a piece: {}",
                &head[..40]
            );
        }
    }
}
