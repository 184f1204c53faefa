//! A service answers only if it proves the identity that the route expects.

use serde_json::json;

use super::{HANDSHAKES, UPSTREAM, refused};
use crate::bench::http1::Request;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::service::Service;
use crate::bench::{ORDERS_ID, ORDERS_NAME, World};

const BILLING_ID: &str = "spiffe://mesh.example/ns/shop/sa/billing";

#[tokio::test]
async fn another_identity_under_the_same_authority_gets_no_byte_and_is_named() {
    let world = World::new();
    let imposter = Leaf::server("imposter")
        .spiffe(BILLING_ID)
        .dns(ORDERS_NAME)
        .serial(0xcafe);
    let imposter = world.service_as(&world.mesh.issue(imposter)).start().await;
    let gateway = world.gateway(&imposter).await;
    let request = Request::post("/open/x", "secret");
    let answer = gateway.client(&world.web()).request(&request).await;
    assert_eq!(answer.status, 502);
    for private in ["billing", "orders", "spiffe", "127.0.0.1"] {
        assert!(!answer.text().contains(private), "{}", answer.text());
    }
    assert_eq!((imposter.bytes(), imposter.requests().len()), (0, 0));
    let mismatch = [
        UPSTREAM,
        ("name", "orders"),
        ("reason", "identity_mismatch"),
    ];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &mismatch), 1.0);
    assert_eq!(refused(&gateway, "upstream_identity_mismatch").await, 1.0);
    let line = gateway
        .wait_for_event(|event| event["reason"] == "identity_mismatch")
        .await;
    assert_eq!(line["side"], "upstream");
    assert_eq!(line["peer_address"], imposter.address.to_string());
    assert_eq!(line["sni"], ORDERS_NAME);
    assert_eq!(line["certificate_subject"], "CN=imposter");
    assert_eq!(line["certificate_issuer"], "CN=mesh");
    assert!(
        line["certificate_names"]
            .as_str()
            .expect("names")
            .contains(BILLING_ID),
        "{line}"
    );
    let line = gateway
        .wait_for_event(|event| event["target"] == "access")
        .await;
    assert!(
        line["endpoint_identity"]
            .as_str()
            .expect("who")
            .contains(BILLING_ID),
        "{line}"
    );
    assert_eq!(line["endpoint"], imposter.address.to_string());
}

#[tokio::test]
async fn the_right_identity_under_another_authority_gets_no_byte() {
    let world = World::new();
    for authority in [&world.stranger, &world.partners, &Authority::new("mesh")] {
        let imposter = Leaf::server("imposter").spiffe(ORDERS_ID).dns(ORDERS_NAME);
        let imposter = world.service_as(&authority.issue(imposter)).start().await;
        let gateway = world.gateway(&imposter).await;
        let answer = gateway
            .client(&world.web())
            .request(&Request::post("/open/x", "secret"))
            .await;
        assert_eq!(answer.status, 502);
        assert_eq!(imposter.bytes(), 0);
        assert_eq!(refused(&gateway, "upstream_handshake").await, 1.0);
        let line = gateway
            .wait_for_event(|event| event["target"] == "access")
            .await;
        assert!(
            line["endpoint_identity"]
                .as_str()
                .expect("who")
                .contains(ORDERS_ID),
            "{line}"
        );
    }
}

#[tokio::test]
async fn two_expectations_on_one_endpoint_never_share_a_connection() {
    let world = World::new();
    // It is both, so that either expectation alone is met.
    let both = Leaf::server("both")
        .spiffe(ORDERS_ID)
        .dns("billing.internal")
        .dns(ORDERS_NAME);
    let both = world.mesh.issue(both);
    let service = world.service_as(&both).start().await;
    let mut config = world.config();
    config.endpoints("orders", &[service.address]);
    config.set(
        "upstreams.orders.tls.accept",
        json!([ORDERS_ID, "dns:billing.internal"]),
    );
    config.upstream(
        "billing",
        service.address,
        ORDERS_NAME,
        &["dns:billing.internal"],
    );
    config.route("wide", "/wide", "orders");
    config.route("narrow", "/narrow", "orders");
    config.set("routes.narrow.accept", json!([ORDERS_ID]));
    config.route("billing", "/billing", "billing");
    let gateway = world.gateway_with(&config).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    for _ in 0..3 {
        for path in ["/wide", "/narrow", "/billing"] {
            assert_eq!(connection.get(path).await.status, 200);
        }
    }
    let requests = service.requests();
    let of = |path: &str| -> Vec<usize> {
        let mut of: Vec<_> = requests
            .iter()
            .filter(|request| request.target == path)
            .map(|request| request.connection)
            .collect();
        of.dedup();
        of
    };
    let (wide, narrow, billing) = (of("/wide"), of("/narrow"), of("/billing"));
    assert_eq!(
        (wide.len(), narrow.len(), billing.len()),
        (1, 1, 1),
        "each reuses its own"
    );
    assert!(
        wide != narrow && narrow != billing && billing != wide,
        "{requests:?}"
    );
    let resumed = service
        .handshakes()
        .iter()
        .filter(|handshake| handshake.resumed)
        .count();
    assert_eq!(resumed, 0, "nor a session");
}

