//! Header fields that only the gateway may set, what it sets, and what `Connection` may not name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::bench::WEB_ID;
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::raw_h2::{self, RawH2};
use crate::bench::service::{Received, Reply};
use crate::bench::token::Token;
use crate::http1::Stage;

/// Fields that only the gateway may set.
const OURS: &[&str] = &[
    "Forwarded",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Client-Identity",
    "X-Client-Certificate-Expired",
    "X-Client-Identity-Token",
    "X-Token-Issuer",
    "X-Token-Subject",
    "X-Real-IP",
    "X-Client-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Envoy-External-Address",
    "True-Client-IP",
    "X-Cluster-Client-IP",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-User",
];

/// Every way to spell a name that some service reads as the same.
fn spellings(name: &str) -> Vec<String> {
    vec![
        name.to_owned(),
        name.to_ascii_lowercase(),
        name.to_ascii_uppercase(),
        name.replace('-', "_"),
        name.replace('-', "."),
        name.replacen('-', "_", 1),
        name.to_ascii_uppercase().replace('-', "_"),
    ]
}

/// The value that no service may ever see.
const FORGED: &str = "forged";

fn forged(request: &Received) -> Vec<(String, String)> {
    let fields = request.headers.0.iter().chain(&request.trailers.0);
    fields
        .filter(|(_, value)| value.contains(FORGED))
        .cloned()
        .collect()
}

