//! How often and how many at a time: whose requests count together, what clients are told, and what
//! a reload or a client that goes away does to the counts.

mod in_flight;
mod peers;
mod rates;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Answer;
use crate::bench::pki::Identity;
use crate::bench::service::{Received, Reply, Service};

/// A gateway in front of a service that hangs below `/open/hang`, and two clients.
struct Stage {
    world: World,
    orders: Service,
    gateway: Gateway,
    web: Identity,
    other: Identity,
}

impl Stage {
    async fn set(change: impl FnOnce(&mut Config)) -> Self {
        let world = World::new();
        let script = |request: &Received| match request.target.contains("hang") {
            true => Reply::hang(),
            false => Reply::ok("hello"),
        };
        let orders = world.orders().reply(script).start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        change(&mut config);
        let gateway = world.gateway_with(&config).await;
        let web = world.web();
        let other = world.partner("spiffe://partners.example/web/b");
        Self {
            world,
            orders,
            gateway,
            web,
            other,
        }
    }

    /// With these limits on the route `open`.
    async fn limited(limits: Value) -> Self {
        Self::set(|config| {
            config.set("routes.open.limits", limits);
        })
        .await
    }

    async fn reason(&self, answer: &Answer) -> Option<String> {
        self.gateway.reason(answer).await
    }
}

/// `count` an hour, all at once if one likes: nothing comes back while a test runs.
fn hourly(count: u32, per: &str) -> Value {
    json!([{ "rate": "1/h", "burst": count, "per": per }])
}
