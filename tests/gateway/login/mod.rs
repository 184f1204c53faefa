//! OpenID Connect login, with the real provider, and a browser over mTLS.

mod bounds;
pub mod browser;
mod changed;
mod chromium;
mod flow;
mod hostile;
mod logout;
mod person;
mod refresh;
mod traces;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::client::HOST;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::pki::Identity;
use crate::bench::provider::{JWKS, Provider, SECRET};
use crate::bench::service::Service;
use crate::shared_state::server::Redis;
use browser::Browser;

/// A provider, a service, and the configuration of a gateway between them.
struct Stage {
    world: World,
    provider: Provider,
    orders: Service,
    config: Config,
    /// The certificate of the user's browser.
    web: Identity,
}

const LOGINS: &str = "portcullis_logins_total";
const REFRESHES: &str = "portcullis_session_refreshes_total";
const LOGOUTS: &str = "portcullis_logouts_total";

impl Stage {
    async fn new() -> Self {
        Self::with(json!({})).await
    }

    async fn with(wish: Value) -> Self {
        let world = World::new();
        let provider = world.provider_with(wish).await;
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        set_up(&world, &provider, &mut config).await;
        let web = world.web();
        Self {
            world,
            provider,
            orders,
            config,
            web,
        }
    }

    async fn gateway(&self) -> Gateway {
        self.world.gateway_with(&self.config).await
    }

    fn browser(&self, gateway: &Gateway) -> Browser {
        Browser::new(gateway, &self.provider, &self.web)
    }

    /// A gateway, and a browser that has logged in there.
    async fn logged_in(&self) -> (Gateway, Browser) {
        let gateway = self.gateway().await;
        let mut browser = self.browser(&gateway);
        let page = browser.go("/pages/1").await;
        assert_eq!(page.answer.status, 200, "{page:?}");
        (gateway, browser)
    }

    /// Lets the provider reach the gateway as `api.example.com`.
    async fn reachable(&self, gateway: &Gateway) {
        let port = gateway.address("edge").port();
        let authority = &self.world.edge_authority;
        self.provider
            .reaches(HOST, port, authority, &self.web)
            .await;
    }
}

/// Adds a login to a configuration, and the route `/pages/**` that asks for it.
pub async fn set_up(world: &World, provider: &Provider, config: &mut Config) {
    let jwks = provider.client().get(JWKS).await.text();
    world.folder.write("provider-jwks.json", jwks);
    world.folder.write("gateway-secret.key", SECRET);
    cookie_key(world, "cookie-1.key", 1);
    config.set("trust.provider", json!({ "ca": "provider-ca.pem" }));
    let issuer = json!({
        "issuer": provider.issuer, "audiences": ["orders-api"], "algorithms": ["ES256"],
        "keys": { "file": "provider-jwks.json" },
    });
    config.set("issuers.home", issuer);
    let client = json!({ "client_id": "gateway", "secret_file": "gateway-secret.key" });
    config.set("oauth_clients.gateway", client);
    config.set("logins.staff", staff());
    config.set("routes.pages", pages("/pages/**"));
}

/// What several gateways share, in this store.
fn shared(redis: &Redis) -> Value {
    json!({ "redis": {
        "endpoints": [format!("127.0.0.1:{}", redis.port)], "tls": "none", "when_away": "refuse",
        "timeout": "10s",
    } })
}

/// A login that nobody uses, with a server that nobody asks.
pub fn set_up_idle(world: &World, config: &mut Config) {
    cookie_key(world, "cookie-1.key", 1);
    let mut idle = staff();
    idle["issuer"] = json!("corp");
    idle["client"] = json!("us");
    idle["tls"] = json!({ "trust": "mesh" });
    config.set("logins.staff", idle);
}

fn staff() -> Value {
    json!({
        "issuer": "home",
        "client": "gateway",
        "tls": { "trust": "provider" },
        "scopes": ["openid", "profile", "groups"],
        "callback": "/oauth/callback",
        "logout": "/oauth/logout",
        "after_logout": ["/bye", "/pages/open"],
        "back_channel": "/oauth/back-channel-logout",
        "keys": ["cookie-1.key"],
    })
}

fn pages(path: &str) -> Value {
    json!({
        "match": { "host": HOST, "path": path },
        "clients": "any",
        "login": "staff",
        "upstream": "orders",
    })
}

/// Writes a key of cookies.
fn cookie_key(world: &World, name: &str, byte: u8) {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    world.folder.write(name, format!("{text}\n"));
}
