//! Answers of every kind, honest and not.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::server::WebPkiClientVerifier;
use tokio::sync::Notify;

use super::refused;
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::service::{Reply, Step};
use crate::bench::{ORDERS_ID, World, provider, within};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn garbage_is_a_502_and_the_connection_is_not_used_again() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let cases: [(&str, &[u8]); 11] = [
        ("noise", b"\x00\x01\x02\x03\r\n\r\n"),
        ("another protocol", b"220 smtp.example ESMTP\r\n\r\n"),
        ("a request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no status", b"HTTP/1.1\r\n\r\n"),
        ("a status that is none", b"HTTP/1.1 abc OK\r\n\r\n"),
        ("a version that is none", b"HTTP/9.9 200 OK\r\n\r\n"),
        (
            "a field that is none",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "a length that is none",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ),
        ("a head without bound", long.as_bytes()),
        ("fields without bound", many.as_bytes()),
    ];
    for (what, bytes) in cases {
        let bytes = bytes.to_vec();
        orders.set_reply(move |_| Reply::raw(&bytes).then(Step::Hang));
        let before = refused(&gateway, "upstream_protocol").await;
        let answer = gateway.client(&world.web()).get("/open/x").await;
        assert_eq!(answer.status, 502, "{what}: {}", answer.text());
        assert_eq!(
            refused(&gateway, "upstream_protocol").await,
            before + 1.0,
            "{what}"
        );
    }
    let used = orders.connections();
    orders.set_reply(|_| Reply::ok("well"));
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.text(),
        "well"
    );
    assert_eq!(orders.connections(), used + 1);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_never_taken_for_whole() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    for (what, head, whole) in [
        (
            "a length",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "abc",
        ),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "0\r\n\r\n",
        ),
    ] {
        for end in [Step::Cut, Step::Close] {
            orders.set_reply(move |_| Reply::raw(head).then(end.clone()));
            let client = gateway.client(&world.web());
            let mut connection = client.connect().await;
            let answer = connection.try_request(&Request::get("/open/x")).await;
            answer.expect_err(what);
            let mut h2 = client.connect_h2().await;
            h2.try_request(&Request::get("/open/x"))
                .await
                .expect_err(whole);
        }
    }
}

#[tokio::test]
async fn a_service_that_closes_without_an_answer_is_a_502() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    for (end, sent) in [
        (Step::Cut, ""),
        (Step::Close, ""),
        (Step::Close, "HTTP/1.1 200 OK\r\nX: y\r\n"),
    ] {
        orders.set_reply(move |_| Reply::raw(sent).then(end.clone()));
        let before = refused(&gateway, "upstream_closed").await;
        let answer = gateway
            .client(&world.web())
            .request(&Request::post("/open/x", "y"))
            .await;
        assert_eq!(answer.status, 502, "{sent:?}");
        assert_eq!(
            refused(&gateway, "upstream_closed").await,
            before + 1.0,
            "{sent:?}"
        );
    }
}

/// A service that sends its early words along with the last record of the handshake, in one piece,
/// and then records what it is told.
fn hasty_service(world: &World, told: Arc<AtomicUsize>) -> std::net::SocketAddr {
    let identity = world.mesh.issue(Leaf::server("hasty").spiffe(ORDERS_ID));
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(world.mesh.roots()), provider());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("TLS 1.2")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_single_cert(identity.chain.clone(), identity.key_der());
    let config = Arc::new(config.expect("a key pair"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        while let Ok((tcp, _)) = listener.accept() {
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            drop(speak_early(tls, tcp, &told)); // the gateway may hang up on it
        }
    });
    address
}

