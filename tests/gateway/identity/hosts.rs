//! A connection is for the host that it was opened for: SNI, or the names of the certificate that
//! was served. Every request on it must name that host, in whatever spelling.

use rustls::pki_types::CertificateDer;

use super::REQUESTS;
use crate::bench::client::{Client, HOST};
use crate::bench::gateway::Gateway;
use crate::bench::http1::Request;
use crate::bench::pki::{Identity, Leaf};
use crate::bench::raw_h2::{self, RawH2};
use crate::bench::service::Service;
use crate::bench::{World, within};

const SECOND: &str = "b.example.com";
const IDN: &str = "xn--bcher-kva.example";

struct Stage {
    world: World,
    orders: Service,
    gateway: Gateway,
    second: Identity,
}

impl Stage {
    /// A listener with two certificates, and routes for every host of them.
    async fn new() -> Self {
        let world = World::new();
        let orders = world.orders().start().await;
        let second = Leaf::server("second")
            .dns(SECOND)
            .dns(IDN)
            .ip("::1")
            .ip("127.0.0.1");
        let second = world.edge_authority.issue(second);
        second.write(&world.folder, "second");
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        config.set("listeners.edge.tls.certificates.1.cert", "second.pem");
        config.set("listeners.edge.tls.certificates.1.key", "second.key");
        for (name, host) in [
            ("second", SECOND),
            ("idn", "bücher.example"),
            ("below", "*.example.org"),
        ] {
            config.route(name, "/open/**", "orders");
            config.set(&format!("routes.{name}.match.host"), host);
        }
        let gateway = world.gateway_with(&config).await;
        Self {
            world,
            orders,
            gateway,
            second,
        }
    }

    fn client(&self) -> Client {
        self.gateway.client(&self.world.web())
    }

    async fn misdirected(&self) -> f64 {
        let labels = [("reason", "misdirected")];
        self.gateway.metrics().await.value(REQUESTS, &labels)
    }
}

fn served(connection: &crate::bench::client::Connection) -> CertificateDer<'static> {
    connection.server_certificate()
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_that_the_client_asks_for() {
    let stage = Stage::new().await;
    for (name, second) in [
        (HOST, false),
        (SECOND, true),
        ("x.example.org", false),
        (IDN, true),
    ] {
        let mut connection = stage.client().name(name).connect().await;
        assert_eq!(
            &served(&connection) == stage.second.leaf(),
            second,
            "{name}"
        );
        assert_eq!(connection.get("/open/x").await.status, 200, "{name}");
    }
    let connection = stage.client().without_sni().connect().await;
    assert_ne!(
        &served(&connection),
        stage.second.leaf(),
        "without a name it is the first"
    );
}

/// Requests on a connection for [`HOST`]: the value of `Host`, and the status.
const SPELLINGS: &[(&str, u16)] = &[
    (HOST, 200),
    ("API.Example.COM", 200),
    ("api.example.com.", 200),
    ("api.example.com:8443", 200),
    ("API.EXAMPLE.COM.:443", 200),
    (SECOND, 421),
    ("B.EXAMPLE.COM.:443", 421),
    ("x.example.org", 421),
    ("example.com", 421),
    ("xapi.example.com", 421),
    ("x.api.example.com", 421),
    ("api.example.com.evil.example", 421),
    ("api.example.co", 421),
    ("127.0.0.1", 421),
    ("[::1]", 421),
    ("[::1]:443", 421),
    (IDN, 421),
    ("unknown.example", 421),
    ("api.example.com..", 400),
    ("api.example.com,b.example.com", 400),
    ("api.example.com:443:443", 400),
    ("api.example.com:0", 400),
    ("api.example.com:99999", 400),
    ("api.example.com:", 400),
    ("api.example.com@b.example.com", 400),
    ("api.example.com/b", 400),
    ("[api.example.com]", 400),
    ("::1", 400),
    ("[::1", 400),
    ("*.example.com", 400),
    (".", 400),
];

#[tokio::test]
async fn every_request_of_http_1_names_the_host_of_its_connection() {
    let stage = Stage::new().await;
    let mut connection = stage.client().connect().await;
    for (host, want) in SPELLINGS {
        let request = Request::get("/open/x").host(host);
        let answer = match connection.try_request(&request).await {
            Ok(answer) => answer,
            Err(_closed) => {
                connection = stage.client().connect().await;
                connection.request(&request).await
            }
        };
        assert_eq!(answer.status, *want, "{host:?}: {}", answer.text());
        if answer.header("connection") == Some("close") {
            connection = stage.client().connect().await;
        }
    }
    let passed = SPELLINGS.iter().filter(|(_, want)| *want == 200).count();
    let elsewhere = SPELLINGS.iter().filter(|(_, want)| *want == 421).count();
    assert_eq!(stage.orders.requests().len(), passed);
    assert_eq!(stage.misdirected().await, elsewhere as f64);
}

