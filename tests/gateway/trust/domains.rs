//! Several bundles: each trust domain is verified against its own.

use rustls::AlertDescription::{BadCertificate, UnknownCA};
use serde_json::json;

use super::{HANDSHAKES, passes, refused, started};
use crate::bench::gateway::Reloaded;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::{ORDERS_ID, WEB_ID, World};

#[tokio::test]
async fn at_the_edge_no_ca_vouches_for_another_trust_domain() {
    let world = World::new();
    let suppliers = Authority::new("suppliers");
    let devices = Authority::new("devices");
    world.folder.write("suppliers.pem", suppliers.pem());
    world.folder.write("devices.pem", devices.pem());
    let (orders, gateway) = started(&world, |config| {
        config.set("trust.partners.trust_domain", "partners.example");
        config.set(
            "trust.suppliers",
            json!({ "ca": ["suppliers.pem"], "trust_domain": "suppliers.example" }),
        );
        config.set(
            "trust.devices",
            json!({ "ca": "devices.pem", "trust_domain": "none" }),
        );
        config.set(
            "listeners.edge.tls.clients.trust",
            json!(["partners", "suppliers", "devices"]),
        );
    })
    .await;
    let by = |ca: &Authority, id: &str| gateway.client(&ca.issue(Leaf::client("x").spiffe(id)));
    let bare = |ca: &Authority| gateway.client(&ca.issue(Leaf::client("x").dns("x.example")));
    let partner = "spiffe://partners.example/web/a";
    let supplier = "spiffe://suppliers.example/x";
    passes(&by(&world.partners, partner)).await;
    passes(&by(&suppliers, supplier)).await;
    passes(&bare(&devices)).await;
    let strange = "spiffe://strange.example/x";
    for (client, reason, alert) in [
        (by(&suppliers, partner), "unknown_issuer", UnknownCA),
        (by(&world.partners, supplier), "unknown_issuer", UnknownCA),
        (by(&devices, partner), "unknown_issuer", UnknownCA),
        (bare(&world.partners), "unknown_issuer", UnknownCA),
        (
            by(&world.partners, strange),
            "unknown_trust_domain",
            UnknownCA,
        ),
        (by(&devices, strange), "unknown_trust_domain", UnknownCA),
        (
            by(&devices, "spiffe://Partners.example/web/a"),
            "invalid_spiffe_name",
            BadCertificate,
        ),
        (
            by(&devices, "spiffe:partners.example"),
            "invalid_spiffe_name",
            BadCertificate,
        ),
    ] {
        refused(&gateway, &client, reason, alert).await;
    }
    assert_eq!(orders.requests().len(), 3);
}

#[tokio::test]
async fn towards_services_no_ca_vouches_for_another_trust_domain() {
    let world = World::new();
    world.folder.write("stranger.pem", world.stranger.pem());
    // A CA that we believe for its own trust domain makes a certificate of the mesh.
    let forged = world
        .stranger
        .issue(Leaf::server("orders").spiffe(ORDERS_ID));
    let forger = world.service_as(&forged).start().await;
    let honest = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[honest.address]);
    config.set("trust.mesh.trust_domain", "mesh.example");
    config.set(
        "trust.other",
        json!({ "ca": "stranger.pem", "trust_domain": "other.example" }),
    );
    config.set("upstreams.orders.tls.trust", json!(["other", "mesh"]));
    let mut second = config.get("upstreams.orders").clone();
    second["endpoints"] = json!([forger.address.to_string()]);
    config.set("upstreams.forged", second);
    config.route("forged", "/forged", "forged");
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    passes(&client).await;
    assert_eq!(client.get("/forged").await.status, 502);
    assert_eq!(forger.bytes(), 0);
    let labels = [
        ("side", "upstream"),
        ("name", "forged"),
        ("reason", "unknown_issuer"),
    ];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &labels), 1.0);
}

#[tokio::test]
async fn a_ca_of_one_trust_domain_writes_no_names_for_another() {
    let world = World::new();
    let devices = Authority::new("devices");
    world.folder.write("devices.pem", devices.pem());
    let (_orders, gateway) = started(&world, |config| {
        config.set("trust.partners.trust_domain", "partners.example");
        config.set(
            "trust.devices",
            json!({ "ca": "devices.pem", "trust_domain": "none" }),
        );
        config.set(
            "listeners.edge.tls.clients.trust",
            json!(["partners", "devices"]),
        );
        config.set(
            "routes.open.clients",
            json!(["dns:till.devices.example", "subject:CN=till"]),
        );
    })
    .await;
    let till = devices.issue(Leaf::client("x").dns("till.devices.example"));
    passes(&gateway.client(&till)).await;
    passes(&gateway.client(&devices.issue(Leaf::client("till")))).await;
    let partner = "spiffe://partners.example/web/a";
    for leaf in [
        Leaf::client("x").dns("till.devices.example"),
        Leaf::client("till"),
    ] {
        let answer = gateway.client(&world.partners.issue(leaf.spiffe(partner)));
        let answer = answer.get("/open/x").await;
        assert_eq!(answer.status, 403);
        let reason = gateway.reason(&answer).await;
        assert_eq!(reason.as_deref(), Some("peer_not_allowed"));
    }
}

#[tokio::test]
async fn towards_services_a_ca_of_one_trust_domain_writes_no_names_for_another() {
    let world = World::new();
    let partners = Authority::new("other services");
    world.folder.write("others.pem", partners.pem());
    let name = "orders.mesh.example";
    let leaf = || Leaf::server("x").dns(name);
    let forged = partners.issue(leaf().spiffe("spiffe://others.example/x"));
    let plain = world.mesh.issue(leaf());
    for (identity, status) in [(forged, 502), (plain, 200)] {
        let orders = world.service_as(&identity).start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        config.set("trust.mesh.trust_domain", "none");
        config.set(
            "trust.others",
            json!({ "ca": "others.pem", "trust_domain": "others.example" }),
        );
        config.set("upstreams.orders.tls.trust", json!(["mesh", "others"]));
        config.set(
            "upstreams.orders.tls.accept",
            json!([format!("dns:{name}")]),
        );
        let gateway = world.gateway_with(&config).await;
        let answer = gateway.client(&world.web()).get("/open/x").await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_connection_does_not_keep_names_for_which_nobody_vouches_any_more() {
    let world = World::new();
    let devices = Authority::new("devices");
    world.folder.write("devices.pem", devices.pem());
    let names = json!(["dns:till.devices.example"]);
    let (_orders, mut gateway) = started(&world, |config| {
        config.set("trust.partners.trust_domain", "partners.example");
        config.set("routes.open.clients", names);
    })
    .await;
    let both = Leaf::client("x").dns("till.devices.example");
    let both = world.partners.issue(both.spiffe(WEB_ID));
    let client = gateway.client(&both);
    let mut open = client.connect().await;
    assert_eq!(open.get("/open/x").await.status, 200);
    let mut config = gateway.config.clone();
    config.set(
        "trust.devices",
        json!({ "ca": "devices.pem", "trust_domain": "none" }),
    );
    config.set(
        "listeners.edge.tls.clients.trust",
        json!(["partners", "devices"]),
    );
    assert_eq!(gateway.reload(&config).await, Reloaded::Applied(2));
    assert!(open.closed().await.is_empty());
    assert_eq!(client.get("/open/x").await.status, 403);
}
