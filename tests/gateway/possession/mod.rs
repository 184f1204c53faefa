//! Proof of possession: tokens that are bound to a certificate (RFC 8705) or to a key (RFC 9449),
//! through the real gateway; and how an operator switches it on.

mod hostile;
mod introspected;
mod issued;
mod nonces;
mod replays;
mod reports;
mod shared;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bench::World;
use crate::bench::client::Client;
use crate::bench::config::Config;
use crate::bench::dpop::bound_to;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Answer;
use crate::bench::pki::Identity;
use crate::bench::service::Service;
use crate::bench::token::{IssuerKey, Token, unix_now};

const POSSESSION: &str = "portcullis_possession_total";
/// What the challenge of a route says by default.
const ALGS: &str = "algs=\"ES256 EdDSA Ed25519\"";

/// Waits until a second is over.
async fn until_after(second: i64) {
    while unix_now() <= second {
        sleep(Duration::from_millis(20)).await;
    }
}

/// A gateway with routes that ask for proofs, and a client with a key.
struct Stage {
    world: World,
    orders: Service,
    gateway: Gateway,
    web: Identity,
    key: IssuerKey,
    /// Bound to `key`.
    token: String,
}

impl Stage {
    async fn set() -> Self {
        Self::with(|_, _| ()).await
    }

    /// The routes `proved` (asks for a proof), `reported` (reports), and `may` (asks for nothing),
    /// each below its name.
    async fn with(change: impl FnOnce(&World, &mut Config)) -> Self {
        let world = World::new();
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        let wishes = [
            ("proved", json!(true)),
            ("reported", json!("report_only")),
            ("may", json!(false)),
        ];
        for (name, wish) in wishes {
            config.route(name, &format!("/{name}/**"), "orders");
            let token = json!({ "issuer": "corp", "dpop": wish });
            config.set(&format!("routes.{name}.token"), token);
        }
        change(&world, &mut config);
        let gateway = world.gateway_with(&config).await;
        let web = world.web();
        let key = IssuerKey::es256("client");
        let token = Token::new().claim("cnf", bound_to(&key));
        let token = token.sign(&world.issuer);
        Self {
            web,
            orders,
            gateway,
            key,
            token,
            world,
        }
    }

    fn client(&self) -> Client {
        self.gateway.client(&self.web)
    }

    /// A token of the issuer with this `cnf`.
    fn token_with(&self, cnf: Value) -> String {
        Token::new().claim("cnf", cnf).sign(&self.world.issuer)
    }

    async fn reason(&self, answer: &Answer) -> Option<String> {
        self.gateway.reason(answer).await
    }

    async fn count(&self, route: &str, method: &str, result: &str) -> f64 {
        let labels = [("route", route), ("method", method), ("result", result)];
        self.gateway.metrics().await.value(POSSESSION, &labels)
    }
}
