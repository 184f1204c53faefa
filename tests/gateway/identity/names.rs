//! Which names of a certificate count, and which do not.

use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::{HANDSHAKES, route_for};
use crate::bench::client::Rejection;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Request;
use crate::bench::pki::{Identity, Leaf};
use crate::bench::service::Service;
use crate::bench::{WEB_ID, World};

/// A gateway with one route for each kind of pattern.
async fn stage(world: &World) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    route_for(&mut config, "exact", &["spiffe://partners.example/web/a"]);
    route_for(&mut config, "below", &["spiffe://partners.example/web/*"]);
    route_for(&mut config, "domain", &["spiffe://partners.example/*"]);
    route_for(&mut config, "dns", &["dns:client.partners.example"]);
    route_for(
        &mut config,
        "either",
        &["dns:x.example", "spiffe://partners.example/web/b"],
    );
    let gateway = world.gateway_with(&config).await;
    (orders, gateway)
}

/// Asks for a path of the stage.
async fn status(gateway: &Gateway, identity: &Identity, route: &str) -> u16 {
    gateway
        .client(identity)
        .get(&format!("/{route}"))
        .await
        .status
}

#[tokio::test]
async fn a_pattern_lets_in_whom_it_means_and_nobody_else() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    let spiffe = |id: &str| world.partner(id);
    let dns = |name: &str| world.partners.issue(Leaf::client("x").dns(name));
    let cases = [
        (
            spiffe("spiffe://partners.example/web/a"),
            ["exact", "below", "domain"].as_slice(),
        ),
        (
            spiffe("spiffe://partners.example/web/b"),
            &["below", "domain", "either"],
        ),
        (
            spiffe("spiffe://partners.example/web/a/b"),
            &["below", "domain"],
        ),
        (spiffe("spiffe://partners.example/web"), &["domain"]),
        (spiffe("spiffe://partners.example/website"), &["domain"]),
        (spiffe("spiffe://partners.example/WEB/a"), &["domain"]),
        (
            spiffe("spiffe://partners.example/web/A"),
            &["below", "domain"],
        ),
        (spiffe("spiffe://partners.example.evil/web/a"), &[]),
        (spiffe("spiffe://evil.partners.example/web/a"), &[]),
        (spiffe("spiffe://other.example/web/a"), &[]),
        (dns("client.partners.example"), &["dns"]),
        (dns("CLIENT.Partners.example"), &["dns"]),
        (dns("x.example"), &["either"]),
        (dns("a.client.partners.example"), &[]),
        (dns("partners.example"), &[]),
        (dns("*.partners.example"), &[]),
    ];
    let mut passed = 0;
    for (identity, allowed) in &cases {
        for route in ["exact", "below", "domain", "dns", "either"] {
            let want = if allowed.contains(&route) { 200 } else { 403 };
            let names = x509_names(identity);
            assert_eq!(
                status(&gateway, identity, route).await,
                want,
                "{names} at {route}"
            );
            passed += usize::from(want == 200);
        }
    }
    assert_eq!(orders.requests().len(), passed);
}

fn x509_names(identity: &Identity) -> String {
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(identity.leaf()).expect("X.509");
    let names = certificate
        .subject_alternative_name()
        .expect("one")
        .expect("one");
    format!("{:?}", names.value.general_names)
}

#[tokio::test]
async fn a_name_of_both_kinds_is_both() {
    let world = World::new();
    let (_orders, gateway) = stage(&world).await;
    let both = Leaf::client("x")
        .spiffe(WEB_ID)
        .dns("client.partners.example");
    let both = world.partners.issue(both);
    assert_eq!(status(&gateway, &both, "exact").await, 200);
    assert_eq!(status(&gateway, &both, "dns").await, 200);
}

