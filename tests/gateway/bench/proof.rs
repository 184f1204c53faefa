//! The bench against itself, without a gateway: if this fails, no other result means anything.

use serde_json::json;
use tokio::net::TcpStream;

use super::client::{Client, Rejection};
use super::config::Config;
use super::gateway::Metrics;
use super::http1::Request;
use super::pki::{Authority, Folder, KeyKind, Leaf};
use super::raw_h2;
use super::service::{Plain, Reply, Service, Step};
use super::token::{self, Algorithm, IssuerKey, Token};
use super::{ORDERS_NAME, World, within};

/// A client of the service itself, with the identity of a gateway.
fn straight(world: &World, service: &Service) -> Client {
    Client::new(service.address, &world.mesh)
        .name(ORDERS_NAME)
        .identity(&world.gateway_identity)
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_and_so_does_the_answer() {
    let world = World::new();
    let service = world.orders().start().await;
    let request = Request::post("/a?b=c", "payload").header("X-Odd_Name", "1");
    let answer = straight(&world, &service).request(&request).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let received = service.only_request();
    assert_eq!(
        (received.method.as_str(), received.target.as_str()),
        ("POST", "/a?b=c")
    );
    assert_eq!(
        (received.header("x-odd_name"), received.body.as_slice()),
        (Some("1"), &b"payload"[..])
    );
    assert_eq!(received.peer, world.gateway_identity.fingerprint());
    assert_eq!(service.bytes(), request.bytes(ORDERS_NAME).len());
}

#[tokio::test]
async fn chunks_trailers_and_informational_answers_are_read() {
    let world = World::new();
    let bytes = "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-End: 1\r\n\r\n";
    let service = world
        .orders()
        .reply(move |_| Reply::raw(bytes))
        .start()
        .await;
    let mut connection = straight(&world, &service).connect().await;
    let chunked = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\nT: u\r\n\r\n";
    let answer = connection.exchange(chunked).await.expect("an answer");
    assert_eq!(
        (answer.text().as_str(), answer.informational.as_slice()),
        ("abcde", &[103][..])
    );
    assert_eq!(answer.trailers.get("x-end"), Some("1"));
    let received = service.only_request();
    assert_eq!(
        (received.body, received.trailers.get("t")),
        (b"z".to_vec(), Some("u"))
    );
}

#[tokio::test]
async fn a_service_shows_what_each_handshake_was() {
    let world = World::new();
    let service = world.orders().start().await;
    let client = straight(&world, &service).resumption();
    for resumed in [false, true] {
        let mut connection = client.connect().await;
        connection.get("/").await;
        assert_eq!(connection.resumed(), resumed);
    }
    let seen: Vec<bool> = service
        .handshakes()
        .iter()
        .map(|handshake| handshake.resumed)
        .collect();
    assert_eq!(seen, [false, true]);
    assert_eq!(
        service.handshakes()[0].server_name.as_deref(),
        Some(ORDERS_NAME)
    );
}

#[tokio::test]
async fn tls_1_2_resumes_too() {
    let world = World::new();
    let service = world.orders().start().await;
    let client = straight(&world, &service)
        .versions(&[&rustls::version::TLS12])
        .resumption();
    client.get("/").await;
    assert!(client.connect().await.resumed());
}

#[tokio::test]
async fn a_client_that_is_not_trusted_is_told_and_nothing_arrives() {
    let world = World::new();
    let service = world.orders().start().await;
    let cases = [
        (
            "of a stranger",
            world
                .stranger
                .issue(Leaf::client("x").spiffe("spiffe://a/b")),
        ),
        ("expired", world.mesh.issue(Leaf::client("x").expired())),
        (
            "not yet valid",
            world.mesh.issue(Leaf::client("x").not_yet_valid()),
        ),
        ("of a server", world.mesh.issue(Leaf::server("x"))),
        (
            "with a critical extension",
            world.mesh.issue(Leaf::client("x").unknown_extension(true)),
        ),
    ];
    for (name, identity) in cases {
        let rejection = straight(&world, &service)
            .identity(&identity)
            .rejection()
            .await;
        assert!(
            matches!(rejection, Rejection::Tls(rustls::Error::AlertReceived(_))),
            "{name}: {rejection:?}"
        );
    }
    assert_eq!((service.bytes(), service.requests().len()), (0, 0));
    assert!(
        service
            .handshakes()
            .iter()
            .all(|handshake| handshake.error.is_some())
    );
}

#[tokio::test]
async fn chains_and_every_kind_of_key_are_good() {
    let world = World::new();
    let service = world.orders().start().await;
    let below = world.mesh.intermediate("below").intermediate("far below");
    for kind in [
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let identity = below.issue(Leaf::client("x").key(kind).serial(7));
        let answer = straight(&world, &service)
            .identity(&identity)
            .get("/")
            .await;
        assert_eq!(answer.status, 200, "{kind:?}");
    }
}

#[tokio::test]
async fn scripts_hang_drip_echo_cut_and_change() {
    let world = World::new();
    let mut service = world
        .orders()
        .early(b"HTTP/1.1 200 Early\r\nContent-Length: 0\r\n\r\n")
        .start()
        .await;
    let client = straight(&world, &service);
    let mut connection = client.connect().await;
    let early = connection.read_answer().await.expect("an early answer");
    assert_eq!(early.status_line, "HTTP/1.1 200 Early");

    service.set_reply(|_| Reply::raw("HTTP/1.1 101 Up\r\nUpgrade: echo\r\n\r\n").then(Step::Echo));
    assert_eq!(connection.get("/").await.status, 101);
    connection.send("ping").await.expect("send");
    assert_eq!(
        connection.wire.read_exact(4).await.expect("an echo"),
        b"ping"
    );

    service.set_reply(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").then(Step::Cut)
    });
    let mut connection = client.connect().await;
    connection.read_answer().await.expect("an early answer");
    connection
        .try_request(&Request::get("/"))
        .await
        .expect_err("a cut answer");
    service.stop().await;
    assert_eq!(service.open_connections(), 0);
    client.tcp().await.expect_err("a stopped service");
    world.orders().at(service.address).start().await;
}

