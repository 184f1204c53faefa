//! Agents that say what they should not: each is refused with its reason, in bounded time, and the
//! last good generation stays.

use std::time::Duration;

use tokio::time::Instant;

use crate::bench::pki::Leaf;

use super::agent::{Answer, INVALID_ARGUMENT, PERMISSION_DENIED, Script, UNAVAILABLE, leaf};
use super::{GATEWAY_ID, IDENTITY, MESH, PARTNERS, Stage, answer, identity};

/// Longer than the gateway waits for any answer.
const BOUND: Duration = Duration::from_secs(15);

/// Sends one message that is refused at `place`, and looks whether all goes on as before.
async fn refused(stage: &Stage, place: &str, result: &str, script: Script, part: &str) {
    let begun = Instant::now();
    let labels = [("place", place), ("result", result)];
    let metrics = stage.gateway.metrics().await;
    let before = metrics.value(super::SOURCE_RELOADS, &labels);
    stage.agent.play(script);
    stage.came(place, result, before + 1.0).await;
    stage.problem(place, part).await;
    assert!(begun.elapsed() < BOUND, "{part}: {:?}", begun.elapsed());
    assert_eq!(stage.status().await, 200, "{part}: the last good stays");
}

/// And then the agent comes to its senses.
async fn recovers(stage: &Stage) {
    let next = identity(&stage.world);
    let message = answer(&stage.world, &next);
    stage.gateway.taken_by(|| stage.agent.send(&message)).await;
    assert_eq!(stage.status().await, 200);
    assert_eq!(stage.shown(), next.fingerprint());
}

fn message(answer: &Answer) -> Script {
    Script::Message(answer.encode())
}

#[tokio::test]
async fn certificates_that_are_not_ours_are_refused_by_their_reason() {
    let stage = Stage::new().await;
    let world = &stage.world;
    let good = || answer(world, &identity(world));
    let sound = stage.world.mesh.issue(leaf(GATEWAY_ID));
    let refuse = |place, script, part| refused(&stage, place, "refused", script, part);

    let mut other_key = answer(world, &sound);
    other_key.svids[0].key = identity(world).key.serialize_der();
    refuse(
        IDENTITY,
        message(&other_key),
        "is not that of the certificate",
    )
    .await;

    let mut no_key = answer(world, &sound);
    no_key.svids[0].key = vec![0x30, 3, 2, 1, 0];
    refuse(
        IDENTITY,
        message(&no_key),
        "sent an answer that is not taken",
    )
    .await;

    let stranger = world
        .mesh
        .issue(leaf("spiffe://other.example/ns/edge/sa/gateway"));
    let mut elsewhere = answer(world, &stranger);
    refuse(
        IDENTITY,
        message(&elsewhere),
        "sends no spiffe://mesh.example/ns/edge/sa/gateway, but spiffe://other.example",
    )
    .await;
    // What it says beside the certificate changes nothing.
    elsewhere.svids[0].id = GATEWAY_ID.to_owned();
    refuse(IDENTITY, message(&elsewhere), "but spiffe://other.example").await;

    let expired = world.mesh.issue(leaf(GATEWAY_ID).expired());
    refuse(IDENTITY, message(&answer(world, &expired)), "expired on").await;
    let early = world.mesh.issue(leaf(GATEWAY_ID).not_yet_valid());
    refuse(IDENTITY, message(&answer(world, &early)), "not yet").await;
    let ca = world
        .mesh
        .issue(Leaf::both("ca").spiffe(GATEWAY_ID).authority());
    refuse(IDENTITY, message(&answer(world, &ca)), "CA flag").await;
    let two = world
        .mesh
        .issue(leaf(GATEWAY_ID).spiffe("spiffe://mesh.example/other"));
    refuse(IDENTITY, message(&answer(world, &two)), "URI").await;
    let none = world.mesh.issue(leaf("https://mesh.example/gateway"));
    refuse(IDENTITY, message(&answer(world, &none)), "SPIFFE ID").await;

    let mut cut = good();
    cut.svids[0].chain.truncate(200);
    refuse(IDENTITY, message(&cut), "sent an answer that is not taken").await;
    let mut long = good();
    long.svids[0].chain = long.svids[0].chain.repeat(100);
    refuse(IDENTITY, message(&long), "sent an answer that is not taken").await;
    refuse(
        IDENTITY,
        message(&Answer::default()),
        "X509SVIDResponse.svids",
    )
    .await;
    recovers(&stage).await;
}