#[tokio::test]
async fn no_spelling_of_our_fields_reaches_a_service() {
    let stage = Stage::new().await;
    let mut connection = stage.connect().await;
    for name in OURS {
        let mut request = Request::get("/open/a");
        for spelling in spellings(name) {
            // Twice: the second must not outlive the first.
            request = request.header(&spelling, FORGED).header(&spelling, FORGED);
        }
        assert_eq!(connection.request(&request).await.status, 200, "{name}");
        let seen = stage.orders.last_request();
        assert_eq!(forged(&seen), [], "{name}");
    }
    let seen = stage.orders.last_request();
    assert_eq!(seen.headers.all("x-client-identity"), [WEB_ID]);
    assert_eq!(seen.headers.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test]
async fn h2_clients_forge_nothing_either() {
    let stage = Stage::new().await;
    let mut h2 = RawH2::start(&stage.client()).await;
    for (stream, name) in (1..).step_by(2).zip(OURS) {
        let spellings: Vec<_> = spellings(name)
            .into_iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let mut fields = raw_h2::get(HOST, "/open/a");
        for spelling in &spellings {
            fields.push((spelling, FORGED));
        }
        h2.headers(stream, &fields, true).await.expect("send");
        assert_eq!(h2.status(stream).await, 200, "{name}");
        let seen = stage.orders.last_request();
        assert_eq!(forged(&seen), [], "{name}");
        assert_eq!(seen.headers.all("x-client-identity"), [WEB_ID]);
    }
}

#[tokio::test]
async fn no_field_of_ours_reaches_a_service_in_a_trailer() {
    let stage = Stage::new().await;
    let trailers: String = OURS
        .iter()
        .map(|name| format!("{name}: {FORGED}\r\n"))
        .collect();
    let request = format!(
        "POST /open/a HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\n{trailers}\r\n"
    );
    let answer = stage.connect().await.exchange(request).await;
    assert_eq!(answer.expect("an answer").status, 200);
    let seen = stage.orders.only_request();
    assert_eq!(forged(&seen), []);
    assert!(seen.trailers.0.is_empty());
}

#[tokio::test]
async fn an_anonymous_client_has_no_identity_whatever_it_says() {
    let stage = Stage::with(|config| {
        config.set("listeners.edge.tls.clients.certificate", "optional");
        config.set(
            "routes.open.forward",
            json!({ "client_cert": true, "xfcc": true, "identity": true }),
        );
    })
    .await;
    let mut request = Request::get("/open/a");
    for name in OURS {
        request = request.header(name, FORGED);
    }
    assert_eq!(
        stage.gateway.anonymous().request(&request).await.status,
        200
    );
    let seen = stage.orders.only_request();
    assert_eq!(forged(&seen), []);
    for name in [
        "x-client-identity",
        "client-cert",
        "x-forwarded-client-cert",
        "x-token-issuer",
        "x-token-subject",
    ] {
        assert!(!seen.headers.has(name), "{name}");
    }
}

#[tokio::test]
async fn connection_may_not_name_credentials_or_our_fields() {
    let stage = Stage::new().await;
    let protected = [
        "Authorization",
        "authorization",
        "Proxy-Authorization",
        "Cookie",
        "Host",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "X-Request-Id",
        "traceparent",
        "DPoP",
        "Connection",
        "X-Client-Identity",
        "X_Client_Identity",
        "Client-Cert",
        "X-Forwarded-For",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Anything",
        "Forwarded",
        "close, Authorization",
        "close,authorization\t",
        "keep-alive, X.Forwarded.For",
        ",,Authorization",
    ];
    for names in protected {
        let request = format!(
            "GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: x\r\nConnection: {names}\r\n\r\n"
        );
        stage.refuses(request, 400, "connection_nominates").await;
    }
    let twice = "Connection: close\r\nConnection: Authorization";
    let request = format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\n{twice}\r\n\r\n");
    stage.refuses(request, 400, "connection_nominates").await;
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn connection_may_name_what_is_the_clients_own_and_it_goes() {
    let stage = Stage::new().await;
    let request = Request::get("/open/a")
        .header("Connection", "X-Mine, keep-alive")
        .header("X-Mine", "1")
        .header("X-Other", "2");
    assert_eq!(stage.client().request(&request).await.status, 200);
    let seen = stage.orders.only_request();
    assert!(!seen.headers.has("x-mine"));
    assert_eq!(seen.header("x-other"), Some("2"));
    assert_eq!(seen.headers.all("x-client-identity"), [WEB_ID]);
}

#[tokio::test]
async fn malformed_nominations_are_refused() {
    let stage = Stage::new().await;
    for names in [
        "\"X-Forwarded-For\"",
        ":authority",
        "a b",
        "X-A;q=1",
        "\u{e9}",
    ] {
        let request =
            format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nConnection: {names}\r\n\r\n");
        let answer = stage
            .connect()
            .await
            .exchange(&request)
            .await
            .expect("an answer");
        if answer.status == 200 {
            let seen = stage.orders.last_request();
            assert_eq!(seen.headers.all("x-client-identity"), [WEB_ID], "{names}");
            assert_eq!(
                seen.headers.all("x-forwarded-for"),
                ["127.0.0.1"],
                "{names}"
            );
            assert!(!seen.headers.all("connection").contains(&names), "{names}");
        } else {
            assert_eq!(answer.status, 400, "{names}");
        }
    }
}

#[tokio::test]
async fn by_default_a_service_is_told_address_host_and_identity() {
    let stage = Stage::new().await;
    let client = stage.client().source("127.0.0.9");
    let request = Request::get("/open/a").host("API.example.com:8443");
    assert_eq!(client.request(&request).await.status, 200);
    let seen = stage.orders.only_request();
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.example.com:8443"),
        ("host", "api.example.com:8443"),
        ("x-client-identity", WEB_ID),
    ] {
        assert_eq!(seen.headers.all(name), [value], "{name}");
    }
    for name in [
        "forwarded",
        "client-cert",
        "x-forwarded-client-cert",
        "x-token-issuer",
        "x-token-subject",
    ] {
        assert!(!seen.headers.has(name), "{name} was not asked for");
    }
}

#[tokio::test]
async fn a_route_that_asks_for_everything_gets_it_over_both_protocols() {
    let stage = Stage::with(|config| {
        let all = json!({
            "x_forwarded": true, "forwarded": true, "client_cert": true, "xfcc": true,
            "identity": true, "authorization": true,
        });
        config.set("routes.orders-read.forward", all);
    })
    .await;
    let identity = stage.world.partners.issue(
        Leaf::client("web")
            .spiffe(WEB_ID)
            .dns("web-1.partners.example"),
    );
    let token = Token::new()
        .subject("al ice\u{e9}%")
        .sign(&stage.world.issuer);
    let request = Request::get("/orders/7")
        .bearer(&token)
        .header("Client-Cert", FORGED);
    let client = stage.gateway.client(&identity);
    assert_eq!(client.request(&request).await.status, 200);
    let mut h2 = client.connect_h2().await;
    assert_eq!(h2.request(&request).await.status, 200);
    let leaf = STANDARD.encode(&identity.chain[0]);
    let xfcc = format!(
        "Hash={};Subject=\"CN=web\";URI={WEB_ID};DNS=web-1.partners.example",
        identity.fingerprint_hex()
    );
    for seen in stage.orders.requests() {
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            (
                "forwarded",
                "for=127.0.0.1;host=\"api.example.com\";proto=https",
            ),
            // RFC 9440: a byte sequence of structured fields.
            ("client-cert", &format!(":{leaf}:")),
            ("x-forwarded-client-cert", &xfcc),
            ("x-client-identity", WEB_ID),
            ("x-token-issuer", "corp"),
            ("x-token-subject", "al%20ice%C3%A9%25"),
            ("authorization", &format!("Bearer {token}")),
        ] {
            assert_eq!(seen.headers.all(name), [value], "{name}");
        }
        assert_eq!(forged(&seen), []);
    }
}