fn speak_early(
    mut tls: rustls::ServerConnection,
    mut tcp: std::net::TcpStream,
    told: &AtomicUsize,
) -> std::io::Result<()> {
    tls.read_tls(&mut tcp)?;
    while tls.process_new_packets().is_ok() && tls.is_handshaking() {
        while tls.wants_write() {
            tls.write_tls(&mut tcp)?;
        }
        tls.read_tls(&mut tcp)?;
    }
    tls.writer()
        .write_all(b"HTTP/1.1 200 Early\r\nContent-Length: 5\r\n\r\nearly")?;
    let mut last = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut last)?;
    }
    tcp.write_all(&last)?;
    while tls.read_tls(&mut tcp)? > 0 {
        let state = tls.process_new_packets().map_err(std::io::Error::other)?;
        told.fetch_add(state.plaintext_bytes_to_read(), Ordering::SeqCst);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_service_says_before_it_is_asked_is_no_answer() {
    let world = World::new();
    let told = Arc::new(AtomicUsize::new(0));
    let mut config = world.config();
    config.endpoints("orders", &[hasty_service(&world, Arc::clone(&told))]);
    let gateway = world.gateway_with(&config).await;
    let answer = gateway.client(&world.web()).get("/open/x").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(told.load(Ordering::SeqCst), 0, "it was told nothing");
    assert_eq!(refused(&gateway, "upstream_protocol").await, 1.0);
    let unexpected = "portcullis_upstream_unexpected_data_total";
    assert!(
        gateway
            .metrics()
            .await
            .value(unexpected, &[("upstream", "orders")])
            >= 1.0
    );
}

#[tokio::test]
async fn what_a_service_says_between_two_requests_is_no_answer() {
    let world = World::new();
    let said = Arc::new(Notify::new());
    let gate = Arc::clone(&said);
    let count = AtomicUsize::new(0);
    let script = move |_: &_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::ok("first")
            .then(Step::Gate(Arc::clone(&gate)))
            .then(Step::Send(
                b"HTTP/1.1 200 Planted\r\nContent-Length: 7\r\n\r\nplanted".to_vec(),
            )),
        _ => Reply::ok("honest"),
    };
    let orders = world.orders().reply(script).start().await;
    let gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.text(), "first");
    said.notify_one();
    // The gateway looks at connections that it keeps, and drops this one.
    orders
        .wait_until("the connection to be dropped", |orders| {
            orders.open_connections() == 0
        })
        .await;
    assert_eq!(client.get("/open/x").await.text(), "honest");
}

#[tokio::test]
async fn surplus_bytes_behind_an_answer_reach_nobody() {
    let world = World::new();
    let count = AtomicUsize::new(0);
    let script = move |_: &_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst\
             HTTP/1.1 200 Planted\r\nContent-Length: 7\r\n\r\nplanted",
        ),
        _ => Reply::ok("honest"),
    };
    let orders = world.orders().reply(script).start().await;
    let gateway = world.gateway(&orders).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    assert_eq!(connection.get("/open/x").await.text(), "first");
    assert_eq!(connection.get("/open/x").await.text(), "honest");
}

#[tokio::test]
async fn informational_answers_are_passed_over_and_an_endless_row_is_a_502() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    for (what, count, want) in [("one", 1, 200), ("some", 10, 200), ("2,000", 2_000, 502)] {
        let rows = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(count);
        orders.set_reply(move |_| {
            Reply::raw(format!(
                "{rows}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            ))
        });
        assert_eq!(client.get("/open/x").await.status, want, "{what}");
    }
    let rows = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(64);
    orders.set_reply(move |_| Reply(vec![Step::Flood(rows.clone())]));
    assert_eq!(client.get("/open/x").await.status, 502, "without end");
    assert_eq!(refused(&gateway, "upstream_protocol").await, 2.0);
    let memory = gateway.resident_bytes();
    assert!(memory < 150 * MIB, "{memory}");
}

#[tokio::test]
async fn another_protocol_than_the_one_asked_for_is_a_502() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.route("ws", "/ws", "orders");
    config.set("routes.ws.websocket", true);
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let asks = |target: &str| {
        Request::get(target)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
            .header("Sec-WebSocket-Version", "13")
    };
    let switches = |to: &'static str| {
        move |_: &_| {
            Reply::raw(format!(
                "HTTP/1.1 101 Up\r\nConnection: Upgrade\r\n{to}\r\n"
            ))
            .then(Step::Echo)
        }
    };
    let websocket = "Upgrade: websocket\r\n";
    for (what, request, to) in [
        ("nobody asked", Request::get("/open/x"), websocket),
        ("the route does not allow it", asks("/open/x"), websocket),
        (
            "nobody asked on a route that allows it",
            Request::get("/ws"),
            websocket,
        ),
        ("to another protocol", asks("/ws"), "Upgrade: h2c\r\n"),
        (
            "to one more protocol",
            asks("/ws"),
            "Upgrade: websocket, h2c\r\n",
        ),
        ("to no protocol", asks("/ws"), ""),
    ] {
        orders.set_reply(switches(to));
        let answer = client.request(&request).await;
        assert_eq!(answer.status, 502, "{what}");
    }
    orders.set_reply(switches(websocket));
    let mut connection = client.connect().await;
    assert_eq!(connection.request(&asks("/ws")).await.status, 101);
    connection.send("ping").await.expect("send");
    let echo = within("an echo", connection.wire.read_exact(4))
        .await
        .expect("an echo");
    assert_eq!(echo, b"ping");
}

