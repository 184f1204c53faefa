//! The real gateway with a real store: what it says of it in metrics and logs, and reloads.

use serde_json::json;

use super::server::Redis;
use crate::bench::World;
use crate::bench::gateway::{Reloaded, run};
use crate::bench::pki::Leaf;

fn at(port: u16) -> serde_json::Value {
    json!({ "redis": {
        "endpoints": [format!("localhost:{port}")],
        "tls": { "trust": "mesh" },
        "password_file": "redis-password",
        "when_away": "refuse",
    } })
}

#[tokio::test]
async fn a_gateway_connects_to_its_store_and_follows_the_configuration() {
    let world = World::new();
    world.folder.write("redis-password", "right\n");
    let leaf = || Leaf::server("redis").dns("localhost");
    let redis = Redis::with_tls(&world.mesh.issue(leaf()), &["--requirepass", "right"]);
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("shared_state", at(redis.port));
    let mut gateway = world.gateway_with(&config).await;
    let up = "portcullis_shared_state_nodes_up";
    gateway.wait_for_metric(up, &[], |nodes| nodes == 1.0).await;
    // Another password: the store says no, and the gateway says so without it.
    let reloaded = gateway
        .reload_by(|| drop(world.folder.write("redis-password", "s3cr3t-wrong\n")))
        .await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    let told = |line: &serde_json::Value| {
        line["reason"] == "refused" && line["endpoint"] == format!("localhost:{}", redis.port)
    };
    gateway.wait_for_event(told).await;
    gateway.wait_for_metric(up, &[], |nodes| nodes == 0.0).await;
    assert!(!gateway.log().iter().any(|line| line.contains("s3cr3t")));
    gateway
        .reload_by(|| drop(world.folder.write("redis-password", "right\n")))
        .await;
    gateway.wait_for_metric(up, &[], |nodes| nodes == 1.0).await;
    // No store any more.
    config.remove("shared_state");
    let reloaded = gateway.reload(&config).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    gateway
        .wait_for_metric("portcullis_shared_state_nodes", &[], |nodes| nodes == 0.0)
        .await;
}

#[tokio::test]
async fn a_store_is_believed_by_the_trust_of_now() {
    let world = World::new();
    world.folder.write("redis-password", "right\n");
    let leaf = Leaf::server("redis").dns("localhost");
    // Signed by who is not trusted yet.
    let redis = Redis::with_tls(&world.stranger.issue(leaf), &["--requirepass", "right"]);
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("trust.stores", json!({ "ca": "stores-ca.pem" }));
    world.folder.write("stores-ca.pem", world.mesh.pem());
    config.set("shared_state", at(redis.port));
    config.set("shared_state.redis.tls.trust", "stores");
    let gateway = world.gateway_with(&config).await;
    gateway
        .wait_for_event(|line| line["reason"] == "unreachable" && line["when_away"] == "refuse")
        .await;
    let text = world.stranger.pem().to_owned();
    gateway
        .taken_by(|| drop(world.folder.write("stores-ca.pem", text)))
        .await;
    gateway
        .wait_for_metric("portcullis_shared_state_nodes_up", &[], |nodes| {
            nodes == 1.0
        })
        .await;
}

#[tokio::test]
async fn files_that_are_missing_are_told_where_they_are_named() {
    let world = World::new();
    let mut config = world.config();
    config.set("shared_state", at(6379));
    let checked = run(&world, &config, &["check"]);
    let text = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success(), "{text}");
    assert!(text.contains("shared_state.redis.password_file"), "{text}");
    world.folder.write("redis-password", "\n");
    let checked = run(&world, &config, &["check"]);
    let text = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(text.contains("it holds no password"), "{text}");
}
