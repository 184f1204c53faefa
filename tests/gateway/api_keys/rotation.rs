//! The file of a list changes: within the configuration in use, and without reading it.

use serde_json::json;

use super::{config, make, owners};
use crate::bench::World;
use crate::bench::http1::Request;

const FAR: &str = "2100-01-01T00:00:00Z";

#[tokio::test]
async fn keys_change_with_their_file_and_a_file_with_a_mistake_changes_nothing() {
    let world = World::new();
    let orders = world.orders().start().await;
    let (old, new) = (make(FAR), make("never"));
    let write = |text: &str| drop(world.folder.write("partners.yaml", text));
    write(&owners(&[&old]));
    let mut config = config(&world, json!("partners"));
    config.endpoints("orders", &[orders.address]);
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let status = async |key: &str| {
        let request = Request::get("/keyed/x").header("x-api-key", key);
        client.request(&request).await.status
    };
    assert_eq!((status(&old.key).await, status(&new.key).await), (200, 401));
    // Both, while the owner changes from one to the other.
    gateway.taken_by(|| write(&owners(&[&old, &new]))).await;
    assert_eq!((status(&old.key).await, status(&new.key).await), (200, 200));
    // A mistake, half a file, no file at all: what was good stays.
    let whole = owners(&[&new]);
    let refused = [
        ("kind", "file"),
        ("place", "api_keys.partners.file"),
        ("result", "refused"),
    ];
    let broken = [
        &whole[..whole.len() / 2],
        "owners: {\n",
        "",
        "owners:\n  acme: 7\n",
    ];
    for (number, text) in (1_u32..).zip(broken) {
        write(text);
        gateway
            .wait_for_metric("portcullis_source_reloads_total", &refused, |count| {
                count >= f64::from(number)
            })
            .await;
        assert_eq!(
            (status(&old.key).await, status(&new.key).await),
            (200, 200),
            "{text:?}"
        );
    }
    // The configuration may be half edited meanwhile: a key that is taken back does not wait for it.
    std::fs::write(gateway.file(), "version: 1\nlisteners: {").expect("written");
    gateway
        .wait_for_metric(
            "portcullis_reloads_total",
            &[("result", "problems")],
            |count| count >= 1.0,
        )
        .await;
    gateway.taken_by(|| write(&whole)).await;
    assert_eq!((status(&old.key).await, status(&new.key).await), (401, 200));
    gateway.taken_by(|| write("owners: {}\n")).await;
    assert_eq!(status(&new.key).await, 401);
}
