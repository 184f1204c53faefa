//! Asking an authorization service: what it is told, what its answers do, and what becomes of requests
//! when it is hostile, somebody else, or away.

mod answers;
mod away;
mod hostile;
mod questions;
pub mod server;
mod shares;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::service;
use server::{ID, NAME, Service};

pub const CHECKS: &str = "portcullis_external_authorization_checks_total";
pub const WAIVED: &str = "portcullis_external_authorization_waived_total";

/// An entry of `external_authorization`.
pub fn external_authorization(address: SocketAddr) -> Value {
    json!({
        "endpoints": [address.to_string()],
        "timeout": "5s",
        "tls": { "identity": "gateway", "trust": "mesh", "server_name": NAME, "accept": [ID] },
    })
}

/// A gateway whose route `open` asks `opa`.
struct Stage {
    world: World,
    orders: service::Service,
    opa: Service,
    gateway: Gateway,
}

impl Stage {
    async fn set() -> Self {
        Self::with(&[]).await
    }

    /// With these keys of the entry, of the route below `route.`, or of `issuers.corp` below `issuer.`.
    async fn with(keys: &[(&str, Value)]) -> Self {
        let world = World::new();
        let opa = Service::start(&world).await;
        Self::around(world, opa, keys).await
    }

    async fn around(world: World, opa: Service, keys: &[(&str, Value)]) -> Self {
        let set = |_: &World, config: &mut Config| {
            for (key, value) in keys {
                let place = match key.split_once('.') {
                    Some(("route", key)) => format!("routes.open.{key}"),
                    Some(("issuer", key)) => format!("issuers.corp.{key}"),
                    Some(_) | None => format!("external_authorization.opa.{key}"),
                };
                config.set(&place, value.clone());
            }
        };
        Self::changed(world, opa, set).await
    }

    /// With another configuration.
    async fn changed(world: World, opa: Service, change: impl FnOnce(&World, &mut Config)) -> Self {
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        config.set(
            "external_authorization.opa",
            external_authorization(opa.address),
        );
        config.set("routes.open.external_authorization", "opa");
        change(&world, &mut config);
        let gateway = world.gateway_with(&config).await;
        Self {
            world,
            orders,
            opa,
            gateway,
        }
    }

    /// Asks the gateway, and gives status and reason.
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.gateway.client(&self.world.web()).get(path).await;
        let line = self.gateway.access_line(&answer).await;
        let reason = line["reason"].as_str().unwrap_or_default();
        (answer.status, reason.to_owned())
    }

    /// Waits until the gateway has seen that its connection is gone.
    async fn disconnected(&self) {
        let open = "portcullis_upstream_connections";
        let labels = [("upstream", "opa")];
        let gateway = &self.gateway;
        gateway
            .wait_for_metric(open, &labels, |open| open == 0.0)
            .await;
    }

    async fn checks(&self, result: &str) -> f64 {
        let labels = [("external_authorization", "opa"), ("result", result)];
        self.gateway.metrics().await.value(CHECKS, &labels)
    }

    async fn waived(&self, why: &str) -> f64 {
        let labels = [("external_authorization", "opa"), ("why", why)];
        self.gateway.metrics().await.value(WAIVED, &labels)
    }
}

/// A login, for the cookies that are the gateway's own.
fn with_login(world: &World, config: &mut Config) {
    let client = json!({ "client_id": "us", "tls": "gateway" });
    config.set("oauth_clients.us", client);
    crate::login::set_up_idle(world, config);
}

const DENIED: &str = "external_authorization_denied";
const INVALID: &str = "external_authorization_invalid";
const UNAVAILABLE: &str = "external_authorization_unavailable";
