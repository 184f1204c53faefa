//! The SPIFFE Workload API as a source of key material: the gateway's identity towards services, its
//! certificate at the edge, and whom it believes, all from an agent on a Unix socket.

mod agent;
mod hostile;
mod rotation;
mod start;

use serde_json::json;

use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::pki::{Authority, Identity};
use crate::bench::service::Service;
use crate::bench::{World, client};

use agent::{Agent, Answer, leaf};

/// Who the gateway is, in the agent's words.
const GATEWAY_ID: &str = "spiffe://mesh.example/ns/edge/sa/gateway";
/// The counter of what came of asking the agent.
const SOURCE_RELOADS: &str = "portcullis_source_reloads_total";

/// The place of the identity that services see.
const IDENTITY: &str = "identities.gateway";
/// The place of the bundle that services are verified against.
const MESH: &str = "trust.mesh";
/// The place of the bundle that clients are verified against.
const PARTNERS: &str = "trust.partners";
/// The place of the certificate that clients see.
const EDGE: &str = "listeners.edge.tls.certificates[0]";

/// The identity of the gateway towards services, made anew.
fn identity(world: &World) -> Identity {
    world.mesh.issue(leaf(GATEWAY_ID))
}

/// What a sound agent sends: the gateway's identity, the bundle of its own trust domain, and that
/// of the partners.
fn answer(world: &World, identity: &Identity) -> Answer {
    Answer::of(GATEWAY_ID, identity, &[&world.mesh])
        .federated("partners.example", &[&world.partners])
}

/// The standard configuration, with all but the edge's certificate from the agent.
fn config(world: &World, agent: &Agent, orders: &Service) -> Config {
    let mut config = world.config();
    config
        .endpoints("orders", &[orders.address])
        .set("workload_api.spire.socket", agent.url())
        .set(
            IDENTITY,
            json!({ "workload_api": "spire", "spiffe_id": GATEWAY_ID }),
        )
        .set(
            MESH,
            json!({ "workload_api": "spire", "trust_domain": "mesh.example" }),
        )
        .set(
            PARTNERS,
            json!({ "workload_api": "spire", "trust_domain": "partners.example" }),
        );
    config
}

/// All of it, running.
struct Stage {
    world: World,
    orders: Service,
    agent: Agent,
    gateway: Gateway,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let world = World::new();
        let orders = world.orders().start().await;
        let agent = Agent::started(&world, &answer(&world, &identity(&world)));
        let mut config = config(&world, &agent, &orders);
        change(&mut config);
        let gateway = world.gateway_with(&config).await;
        Self {
            world,
            orders,
            agent,
            gateway,
        }
    }

    /// Waits until this came of asking for this place, so many times.
    async fn came(&self, place: &str, result: &str, times: f64) {
        came(&self.gateway, place, result, times).await;
    }

    /// The latest log line of a place that has a problem with this in it.
    async fn problem(&self, place: &str, part: &str) {
        problem(&self.gateway, place, part).await;
    }

    /// A client with a certificate of this authority asks; the status of the answer.
    async fn status(&self) -> u16 {
        let client = self.gateway.client(&self.world.web());
        client.get("/open/x").await.status
    }

    /// SHA-256 of the certificate that the service saw last.
    fn shown(&self) -> Vec<u8> {
        self.orders.last_request().peer
    }
}

async fn came(gateway: &Gateway, place: &str, result: &str, times: f64) {
    let labels = [
        ("kind", "workload_api"),
        ("place", place),
        ("result", result),
    ];
    gateway
        .wait_for_metric(SOURCE_RELOADS, &labels, |count| count >= times)
        .await;
}

async fn problem(gateway: &Gateway, place: &str, part: &str) {
    let line = gateway
        .wait_for_event(|event| {
            event["place"] == place
                && event["problem"]
                    .as_str()
                    .is_some_and(|problem| problem.contains(part))
        })
        .await;
    assert_eq!(line["source"], "workload_api", "{line}");
}

/// A certificate for the edge, in the agent's words.
fn edge(world: &World) -> Identity {
    let id = "spiffe://mesh.example/ns/edge/sa/edge";
    world.edge_authority.issue(leaf(id).dns(client::HOST))
}

fn authority(name: &str) -> Authority {
    Authority::new(name)
}
