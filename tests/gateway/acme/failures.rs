//! What goes wrong with a directory is said, and tried again with patience.

use serde_json::json;

use super::{HANDSHAKES, NEXT, REFUSED, SOURCE, Stage, UNREACHABLE, taken};
use crate::bench::client::HOST;
use crate::bench::gateway::{Gateway, run};
use crate::bench::pki::Leaf;

/// The line that tells of a failure.
async fn told(gateway: &Gateway) -> String {
    let line = gateway
        .wait_for_event(|event| event["source"] == "acme" && event["problem"].is_string())
        .await;
    line["problem"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_directory_that_is_down_at_start_is_asked_again_until_it_is_there() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    gateway
        .wait_for_metric(SOURCE, &UNREACHABLE, |value| value >= 1.0)
        .await;
    assert!(told(&gateway).await.contains("cannot be reached"));
    // Handshakes are refused, and nothing stands in for the certificate.
    gateway.client(&stage.web).rejection().await;
    let unavailable = [("reason", "certificate_unavailable")];
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.value(HANDSHAKES, &unavailable), 1.0);
    let pebble = stage.pebble().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    assert_eq!(client.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn a_directory_with_a_strangers_certificate_is_told_nothing() {
    let mut stage = Stage::new().await;
    stage
        .world
        .folder
        .write("stranger-ca.pem", stage.world.stranger.pem());
    stage.config.set("acme.pebble.ca", "stranger-ca.pem");
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    gateway
        .wait_for_metric(SOURCE, &UNREACHABLE, |value| value >= 1.0)
        .await;
    let problem = told(&gateway).await;
    assert!(problem.contains("UnknownIssuer"), "{problem}");
    assert!(!pebble.log().iter().any(|line| line.contains("GET /dir")));
}

#[tokio::test]
async fn an_order_that_is_refused_is_told_in_the_directorys_words_and_not_repeated_soon() {
    let mut stage = Stage::new().await;
    stage.config.set(
        "listeners.edge.tls.certificates",
        json!([
            { "acme": "pebble", "names": ["www.blocked.example"] },
            { "acme": "pebble", "names": [HOST] },
        ]),
    );
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    gateway
        .wait_for_metric(SOURCE, &REFUSED, |value| value >= 1.0)
        .await;
    let problem = told(&gateway).await;
    assert!(problem.contains("rejectedIdentifier"), "{problem}");
    assert!(problem.contains("www.blocked.example"), "{problem}");
    let metrics = gateway.metrics().await;
    let next = metrics.value(NEXT, &[("place", "listeners.edge.tls.certificates[0]")]);
    let now = time::OffsetDateTime::now_utc().unix_timestamp() as f64;
    assert!((100.0..150.0).contains(&(next - now)), "{}", next - now);
    // The other certificate is issued all the same.
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    assert_eq!(client.get("/open/x").await.status, 200);
    client.name("www.blocked.example").rejection().await;
}

#[tokio::test]
async fn a_challenge_that_does_not_arrive_is_told_with_the_name() {
    let mut stage = Stage::new().await;
    // Nobody listens where the directory looks.
    stage.pebble.tls_port = crate::bench::config::free_port();
    let _pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    gateway
        .wait_for_metric(SOURCE, &REFUSED, |value| value >= 1.0)
        .await;
    let problem = told(&gateway).await;
    assert!(problem.contains(HOST), "{problem}");
    assert!(problem.contains("Failed to connect"), "{problem}");
}

#[tokio::test]
async fn an_account_is_bound_to_that_of_a_customer() {
    let mut stage = Stage::new().await;
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    stage.pebble.customers = vec![("kid-1".to_owned(), key.to_owned())];
    stage.world.folder.write("eab", format!("{key}\n"));
    stage.config.set(
        "acme.pebble.eab",
        json!({ "key_id": "kid-1", "key_file": "eab" }),
    );
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    taken(&gateway, 1.0).await;
    let client = stage.client(&gateway, &pebble).await;
    assert_eq!(client.get("/open/x").await.status, 200);
    assert!(!gateway.log().join("\n").contains(key));
}

#[tokio::test]
async fn check_reads_what_acme_names_and_speaks_with_nobody() {
    let mut stage = Stage::new().await;
    let pebble = stage.pebble().await;
    let checked = run(
        &stage.world,
        &stage.config,
        &["check", "--config", "gateway.yaml"],
    );
    let text = String::from_utf8_lossy(&checked.stdout).into_owned()
        + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{text}");
    assert!(!pebble.log().iter().any(|line| line.contains("GET /dir")));
    let leaf = stage.world.stranger.issue(Leaf::server("x"));
    leaf.write(&stage.world.folder, "no-key");
    stage.config.set(
        "acme.pebble.eab",
        json!({ "key_id": "kid-1", "key_file": "no-key.pem" }),
    );
    stage.config.set("acme.pebble.ca", "no-key.key");
    let checked = run(
        &stage.world,
        &stage.config,
        &["check", "--config", "gateway.yaml"],
    );
    let text = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success(), "{text}");
    assert!(text.contains("acme.pebble.ca"), "{text}");
    assert!(text.contains("does not hold a key in base64url"), "{text}");
}