#[tokio::test]
async fn a_plain_listener_keeps_what_came() {
    let plain = Plain::start(b"no").await;
    let mut wire = super::http1::Wire::new(TcpStream::connect(plain.address).await.expect("TCP"));
    wire.send("abc").await.expect("send");
    assert_eq!(wire.read_exact(2).await.expect("an answer"), b"no");
    assert_eq!(plain.received(), b"abc");
}

#[test]
fn tokens_of_every_algorithm_verify_with_another_library() {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    let algorithms = [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::EdDsa,
    ];
    for algorithm in algorithms {
        let key = IssuerKey::new("k", algorithm);
        let jwk = serde_json::from_value(key.jwk()).expect("a JWK");
        let decoding = DecodingKey::from_jwk(&jwk).expect("a usable JWK");
        let mut validation = Validation::new(algorithm.name().parse().expect("a known algorithm"));
        validation.set_audience(&[token::AUDIENCE]);
        let good = Token::new().claim("x", 1).sign(&key);
        let read =
            decode::<serde_json::Value>(&good, &decoding, &validation).expect("a good token");
        assert_eq!(read.claims["x"], json!(1), "{algorithm:?}");
        for bad in [
            token::with_broken_signature(&good),
            token::with_claims(&good, |claims| claims["sub"] = json!("eve")),
            Token::new().expired().sign(&key),
            Token::new().unsigned(),
            Token::new().sign_hs256(key.public_pem().as_bytes(), "k"),
        ] {
            decode::<serde_json::Value>(&bad, &decoding, &validation).expect_err("a bad token");
        }
    }
}