#[tokio::test]
async fn every_stream_of_h2_names_the_host_of_its_connection() {
    let stage = Stage::new().await;
    let mut raw = RawH2::start(&stage.client().alpn(&["h2"])).await;
    let mut stream = 1;
    for (host, want) in SPELLINGS {
        raw.headers(stream, &raw_h2::get(host, "/open/x"), true)
            .await
            .expect("send");
        let answer = raw
            .until(|frame| {
                frame.stream == stream && matches!(frame.kind, raw_h2::HEADERS | raw_h2::RST_STREAM)
            })
            .await;
        // What is no authority at all is a stream error to the library (RFC 9113, section 8.3.1).
        let reset = answer.kind == raw_h2::RST_STREAM;
        let status = if reset {
            400
        } else {
            answer.status().unwrap_or(0)
        };
        assert_eq!(status, *want, "{host:?}");
        stream += 2;
    }
    let passed = SPELLINGS.iter().filter(|(_, want)| *want == 200).count();
    assert_eq!(stage.orders.requests().len(), passed);
    let elsewhere = SPELLINGS.iter().filter(|(_, want)| *want == 421).count();
    assert_eq!(stage.misdirected().await, elsewhere as f64);
}

#[tokio::test]
async fn an_authority_and_a_host_that_differ_are_refused() {
    let stage = Stage::new().await;
    let mut raw = RawH2::start(&stage.client().alpn(&["h2"])).await;
    let mut fields = raw_h2::get(HOST, "/open/x");
    fields.push(("host", SECOND));
    raw.headers(1, &fields, true).await.expect("send");
    assert_eq!(raw.status(1).await, 400);
    assert!(stage.orders.requests().is_empty());
}

#[tokio::test]
async fn a_connection_without_a_name_may_only_ask_for_what_the_served_certificate_names() {
    let stage = Stage::new().await;
    for (host, want) in [
        (HOST, 200),
        ("API.example.com.:443", 200),
        ("x.example.org", 200),
        ("x.y.example.org", 421),
        ("example.org", 421),
        (SECOND, 421),
        (IDN, 421),
        ("[::1]", 421),
        ("127.0.0.1", 421),
        ("unknown.example", 421),
    ] {
        let client = stage.client().without_sni();
        let request = Request::get("/open/x").host(host);
        assert_eq!(client.request(&request).await.status, want, "{host}");
        let mut h2 = client.connect_h2().await;
        assert_eq!(h2.request(&request).await.status, want, "h2: {host}");
    }
}

#[tokio::test]
async fn an_international_name_is_one_host_in_all_its_spellings() {
    let stage = Stage::new().await;
    let mut connection = stage.client().name(IDN).connect().await;
    for (host, want) in [
        (IDN, 200),
        ("XN--BCHER-KVA.example.", 200),
        ("bucher.example", 421),
    ] {
        let answer = connection
            .request(&Request::get("/open/x").host(host))
            .await;
        assert_eq!(answer.status, want, "{host}");
    }
    // Not ASCII: RFC 9110 gives `Host` no such bytes.
    let answer = connection
        .request(&Request::get("/open/x").host("bücher.example"))
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn an_address_is_a_host_where_the_certificate_names_it() {
    let world = World::new();
    let orders = world.orders().start().await;
    let edge = Leaf::server("edge").ip("::1").ip("127.0.0.1");
    world
        .edge_authority
        .issue(edge)
        .write(&world.folder, "edge");
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    for (name, host) in [("six", "::1"), ("four", "127.0.0.1")] {
        config.route(name, "/open/**", "orders");
        config.set(&format!("routes.{name}.match.host"), host);
    }
    let gateway = world.gateway_with(&config).await;
    // A client that asks for an address sends no SNI (RFC 6066, section 3).
    let client = gateway.client(&world.web()).name("127.0.0.1");
    for (host, want) in [
        ("[::1]", 200),
        ("[::1]:8443", 200),
        ("[0:0:0:0:0:0:0:1]", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:8443", 200),
        ("[::ffff:127.0.0.1]", 200),
        ("[::2]", 421),
        ("127.0.0.2", 421),
        (HOST, 421),
        ("127.1", 400),
        ("0x7f.0.0.1", 400),
        ("127.0.0.1.", 400),
    ] {
        let answer = client.request(&Request::get("/open/x").host(host)).await;
        assert_eq!(answer.status, want, "{host}");
    }
}

#[tokio::test]
async fn a_refused_host_leaves_the_connection_to_the_right_one() {
    let stage = Stage::new().await;
    let mut h2 = stage.client().connect_h2().await;
    let right = Request::get("/open/x");
    let wrong = Request::get("/open/x").host(SECOND);
    for (request, want) in [(&right, 200), (&wrong, 421), (&right, 200), (&wrong, 421)] {
        let answer = within("an answer", h2.request(request)).await;
        assert_eq!(answer.status, want);
    }
}