#[tokio::test]
async fn a_route_that_is_narrower_than_its_upstream_is_held_to_its_own_words() {
    let world = World::new();
    let billing = world.service(BILLING_ID, "billing.internal").start().await;
    let mut config = world.config();
    config.endpoints("orders", &[billing.address]);
    config.set(
        "upstreams.orders.tls.accept",
        json!(["spiffe://mesh.example/ns/shop/*"]),
    );
    config.route("wide", "/wide", "orders");
    config.route("narrow", "/narrow", "orders");
    config.set("routes.narrow.accept", json!([ORDERS_ID]));
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/wide").await.status, 200);
    // The pool has a connection to this very endpoint now, and a session.
    assert_eq!(client.get("/narrow").await.status, 502);
    assert_eq!(client.get("/wide").await.status, 200);
    assert_eq!(billing.requests().len(), 2);
    assert_eq!(refused(&gateway, "upstream_identity_mismatch").await, 1.0);
}

#[tokio::test]
async fn names_and_pins_say_who_may_answer() {
    let world = World::new();
    let leaf = Leaf::server("service").spiffe(ORDERS_ID).dns(ORDERS_NAME);
    let identity = world.mesh.issue(leaf.clone());
    let renewed = world.mesh.issue_for(leaf.clone(), identity.duplicate().key);
    let other = world.mesh.issue(leaf);
    let service = world.service_as(&identity).start().await;
    let (pin, other_pin) = (
        format!("pin:sha256/{}", identity.pin()),
        format!("pin:sha256/{}", other.pin()),
    );
    let cases: [(&str, &[&str], u16); 10] = [
        ("spiffe", &[ORDERS_ID], 200),
        ("below", &["spiffe://mesh.example/ns/shop/*"], 200),
        ("dns", &["dns:orders.internal"], 200),
        ("pin", &[&pin], 200),
        ("one-of-two", &[&other_pin, "dns:orders.internal"], 200),
        ("other-spiffe", &[BILLING_ID], 502),
        ("other-below", &["spiffe://mesh.example/ns/bank/*"], 502),
        ("other-dns", &["dns:internal"], 502),
        ("other-pin", &[&other_pin], 502),
        ("none-of-two", &[&other_pin, "dns:a.orders.internal"], 502),
    ];
    let mut config = world.config();
    for (name, accept, _) in &cases {
        config.upstream(name, service.address, ORDERS_NAME, accept);
        config.route(name, &format!("/{name}"), name);
    }
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    for (name, _, want) in &cases {
        assert_eq!(
            client.get(&format!("/{name}")).await.status,
            *want,
            "{name}"
        );
    }
    let metrics = gateway.metrics().await;
    let count =
        |name, reason| metrics.value(HANDSHAKES, &[UPSTREAM, ("name", name), ("reason", reason)]);
    assert_eq!(count("other-pin", "pin_mismatch"), 1.0);
    assert_eq!(count("other-dns", "identity_mismatch"), 1.0);
    assert_eq!(service.requests().len(), 5);
    // A pin is of the key: a renewed certificate keeps it.
    service.set_identity(&renewed);
    let fresh = gateway.client(&world.web()).get("/pin").await;
    assert_eq!(fresh.status, 200);
}

#[tokio::test]
async fn the_service_sees_our_certificate_our_name_for_it_and_http_1_1() {
    let world = World::new();
    let orders = world.orders().alpn(&["http/1.1"]).start().await;
    let gateway = world.gateway(&orders).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        200
    );
    assert_eq!(
        orders.only_request().peer,
        world.gateway_identity.fingerprint()
    );
    let handshake = orders.handshakes().remove(0);
    assert_eq!(handshake.server_name.as_deref(), Some(ORDERS_NAME));
    assert_eq!(handshake.alpn.as_deref(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn a_service_that_does_not_take_our_certificate_is_a_failed_handshake() {
    let world = World::new();
    let identity = world.mesh.issue(Leaf::server("x").spiffe(ORDERS_ID));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let service = Service::builder(&identity, &world.stranger).versions(&[version]);
        let service = service.start().await;
        let gateway = world.gateway(&service).await;
        let answer = gateway.client(&world.web()).get("/open/x").await;
        assert_eq!(answer.status, 502, "{version:?}");
        assert_eq!(service.requests().len(), 0);
        let alert = [UPSTREAM, ("reason", "alert_unknown_ca")];
        gateway
            .wait_for_metric(HANDSHAKES, &alert, |count| count == 1.0)
            .await;
        assert_eq!(refused(&gateway, "upstream_handshake").await, 1.0);
    }
}

#[tokio::test]
async fn a_pooled_connection_is_not_used_after_the_services_certificate_ended() {
    let world = World::new();
    let leaf = Leaf::server("short").spiffe(ORDERS_ID).valid(-60, 3);
    let ended = tokio::time::Instant::now() + std::time::Duration::from_secs(4);
    let service = world.service_as(&world.mesh.issue(leaf)).start().await;
    let gateway = world.gateway(&service).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    let told = service.bytes();
    tokio::time::sleep_until(ended).await; // what is awaited is the time itself
    assert_eq!(client.get("/open/x").await.status, 502);
    assert_eq!(client.get("/open/x").await.status, 502);
    assert_eq!(service.bytes(), told);
}

#[tokio::test]
async fn a_connection_of_before_is_not_used_after_its_authority_was_removed() {
    let world = World::new();
    let other = Authority::new("other mesh");
    world.folder.write(
        "mesh-ca.pem",
        format!("{}{}", world.mesh.pem(), other.pem()),
    );
    let service = other.issue(Leaf::server("x").spiffe(ORDERS_ID));
    let service = world.service_as(&service).start().await;
    let gateway = world.gateway(&service).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    let told = service.bytes();
    let pem = world.mesh.pem().to_owned();
    gateway
        .reload_by(|| drop(world.folder.write("mesh-ca.pem", pem)))
        .await;
    assert_eq!(client.get("/open/x").await.status, 502);
    assert_eq!(service.bytes(), told);
    let unknown = [UPSTREAM, ("reason", "unknown_issuer")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &unknown), 1.0);
}