/// `sub` is unique within an issuer alone.
#[tokio::test]
async fn a_service_can_tell_the_same_name_of_two_issuers_apart() {
    let partner = "https://partner.example";
    let stage = Stage::with(|config| {
        let mut spec = config.get("issuers.corp").clone();
        spec["issuer"] = json!(partner);
        config.set("issuers.partner", spec);
        let any = json!({ "any": [{ "issuer": "corp" }, { "issuer": "partner" }] });
        config.set("routes.open.token", any);
    })
    .await;
    let of_corp = Token::new();
    let of_partner = Token::new().claim("iss", partner);
    let nobody = Token::new().without("sub");
    for (token, issuer, sub) in [
        (of_corp, "corp", Some("alice")),
        (of_partner, "partner", Some("alice")),
        (nobody, "corp", None),
    ] {
        let request = Request::get("/open/a").bearer(&token.sign(&stage.world.issuer));
        assert_eq!(stage.client().request(&request).await.status, 200);
        let seen = stage.orders.last_request();
        assert_eq!(seen.headers.all("x-token-issuer"), [issuer]);
        assert_eq!(seen.header("x-token-subject"), sub);
    }
}

#[tokio::test]
async fn a_route_that_asks_for_nothing_tells_its_service_nothing() {
    let stage = Stage::with(|config| {
        let none = json!({ "x_forwarded": false, "identity": false, "authorization": false });
        config.set("routes.orders-read.forward", none);
    })
    .await;
    let token = Token::new().sign(&stage.world.issuer);
    let request = Request::get("/orders/7").bearer(&token);
    assert_eq!(stage.client().request(&request).await.status, 200);
    let seen = stage.orders.only_request();
    for name in [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-client-identity",
        "x-token-issuer",
        "x-token-subject",
        "authorization",
    ] {
        assert!(!seen.headers.has(name), "{name}: {:?}", seen.headers);
    }
}

