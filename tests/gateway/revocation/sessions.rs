//! A session resumes only where it was made: on the listener, under the client policy and under the
//! trust of then. Anywhere else the client shakes hands anew, and shows its certificate.

use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::{How, Stage};
use crate::bench::World;
use crate::bench::client::{Client, Rejection};
use crate::bench::config::Config;
use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::pki::Authority;

/// Clients with a session each, in both versions of TLS.
async fn with_sessions(client: &Client) -> Vec<Client> {
    let mut clients = Vec::new();
    for version in [&TLS12, &TLS13] {
        let client = client.clone().versions(&[version]).resumption();
        for resumed in [false, true] {
            let mut connection = client.connect().await;
            assert_eq!(connection.get("/open/x").await.status, 200);
            assert_eq!(connection.resumed(), resumed, "{version:?}");
        }
        clients.push(client);
    }
    clients
}

/// That these clients shake hands in full, and are served.
async fn begin_anew(clients: &[Client]) {
    for client in clients {
        let mut connection = client.connect().await;
        assert!(!connection.resumed());
        assert_eq!(connection.get("/open/x").await.status, 200);
    }
}

async fn reload(gateway: &mut Gateway, config: &Config) {
    let reloaded = gateway.reload(config).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
}

#[tokio::test]
async fn a_session_of_a_client_that_lost_its_standing_does_not_resume() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let theirs = with_sessions(&stage.their_client()).await;
        let ours = with_sessions(&stage.our_client()).await;
        stage.revoke_and_wait().await;
        let told = stage.orders.bytes();
        for client in &theirs {
            let rejection = client.rejection().await;
            assert!(
                matches!(rejection, Rejection::Tls(_)),
                "{how:?}: {rejection:?}"
            );
        }
        let failed = [("side", "downstream"), ("reason", how.reason())];
        let metrics = stage.gateway.metrics().await;
        let handshakes = metrics.value("portcullis_handshakes_total", &failed);
        assert_eq!(handshakes, 2.0, "{how:?}");
        assert_eq!(stage.orders.bytes(), told, "{how:?}");
        begin_anew(&ours).await;
    }
}

#[tokio::test]
async fn a_session_does_not_resume_on_another_listener() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    let edge = config.get("listeners.edge").clone();
    config.set("listeners.twin", edge.clone());
    config.set("listeners.lax", edge.clone());
    config.set("listeners.lax.tls.clients.certificate", "optional");
    config.set("listeners.strict", edge);
    config.set("trust.others", json!({ "ca": "others-ca.pem" }));
    config.set("listeners.strict.tls.clients.trust", "others");
    let others = Authority::new("others");
    world.folder.write("others-ca.pem", others.pem());
    let gateway = world.gateway_with(&config).await;
    let clients = with_sessions(&gateway.client(&world.web())).await;
    let at = |listener: &str| -> Vec<Client> {
        let address = gateway.address(listener);
        clients.iter().map(|c| c.clone().address(address)).collect()
    };
    begin_anew(&at("twin")).await;
    begin_anew(&at("lax")).await;
    for client in at("strict") {
        let rejection = client.rejection().await;
        assert!(matches!(rejection, Rejection::Tls(_)), "{rejection:?}");
    }
    // What is made where no certificate is needed is worth nothing where one is.
    let lax = gateway.anonymous().address(gateway.address("lax"));
    for client in with_sessions(&lax).await {
        let rejection = client.address(gateway.address("twin")).rejection().await;
        assert!(matches!(rejection, Rejection::Tls(_)), "{rejection:?}");
    }
}

#[tokio::test]
async fn a_session_does_not_resume_under_another_client_policy() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("listeners.edge.tls.clients.certificate", "optional");
    let mut gateway = world.gateway_with(&config).await;
    let shown = with_sessions(&gateway.client(&world.web())).await;
    let nobody = with_sessions(&gateway.anonymous()).await;
    config.set("listeners.edge.tls.clients.certificate", "required");
    reload(&mut gateway, &config).await;
    begin_anew(&shown).await;
    for client in nobody {
        drop(client.rejection().await);
    }
    let missing = [("side", "downstream"), ("reason", "certificate_missing")];
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.value("portcullis_handshakes_total", &missing), 2.0);
    config.set("listeners.edge.tls.clients.certificate", "optional");
    reload(&mut gateway, &config).await;
    begin_anew(&shown).await;
}

#[tokio::test]
async fn a_session_does_not_resume_under_another_set_of_cas() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    let mut gateway = world.gateway_with(&config).await;
    let clients = with_sessions(&gateway.client(&world.web())).await;
    // What changes nothing for the clients of the listener leaves their sessions.
    config.set("listeners.edge.limits.idle_timeout", "30s");
    config.route("more", "/more/**", "orders");
    reload(&mut gateway, &config).await;
    for client in &clients {
        assert!(client.connect().await.resumed());
    }
    let more = Authority::new("more");
    let both = format!("{}{}", world.partners.pem(), more.pem());
    let write = || drop(world.folder.write("partners-ca.pem", both));
    assert!(matches!(
        gateway.reload_by(write).await,
        Reloaded::Applied(_)
    ));
    begin_anew(&clients).await;
    for client in &clients {
        assert!(client.connect().await.resumed(), "the new ones resume");
    }
}
