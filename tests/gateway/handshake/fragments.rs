//! A ClientHello in pieces: however it is cut, the name in it selects the certificate, the trust and the
//! policy that the whole one selects, and never weaker ones.

use std::net::SocketAddr;

use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::alert_of;
use super::table::HANDSHAKES;
use crate::bench::World;
use crate::bench::client::{Client, HOST};
use crate::bench::gateway::Gateway;
use crate::bench::pki::{Identity, Leaf};
use crate::bench::service::Service;

/// The host of the second certificate of `edge`.
const SECOND: &str = "b.example.com";
/// A host that the listener `lobby` alone serves, where a certificate is optional. It serves [`HOST`]
/// as well.
const LOBBY: &str = "c.example.com";

/// Where a ClientHello is cut into records.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// In two, so many bytes behind the begin of the `server_name` extension.
    At(usize),
    /// Each byte of it alone.
    EachByte,
}

/// `server_name` with this name: type, length, length of the list, kind, length, name.
fn extension_bytes(name: &str) -> usize {
    9 + name.len()
}

/// Stands between a client and the gateway and cuts the first record of the client.
async fn cutter(gateway: SocketAddr, name: &str, cut: Cut) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let name = name.to_owned();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut gateway = TcpStream::connect(gateway).await.expect("the gateway");
        gateway.set_nodelay(true).expect("an option");
        let mut head = [0; 5];
        client.read_exact(&mut head).await.expect("a record");
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let mut hello = vec![0; length];
        client.read_exact(&mut hello).await.expect("a ClientHello");
        for piece in pieces(&hello, &name, cut) {
            let length = u16::try_from(piece.len()).expect("a record").to_be_bytes();
            let record = [&head[..3], &length, piece].concat();
            // Each record in a segment of its own, as far as the kernel lets us.
            gateway.write_all(&record).await.expect("send");
            tokio::task::yield_now().await;
        }
        drop(tokio::io::copy_bidirectional(&mut client, &mut gateway).await);
    });
    address
}

fn pieces<'h>(hello: &'h [u8], name: &str, cut: Cut) -> Vec<&'h [u8]> {
    let found = hello
        .windows(name.len())
        .position(|part| part == name.as_bytes());
    let begin = found.expect("the name") - 9;
    match cut {
        Cut::At(place) => {
            let (first, second) = hello.split_at(begin + place);
            let pieces = [first, second].into_iter();
            pieces.filter(|piece| !piece.is_empty()).collect()
        }
        Cut::EachByte => hello.chunks(1).collect(),
    }
}

fn cuts(name: &str) -> Vec<Cut> {
    let each = (0..=extension_bytes(name)).map(Cut::At);
    each.chain([Cut::EachByte]).collect()
}

struct Stage {
    world: World,
    gateway: Gateway,
    second: Identity,
    _orders: Service,
}

impl Stage {
    /// `edge` wants a certificate and has two of its own; `lobby` does without, for another host.
    async fn new() -> Self {
        let world = World::new();
        let orders = world.orders().start().await;
        let second = world
            .edge_authority
            .issue(Leaf::server("second").dns(SECOND));
        second.write(&world.folder, "second");
        let lobby = world.edge_authority.issue(Leaf::server("lobby").dns(LOBBY));
        lobby.write(&world.folder, "lobby");
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        let edge = config.get("listeners.edge").clone();
        config.set("listeners.lobby", edge);
        config.set("listeners.lobby.tls.clients.certificate", "optional");
        let pair =
            |name: &str| json!({ "cert": format!("{name}.pem"), "key": format!("{name}.key") });
        let both = json!([pair("lobby"), pair("edge")]);
        config.set("listeners.lobby.tls.certificates", both);
        config.set("listeners.edge.tls.certificates.1", pair("second"));
        for (name, host) in [("second", SECOND), ("lobby", LOBBY)] {
            config.route(name, "/open/**", "orders");
            config.set(&format!("routes.{name}.match.host"), host);
        }
        let gateway = world.gateway_with(&config).await;
        Self {
            world,
            gateway,
            second,
            _orders: orders,
        }
    }