#[tokio::test]
async fn the_common_name_is_never_a_credential_and_stands_in_the_log() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    for common_name in [
        WEB_ID,
        "client.partners.example",
        "dns:client.partners.example",
    ] {
        let identity = world.partners.issue(Leaf::client(common_name));
        for route in ["exact", "below", "domain", "dns", "either"] {
            assert_eq!(
                status(&gateway, &identity, route).await,
                403,
                "{common_name} at {route}"
            );
        }
        let line = gateway
            .wait_for_event(|event| {
                event["target"] == "access" && event["common_name"] == common_name
            })
            .await;
        assert_eq!(line["reason"], "peer_not_allowed");
        assert_eq!(
            line["peer"],
            format!("sha256:{}", identity.fingerprint_hex())
        );
        assert_eq!(
            status(&gateway, &identity, "open/x").await,
            200,
            "any is any"
        );
        let told = orders.last_request();
        let want = format!("sha256:{}", identity.fingerprint_hex());
        assert_eq!(told.header("x-client-identity"), Some(want.as_str()));
        assert!(!String::from_utf8_lossy(&told.head).contains(common_name));
    }
}

#[tokio::test]
async fn a_certificate_without_names_is_nobody_and_still_a_client() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    let nameless = world.partners.issue(Leaf::client("nameless"));
    for route in ["exact", "below", "domain", "dns", "either"] {
        assert_eq!(status(&gateway, &nameless, route).await, 403, "{route}");
    }
    let forged = Request::get("/open/x").header("X-Client-Identity", WEB_ID);
    assert_eq!(gateway.client(&nameless).request(&forged).await.status, 200);
    let want = format!("sha256:{}", nameless.fingerprint_hex());
    assert_eq!(
        orders.only_request().headers.all("x-client-identity"),
        [want]
    );
}

#[tokio::test]
async fn a_spiffe_id_that_is_malformed_is_refused_in_the_handshake_and_never_read_as_none() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    let long = format!("spiffe://partners.example/web/{}", "a".repeat(2048));
    let malformed = [
        "spiffe://partners.example/web/a/",
        "spiffe://partners.example/web//a",
        "spiffe://partners.example//web/a",
        "spiffe://partners.example/web/../web/a",
        "spiffe://partners.example/web/./a",
        "spiffe://partners.example/web/a?x",
        "spiffe://partners.example/web/a#x",
        "spiffe://partners.example/web/%61",
        "spiffe://partners.example/web/*",
        "spiffe://partners.example:80/web/a",
        "spiffe://user@partners.example/web/a",
        "spiffe://Partners.example/web/a",
        "spiffe://partners.example\\/web/a",
        "spiffe://partners.example/web/a\0b",
        "SPIFFE://partners.example/web/a",
        "spiffe:partners.example/web/a",
        "spiffe:///web/a",
        "spiffe://partners.example",
        &long,
        // No SPIFFE ID is meant, and no URI has such characters.
        " spiffe://partners.example/web/a",
        "https://*.partners.example/web/a",
        "https://partners.example/web/\0",
    ];
    for text in malformed {
        let identity = world.partner(text);
        let rejection = gateway.client(&identity).rejection().await;
        assert!(
            matches!(rejection, Rejection::Tls(_)),
            "{text}: {rejection:?}"
        );
    }
    let metrics = gateway.metrics().await;
    let count = |reason| metrics.value(HANDSHAKES, &[("reason", reason)]);
    assert_eq!(count("invalid_spiffe_name"), 19.0);
    assert_eq!(count("certificate_malformed"), 3.0);
    assert!(orders.requests().is_empty());

    let other = world.partner("https://partners.example/web/%61");
    for route in ["exact", "below", "domain"] {
        assert_eq!(status(&gateway, &other, route).await, 403, "{route}");
    }
    assert_eq!(status(&gateway, &other, "open/x").await, 200);
    let want = format!("sha256:{}", other.fingerprint_hex());
    let told = orders.only_request();
    assert_eq!(told.header("x-client-identity"), Some(want.as_str()));
}

#[tokio::test]
async fn several_uris_without_a_spiffe_id_are_no_identity() {
    let world = World::new();
    let (_orders, gateway) = stage(&world).await;
    let leaf = Leaf::client("x")
        .spiffe("https://a.example/web/a")
        .spiffe("urn:uuid:0");
    let identity = world.partners.issue(leaf);
    assert_eq!(status(&gateway, &identity, "domain").await, 403);
    assert_eq!(status(&gateway, &identity, "open/x").await, 200);
}

