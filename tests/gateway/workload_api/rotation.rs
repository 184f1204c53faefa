//! Rotation: certificates and CAs that change while clients ask, an agent that goes and comes back,
//! and a certificate that ends without another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::bench::gateway::RELOADS;
use crate::bench::http1::Request;

use super::agent::{Answer, leaf};
use super::{GATEWAY_ID, IDENTITY, MESH, PARTNERS, Stage, answer, authority, identity};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_rotated_under_load_without_a_refused_request_and_without_a_reload() {
    let stage = Stage::new().await;
    let client = stage.gateway.client(&stage.world.web());
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let mut connection = client.connect().await;
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = connection.request(&Request::get("/open/x")).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 2..7 {
        let next = identity(&stage.world);
        let message = answer(&stage.world, &next);
        let generation = stage.gateway.taken_by(|| stage.agent.send(&message)).await;
        assert_eq!(
            generation,
            round + 1,
            "the first was what the agent gave at the start"
        );
        // Requests from now on are made with it.
        assert_eq!(stage.status().await, 200);
        let seen = stage.orders.requests();
        assert!(
            seen.iter()
                .any(|request| request.peer == next.fingerprint())
        );
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("no refused request");
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 20, "{answered} requests are no load");
    let metrics = stage.gateway.metrics().await;
    assert_eq!(
        metrics.value(RELOADS, &[]),
        0.0,
        "the file was not read again"
    );
    let labels = [("place", IDENTITY), ("result", "ok")];
    assert_eq!(metrics.value(super::SOURCE_RELOADS, &labels), 6.0);
    let labels = [("place", MESH), ("result", "ok")];
    assert_eq!(
        metrics.value(super::SOURCE_RELOADS, &labels),
        1.0,
        "the bundle is the same"
    );
}

#[tokio::test]
async fn a_ca_is_rolled_at_the_edge_and_towards_services() {
    let stage = Stage::new().await;
    let world = &stage.world;
    let (mesh, partners) = (authority("mesh 2"), authority("partners 2"));
    let old = stage.gateway.client(&world.web());
    let web = partners.issue(leaf("spiffe://partners.example/web/a"));
    let new = stage.gateway.client(&web);
    new.rejection().await;

    // Both side by side.
    let ours = identity(world);
    let message = Answer::of(GATEWAY_ID, &ours, &[&world.mesh, &mesh])
        .federated("partners.example", &[&world.partners, &partners]);
    stage.gateway.taken_by(|| stage.agent.send(&message)).await;
    assert_eq!(old.get("/open/x").await.status, 200);
    assert_eq!(new.get("/open/x").await.status, 200);

    // Only the new ones: the service of the old CA and the client of the old CA are out.
    let message =
        Answer::of(GATEWAY_ID, &ours, &[&mesh]).federated("partners.example", &[&partners]);
    stage.gateway.taken_by(|| stage.agent.send(&message)).await;
    old.rejection().await;
    let answer = new.get("/open/x").await;
    assert_eq!(answer.status, 502);
    let renewed = leaf(crate::bench::ORDERS_ID).dns(crate::bench::ORDERS_NAME);
    stage.orders.set_identity(&mesh.issue(renewed));
    assert_eq!(new.get("/open/x").await.status, 200);
    stage.came(PARTNERS, "ok", 3.0).await;
}

#[tokio::test]
async fn a_trust_domain_is_believed_under_its_own_bundle_alone() {
    // Both trust domains are believed at the edge, each by what the agent says of it.
    let stage = Stage::with(|config| {
        let both = serde_json::json!(["partners", "mesh"]);
        config.set("listeners.edge.tls.clients.trust", both);
    })
    .await;
    let world = &stage.world;
    let (partner, workload) = (
        "spiffe://partners.example/web/a",
        "spiffe://mesh.example/web/a",
    );
    for (authority, own, other) in [
        (&world.partners, partner, workload),
        (&world.mesh, workload, partner),
    ] {
        let own = stage.gateway.client(&authority.issue(leaf(own)));
        assert_eq!(own.get("/open/x").await.status, 200);
        let crossed = stage.gateway.client(&authority.issue(leaf(other)));
        crossed.rejection().await;
    }
}

#[tokio::test]
async fn a_service_is_believed_under_the_bundle_of_its_trust_domain_alone() {
    let stage = Stage::new().await;
    let world = &stage.world;
    let partner = "spiffe://partners.example/web/a";
    let name = crate::bench::ORDERS_NAME;
    let foreign = world.mesh.issue(leaf(partner).dns(name));
    stage.orders.set_identity(&foreign);
    assert_eq!(stage.status().await, 502);
    let crossed = world
        .partners
        .issue(leaf(crate::bench::ORDERS_ID).dns(name));
    stage.orders.set_identity(&crossed);
    assert_eq!(stage.status().await, 502);
}

#[tokio::test]
async fn an_agent_that_restarts_is_asked_again_and_the_last_good_stays_meanwhile() {
    let mut stage = Stage::new().await;
    stage.agent.stop().await;
    stage.came(IDENTITY, "unreachable", 3.0).await;
    assert_eq!(stage.status().await, 200);
    assert_eq!(stage.gateway.admin("/readyz").await.status, 200);
    let next = identity(&stage.world);
    stage.agent.send(&answer(&stage.world, &next));
    let agent = &mut stage.agent;
    stage.gateway.taken_by(|| agent.start()).await;
    assert_eq!(stage.status().await, 200);
    assert_eq!(stage.shown(), next.fingerprint());
}

#[tokio::test]
async fn a_certificate_that_ends_without_another_is_used_no_more() {
    let stage = Stage::new().await;
    let ours = stage.world.mesh.issue(leaf(GATEWAY_ID).valid(-60, 3));
    let message = answer(&stage.world, &ours);
    stage.gateway.taken_by(|| stage.agent.send(&message)).await;
    let client = stage.gateway.client(&stage.world.web());
    let mut connection = client.connect().await;
    assert_eq!(connection.get("/open/x").await.status, 200);
    assert_eq!(stage.shown(), ours.fingerprint());

    // Also on the connection to the service that was made with it.
    stage.gateway.taken_by(|| ()).await;
    let refused = connection.get("/open/x").await;
    assert_eq!(refused.status, 503);
    assert_eq!(
        stage.gateway.reason(&refused).await.as_deref(),
        Some("upstream_identity_unavailable")
    );
    stage.came(IDENTITY, "ended", 1.0).await;
    stage.problem(IDENTITY, "expired").await;
    // Whom the gateway believes is as it was.
    assert_eq!(stage.gateway.admin("/readyz").await.status, 200);

    let next = identity(&stage.world);
    let message = answer(&stage.world, &next);
    stage.gateway.taken_by(|| stage.agent.send(&message)).await;
    assert_eq!(connection.get("/open/x").await.status, 200);
    assert_eq!(stage.shown(), next.fingerprint());
}

#[tokio::test]
async fn an_agent_that_forgets_to_renew_is_asked_again_before_the_end() {
    let stage = Stage::new().await;
    let ours = stage.world.mesh.issue(leaf(GATEWAY_ID).valid(-60, 12));
    let message = answer(&stage.world, &ours);
    stage.gateway.taken_by(|| stage.agent.send(&message)).await;
    let asked = stage.agent.asked();
    stage.problem(IDENTITY, "three quarters of the time").await;
    stage.agent.wait_until_asked(asked + 1).await;
    assert_eq!(stage.status().await, 200);
}
