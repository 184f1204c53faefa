//! Handshakes with clients: what is agreed on, what is bounded, and how each failure is told.
//!
//! `table` provokes every failure; here stands what they have beside their counter.

mod hello;
mod table;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ProtocolVersion};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::bench::client::{Client, HOST, Rejection};
use crate::bench::gateway::Gateway;
use crate::bench::http1::Wire;
use crate::bench::pki::Leaf;
use crate::bench::{World, provider, within};
use hello::Hello;
use table::{HANDSHAKES, talk};

const EDGE: (&str, &str) = ("name", "edge");
const CONNECTIONS: &str = "portcullis_connections";
const REFUSED: &str = "portcullis_connections_refused_total";

async fn gateway(world: &World) -> Gateway {
    world.gateway_with(&world.config()).await
}

async fn limited(world: &World, limits: Value) -> Gateway {
    let mut config = world.config();
    config.set("listeners.edge.limits", limits);
    world.gateway_with(&config).await
}

fn alert_of(rejection: &Rejection) -> Option<AlertDescription> {
    match rejection {
        Rejection::Tls(rustls::Error::AlertReceived(alert)) => Some(*alert),
        Rejection::Tls(_) | Rejection::Closed => None,
    }
}

/// Waits for the line about a failed handshake with this reason.
async fn line(gateway: &Gateway, reason: &str) -> Value {
    gateway
        .wait_for_event(|event| event["target"] == "handshake" && event["reason"] == reason)
        .await
}

#[tokio::test]
async fn the_log_line_has_the_facts_of_the_certificate_that_was_refused() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let leaf = |cn: &str| {
        Leaf::client(cn)
            .spiffe("spiffe://partners.example/web/a")
            .serial(0xbeef)
    };
    let (partners, stranger) = (&world.partners, &world.stranger);
    let cases = [
        (
            "certificate_expired",
            "partners",
            partners.issue(leaf("a").dns("a.example").expired()),
        ),
        (
            "certificate_not_yet_valid",
            "partners",
            partners.issue(leaf("a").dns("a.example").not_yet_valid()),
        ),
        (
            "unknown_issuer",
            "stranger",
            stranger.issue(leaf("a").dns("a.example")),
        ),
        (
            "wrong_usage",
            "partners",
            partners.issue(leaf("a").dns("a.example").authority()),
        ),
        (
            "several_spiffe_names",
            "partners",
            partners.issue(leaf("a").dns("a.example").spiffe("spiffe://b/c")),
        ),
        (
            "certificate_malformed",
            "partners",
            partners.issue(leaf("a").dns("a.example").unknown_extension(true)),
        ),
    ];
    for (reason, issuer, identity) in &cases {
        let client = gateway.client(identity).source("127.0.0.77");
        drop(client.rejection().await);
        let line = line(&gateway, reason).await;
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (text("side"), text("name")),
            ("downstream".into(), "edge".into()),
            "{line}"
        );
        assert!(text("peer_address").starts_with("127.0.0.77:"), "{line}");
        assert_eq!(text("sni"), HOST, "{line}");
        assert_eq!(text("certificate_subject"), "CN=a", "{line}");
        assert_eq!(text("certificate_issuer"), format!("CN={issuer}"), "{line}");
        assert!(text("certificate_serial").ends_with("be:ef"), "{line}");
        let names = text("certificate_names");
        assert!(
            names.contains("URI:spiffe://partners.example/web/a"),
            "{line}"
        );
        assert!(names.contains("DNS:a.example"), "{line}");
        let not_after = &text("certificate_not_after");
        assert!(
            not_after.starts_with("20") && not_after.ends_with('Z'),
            "{line}"
        );
        assert!(!text("error").is_empty(), "{line}");
    }
    let lines = gateway
        .log()
        .into_iter()
        .filter(|line| line.contains("handshake failed"));
    assert_eq!(lines.count(), cases.len(), "one line for each");
}

#[tokio::test]
async fn a_line_without_a_certificate_says_source_name_and_reason() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let client = gateway.anonymous().source("127.0.0.78");
    drop(client.rejection().await);
    drop(client.clone().name("who.example.com").rejection().await);
    drop(talk(&client, b"GET / HTTP/1.1\r\n\r\n").await);
    for (reason, sni) in [
        ("certificate_missing", json!(HOST)),
        ("unknown_server_name", json!("who.example.com")),
        ("plain_http", Value::Null),
    ] {
        let line = line(&gateway, reason).await;
        assert_eq!(line["sni"], sni, "{line}");
        assert!(
            line["peer_address"]
                .as_str()
                .expect("a source")
                .starts_with("127.0.0.78:")
        );
        assert_eq!(line["certificate_subject"], Value::Null, "{line}");
    }
}

