//! Who an issuer is believed to be, and who we are to it.

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::pki::{Identity, Leaf};

use super::idp::Idp;
use super::{Stage, UNAVAILABLE};

/// What becomes of a token, and what is told, with an issuer that proves `identity`.
async fn with_certificate(world: World, identity: &Identity, word: &str) {
    let idp = Idp::start_as(&world, identity, ([127, 0, 0, 1], 0).into()).await;
    idp.publish(&[&world.issuer]);
    let stage = Stage::of(world, idp, |_, _| ()).await;
    let token = stage.token(&stage.world.issuer);
    let refused = (503, Some(UNAVAILABLE.to_owned()));
    assert_eq!(stage.verdict(&token).await, refused);
    assert_eq!(stage.idp.service.bytes(), 0, "it was asked nothing");
    let told = |event: &Value| {
        let problem = event["problem"].as_str().unwrap_or_default();
        event["result"] == "unreachable" && problem.contains(word)
    };
    stage.gateway.wait_for_event(told).await;
}

#[tokio::test]
async fn an_issuer_of_a_stranger_is_not_believed() {
    let world = World::new();
    let leaf = Leaf::server("idp").dns("localhost");
    let identity = world.stranger.issue(leaf);
    with_certificate(world, &identity, "UnknownIssuer").await;
}

#[tokio::test]
async fn an_issuer_under_another_name_is_not_believed() {
    let world = World::new();
    let leaf = Leaf::server("idp").dns("id.example.com");
    let identity = world.mesh.issue(leaf);
    with_certificate(world, &identity, "certificate").await;
}

#[tokio::test]
async fn an_issuer_that_has_expired_is_not_believed() {
    let world = World::new();
    let leaf = Leaf::server("idp").dns("localhost").expired();
    let identity = world.mesh.issue(leaf);
    with_certificate(world, &identity, "xpired").await;
}

#[tokio::test]
async fn our_certificate_is_shown_where_it_is_to_be_and_nowhere_else() {
    let stage = Stage::set().await;
    let shown = stage.idp.service.requests();
    assert!(shown.iter().all(|request| request.peer.is_empty()));
    let world = World::new();
    let ours = world.gateway_identity.fingerprint();
    let idp = Idp::start(&world).await;
    idp.publish(&[&world.issuer]);
    let stage = Stage::of(world, idp, |config, _| {
        config.set("issuers.corp.keys.tls.identity", "gateway");
    })
    .await;
    let shown = stage.idp.service.requests();
    assert!(shown.iter().all(|request| request.peer == ours));
    let token = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&token).await, (200, None));
}

#[tokio::test]
async fn a_list_of_public_cas_does_as_well_as_a_bundle() {
    let stage = Stage::with(|config, _| {
        config.set("issuers.corp.keys.tls", json!({ "ca": "mesh-ca.pem" }));
    })
    .await;
    let token = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&token).await, (200, None));
}