#[tokio::test]
async fn bundles_that_vouch_for_nobody_are_refused_and_hold_no_other_up() {
    let stage = Stage::new().await;
    let world = &stage.world;
    let ours = || Answer::of(GATEWAY_ID, &identity(world), &[&world.mesh]);
    let refuse = |place, script, part| refused(&stage, place, "refused", script, part);

    refuse(
        PARTNERS,
        message(&ours()),
        "no bundle of the trust domain partners.example, but of mesh.example",
    )
    .await;
    let empty = ours().federated("partners.example", &[]);
    refuse(PARTNERS, message(&empty), "no CA in it").await;
    let mut leaves = ours();
    let leaf_der = world.web().leaf().to_vec();
    leaves
        .federated
        .push(("spiffe://partners.example".to_owned(), leaf_der));
    refuse(PARTNERS, message(&leaves), "is not that of a CA").await;
    let mut cut = ours().federated("partners.example", &[&world.partners]);
    cut.federated[0].1.truncate(100);
    refuse(PARTNERS, message(&cut), "sent an answer that is not taken").await;
    let mut nameless = ours().federated("partners.example", &[&world.partners]);
    nameless.federated[0].0 = "spiffe://Partners example".to_owned();
    refuse(
        PARTNERS,
        message(&nameless),
        "sent an answer that is not taken",
    )
    .await;

    // The identity in such an answer is taken all the same, where it can be read.
    let next = identity(world);
    let alone = Answer::of(GATEWAY_ID, &next, &[&world.mesh]);
    stage.gateway.taken_by(|| stage.agent.send(&alone)).await;
    assert_eq!(stage.status().await, 200);
    assert_eq!(stage.shown(), next.fingerprint());
    stage.came(MESH, "ok", 1.0).await;
    recovers(&stage).await;
}

#[tokio::test]
async fn an_answer_of_ten_mebibytes_is_refused_unread() {
    let stage = Stage::new().await;
    let resident = stage.gateway.resident_bytes();
    refused(
        &stage,
        IDENTITY,
        "refused",
        Script::Zeros(10 << 20),
        "more than 4 MiB",
    )
    .await;
    let grown = stage.gateway.resident_bytes().saturating_sub(resident);
    assert!(grown < 10 << 20, "{grown} bytes");
    recovers(&stage).await;
}

#[tokio::test]
async fn an_agent_that_hangs_or_says_no_is_asked_again() {
    let stage = Stage::new().await;
    let no = |code, text: &str| Script::Status(code, text.to_owned());
    let unreachable = |script, part| refused(&stage, IDENTITY, "unreachable", script, part);
    unreachable(
        no(PERMISSION_DENIED, "no identity issued"),
        "gives this process no identity",
    )
    .await;
    unreachable(no(INVALID_ARGUMENT, "what?"), "does not take the question").await;
    unreachable(no(UNAVAILABLE, "later"), "cannot be reached").await;
    unreachable(Script::Cut, "").await;
    recovers(&stage).await;
    // It takes the connection and says nothing; and then not even that.
    unreachable(Script::Cut, "").await;
    stage.agent.play(Script::Hang);
    let asked = stage.agent.asked();
    stage.agent.wait_until_asked(asked + 1).await;
    stage.problem(IDENTITY, "does not answer within 5s").await;
    stage.agent.play(Script::Deaf);
    let connections = stage.agent.connections();
    stage.agent.wait_for_connections(connections + 2).await;
    assert_eq!(stage.status().await, 200);
    recovers(&stage).await;
}
