//! The first bytes of a client: plain HTTP, names that we serve or do not, and pieces.

use std::sync::Arc;

use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt as _;

use super::hello::Hello;
use super::play::talk;
use super::table::HANDSHAKES;
use super::{EDGE, alert_of, gateway};
use crate::bench::client::HOST;
use crate::bench::http1::Wire;
use crate::bench::{World, within};

#[tokio::test]
async fn plain_http_is_told_that_this_is_no_plain_port() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let client = gateway.anonymous();
    for first in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
    ] {
        let answer = String::from_utf8(talk(&client, first.as_bytes()).await).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{answer}"
        );
        assert!(head.contains("Connection: close"), "{answer}");
    }
    // Also when it comes in pieces.
    let mut tcp = client.tcp().await.expect("TCP");
    for byte in b"GET / HTTP/1.1\r\n" {
        tcp.write_all(&[*byte]).await.expect("send");
        tcp.flush().await.expect("send");
        tokio::task::yield_now().await;
    }
    let mut wire = Wire::new(tcp);
    let answer = within("an answer", wire.read_answer("GET"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_name_that_we_do_not_serve_gets_the_alert_for_it_and_no_certificate() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let web = gateway.client(&world.web());
    for version in [&TLS12, &TLS13] {
        for name in [
            "other.example.com",
            "example.org",
            "a.b.example.org",
            "xapi.example.com",
        ] {
            let client = web.clone().name(name).versions(&[version]);
            let rejection = client.rejection().await;
            let want = Some(AlertDescription::UnrecognisedName);
            assert_eq!(alert_of(&rejection), want, "{name}: {rejection:?}");
        }
    }
    // Names that a library would not send. None gets a ServerHello (a record of type 22).
    let long = format!("{}.example.com", "a".repeat(64));
    for name in [
        "",
        ".",
        "a..b",
        "a b",
        "-.example.com",
        "*.example.org",
        "*",
        "1.2",
        &long,
    ] {
        let server_name = Some(name.as_bytes().to_vec());
        let hello = Hello {
            server_name,
            ..Hello::tls12(HOST)
        };
        let answer = talk(&web, &hello.record()).await;
        assert_eq!(answer.first(), Some(&21), "{name:?}: {answer:02x?}");
    }
    let ok = [EDGE, ("result", "ok")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &ok), 0.0);
}

#[tokio::test]
async fn spellings_of_a_name_that_we_serve_are_that_name() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let hello = |name: &str| {
        let server_name = Some(name.as_bytes().to_vec());
        Hello {
            server_name,
            ..Hello::tls12(HOST)
        }
        .record()
    };
    for name in ["API.example.COM", "x.EXAMPLE.org"] {
        let mut tcp = Wire::new(gateway.anonymous().tcp().await.expect("TCP"));
        tcp.send(hello(name)).await.expect("send");
        let answer = within("a ServerHello", tcp.read_exact(1))
            .await
            .expect("an answer");
        assert_eq!(answer, [22], "{name}");
    }
}

#[tokio::test]
async fn a_client_without_a_name_gets_the_first_certificate() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let mut connection = gateway.client(&world.web()).without_sni().connect().await;
    assert_eq!(connection.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn a_client_hello_in_pieces_is_put_together() {
    let world = World::new();
    let gateway = gateway(&world).await;
    // Each byte in a record of its own.
    let mut wire = Wire::new(gateway.anonymous().tcp().await.expect("TCP"));
    wire.send(Hello::tls12(HOST).in_records_of_one_byte())
        .await
        .expect("send");
    let kind = within("a ServerHello", wire.read_exact(1))
        .await
        .expect("an answer");
    assert_eq!(kind, [22]);
    // Each byte in a TCP segment of its own, as far as the kernel lets us.
    let tcp = gateway.anonymous().tcp().await.expect("TCP");
    let mut wire = Wire::new(tcp);
    for byte in Hello::tls12(HOST).record() {
        wire.send([byte]).await.expect("send");
        tokio::task::yield_now().await;
    }
    let kind = within("a ServerHello", wire.read_exact(1))
        .await
        .expect("an answer");
    assert_eq!(kind, [22]);
    // A whole handshake and a request, in records of the least size that rustls makes.
    let client = gateway.client(&world.web());
    let mut config = client.config();
    config.max_fragment_size = Some(32);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(HOST).expect("a name");
    let tcp = client.tcp().await.expect("TCP");
    let stream = within("TLS", connector.connect(name, tcp))
        .await
        .expect("a handshake");
    let mut wire = Wire::new(stream);
    wire.send(format!("GET /nothing HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .await
        .expect("send");
    let answer = within("an answer", wire.read_answer("GET"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 404);
}
