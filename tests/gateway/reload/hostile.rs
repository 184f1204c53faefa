//! Files that are not as they should be do not keep a revocation from biting.

use std::process::Command;

use serde_json::json;

use super::reloads;
use crate::bench::crl::Crl;
use crate::bench::gateway::{GENERATION, Gateway, REFRESHES, Reloaded, run};
use crate::bench::pki::{Authority, Leaf};
use crate::bench::service::Service;
use crate::bench::{WEB_ID, World};

const SOURCE_RELOADS: &str = "portcullis_source_reloads_total";
const EDGE: &str = "listeners.edge.tls.certificates[0]";

async fn started(world: &World, settings: &[(&str, serde_json::Value)]) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    for (place, value) in settings {
        config.set(place, value.clone());
    }
    let gateway = world.gateway_with(&config).await;
    (orders, gateway)
}

async fn source(gateway: &Gateway, place: &str, result: &str) {
    let labels = [("place", place), ("result", result)];
    gateway
        .wait_for_metric(SOURCE_RELOADS, &labels, |count| count >= 1.0)
        .await;
}

/// Something is taken, by whatever comes of the rest.
async fn taken_by(gateway: &Gateway, cause: impl FnOnce()) {
    let generation = gateway.metrics().await.value(GENERATION, &[]);
    cause();
    gateway
        .wait_for_metric(GENERATION, &[], |now| now > generation)
        .await;
}

fn pipe(world: &World, name: &str) {
    drop(std::fs::remove_file(world.folder.join(name)));
    let made = Command::new("mkfifo").arg(world.folder.join(name)).status();
    assert!(made.expect("mkfifo runs").success());
}

#[tokio::test]
async fn a_pipe_in_place_of_a_file_is_refused_and_holds_nothing_up() {
    let world = World::new();
    world.folder.write("deny.list", "# nobody\n");
    let (_orders, gateway) = started(&world, &[("deny", json!("deny.list"))]).await;
    let client = gateway.client(&world.web());
    for name in ["gateway.key", "partners-ca.pem", "jwks.json"] {
        pipe(&world, name);
    }
    source(&gateway, "identities.gateway", "refused").await;
    taken_by(&gateway, || {
        drop(world.folder.write("deny.list", WEB_ID));
    })
    .await;
    client.rejection().await;
    // Nor is an empty list read from one.
    pipe(&world, "deny.list");
    source(&gateway, "deny", "refused").await;
    client.rejection().await;
    let checked = run(&world, &gateway.config, &["check"]);
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        said.contains("gateway.key cannot be read: it is a pipe"),
        "{said}"
    );
}

#[tokio::test]
async fn a_certificate_that_comes_before_its_time_is_taken_when_its_time_has_come() {
    let world = World::new();
    let (_orders, gateway) = started(&world, &[]).await;
    let leaf = Leaf::server("edge").dns("api.example.com");
    let early = world.edge_authority.issue(leaf.valid(5, 3600));
    early.write(&world.folder, "edge");
    source(&gateway, EDGE, "refused").await;
    source(&gateway, EDGE, "ok").await;
    let connection = gateway.client(&world.web()).connect().await;
    assert_eq!(&connection.server_certificate(), early.leaf());
    // It was told once, however often it was looked at.
    let labels = [("place", EDGE), ("result", "refused")];
    let refused = gateway.metrics().await.value(SOURCE_RELOADS, &labels);
    assert!(
        refused <= 2.0,
        "{refused}: one for each file that was written"
    );
}

/// The files may change while the gateway starts.
#[tokio::test]
async fn what_changes_while_the_gateway_starts_is_taken() {
    let world = World::new();
    world.folder.write("deny.list", "# nobody\n");
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("deny", "deny.list");
    let gateway = world.gateway_starting(&config).await;
    drop(world.folder.write("deny.list", WEB_ID));
    gateway
        .wait_for_metric(GENERATION, &[], |now| now > 1.0)
        .await;
    gateway.client(&world.web()).rejection().await;
}

