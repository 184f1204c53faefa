//! Beginnings: with an agent, before it, with none at all, and reloads that name one.

use serde_json::json;

use crate::bench::World;
use crate::bench::gateway::{Reloaded, run};

use super::agent::{Agent, Answer, PERMISSION_DENIED, Script, leaf};
use super::{EDGE, IDENTITY, MESH, PARTNERS, Stage, answer, came, config, edge, identity, problem};

#[tokio::test]
async fn an_agent_gives_the_identity_and_both_bundles() {
    let stage = Stage::new().await;
    assert_eq!(stage.status().await, 200);
    let said = stage.agent.headers();
    assert_eq!(said["workload.spiffe.io"], "true");
    for place in [IDENTITY, MESH, PARTNERS] {
        stage.came(place, "ok", 1.0).await;
        let labels = [("kind", "workload_api"), ("place", place)];
        let metrics = stage.gateway.metrics().await;
        assert_eq!(metrics.value("portcullis_source_generation", &labels), 1.0);
        let ends = "portcullis_certificate_not_after_timestamp_seconds";
        assert!(metrics.value(ends, &[("place", place)]) > 0.0, "{place}");
    }
    assert_eq!(stage.agent.asked(), 1, "one stream for all of it");
    // Without a certificate of the partners there is no way in.
    let stranger = stage
        .world
        .stranger
        .issue(leaf("spiffe://partners.example/web/a"));
    stage.gateway.client(&stranger).rejection().await;
}

#[tokio::test]
async fn a_gateway_without_its_agent_is_not_ready_says_why_and_begins_by_itself() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut agent = Agent::new(&world);
    let config = config(&world, &agent, &orders);
    let mut gateway = world.gateway_starting(&config).await;
    came(&gateway, IDENTITY, "unreachable", 2.0).await;
    problem(
        &gateway,
        IDENTITY,
        "cannot be reached: No such file or directory",
    )
    .await;
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    // The bundle that is not there trusts nobody.
    gateway.client(&world.web()).rejection().await;

    agent.send(&answer(&world, &identity(&world)));
    agent.start();
    gateway.wait_until_ready().await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    gateway.sigterm();
    assert!(gateway.exited().await.success());
}

#[tokio::test]
async fn what_needs_an_identity_that_is_not_there_is_refused_by_name() {
    let world = World::new();
    let orders = world.orders().start().await;
    let agent = Agent::new(&world);
    let mut config = config(&world, &agent, &orders);
    config.set(PARTNERS, json!({ "ca": "partners-ca.pem" }));
    let gateway = world.gateway_starting(&config).await;
    came(&gateway, IDENTITY, "unreachable", 1.0).await;
    let answer = gateway.client(&world.web()).get("/open/x").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("upstream_identity_unavailable")
    );
    assert!(orders.requests().is_empty());
}

#[tokio::test]
async fn an_unknown_process_is_told_what_to_register() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut agent = Agent::new(&world);
    let text = "no identity issued".to_owned();
    agent.play(Script::Status(PERMISSION_DENIED, text));
    agent.start();
    let mut gateway = world
        .gateway_starting(&config(&world, &agent, &orders))
        .await;
    came(&gateway, IDENTITY, "unreachable", 2.0).await;
    problem(
        &gateway,
        IDENTITY,
        "gives this process no identity (PermissionDenied",
    )
    .await;
    problem(&gateway, IDENTITY, "registration entry").await;
    agent.send(&answer(&world, &identity(&world)));
    gateway.wait_until_ready().await;
}

#[tokio::test]
async fn the_first_certificate_is_taken_where_none_is_named_and_any_other_by_its_name() {
    const OTHER: &str = "spiffe://mesh.example/ns/edge/sa/other";
    let world = World::new();
    let orders = world.orders().start().await;
    let (first, other) = (identity(&world), world.mesh.issue(leaf(OTHER)));
    let both = answer(&world, &first).svid(OTHER, &other, &[&world.mesh]);
    let agent = Agent::started(&world, &both);
    let mut config = config(&world, &agent, &orders);
    config.set(IDENTITY, json!({ "workload_api": "spire" }));
    let mut gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(orders.last_request().peer, first.fingerprint());
    config.set(
        IDENTITY,
        json!({ "workload_api": "spire", "spiffe_id": OTHER }),
    );
    assert_eq!(gateway.reload(&config).await, Reloaded::Applied(3));
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(orders.last_request().peer, other.fingerprint());
    assert_eq!(agent.asked(), 1, "the agent had said it before");
}

#[tokio::test]
async fn the_edge_shows_a_certificate_of_the_agent() {
    let world = World::new();
    let orders = world.orders().start().await;
    let (shown, ours) = (edge(&world), identity(&world));
    let both = answer(&world, &ours).svid(
        "spiffe://mesh.example/ns/edge/sa/edge",
        &shown,
        &[&world.mesh],
    );
    let agent = Agent::started(&world, &both);
    let mut config = config(&world, &agent, &orders);
    config.set(
        "listeners.edge.tls.certificates",
        json!([
            { "workload_api": "spire", "spiffe_id": "spiffe://mesh.example/ns/edge/sa/edge" },
        ]),
    );
    let gateway = world.gateway_with(&config).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    assert_eq!(&connection.server_certificate(), shown.leaf());
    assert_eq!(connection.get("/open/x").await.status, 200);

    // And another one, without a reload.
    let renewed = edge(&world);
    let next = answer(&world, &ours).svid(
        "spiffe://mesh.example/ns/edge/sa/edge",
        &renewed,
        &[&world.mesh],
    );
    gateway.taken_by(|| agent.send(&next)).await;
    came(&gateway, EDGE, "ok", 2.0).await;
    let connection = gateway.client(&world.web()).connect().await;
    assert_eq!(&connection.server_certificate(), renewed.leaf());
}

#[tokio::test]
async fn check_does_not_ask_the_agent() {
    let world = World::new();
    let orders = world.orders().start().await;
    let agent = Agent::started(&world, &Answer::default());
    let config = config(&world, &agent, &orders);
    let arguments = ["check", "--config", "gateway.yaml"];
    let checked = run(&world, &config, &arguments);
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(agent.connections(), 0);
}

#[tokio::test]
async fn a_reload_that_names_an_agent_takes_it_with_what_it_gives() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut gateway = world.gateway(&orders).await;
    let ours = identity(&world);
    let agent = Agent::started(&world, &answer(&world, &ours));
    let reloaded = gateway.reload(&config(&world, &agent, &orders)).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(orders.last_request().peer, ours.fingerprint());

    // Another wish at the same place, and the agent that is no longer named is left alone.
    let files = world
        .config()
        .endpoints("orders", &[orders.address])
        .clone();
    let reloaded = gateway.reload(&files).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    agent.wait_until_alone().await;
}

#[tokio::test]
async fn a_reload_that_names_an_agent_which_gives_nothing_is_refused_with_the_reason() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut gateway = world.gateway(&orders).await;
    let agent = Agent::new(&world);
    let reloaded = gateway.reload(&config(&world, &agent, &orders)).await;
    assert_eq!(reloaded, Reloaded::Refused);
    let line = gateway
        .wait_for_event(|event| event["place"] == IDENTITY && event["line"].is_number())
        .await;
    let problem = line["problem"].as_str().expect("a problem");
    assert!(
        problem.contains("has given nothing within 3s") && problem.contains("cannot be reached"),
        "{problem}"
    );
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
}