#[tokio::test]
async fn a_flood_of_failures_is_counted_in_full_and_logged_in_part() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let client = gateway.anonymous();
    for _ in 0..60 {
        drop(talk(&client, b"GET / HTTP/1.1\r\n\r\n").await);
    }
    let plain = [EDGE, ("reason", "plain_http")];
    gateway
        .wait_for_metric(HANDSHAKES, &plain, |count| count == 60.0)
        .await;
    // The line that comes after the pause says how many were left out.
    let suppressed = loop {
        drop(talk(&client, b"GET / HTTP/1.1\r\n\r\n").await);
        let lines = gateway.log();
        let events = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let suppressed: u64 = events
            .filter_map(|event| event["suppressed"].as_u64())
            .sum();
        if suppressed > 0 {
            break suppressed;
        }
    };
    let total = gateway.metrics().await.value(HANDSHAKES, &plain) as u64;
    let written = gateway
        .log()
        .iter()
        .filter(|line| line.contains("handshake failed"))
        .count();
    assert!(
        suppressed + written as u64 <= total,
        "{suppressed} + {written} of {total}"
    );
}

#[tokio::test]
async fn what_a_handshake_agreed_on_is_counted() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let web = gateway.client(&world.web()).resumption();
    let cases = [
        (
            web.clone().versions(&[&TLS13]).alpn(&["h2"]),
            "1.3",
            "false",
            "h2",
        ),
        (
            web.clone().versions(&[&TLS12]).alpn(&["http/1.1"]),
            "1.2",
            "false",
            "http/1.1",
        ),
        (gateway.client(&world.web()), "1.3", "false", "none"),
    ];
    for (client, version, resumed, protocol) in &cases {
        let before = gateway.metrics().await;
        let connection = client.connect().await;
        let ok = [
            EDGE,
            ("result", "ok"),
            ("version", version),
            ("resumed", resumed),
        ];
        let count = before.value(HANDSHAKES, &ok);
        gateway
            .wait_for_metric(HANDSHAKES, &ok, |now| now == count + 1.0)
            .await;
        let after = gateway.metrics().await;
        let protocols = [EDGE, ("protocol", protocol)];
        let grew = |name: &str, labels: &[(&str, &str)]| {
            after.value(name, labels) - before.value(name, labels)
        };
        assert_eq!(grew("portcullis_tls_protocols_total", &protocols), 1.0);
        let timed = [EDGE, ("result", "ok")];
        assert_eq!(
            grew("portcullis_handshake_duration_seconds_count", &timed),
            1.0
        );
        let suite = connection.tls().negotiated_cipher_suite().expect("a suite");
        let suite = suite
            .suite()
            .as_str()
            .expect("a known one")
            .replace("TLS13_", "TLS_");
        assert_eq!(
            grew(
                "portcullis_tls_cipher_suites_total",
                &[EDGE, ("cipher_suite", &suite)]
            ),
            1.0
        );
    }
}

#[tokio::test]
async fn resumed_handshakes_are_counted_as_resumed_in_both_versions() {
    let world = World::new();
    let gateway = gateway(&world).await;
    for (version, label) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let client = gateway
            .client(&world.web())
            .versions(&[version])
            .resumption();
        assert!(!client.connect().await.resumed());
        client.get("/nothing").await; // reads the tickets
        let resumed = [EDGE, ("version", label), ("resumed", "true")];
        let before = gateway.metrics().await.value(HANDSHAKES, &resumed);
        assert!(client.connect().await.resumed(), "{label}");
        gateway
            .wait_for_metric(HANDSHAKES, &resumed, |now| now == before + 1.0)
            .await;
    }
}

