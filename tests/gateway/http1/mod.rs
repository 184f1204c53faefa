//! HTTP/1.1: what is refused, what is forwarded, and in which form.

use serde_json::json;

use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Answer;
use crate::bench::pki::Identity;
use crate::bench::service::{Builder, Reply, Service};
use crate::bench::{World, client::Client, client::Connection};

mod connection;
mod framing;
mod heads;
mod slow;
mod targets;
mod upgrades;

/// One gateway in front of one service, and a client that every route lets in.
pub struct Stage {
    pub world: World,
    pub orders: Service,
    pub gateway: Gateway,
    pub web: Identity,
}

impl Stage {
    /// The standard configuration.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The standard configuration, changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::build(change, |service| service).await
    }

    /// The standard configuration, changed, with a service that answers so.
    pub async fn replying(change: impl FnOnce(&mut Config), reply: Reply) -> Self {
        Self::build(change, move |service| service.reply(move |_| reply.clone())).await
    }

    pub async fn build(
        change: impl FnOnce(&mut Config),
        service: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let world = World::new();
        let orders = service(world.orders()).start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        change(&mut config);
        let gateway = world.gateway_with(&config).await;
        let web = world.web();
        Self {
            world,
            orders,
            gateway,
            web,
        }
    }

    pub fn client(&self) -> Client {
        self.gateway.client(&self.web)
    }

    pub async fn connect(&self) -> Connection {
        self.client().connect().await
    }

    /// How many requests were refused for this reason so far.
    pub async fn refused(&self, reason: &str) -> f64 {
        let metrics = self.gateway.metrics().await;
        metrics.value("portcullis_refusals_total", &[("reason", reason)])
    }

    /// Waits until that many requests were refused for this reason.
    pub async fn wait_for_refused(&self, reason: &str, count: f64) {
        let labels = [("reason", reason)];
        self.gateway
            .wait_for_metric("portcullis_refusals_total", &labels, |now| now >= count)
            .await;
    }

    /// Waits until that many connections were closed for this reason.
    pub async fn wait_for_closed(&self, reason: &str, count: f64) {
        let labels = [("listener", "edge"), ("reason", reason)];
        self.gateway
            .wait_for_metric("portcullis_connections_closed_total", &labels, |now| {
                now >= count
            })
            .await;
    }

    /// How many connections were closed because their client ran into any bound.
    pub async fn closed(&self) -> f64 {
        let metrics = self.gateway.metrics().await;
        metrics.value("portcullis_connections_closed_total", &[])
    }

    /// Sends bytes on a connection of their own and asserts how they are refused: status, label,
    /// a closed or reusable connection, and not a byte for the service.
    pub async fn refuses(&self, bytes: impl AsRef<[u8]>, status: u16, reason: &str) -> Answer {
        let bytes = bytes.as_ref();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let (told, before) = (self.orders.bytes(), self.refused(reason).await);
        let answer = self.connect().await.exchange(bytes).await;
        let answer = answer.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        assert_eq!(answer.status, status, "{shown:?}: {}", answer.text());
        let problem = "application/problem+json";
        assert_eq!(answer.header("content-type"), Some(problem), "{shown:?}");
        assert_eq!(answer.json()["status"], json!(status), "{shown:?}");
        self.wait_for_refused(reason, before + 1.0).await;
        assert_eq!(self.orders.bytes(), told, "{shown:?} reached the service");
        answer
    }
}

/// A change of the listener's limits.
pub fn limits(limits: serde_json::Value) -> impl FnOnce(&mut Config) {
    move |config| {
        config.set("listeners.edge.limits", limits);
    }
}