#[test]
fn places_of_a_configuration_are_set_and_removed() {
    let mut config = Config::standard();
    config
        .set("listeners.edge.tls.certificates.1", json!({"cert": "a"}))
        .set("logs.level", "debug");
    config
        .remove("routes.open")
        .route("more", "/more", "orders");
    assert_eq!(config.get("listeners.edge.tls.certificates.1.cert"), "a");
    let read: serde_json::Value = serde_yaml::from_str(&config.yaml()).expect("YAML");
    assert_eq!(
        (&read["logs"]["level"], &read["routes"]["open"]),
        (&json!("debug"), &json!(null))
    );
}

#[test]
fn metrics_are_read_with_their_labels() {
    let page = "# HELP a b\na_total{x=\"1\",y=\"q\\\"\\\\,}\"} 2\na_total{x=\"2\"} 3e1\nb 4\n";
    let metrics = Metrics::parse(page);
    assert_eq!(metrics.value("a_total", &[]), 32.0);
    assert_eq!(metrics.value("a_total", &[("y", "q\"\\,}")]), 2.0);
    assert_eq!(
        (
            metrics.value("b", &[]),
            metrics.get("a_total", &[("x", "3")])
        ),
        (4.0, None)
    );
}

#[tokio::test]
async fn frames_by_hand_are_read_by_an_honest_h2_server() {
    let world = World::new();
    let identity = world.mesh.issue(Leaf::server("h2").dns(ORDERS_NAME));
    let mut config = rustls::ServerConfig::builder_with_provider(super::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key_der())
        .expect("a key pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config.clone()));
            let stream = acceptor.accept(stream).await.expect("a handshake");
            tokio::spawn(async move {
                let mut server = h2::server::handshake(stream).await.expect("a preface");
                while let Some(Ok((request, mut respond))) = server.accept().await {
                    let status = if request.uri().path() == "/long" {
                        431
                    } else {
                        200
                    };
                    let answer = http::Response::builder()
                        .status(status)
                        .body(())
                        .expect("a head");
                    let mut body = respond.send_response(answer, false).expect("send");
                    body.send_data("done".into(), true).expect("send");
                }
            });
        }
    });
    let client = Client::new(address, &world.mesh).name(ORDERS_NAME);
    let mut raw = raw_h2::RawH2::start(&client).await;
    let long = "v".repeat(300);
    let mut fields = raw_h2::get("a", "/long");
    fields.push(("x-long", &long));
    raw.headers(1, &fields, true).await.expect("send");
    assert_eq!(raw.status(1).await, 431);
    raw.headers(3, &raw_h2::get("a", "/"), true)
        .await
        .expect("send");
    assert_eq!(raw.status(3).await, 200);
    // A frame that breaks the protocol: DATA on stream 0 (RFC 9113, section 6.1).
    raw.data(0, b"x", false).await.expect("send");
    let goaway = raw.until(|frame| frame.kind == raw_h2::GOAWAY).await;
    assert_eq!(goaway.error_code(), Some(1));

    let mut h2 = client.connect_h2().await;
    let answer = h2.request(&Request::post("/", "x").header("a", "b")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    drop(within("the end", h2.ended()).await);
}

#[tokio::test]
async fn a_client_connects_from_the_address_it_is_told_to() {
    let world = World::new();
    let service = world.orders().start().await;
    let connection = straight(&world, &service)
        .source("127.0.0.9")
        .connect()
        .await;
    assert_eq!(connection.local_address().ip().to_string(), "127.0.0.9");
}

#[test]
fn a_folder_is_gone_after_the_test() {
    let folder = Folder::new();
    let file = folder.write("deep/file", "x");
    assert!(file.exists());
    drop(folder);
    assert!(!file.exists());
}

#[test]
fn a_renewed_certificate_keeps_its_pin() {
    let authority = Authority::new("a");
    let first = authority.issue(Leaf::client("x"));
    let second = authority.issue_for(Leaf::client("x"), first.duplicate().key);
    assert_eq!(first.pin(), second.pin());
    assert_ne!(first.fingerprint_hex(), second.fingerprint_hex());
}