#[tokio::test]
async fn the_group_against_quantum_computers_is_taken_where_a_share_of_it_is_offered() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let cases = [
        (
            vec![kx_group::X25519MLKEM768, kx_group::X25519],
            "X25519MLKEM768",
        ),
        (
            vec![kx_group::X25519MLKEM768, kx_group::SECP256R1],
            "X25519MLKEM768",
        ),
        (vec![kx_group::X25519], "X25519"),
        (vec![kx_group::SECP256R1], "secp256r1"),
        (vec![kx_group::SECP384R1], "secp384r1"),
    ];
    for (groups, want) in cases {
        let offered: Vec<_> = groups.iter().map(|group| group.name()).collect();
        let label = [EDGE, ("group", want)];
        let before = gateway
            .metrics()
            .await
            .value("portcullis_tls_groups_total", &label);
        let mut provider = provider().as_ref().clone();
        provider.kx_groups = groups;
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(world.edge_authority.roots());
        let web = world.web();
        let config = config.with_client_auth_cert(web.chain.clone(), web.key_der());
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config.expect("a key pair")));
        let tcp = gateway.anonymous().tcp().await.expect("TCP");
        let name = ServerName::try_from(HOST).expect("a name");
        let stream = within("TLS", connector.connect(name, tcp))
            .await
            .expect("a handshake");
        let agreed = stream
            .get_ref()
            .1
            .negotiated_key_exchange_group()
            .expect("a group");
        assert_eq!(agreed.name().as_str(), Some(want), "{offered:?}");
        let groups = "portcullis_tls_groups_total";
        gateway
            .wait_for_metric(groups, &label, |now| now == before + 1.0)
            .await;
    }
}

#[tokio::test]
async fn a_listener_from_tls_1_3_on_refuses_tls_1_2() {
    let world = World::new();
    let mut config = world.config();
    config.set("listeners.edge.tls.min_version", "1.3");
    let gateway = world.gateway_with(&config).await;
    let web = gateway.client(&world.web());
    let rejection = web.clone().versions(&[&TLS12]).rejection().await;
    assert_eq!(
        alert_of(&rejection),
        Some(AlertDescription::ProtocolVersion),
        "{rejection:?}"
    );
    let reason = [EDGE, ("reason", "no_common_version")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &reason), 1.0);
    assert_eq!(web.connect().await.version(), ProtocolVersion::TLSv1_3);
}

#[tokio::test]
async fn both_versions_serve_requests() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    for (version, want) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut connection = gateway
            .client(&world.web())
            .versions(&[version])
            .connect()
            .await;
        assert_eq!(connection.version(), want);
        assert_eq!(connection.get("/open/x").await.status, 200);
    }
}

#[tokio::test]
async fn a_handshake_that_stands_still_is_ended_and_its_place_given_back() {
    let world = World::new();
    let limits = json!({ "handshake_timeout": "1s", "handshakes": 3, "connections": 3 });
    let gateway = limited(&world, limits).await;
    let client = gateway.client(&world.web());
    let hello = Hello::tls12(HOST).record();
    let mut open = Vec::new();
    for sent in [&hello[..0], &hello[..3], &hello[..]] {
        let mut tcp = client.tcp().await.expect("TCP");
        tcp.write_all(sent).await.expect("send");
        open.push(Wire::new(tcp));
    }
    let in_progress = "portcullis_handshakes_in_progress";
    gateway
        .wait_for_metric(in_progress, &[EDGE], |now| now == 3.0)
        .await;
    let connections = [("listener", "edge")];
    assert_eq!(
        gateway.metrics().await.value(CONNECTIONS, &connections),
        3.0,
        "from accept on"
    );
    for wire in &mut open {
        while matches!(within("the end", wire.fill()).await, Ok(1..)) {}
    }
    let timed_out = [EDGE, ("reason", "timed_out")];
    gateway
        .wait_for_metric(HANDSHAKES, &timed_out, |count| count == 3.0)
        .await;
    gateway
        .wait_for_metric(in_progress, &[EDGE], |now| now == 0.0)
        .await;
    gateway
        .wait_for_metric(CONNECTIONS, &connections, |now| now == 0.0)
        .await;
    assert_eq!(client.get("/nothing").await.status, 404);
}

#[tokio::test]
async fn connections_are_capped_in_total_and_given_back() {
    let world = World::new();
    let gateway = limited(&world, json!({ "connections": 2 })).await;
    let client = gateway.client(&world.web());
    let mut one = client.connect().await;
    one.get("/nothing").await;
    let mut two = client.connect().await;
    two.get("/nothing").await;
    assert!(matches!(client.rejection().await, Rejection::Closed));
    let why = [("listener", "edge"), ("reason", "too_many")];
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
    assert_eq!(one.get("/nothing").await.status, 404, "who is in stays in");
    drop(two);
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    assert_eq!(client.get("/nothing").await.status, 404);
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
}