#[tokio::test]
async fn well_formed_ids_are_passed_on_and_told_to_the_client() {
    let stage = Stage::new().await;
    let (id, parent) = (
        "Order-7_a.b:c/d+e=f@g",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    let request = Request::get("/open/a")
        .header("X-Request-Id", id)
        .header("traceparent", parent)
        .header("tracestate", "vendor=1");
    let mut h2 = stage.client().connect_h2().await;
    for answer in [
        stage.client().request(&request).await,
        h2.request(&request).await,
    ] {
        assert_eq!(answer.header("x-request-id"), Some(id));
        let seen = stage.orders.last_request();
        assert_eq!(seen.headers.all("x-request-id"), [id]);
        assert_eq!(seen.headers.all("traceparent"), [parent]);
        assert_eq!(seen.headers.all("tracestate"), ["vendor=1"]);
    }
    let line = stage
        .gateway
        .wait_for_event(|line| line["request_id"] == id)
        .await;
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn ids_that_are_missing_or_malformed_are_begun_anew() {
    let stage = Stage::new().await;
    let mut connection = stage.connect().await;
    let long = "a".repeat(129);
    let ids = ["", " ", "a b", "a\"b", "a,b", "<a>", "a;b", &long, "\u{e9}"];
    let parents = [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "x",
        "",
        "00--00f067aa0ba902b7-01",
    ];
    for (id, parent) in ids.iter().zip(parents) {
        let request = Request::get("/open/a")
            .header("X-Request-Id", id)
            .header("traceparent", parent)
            .header("tracestate", "vendor=1");
        let answer = connection.request(&request).await;
        let seen = stage.orders.last_request();
        let given = seen.headers.all("x-request-id");
        assert_eq!(given.len(), 1, "{id:?}");
        assert_eq!(answer.header("x-request-id"), Some(given[0]), "{id:?}");
        assert!(
            given[0].len() == 32 && given[0].bytes().all(|b| b.is_ascii_hexdigit()),
            "{given:?}"
        );
        let begun = seen.headers.all("traceparent");
        assert!(
            begun.len() == 1 && begun[0] != parent && begun[0].len() == 55,
            "{parent}: {begun:?}"
        );
        assert!(
            !seen.headers.has("tracestate"),
            "it belongs to the trace that was not taken"
        );
    }
    let twice = Request::get("/open/a")
        .header("X-Request-Id", "a")
        .header("X-Request-Id", "b");
    connection.request(&twice).await;
    let seen = stage.orders.last_request();
    let given = seen.headers.all("x-request-id");
    assert!(given.len() == 1 && given[0].len() == 32, "{given:?}");
}

#[tokio::test]
async fn a_refusal_names_its_request_too() {
    let stage = Stage::new().await;
    let request = Request::get("/nowhere").header("X-Request-Id", "mine-1");
    let answer = stage.client().request(&request).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    assert_eq!(answer.json()["request_id"], "mine-1");
    let broken = stage
        .connect()
        .await
        .exchange("GET / HTTP/9\r\n\r\n")
        .await
        .expect("an answer");
    let id = broken.header("x-request-id").expect("an id").to_owned();
    stage
        .gateway
        .wait_for_event(|line| line["request_id"] == id.as_str())
        .await;
}

#[tokio::test]
async fn a_service_cannot_set_what_ends_at_the_gateway() {
    let reply = Reply::new(
        200,
        &[
            ("X-Request-Id", "the-services"),
            ("RateLimit", "forged"),
            ("X-Mine", "1"),
        ],
        "hello",
    );
    let stage = Stage::replying(|_| {}, reply).await;
    let request = Request::get("/open/a").header("X-Request-Id", "the-clients");
    let answer = stage.client().request(&request).await;
    assert_eq!(answer.headers.all("x-request-id"), ["the-clients"]);
    assert_eq!(answer.header("x-mine"), Some("1"));
}

#[tokio::test]
async fn a_service_that_says_its_length_twice_is_not_believed() {
    let stage = Stage::new().await;
    let mut connection = stage.connect().await;
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    ] {
        stage.orders.set_reply(move |_| Reply::raw(head));
        let answer = stage.connect().await.get("/open/a").await;
        assert_eq!(answer.status, 502, "{head:?}");
    }
    stage.orders.set_reply(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    });
    let answer = connection.get("/open/a").await;
    assert!(
        answer.status == 502 || answer.text() == "hello",
        "{answer:?}"
    );
    assert!(!(answer.headers.has("content-length") && answer.headers.has("transfer-encoding")));
}