    /// A client of this listener and name whose ClientHello is cut.
    async fn cut(&self, client: Client, listener: &str, name: &str, cut: Cut) -> Client {
        let address = self.gateway.address(listener);
        client.name(name).address(cutter(address, name, cut).await)
    }

    fn web(&self) -> Client {
        self.gateway.client(&self.world.web())
    }

    fn nobody(&self) -> Client {
        self.gateway.anonymous()
    }
}

#[tokio::test]
async fn a_cut_name_selects_the_certificate_of_the_whole_name() {
    let stage = Stage::new().await;
    for (name, second) in [(HOST, false), (SECOND, true)] {
        for cut in cuts(name) {
            let client = stage.cut(stage.web(), "edge", name, cut).await;
            let mut connection = client.connect().await;
            let served = &connection.server_certificate();
            assert_eq!(served == stage.second.leaf(), second, "{name} {cut:?}");
            assert_eq!(
                connection.get("/open/x").await.status,
                200,
                "{name} {cut:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_cut_name_selects_the_policy_of_the_listener_that_was_asked() {
    let stage = Stage::new().await;
    let mut refused = 0.0;
    for version in [&TLS12, &TLS13] {
        for name in [HOST, SECOND] {
            for cut in cuts(name) {
                let nobody = stage.nobody().versions(&[version]);
                let nobody = stage.cut(nobody, "edge", name, cut).await;
                drop(nobody.rejection().await);
                refused += 1.0;
            }
        }
    }
    let missing = [("name", "edge"), ("reason", "certificate_missing")];
    let of_lobby = [("name", "lobby"), ("reason", "certificate_missing")];
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value(HANDSHAKES, &missing), refused);
    assert_eq!(metrics.value(HANDSHAKES, &of_lobby), 0.0);
    for cut in cuts(LOBBY) {
        let nobody = stage.cut(stage.nobody(), "lobby", LOBBY, cut).await;
        assert_eq!(nobody.get("/open/x").await.status, 200, "{cut:?}");
    }
}

#[tokio::test]
async fn a_cut_name_that_the_listener_does_not_serve_is_unknown_and_never_that_of_another() {
    let stage = Stage::new().await;
    let mut refused = 0.0;
    for (listener, name) in [
        ("edge", LOBBY), // the other listener's, with its weaker policy
        ("lobby", SECOND),
        ("edge", "d.example.com"),
        ("lobby", "d.example.com"),
    ] {
        for cut in cuts(name) {
            let client = stage.cut(stage.web(), listener, name, cut).await;
            let rejection = client.rejection().await;
            let want = Some(AlertDescription::UnrecognisedName);
            assert_eq!(alert_of(&rejection), want, "{listener} {name} {cut:?}");
            refused += 1.0;
        }
    }
    let unknown = [("reason", "unknown_server_name")];
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value(HANDSHAKES, &unknown), refused);
    assert_eq!(
        metrics.value(HANDSHAKES, &[("side", "downstream"), ("result", "ok")]),
        0.0
    );
}

/// A session of the listener that does without a certificate is worth nothing at the other.
#[tokio::test]
async fn a_cut_name_carries_no_session_to_a_listener_that_wants_more() {
    let stage = Stage::new().await;
    let (edge, lobby) = (
        stage.gateway.address("edge"),
        stage.gateway.address("lobby"),
    );
    for version in [&TLS12, &TLS13] {
        for cut in cuts(HOST) {
            let nobody = stage.nobody().versions(&[version]).resumption();
            let there = nobody.clone().address(lobby);
            assert_eq!(there.get("/open/x").await.status, 200);
            let there = nobody.clone().address(cutter(lobby, HOST, cut).await);
            assert!(there.connect().await.resumed(), "{cut:?}");
            let here = nobody.address(cutter(edge, HOST, cut).await);
            drop(here.rejection().await);
        }
    }
    let missing = [("name", "edge"), ("reason", "certificate_missing")];
    let refused = 2.0 * cuts(HOST).len() as f64;
    assert_eq!(
        stage.gateway.metrics().await.value(HANDSHAKES, &missing),
        refused
    );
}
