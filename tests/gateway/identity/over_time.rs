//! What was verified once does not count for ever: sessions that are resumed, connections that
//! stay open, certificates that end, authorities that are removed.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tokio::time::{Instant, sleep_until};

use super::HANDSHAKES;
use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::pki::{Authority, Identity, Leaf};
use crate::bench::service::Service;
use crate::bench::{WEB_ID, World};

const REMOVED_ID: &str = "spiffe://removed.example/web/a";

/// A gateway that trusts `partners` and another authority, which is given back.
async fn with_two_authorities(world: &World) -> (Service, Gateway, Authority) {
    let removed = Authority::new("removed");
    world.folder.write(
        "partners-ca.pem",
        format!("{}{}", world.partners.pem(), removed.pem()),
    );
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    (orders, gateway, removed)
}

async fn remove_the_other(world: &World, gateway: &Gateway) {
    let pem = world.partners.pem().to_owned();
    let reloaded = gateway
        .reload_by(|| drop(world.folder.write("partners-ca.pem", pem)))
        .await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
}

/// A client whose certificate ends in a few seconds, and when it has ended for certain.
fn short_lived(world: &World, seconds: i64) -> (Identity, Instant) {
    let identity = world
        .partners
        .issue(Leaf::client("short").spiffe(WEB_ID).valid(-60, seconds));
    let lifetime = Duration::from_secs(seconds.unsigned_abs() + 1);
    (identity, Instant::now() + lifetime)
}

#[tokio::test]
async fn a_resumed_session_keeps_the_clients_identity() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    for version in [&TLS12, &TLS13] {
        for id in [WEB_ID, "spiffe://partners.example/web/b"] {
            let client = gateway
                .client(&world.partner(id))
                .versions(&[version])
                .resumption();
            for resumed in [false, true, true] {
                let mut connection = client.connect().await;
                assert_eq!(connection.resumed(), resumed, "{version:?}");
                assert_eq!(connection.get("/open/x").await.status, 200);
                assert_eq!(orders.last_request().header("x-client-identity"), Some(id));
            }
        }
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_for_another_host() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.route("below", "/open/**", "orders");
    config.set("routes.below.match.host", "*.example.org");
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web()).resumption();
    assert_eq!(client.get("/open/x").await.status, 200);
    let other = client.name("x.example.org");
    let mut connection = other.connect().await;
    assert!(!connection.resumed());
    assert_eq!(connection.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn a_session_ends_with_the_authority_of_its_certificate() {
    let world = World::new();
    let (orders, gateway, removed) = with_two_authorities(&world).await;
    let theirs = removed.issue(Leaf::client("x").spiffe(REMOVED_ID));
    let mut clients = Vec::new();
    for version in [&TLS12, &TLS13] {
        let client = gateway.client(&theirs).versions(&[version]).resumption();
        assert_eq!(client.get("/open/x").await.status, 200);
        assert!(client.connect().await.resumed());
        clients.push(client);
    }
    let ours = gateway.client(&world.web()).resumption();
    assert_eq!(ours.get("/open/x").await.status, 200);
    remove_the_other(&world, &gateway).await;
    let before = orders.requests().len();
    for client in clients {
        let rejection = client.rejection().await;
        assert!(
            matches!(rejection, crate::bench::client::Rejection::Tls(_)),
            "{rejection:?}"
        );
    }
    let unknown = [("side", "downstream"), ("reason", "unknown_issuer")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &unknown), 2.0);
    assert_eq!(orders.requests().len(), before);
    assert_eq!(
        ours.get("/open/x").await.status,
        200,
        "the others shake hands anew"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_certificate() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let (identity, ended) = short_lived(&world, 3);
    let mut clients = Vec::new();
    for version in [&TLS12, &TLS13] {
        let client = gateway.client(&identity).versions(&[version]).resumption();
        assert_eq!(client.get("/open/x").await.status, 200);
        assert!(client.connect().await.resumed());
        clients.push(client);
    }
    sleep_until(ended).await; // what is awaited is the time itself
    for client in clients {
        drop(client.rejection().await);
    }
    let expired = [("side", "downstream"), ("reason", "certificate_expired")];
    gateway
        .wait_for_metric(HANDSHAKES, &expired, |count| count == 2.0)
        .await;
    let line = gateway
        .wait_for_event(|event| event["reason"] == "certificate_expired")
        .await;
    assert_eq!(line["certificate_subject"], "CN=short");
    assert_eq!(line["sni"], "api.example.com");
}

#[tokio::test]
async fn an_open_connection_ends_with_an_authority_in_the_middle_of_its_chain() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let ended = Instant::now() + Duration::from_secs(4);
    let middle = world.partners.intermediate_with("middle", |params| {
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(3);
    });
    let client = gateway
        .client(&middle.issue(Leaf::client("x").spiffe(WEB_ID)))
        .resumption();
    let mut connection = client.connect().await;
    assert_eq!(connection.get("/open/x").await.status, 200);
    sleep_until(ended).await; // what is awaited is the time itself
    let before = orders.requests().len();
    drop(client.rejection().await);
    let expired = [("side", "downstream"), ("reason", "certificate_expired")];
    gateway
        .wait_for_metric(HANDSHAKES, &expired, |count| count == 1.0)
        .await;
    connection.closed().await;
    assert_eq!(orders.requests().len(), before);
}
