//! A certificate that ends, and a grace that ends, while the connection is open.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tokio::time::{Instant, sleep_until};

use super::{HANDSHAKES, route};
use crate::bench::pki::Leaf;
use crate::bench::{WEB_ID, World};
use crate::revocation::sent_away;

#[tokio::test]
async fn a_connection_outlives_its_certificate_by_the_grace_of_the_route_and_not_longer() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    route(&mut config, "late", "grace_after_expiry", "4s");
    let gateway = world.gateway_with(&config).await;
    let leaf = Leaf::client("short").spiffe(WEB_ID).valid(-60, 3);
    let began = Instant::now();
    let identity = world.partners.issue(leaf);
    let client = gateway.client(&identity).resumption();
    let (mut h1, mut h2) = (client.connect().await, client.connect_h2().await);
    let marked = || {
        orders
            .last_request()
            .headers
            .has("x-client-certificate-expired")
    };

    assert_eq!(h1.get("/late/x").await.status, 200);
    assert!(!marked());
    assert_eq!(h2.get("/late/x").await.status, 200);
    assert!(!marked());
    assert_eq!(h1.get("/open/x").await.status, 200);

    sleep_until(began + Duration::from_secs(4)).await; // what is awaited is the time itself
    assert_eq!(h1.get("/late/x").await.status, 200);
    assert!(marked());
    assert_eq!(h2.get("/late/x").await.status, 200);
    assert!(marked());
    assert_eq!(h2.get("/open/x").await.status, 403);
    let mut resumed = client.connect().await;
    assert!(resumed.resumed());
    assert_eq!(resumed.get("/late/x").await.status, 200);
    assert!(marked());

    // Sessions that begin within the grace resume within it, and not a moment longer.
    let mut late = Vec::new();
    for version in [&TLS12, &TLS13] {
        let client = gateway.client(&identity).versions(&[version]).resumption();
        for resumed in [false, true] {
            let mut connection = client.connect().await;
            assert_eq!(connection.resumed(), resumed, "{version:?}");
            assert_eq!(connection.get("/late/x").await.status, 200);
        }
        late.push(client);
    }

    sleep_until(began + Duration::from_secs(9)).await; // what is awaited is the time itself
    let before = orders.requests().len();
    assert!(h1.closed().await.is_empty());
    sent_away(&mut h2).await;
    assert!(resumed.closed().await.is_empty());
    drop(client.rejection().await);
    for client in &late {
        drop(client.rejection().await);
    }
    let expired = [("side", "downstream"), ("reason", "certificate_expired")];
    gateway
        .wait_for_metric(HANDSHAKES, &expired, |count| count == 3.0)
        .await;
    assert_eq!(orders.requests().len(), before);
}