#[tokio::test]
async fn a_broken_crl_holds_no_other_crl_up() {
    let world = World::new();
    let other = Authority::new("other");
    let cas = format!("{}{}", world.partners.pem(), other.pem());
    world.folder.write("partners-ca.pem", cas);
    world
        .folder
        .write("a.crl", Crl::of(&[9]).number(1).pem(&other));
    world
        .folder
        .write("b.crl", Crl::of(&[]).number(1).pem(&world.partners));
    let crls = json!(["a.crl", "b.crl"]);
    let (_orders, gateway) = started(&world, &[("trust.partners.crl", crls)]).await;
    let web = |ca: &Authority, serial| {
        let leaf = Leaf::client("x").spiffe(WEB_ID).serial(serial);
        gateway.client(&ca.issue(leaf))
    };
    assert_eq!(web(&world.partners, 7).get("/open/x").await.status, 200);
    drop(world.folder.write("a.crl", "half a"));
    source(&gateway, "trust.partners", "refused").await;
    taken_by(&gateway, || {
        let crl = Crl::of(&[7]).number(2).pem(&world.partners);
        drop(world.folder.write("b.crl", crl));
    })
    .await;
    web(&world.partners, 7).rejection().await;
    assert_eq!(web(&world.partners, 8).get("/open/x").await.status, 200);
    // What the broken one said still counts, also for whom it does not list.
    web(&other, 9).rejection().await;
    assert_eq!(web(&other, 8).get("/open/x").await.status, 200);
}

#[tokio::test]
async fn an_older_crl_beside_its_successor_holds_none_up() {
    let world = World::new();
    let crl = |serials: &[u64], number| Crl::of(serials).number(number).pem(&world.partners);
    let mut file = format!("{}{}", crl(&[], 1), crl(&[6], 2));
    world.folder.write("partners.crl", &file);
    let (_orders, gateway) =
        started(&world, &[("trust.partners.crl", json!("partners.crl"))]).await;
    let leaf = Leaf::client("x").spiffe(WEB_ID).serial(7);
    let client = gateway.client(&world.partners.issue(leaf));
    assert_eq!(client.get("/open/x").await.status, 200);
    file.push_str(&crl(&[6, 7], 3));
    taken_by(&gateway, || drop(world.folder.write("partners.crl", &file))).await;
    client.rejection().await;
    // Alone it is still refused.
    let older = gateway
        .reload_by(|| drop(world.folder.write("partners.crl", crl(&[], 1))))
        .await;
    assert_eq!(older, Reloaded::Refused);
    client.rejection().await;
}

#[tokio::test]
async fn a_broken_deny_list_holds_no_other_up() {
    let world = World::new();
    let first = "spiffe://partners.example/web/first";
    world.folder.write("a.list", first);
    world.folder.write("b.list", "# nobody\n");
    let lists = json!(["a.list", "b.list"]);
    let (_orders, gateway) = started(&world, &[("deny", lists)]).await;
    drop(world.folder.write("a.list", "spifee://x\n"));
    source(&gateway, "deny", "refused").await;
    taken_by(&gateway, || drop(world.folder.write("b.list", WEB_ID))).await;
    gateway.client(&world.web()).rejection().await;
    gateway.client(&world.partner(first)).rejection().await;
    // Repaired, it says again what it says.
    taken_by(&gateway, || {
        drop(world.folder.write("a.list", "# nobody\n"))
    })
    .await;
    let client = gateway.client(&world.partner(first));
    assert_eq!(client.get("/open/x").await.status, 200);
    gateway.client(&world.web()).rejection().await;
}

#[tokio::test]
async fn a_revocation_does_not_wait_for_a_configuration_that_waits_for_its_agent() {
    let world = World::new();
    world.folder.write("deny.list", "# nobody\n");
    let (_orders, mut gateway) = started(&world, &[("deny", json!("deny.list"))]).await;
    let mut config = gateway.config.clone();
    let agent = format!("unix://{}", world.folder.join("nobody.sock").display());
    config.set("workload_api", json!({ "spire": { "socket": agent } }));
    let bundle = json!({ "workload_api": "spire", "trust_domain": "mesh.example" });
    config.set("trust.mesh", bundle);
    assert_eq!(gateway.reload(&config).await, Reloaded::Refused);
    let looked = |count: f64| count >= 1.0;
    let labels = [("result", "ok")];
    gateway.wait_for_metric(REFRESHES, &labels, looked).await;
    let refused = reloads(&gateway, "problems").await;
    taken_by(&gateway, || drop(world.folder.write("deny.list", WEB_ID))).await;
    assert_eq!(
        reloads(&gateway, "problems").await,
        refused,
        "it is still being tried"
    );
    gateway.client(&world.web()).rejection().await;
}
