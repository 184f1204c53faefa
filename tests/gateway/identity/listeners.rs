//! Several listeners of one gateway: each verifies clients by its own bundle and its own policy, and
//! a session of one is void on the other.

use serde_json::json;

use super::HANDSHAKES;
use crate::bench::World;
use crate::bench::pki::{Authority, Leaf};

#[tokio::test]
async fn each_listener_lets_in_its_own_clients_and_no_others() {
    let world = World::new();
    let orders = world.orders().start().await;
    let staff = Authority::new("Staff CA");
    std::fs::write(world.folder.path().join("staff-ca.pem"), staff.pem()).expect("a file");
    let clerk = staff.issue(Leaf::client("clerk").spiffe("spiffe://staff.example/clerk"));
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("trust.staff", json!({ "ca": "staff-ca.pem" }));
    config.set(
        "listeners.inside",
        json!({
            "address": "127.0.0.1:0",
            "tls": {
                "certificates": [{ "cert": "edge.pem", "key": "edge.key" }],
                "clients": { "certificate": "optional", "trust": "staff" },
            },
        }),
    );
    let gateway = world.gateway_with(&config).await;
    let inside = gateway.address("inside");
    let web = world.web();

    // Each is let in where it belongs.
    let partner = gateway.client(&web).resumption();
    assert_eq!(partner.get("/open/x").await.status, 200);
    let staff_client = gateway.client(&clerk).address(inside);
    assert_eq!(staff_client.get("/open/x").await.status, 200);
    // And nowhere else: not with its certificate, and not with a session of the other listener.
    gateway.client(&clerk).rejection().await;
    partner.clone().address(inside).rejection().await;
    // `optional` is said of one listener alone.
    assert_eq!(
        gateway
            .anonymous()
            .address(inside)
            .get("/open/x")
            .await
            .status,
        200
    );
    gateway.anonymous().rejection().await;

    let metrics = gateway.metrics().await;
    let failed = |name: &str, reason: &str| {
        let labels = [
            ("side", "downstream"),
            ("name", name),
            ("result", "failed"),
            ("reason", reason),
        ];
        metrics.value(HANDSHAKES, &labels)
    };
    assert_eq!(failed("edge", "unknown_issuer"), 1.0);
    assert_eq!(failed("edge", "certificate_missing"), 1.0);
    assert_eq!(failed("inside", "unknown_issuer"), 1.0);
    assert_eq!(failed("inside", "certificate_missing"), 0.0);
}
