//! The folder: used after a restart, shared, broken; and names that are added in a reload.

use serde_json::json;

use super::{NEXT, OK, REFUSED, SOURCE, Stage, taken};
use crate::bench::client::HOST;
use crate::bench::config::free_port;
use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::pki::Leaf;

#[tokio::test]
async fn after_a_restart_the_stored_certificate_is_used_and_nothing_is_ordered() {
    let stage = Stage::new().await;
    let pebble = stage.pebble().await;
    let mut gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    let before = client.connect().await.server_certificate();
    gateway.sigterm();
    gateway.exited().await;
    let gateway = stage.gateway().await;
    let after = client.connect().await.server_certificate();
    assert_eq!(before, after);
    assert_eq!(client.get("/open/x").await.status, 200);
    gateway.wait_for_metric(NEXT, &[], |at| at > 1.0e9).await;
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test]
async fn broken_files_are_told_and_replaced_and_stop_no_other() {
    let mut stage = Stage::new().await;
    stage.config.set(
        "listeners.edge.tls.certificates",
        json!([
            { "acme": "pebble", "names": [HOST] },
            { "acme": "pebble", "names": ["b.example.com"] },
        ]),
    );
    let pebble = stage.pebble().await;
    let mut gateway = stage.gateway().await;
    gateway
        .wait_for_metric(SOURCE, &OK, |value| value >= 2.0)
        .await;
    gateway
        .wait_for_metric("portcullis_configuration_generation", &[], |value| {
            value >= 2.0
        })
        .await;
    gateway.sigterm();
    gateway.exited().await;
    let stored: Vec<_> = std::fs::read_dir(stage.state())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let of = |name: &str| {
        let mut files = stored.iter();
        let is = |path: &&std::path::PathBuf| path.to_string_lossy().contains(name);
        files.find(is).expect(name).clone()
    };
    let broken = of(HOST);
    let text = std::fs::read_to_string(&broken).expect("PEM");
    std::fs::write(&broken, &text[..text.len() / 4]).expect("written");
    std::fs::write(of("account"), "{ \"half").expect("written");
    let roots = pebble.roots().await;
    drop(pebble);
    // The directory is gone: what is good is in use, what is broken is not.
    let gateway = stage.gateway().await;
    let told = |line: &str| line.contains("certificates[0]") && line.contains("is broken PEM");
    gateway.wait_for_log(told).await;
    let other = gateway.client(&stage.web).roots(roots);
    other.name("b.example.com").connect().await;
    let metrics = gateway.metrics().await;
    assert!(metrics.value(SOURCE, &REFUSED) >= 1.0);
    let pebble = stage.pebble().await;
    // Another Pebble, with another CA: the old certificate is not of its making.
    gateway
        .wait_for_metric(
            SOURCE,
            &[
                OK[0],
                OK[1],
                ("place", "listeners.edge.tls.certificates[0]"),
            ],
            |value| value >= 1.0,
        )
        .await;
    gateway
        .wait_for_log(|line| line.contains("the file of the ACME account is broken"))
        .await;
    gateway
        .wait_for_log(|line| line.contains("key material taken"))
        .await;
    let client = stage.client(&gateway, &pebble).await;
    assert_eq!(client.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn a_directory_that_has_forgotten_the_account_is_given_a_new_one() {
    let stage = Stage::new().await;
    let pebble = stage.pebble().await;
    let mut gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    gateway.sigterm();
    gateway.exited().await;
    drop(pebble);
    std::fs::remove_file(stage.stored()).expect("removed");
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    assert_eq!(client.get("/open/x").await.status, 200);
    gateway
        .wait_for_log(|line| line.contains("has forgotten our account"))
        .await;
}

#[tokio::test]
async fn of_two_gateways_that_share_the_folder_one_orders() {
    let stage = Stage::new().await;
    let pebble = stage.pebble().await;
    let first = stage.gateway().await;
    let mut config = stage.config.clone();
    config.set(
        "listeners.edge.address",
        format!("127.0.0.1:{}", free_port()),
    );
    config.set("admin.address", format!("127.0.0.1:{}", free_port()));
    let file = stage.world.folder.write("second.yaml", config.yaml());
    let second = Gateway::start_with_file(&stage.world, &config, file).await;
    taken(&first, 1.0).await;
    let client = stage.client(&first, &pebble).await;
    let one = client.connect().await.server_certificate();
    // It looks every ten seconds, or found it at its start.
    let client = stage.client(&second, &pebble).await;
    second
        .wait_for_metric(
            "portcullis_certificate_not_after_timestamp_seconds",
            &[("place", "listeners.edge.tls.certificates[0]")],
            |value| value > 0.0,
        )
        .await;
    assert_eq!(client.connect().await.server_certificate(), one);
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test]
async fn names_that_a_reload_adds_take_nothing_from_the_others() {
    let mut stage = Stage::new().await;
    let edge = Leaf::server("other").dns("other.example.com");
    let edge = stage.world.edge_authority.issue(edge);
    edge.write(&stage.world.folder, "other");
    let pebble = stage.pebble().await;
    let mut gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    let before = client.connect().await.server_certificate();
    drop(pebble);
    stage.config.set(
        "listeners.edge.tls.certificates.0.names",
        json!([HOST, "b.example.com"]),
    );
    let reloaded = gateway.reload(&stage.config).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    assert_eq!(client.connect().await.server_certificate(), before);
    client.clone().name("b.example.com").rejection().await;
    let unavailable = [("reason", "certificate_unavailable")];
    gateway
        .wait_for_metric(super::HANDSHAKES, &unavailable, |value| value == 1.0)
        .await;
    // With the directory back, one certificate is for both.
    let pebble = stage.pebble().await;
    let client = stage.client(&gateway, &pebble).await;
    gateway
        .wait_for_metric(SOURCE, &OK, |value| value >= 1.0)
        .await;
    gateway
        .wait_for_metric("portcullis_configuration_generation", &[], |value| {
            value >= 4.0
        })
        .await;
    let both = client.connect().await.server_certificate();
    let other = client.clone().name("b.example.com").connect().await;
    assert_eq!(both, other.server_certificate());
}
