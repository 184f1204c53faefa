//! Services: who may answer, which connection is used, and what a service can do to a request.

mod answers;
mod connections;
mod endpoints;
mod identity;

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::gateway::Gateway;
use crate::bench::service::Service;

const REQUESTS: &str = "portcullis_requests_total";
const HANDSHAKES: &str = "portcullis_handshakes_total";
const UPSTREAM: (&str, &str) = ("side", "upstream");

/// A gateway before this service, with these timeouts.
async fn with_timeouts(world: &World, service: &Service, timeouts: Value) -> Gateway {
    let mut config = world.config();
    config.endpoints("orders", &[service.address]);
    config.set("upstreams.orders.timeouts", timeouts);
    world.gateway_with(&config).await
}

/// How often a request was refused for this reason.
async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway
        .metrics()
        .await
        .get(REQUESTS, &[("reason", reason)])
        .unwrap_or(0.0)
}

/// Short timeouts that still leave a slow machine time.
fn short() -> Value {
    json!({ "connect": "5s", "response": "1s", "total": "3s" })
}

const MILLIS: fn(u64) -> Duration = Duration::from_millis;