#[tokio::test]
async fn hop_by_hop_fields_of_an_answer_stay_here() {
    let world = World::new();
    let fields = [
        ("Connection", "X-Private, keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authenticate", "Basic"),
        ("Upgrade", "h2c"),
        ("Trailer", "X-T"),
        ("TE", "trailers"),
        ("X-Private", "secret"),
        ("X-Kept", "yes"),
    ];
    let orders = world
        .orders()
        .reply(move |_| Reply::new(200, &fields, "x"))
        .start()
        .await;
    let gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    let mut h2 = client.connect_h2().await;
    let request = Request::get("/open/x");
    for answer in [client.request(&request).await, h2.request(&request).await] {
        assert_eq!((answer.status, answer.header("x-kept")), (200, Some("yes")));
        for (name, value) in &fields[..8] {
            let came = answer.headers.all(name);
            assert!(!came.contains(value), "{name}: {came:?}");
        }
    }
}

#[tokio::test]
async fn a_huge_answer_is_streamed_not_collected() {
    let world = World::new();
    let size: u64 = 256 * MIB;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    let script = move |_: &_| Reply::raw(&head).then(Step::Flood(vec![b'x'; 1 << 16]));
    let orders = world.orders().reply(script).start().await;
    let gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/nothing").await.status, 404);
    let before = gateway.resident_bytes();
    // Neither reads a byte of the body: what the gateway takes from the service it must keep.
    let mut h1 = client.connect().await;
    h1.send(Request::get("/open/x").bytes(HOST))
        .await
        .expect("send");
    let head = within("a head", h1.wire.read_head())
        .await
        .expect("a head")
        .expect("one");
    assert!(head.starts_with(b"HTTP/1.1 200"));
    let mut h2 = client.connect_h2().await;
    let (response, _stream) = h2.start(&Request::get("/open/x")).await.expect("a stream");
    let response = within("a head", response).await.expect("a head");
    // And one reads on for a while.
    let mut reader = client.connect().await;
    reader
        .send(Request::get("/open/x").bytes(HOST))
        .await
        .expect("send");
    let mut read: u64 = 0;
    while read < 16 * MIB {
        read += within("bytes", reader.wire.fill()).await.expect("bytes") as u64;
        let ready = reader.wire.buffered().len();
        reader.wire.read_exact(ready).await.expect("what is there");
    }
    let grew = gateway.resident_bytes().saturating_sub(before);
    assert!(grew < 24 * MIB, "{grew} bytes");
    drop(response);
}

#[tokio::test]
async fn an_answer_arrives_while_the_service_still_writes_it() {
    let world = World::new();
    let open = Arc::new(Notify::new());
    let gate = Arc::clone(&open);
    let script = move |_: &_| {
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .then(Step::Gate(Arc::clone(&gate)))
            .then(Step::Send(b"4\r\nlast\r\n0\r\n\r\n".to_vec()))
    };
    let orders = world.orders().reply(script).start().await;
    let gateway = world.gateway(&orders).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    connection
        .send(Request::get("/open/x").bytes(HOST))
        .await
        .expect("send");
    let mut came = String::new();
    while !came.contains("first") {
        assert!(
            within("bytes", connection.wire.fill())
                .await
                .expect("bytes")
                > 0
        );
        came = String::from_utf8_lossy(connection.wire.buffered()).into_owned();
    }
    assert!(!came.contains("last"));
    open.notify_one();
    while !came.contains("last") {
        assert!(
            within("bytes", connection.wire.fill())
                .await
                .expect("bytes")
                > 0
        );
        came = String::from_utf8_lossy(connection.wire.buffered()).into_owned();
    }
}
