//! Key material is taken for itself: neither a configuration that is half edited nor another file
//! that is broken holds it up.

use crate::bench::World;
use crate::bench::gateway::{GENERATION, REFRESHES, Reloaded};
use crate::bench::pki::{Identity, Leaf};

use super::{reloads, started};

const SOURCE_RELOADS: &str = "portcullis_source_reloads_total";
const EDGE: &str = "listeners.edge.tls.certificates[0]";

fn edge(world: &World, serial: u64) -> Identity {
    let leaf = Leaf::server("edge").dns("api.example.com").serial(serial);
    world.edge_authority.issue(leaf)
}

#[tokio::test]
async fn a_configuration_that_is_half_edited_holds_no_certificate_and_no_ca_up() {
    let world = World::new();
    let (_orders, mut gateway) = started(&world).await;
    let client = gateway.client(&world.web());
    assert_eq!(
        gateway.reload_text("version: 1\nroutes: [").await,
        Reloaded::Refused
    );
    assert_eq!(reloads(&gateway, "problems").await, 1.0);

    // The certificate.
    let renewed = edge(&world, 0x77);
    let generation = gateway.metrics().await.value(GENERATION, &[]);
    renewed.write(&world.folder, "edge");
    let labels = [("place", EDGE), ("kind", "file"), ("result", "ok")];
    gateway
        .wait_for_metric(SOURCE_RELOADS, &labels, |taken| taken == 1.0)
        .await;
    gateway
        .wait_for_metric(GENERATION, &[], |now| now > generation)
        .await;
    let connection = client.connect().await;
    assert_eq!(&connection.server_certificate(), renewed.leaf());

    // The CA: whom it no longer vouches for is out, though the file of routes is still broken.
    let generation = gateway.metrics().await.value(GENERATION, &[]);
    world.folder.write("partners-ca.pem", world.stranger.pem());
    gateway
        .wait_for_metric(GENERATION, &[], |now| now > generation)
        .await;
    client.rejection().await;
    assert_eq!(
        reloads(&gateway, "ok").await,
        0.0,
        "the configuration was never taken"
    );
    let refreshed = gateway
        .metrics()
        .await
        .value(REFRESHES, &[("result", "ok")]);
    assert!(refreshed >= 1.0, "{refreshed}");
}

#[tokio::test]
async fn a_broken_file_holds_no_other_up_and_the_last_good_of_its_own_stays() {
    let world = World::new();
    let (orders, gateway) = started(&world).await;
    let good = std::fs::read(world.folder.path().join("gateway.key")).expect("the key");
    let refused = gateway
        .reload_by(|| drop(world.folder.write("gateway.key", "half a k")))
        .await;
    assert_eq!(refused, Reloaded::Refused);
    let labels = [("place", "identities.gateway"), ("result", "refused")];
    gateway
        .wait_for_metric(SOURCE_RELOADS, &labels, |count| count >= 1.0)
        .await;
    let line = gateway
        .wait_for_event(|event| event["place"] == "identities.gateway" && event["level"] == "ERROR")
        .await;
    let problem = line["problem"].as_str().expect("a problem");
    assert!(problem.contains("gateway.key"), "{problem}");
    assert!(
        line["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
        "{line}"
    );

    let renewed = edge(&world, 0x78);
    renewed.write(&world.folder, "edge");
    let labels = [("place", EDGE), ("result", "ok")];
    gateway
        .wait_for_metric(SOURCE_RELOADS, &labels, |taken| taken == 1.0)
        .await;
    let client = gateway.client(&world.web());
    gateway
        .wait_for_metric(GENERATION, &[], |now| now == 2.0)
        .await;
    let mut connection = client.connect().await;
    assert_eq!(&connection.server_certificate(), renewed.leaf());
    // Towards services the gateway goes on with the pair of before.
    assert_eq!(connection.get("/open/x").await.status, 200);
    assert_eq!(orders.requests().len(), 1);

    world.folder.write("gateway.key", good);
    let labels = [("result", "ok")];
    gateway
        .wait_for_metric(REFRESHES, &labels, |count| count >= 1.0)
        .await;
    assert_eq!(connection.get("/open/x").await.status, 200);
}
