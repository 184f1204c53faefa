//! Issued, used, renewed.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{HANDSHAKES, NEXT, OK, SOURCE, Stage, taken};
use crate::bench::client::HOST;
use crate::bench::http1::{Request, Wire};

#[tokio::test]
async fn a_certificate_is_issued_by_tls_alpn_01_and_requests_are_served_with_it() {
    let stage = Stage::new().await;
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    let answer = client.get("/open/x").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    // The client's certificate is required as ever.
    let anonymous = gateway.anonymous().roots(pebble.roots().await);
    anonymous.rejection().await;
    gateway
        .wait_for_metric(HANDSHAKES, &[("reason", "certificate_missing")], |n| {
            n >= 1.0
        })
        .await;
    // For its own names alone.
    client.clone().name("b.example.com").rejection().await;
    gateway
        .wait_for_metric(HANDSHAKES, &[("reason", "unknown_server_name")], |n| {
            n >= 1.0
        })
        .await;
    let stored = std::fs::metadata(stage.stored()).expect("the certificate's file");
    assert_eq!(stored.permissions().mode() & 0o777, 0o600);
    let account = std::fs::metadata(stage.state().join("account.json")).expect("the account");
    assert_eq!(account.permissions().mode() & 0o777, 0o600);
    let metrics = gateway.metrics().await;
    let place = ("place", "listeners.edge.tls.certificates[0]");
    assert!(metrics.value(NEXT, &[place]) > 1.0e9);
    let ends = metrics.value(
        "portcullis_certificate_not_after_timestamp_seconds",
        &[place, ("ca", "false")],
    );
    // At two thirds of 90 days, and up to a fiftieth of them earlier.
    let left = (ends - metrics.value(NEXT, &[place])) / 86_400.0;
    assert!((29.9..32.0).contains(&left), "{left} days before its end");
    let challenged = metrics.value(
        "portcullis_tls_protocols_total",
        &[("protocol", "acme-tls/1")],
    );
    assert!(challenged >= 1.0);
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test]
async fn a_certificate_is_issued_by_http_01_and_the_listener_answers_nothing_else() {
    let mut stage = Stage::new().await;
    let http = format!("127.0.0.1:{}", stage.pebble.http_port);
    stage.config.set("acme.pebble.challenge", "http-01");
    stage.config.set("acme.pebble.http", http.as_str());
    stage.config.set(
        "listeners.edge.tls.certificates.0.names",
        json!([HOST, "b.example.com"]),
    );
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    assert_eq!(client.get("/open/x").await.status, 200);
    client.clone().name("b.example.com").connect().await;
    let cases = [
        "GET / HTTP/1.1",
        "GET /open/x HTTP/1.1",
        "GET /.well-known/acme-challenge/ HTTP/1.1",
        "GET /.well-known/acme-challenge/no-such-token HTTP/1.1",
        "GET /.well-known/acme-challenge/../../orders/7 HTTP/1.1",
        "POST /.well-known/acme-challenge/x HTTP/1.1",
    ];
    for head in cases {
        let stream = tokio::net::TcpStream::connect(&http).await.expect("port");
        let mut wire = Wire::new(stream);
        let request = format!("{head}\r\nHost: {HOST}\r\n\r\n");
        wire.send(&request).await.expect("sent");
        let answer = wire.read_answer("GET").await.expect("an answer");
        assert_eq!(answer.status, 404, "{head}");
        assert_eq!(answer.header("location"), None);
        assert_eq!(wire.read_to_end().await.expect("its end"), b"");
    }
    assert!(stage.orders.requests().len() == 1);
}

#[tokio::test]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life_while_requests_are_served() {
    let mut stage = Stage::new().await;
    stage.pebble.lifetime = 15;
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    let mut open = client.connect().await;
    let first = open.server_certificate();
    let renewed = gateway.wait_for_metric(SOURCE, &OK, |value| value >= 2.0);
    tokio::pin!(renewed);
    let mut served = 0;
    loop {
        tokio::select! {
            biased;
            _ = &mut renewed => break,
            answer = client.get("/open/x") => {
                assert_eq!(answer.status, 200);
                served += 1;
            }
        }
    }
    assert!(served > 0);
    assert_eq!(
        open.get("/open/x").await.status,
        200,
        "on the open connection"
    );
    gateway
        .wait_for_metric("portcullis_configuration_generation", &[], |value| {
            value >= 3.0
        })
        .await;
    let mut second = client.connect().await;
    assert_ne!(second.server_certificate(), first);
    assert_eq!(second.request(&Request::get("/open/x")).await.status, 200);
    assert!(pebble.orders() >= 2);
}
