//! Tokens: which are believed, for which refusal each other one is turned down, what is remembered
//! of them, and that none is ever written down.

mod attacks;
mod cache;
mod carriers;
mod explained;
mod hostile;
mod issuers;
mod profiles;
mod secrecy;

use crate::bench::World;
use crate::bench::client::Client;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Answer, Request};
use crate::bench::pki::Identity;
use crate::bench::service::Service;

const LOOKUPS: &str = "portcullis_token_cache_lookups_total";

/// A gateway in front of a service, and a client that the standard routes let in.
struct Stage {
    world: World,
    orders: Service,
    gateway: Gateway,
    web: Identity,
}

impl Stage {
    async fn set() -> Self {
        Self::with(World::new(), |_| ()).await
    }

    /// With another configuration than the standard one.
    async fn with(world: World, change: impl FnOnce(&mut Config)) -> Self {
        let orders = world.orders().start().await;
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

    fn client(&self) -> Client {
        self.gateway.client(&self.web)
    }

    /// Asks with a token for what needs one.
    async fn ask(&self, token: &str) -> Answer {
        self.client()
            .request(&Request::get("/orders/7").bearer(token))
            .await
    }

    /// Status and reason of an answer.
    async fn verdict(&self, answer: &Answer) -> (u16, Option<String>) {
        (answer.status, self.gateway.reason(answer).await)
    }

    /// Asks with each token in turn, on one connection, and holds the verdict against the reason
    /// beside it; none: it passes. No service hears of a request that is refused.
    async fn hold(&self, target: &str, cases: &[(&str, String, Option<&str>)]) {
        let mut connection = self.client().connect().await;
        for (what, token, reason) in cases {
            let heard = self.orders.requests().len();
            let request = Request::get(target).bearer(token);
            let answer = connection.request(&request).await;
            let (status, why) = self.verdict(&answer).await;
            assert_eq!(why.as_deref(), *reason, "{what}: {status}");
            let passed = usize::from(reason.is_none());
            assert_eq!(self.orders.requests().len(), heard + passed, "{what}");
            if reason.is_none() {
                assert_eq!(status, 200, "{what}");
            }
        }
    }

    /// Tokens of an issuer that were found in the cache, and those that were not.
    async fn lookups(&self, issuer: &str) -> (f64, f64) {
        let metrics = self.gateway.metrics().await;
        let count = |result| metrics.value(LOOKUPS, &[("issuer", issuer), ("result", result)]);
        (count("hit"), count("miss"))
    }
}