fn many_names(count: usize) -> Leaf {
    let leaf = Leaf::client("x").spiffe(WEB_ID);
    (1..count).fold(leaf, |leaf, number| leaf.dns(&format!("n{number}.example")))
}

#[tokio::test]
async fn a_certificate_may_have_256_names_and_not_1_500() {
    let world = World::new();
    let (_orders, gateway) = stage(&world).await;
    let full = world.partners.issue(many_names(256));
    assert_eq!(status(&gateway, &full, "exact").await, 200);
    for version in [&TLS12, &TLS13] {
        let crowd = world.partners.issue(many_names(1_500));
        let rejection = gateway
            .client(&crowd)
            .versions(&[version])
            .rejection()
            .await;
        assert!(matches!(rejection, Rejection::Tls(_)), "{rejection:?}");
    }
    let refused = [("reason", "certificate_malformed")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &refused), 2.0);
    let line = gateway
        .wait_for_log(|line| line.contains("handshake failed"))
        .await;
    assert!(line.len() < 4_096, "{} bytes of log", line.len());
}

#[tokio::test]
async fn a_chain_may_be_long_and_not_endless() {
    let world = World::new();
    let (_orders, gateway) = stage(&world).await;
    let below = world
        .partners
        .intermediate("one")
        .intermediate("two")
        .intermediate("three");
    let honest = below.issue(Leaf::client("x").spiffe(WEB_ID));
    assert_eq!(status(&gateway, &honest, "exact").await, 200);
    let junk = (0..60).map(|n| {
        world
            .stranger
            .intermediate(&format!("junk {n}"))
            .der()
            .clone()
    });
    let mut chain = honest.chain.clone();
    chain.extend(junk);
    let rejection = gateway.client(&honest).chain(chain).rejection().await;
    assert!(matches!(rejection, Rejection::Tls(_)), "{rejection:?}");
}

#[tokio::test]
async fn an_optional_listener_lets_in_without_a_certificate_only_where_a_route_says_any() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("listeners.edge.tls.clients.certificate", "optional");
    route_for(
        &mut config,
        "named",
        &["spiffe://partners.example/*", "dns:x.example"],
    );
    let gateway = world.gateway_with(&config).await;
    for version in [&TLS12, &TLS13] {
        let nobody = gateway.anonymous().versions(&[version]);
        let forged = Request::get("/open/x")
            .header("X-Client-Identity", WEB_ID)
            .header("Client-Cert", ":AAAA:");
        assert_eq!(nobody.request(&forged).await.status, 200);
        let told = orders.last_request();
        assert!(!told.headers.has("x-client-identity") && !told.headers.has("client-cert"));
        assert_eq!(nobody.get("/named").await.status, 403);
        let somebody = gateway.client(&world.web()).versions(&[version]);
        assert_eq!(somebody.get("/named").await.status, 200);
        assert_eq!(
            orders.last_request().header("x-client-identity"),
            Some(WEB_ID)
        );
        // A certificate that does not verify is not taken for none.
        for bad in [
            world.stranger.issue(Leaf::client("x").spiffe(WEB_ID)),
            world
                .partners
                .issue(Leaf::client("x").spiffe(WEB_ID).expired()),
        ] {
            let rejection = gateway.client(&bad).versions(&[version]).rejection().await;
            assert!(matches!(rejection, Rejection::Tls(_)), "{rejection:?}");
        }
    }
    let refused = [("route", "named"), ("reason", "certificate_missing")];
    assert_eq!(
        gateway.metrics().await.value(super::REQUESTS, &refused),
        2.0
    );
}

#[tokio::test]
async fn a_session_without_a_certificate_is_resumed_without_one() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("listeners.edge.tls.clients.certificate", "optional");
    config.set(
        "routes.open.clients",
        json!(["spiffe://partners.example/*"]),
    );
    let gateway = world.gateway_with(&config).await;
    let nobody = gateway.anonymous().resumption();
    assert_eq!(nobody.get("/open/x").await.status, 403);
    let mut again = nobody.connect().await;
    assert!(again.resumed());
    assert_eq!(again.get("/open/x").await.status, 403);
}