#[tokio::test]
async fn connections_are_capped_for_each_source_and_given_back() {
    let world = World::new();
    let gateway = limited(&world, json!({ "connections_per_source": 1 })).await;
    let client = |source: &str| gateway.client(&world.web()).source(source);
    let first = client("127.0.0.20").connect().await;
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    assert!(matches!(
        client("127.0.0.20").rejection().await,
        Rejection::Closed
    ));
    let why = [("listener", "edge"), ("reason", "too_many_per_source")];
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
    assert_eq!(
        client("127.0.0.21").get("/nothing").await.status,
        404,
        "another source"
    );
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    drop(first);
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 0.0)
        .await;
    assert_eq!(client("127.0.0.20").get("/nothing").await.status, 404);
}

#[tokio::test]
async fn handshakes_at_a_time_are_capped_and_given_back() {
    let world = World::new();
    let gateway = limited(&world, json!({ "handshakes": 1 })).await;
    let client = gateway.client(&world.web());
    let mut open = client.connect().await;
    open.get("/nothing").await;
    let half_open = client.tcp().await.expect("TCP");
    let in_progress = "portcullis_handshakes_in_progress";
    gateway
        .wait_for_metric(in_progress, &[EDGE], |now| now == 1.0)
        .await;
    assert!(matches!(client.rejection().await, Rejection::Closed));
    let why = [("listener", "edge"), ("reason", "too_many_handshakes")];
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
    assert_eq!(
        open.get("/nothing").await.status,
        404,
        "an open connection is no handshake"
    );
    drop(half_open);
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    assert_eq!(client.get("/nothing").await.status, 404);
}

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

/// Shakes hands by hand, so that a request can be sent as 0-RTT data; returns whether it could be,
/// whether that was accepted, and what was answered to a second, honest request.
fn with_early_data(client: &Client, config: Arc<ClientConfig>) -> (bool, bool, String) {
    let name = ServerName::try_from(HOST).expect("a name");
    let mut tls = rustls::ClientConnection::new(config, name).expect("a connection");
    let address = client.target();
    let mut tcp = std::net::TcpStream::connect(address).expect("TCP");
    let early = b"GET /open/early HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    let offered = match tls.early_data() {
        Some(mut data) => data.write(early).expect("early data") == early.len(),
        None => false,
    };
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    stream
        .write_all(b"GET /open/late HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
        .expect("send");
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    (
        offered,
        tls.is_early_data_accepted(),
        String::from_utf8_lossy(&answer).into_owned(),
    )
}

#[tokio::test]
async fn early_data_is_never_taken() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let client = gateway
        .client(&world.web())
        .versions(&[&TLS13])
        .resumption();
    let mut config = client.config();
    config.enable_early_data = true;
    let config = Arc::new(config);

    // Our own tickets do not allow any.
    for _ in 0..2 {
        let (client, config) = (client.clone(), Arc::clone(&config));
        let ended = tokio::task::spawn_blocking(move || with_early_data(&client, config));
        let (offered, accepted, answer) = within("requests", ended).await.expect("no panic");
        assert!(!offered && !accepted);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let resumed = [EDGE, ("resumed", "true")];
    assert_eq!(
        gateway.metrics().await.value(HANDSHAKES, &resumed),
        1.0,
        "so it was a resumption"
    );

    // With the ticket of a server that allows some, a client offers it to us as well.
    let web = gateway
        .client(&world.web())
        .versions(&[&TLS13])
        .resumption();
    let mut config = web.config();
    config.enable_early_data = true;
    let config = Arc::new(config);
    let generous = generous_server(&world).await;
    let elsewhere = web.clone().address(generous);
    let shared = Arc::clone(&config);
    let first = tokio::task::spawn_blocking(move || with_early_data(&elsewhere, shared));
    within("a ticket", first).await.expect("no panic");
    let before = orders.requests().len();
    let second = tokio::task::spawn_blocking(move || with_early_data(&web, config));
    let (offered, accepted, answer) = within("requests", second).await.expect("no panic");
    assert!(
        offered && !accepted,
        "offered: {offered}, accepted: {accepted}"
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let targets: Vec<_> = orders.requests()[before..]
        .iter()
        .map(|r| r.target.clone())
        .collect();
    assert_eq!(targets, ["/open/late"]);
}

/// A TLS server for our host whose tickets allow early data; it answers each connection once.
async fn generous_server(world: &World) -> std::net::SocketAddr {
    let identity = world
        .edge_authority
        .issue(Leaf::server("generous").dns(HOST));
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key_der())
        .expect("a key pair");
    config.max_early_data_size = 1024;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut wire = Wire::new(stream);
            drop(wire.read_head().await);
            drop(
                wire.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                    .await,
            );
            drop(wire.stream.shutdown().await);
        }
    });
    address
}
