//! Issuers whose keys are fetched: in advance, in time, and when a token comes with a key that nobody
//! knows; what becomes of tokens while an issuer is away; and issuers that mean no good.

mod away;
mod discovery;
mod hostile;
pub mod idp;
mod provider;
mod reloads;
mod rotation;
mod tls;
mod unknown;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::client::Client;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Answer, Request};
use crate::bench::pki::Identity;
use crate::bench::service::Service;
use crate::bench::token::{IssuerKey, Token};
use idp::Idp;

pub const FETCHES: &str = "portcullis_issuer_keys_fetches_total";
pub const GENERATION: &str = "portcullis_issuer_keys_generation";
pub const KEYS: &str = "portcullis_issuer_keys";
pub const UNAVAILABLE: &str = "issuer_keys_unavailable";
pub const UNKNOWN: &str = "token_key_unknown";

/// A gateway whose issuer `corp` is fetched from an [`Idp`], in front of a service.
pub struct Stage {
    pub world: World,
    pub idp: Idp,
    pub orders: Service,
    pub gateway: Gateway,
    pub web: Identity,
}

impl Stage {
    /// The issuer publishes the world's key; its keys are fetched each second at the most.
    pub async fn set() -> Self {
        Self::with(|_, _| ()).await
    }

    /// With another configuration.
    pub async fn with(change: impl FnOnce(&mut Config, &Idp)) -> Self {
        let world = World::new();
        let idp = Idp::start(&world).await;
        idp.publish(&[&world.issuer]);
        Self::of(world, idp, change).await
    }

    /// With an issuer that the test has made ready.
    pub async fn of(world: World, idp: Idp, change: impl FnOnce(&mut Config, &Idp)) -> Self {
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        config.set("issuers.corp.keys", idp.keys("/jwks"));
        change(&mut config, &idp);
        let gateway = world.gateway_with(&config).await;
        let web = world.web();
        Self {
            world,
            idp,
            orders,
            gateway,
            web,
        }
    }

    pub fn client(&self) -> Client {
        self.gateway.client(&self.web)
    }

    /// A good token but for its key.
    pub fn token(&self, key: &IssuerKey) -> String {
        Token::new().sign(key)
    }

    /// Asks with a token for what needs one.
    pub async fn ask(&self, token: &str) -> Answer {
        let request = Request::get("/orders/7").bearer(token);
        self.client().request(&request).await
    }

    /// Status and reason of asking with a token.
    pub async fn verdict(&self, token: &str) -> (u16, Option<String>) {
        let answer = self.ask(token).await;
        (answer.status, self.gateway.reason(&answer).await)
    }

    /// How often keys were fetched with this result, for whatever reason.
    pub async fn fetches(&self, labels: &[(&str, &str)]) -> f64 {
        self.gateway.metrics().await.value(FETCHES, labels)
    }

    /// Waits until one more fetch has ended with this result.
    pub async fn next_fetch(&self, result: &str) {
        let labels = [("issuer", "corp"), ("result", result)];
        let before = self.fetches(&labels).await;
        let more = |now| now > before;
        self.gateway.wait_for_metric(FETCHES, &labels, more).await;
    }

    /// Waits until there were so many generations of keys.
    pub async fn generation(&self, number: f64) {
        let labels = [("issuer", "corp")];
        let wanted = |now| now >= number;
        self.gateway
            .wait_for_metric(GENERATION, &labels, wanted)
            .await;
    }
}

/// `keys` that are fetched from a URL, as often as can be.
pub fn fetched_from(url: &str) -> Value {
    json!({
        "url": url,
        "tls": { "trust": "mesh" },
        "refresh": { "min": "1s", "max": "1s" },
        "cool_down": "1s",
    })
}

/// The seconds in `Retry-After`.
pub fn retry_after(answer: &Answer) -> Option<u64> {
    answer.header("retry-after")?.parse().ok()
}
