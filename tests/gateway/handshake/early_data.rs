//! 0-RTT data, which can be replayed, is never taken (RFC 8446, section 8).

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt as _;

use super::EDGE;
use super::table::HANDSHAKES;
use crate::bench::client::{Client, HOST};
use crate::bench::http1::Wire;
use crate::bench::pki::Leaf;
use crate::bench::{World, provider, within};

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
