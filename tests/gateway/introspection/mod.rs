//! Tokens that say nothing by themselves: which the issuer is asked about, how, and how often; what
//! its answers must be; what becomes of requests when it does not answer, or means no good.

mod away;
mod bounds;
mod cache;
mod clients;
mod hostile;
mod provider;
mod resets;
mod rules;
mod shared;
mod signed;
mod ways;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::bench::client::Client;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Answer, Request};
use crate::bench::pki::{Identity, Leaf};
use crate::bench::service::{Received, Reply, Service};
use crate::bench::token::{AUDIENCE, ISSUER, unix_now};
use crate::bench::{PATIENCE, World};

pub const QUESTIONS: &str = "portcullis_introspections_total";
pub const LOOKUPS: &str = "portcullis_introspection_cache_lookups_total";
pub const UNAVAILABLE: (u16, Option<&str>) = (503, Some("introspection_unavailable"));
pub const INACTIVE: (u16, Option<&str>) = (401, Some("token_inactive"));
pub const GOOD: (u16, Option<&str>) = (200, None);
/// With a colon, a plus and a percent sign: they must arrive.
pub const SECRET: &str = "a secret: 100% + more";

/// A gateway that asks an issuer about tokens, in front of a service.
pub struct Stage {
    pub world: World,
    /// The issuer: an HTTPS server of the mesh, at `localhost`.
    pub issuer: Service,
    pub orders: Service,
    pub gateway: Gateway,
    pub web: Identity,
}

impl Stage {
    /// The issuer says of every token that it is good.
    pub async fn set() -> Self {
        Self::with(|_| ()).await
    }

    /// With another configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let world = World::new();
        let issuer = start_issuer(&world).await;
        Self::of(world, issuer, change).await
    }

    /// With an issuer that the test has made ready.
    pub async fn of(world: World, issuer: Service, change: impl FnOnce(&mut Config)) -> Self {
        let orders = world.orders().start().await;
        world.folder.write("client.secret", format!("{SECRET}\n"));
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        let client = json!({ "client_id": "gate:way", "secret_file": "client.secret" });
        config.set("oauth_clients.us", client);
        config.remove("issuers.corp.keys");
        config.remove("issuers.corp.algorithms");
        config.set("issuers.corp.introspection", introspection(&issuer));
        change(&mut config);
        let gateway = world.gateway_with(&config).await;
        let web = world.web();
        Self {
            world,
            issuer,
            orders,
            gateway,
            web,
        }
    }

    pub fn client(&self) -> Client {
        self.gateway.client(&self.web)
    }

    /// From now on the issuer says this of every token.
    pub fn say(&self, answer: &Value) {
        self.reply(says(answer));
    }

    /// From now on the issuer answers so, whatever it is asked.
    pub fn reply(&self, reply: Reply) {
        self.issuer.set_reply(move |_| reply.clone());
    }

    /// Another client of the same standing.
    pub fn partner(&self, name: &str) -> Identity {
        let id = format!("spiffe://partners.example/web/{name}");
        self.world.partner(&id)
    }

    /// Asks with a token for what needs one.
    pub async fn ask(&self, token: &str) -> Answer {
        self.ask_as(&self.web, token).await
    }

    /// The same, as this client.
    pub async fn ask_as(&self, client: &Identity, token: &str) -> Answer {
        let request = Request::get("/orders/7").bearer(token);
        self.gateway.client(client).request(&request).await
    }

    /// Status and reason of asking with a token.
    pub async fn verdict(&self, token: &str) -> (u16, Option<String>) {
        self.verdict_of(&self.web, token).await
    }

    /// The same, as this client.
    pub async fn verdict_of(&self, client: &Identity, token: &str) -> (u16, Option<String>) {
        let answer = self.ask_as(client, token).await;
        (answer.status, self.gateway.reason(&answer).await)
    }

    /// Asks until the issuer is believed to be there again: for a moment after it was away nobody
    /// asks it.
    pub async fn ask_again(&self, token: &str) -> (u16, Option<String>) {
        let began = std::time::Instant::now();
        loop {
            let verdict = self.verdict(token).await;
            if verdict.0 != 503 || began.elapsed() > PATIENCE {
                return verdict;
            }
        }
    }

    /// Holds the verdict on a token against the one that is wanted; the service hears only of a good
    /// one.
    pub async fn hold(&self, what: &str, token: &str, want: (u16, Option<&str>)) {
        self.hold_as(&self.web, what, token, want).await;
    }

    /// The same, as this client.
    pub async fn hold_as(
        &self,
        client: &Identity,
        what: &str,
        token: &str,
        (status, reason): (u16, Option<&str>),
    ) {
        let heard = self.orders.requests().len();
        let verdict = self.verdict_of(client, token).await;
        assert_eq!(
            (verdict.0, verdict.1.as_deref()),
            (status, reason),
            "{what}"
        );
        let passed = usize::from(status == 200);
        assert_eq!(self.orders.requests().len(), heard + passed, "{what}");
    }

    /// How many questions the issuer has heard.
    pub fn questions(&self) -> usize {
        self.issuer.requests().len()
    }

    /// How many came to this end, as the metrics say.
    pub async fn counted(&self, result: &str) -> f64 {
        let labels = [("issuer", "corp"), ("result", result)];
        self.gateway.metrics().await.value(QUESTIONS, &labels)
    }

    /// How many look-ups of tokens found this.
    pub async fn found(&self, result: &str) -> f64 {
        let labels = [("issuer", "corp"), ("result", result)];
        self.gateway.metrics().await.value(LOOKUPS, &labels)
    }
}

/// An issuer that says of every token that it is good.
pub async fn start_issuer(world: &World) -> Service {
    let identity = world.mesh.issue(Leaf::server("issuer").dns("localhost"));
    let service = Service::builder(&identity, &world.mesh).anyone();
    service.reply(|_: &Received| says(&good())).start().await
}

/// `introspection` of an issuer that is this service.
pub fn introspection(issuer: &Service) -> Value {
    json!({
        "url": format!("https://localhost:{}/ask", issuer.address.port()),
        "tls": { "trust": "mesh" },
        "client": "us",
    })
}

/// An answer about a token that the standard routes take.
pub fn good() -> Value {
    json!({
        "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "client_id": "shop",
        "token_type": "Bearer", "scope": "orders:read orders:write", "exp": unix_now() + 300,
    })
}

/// The same with these members instead; null takes one away.
pub fn good_but(members: Value) -> Value {
    let mut answer = good();
    for (name, value) in members.as_object().expect("an object") {
        let answer = answer.as_object_mut().expect("an object");
        match value {
            Value::Null => drop(answer.remove(name)),
            value => drop(answer.insert(name.clone(), value.clone())),
        }
    }
    answer
}

pub fn says(answer: &Value) -> Reply {
    json_reply(&answer.to_string())
}

pub fn json_reply(body: &str) -> Reply {
    Reply::new(200, &[("Content-Type", "application/json")], body)
}

/// A token that nobody has shown before.
pub fn new_token() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("opaque-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
