//! One gateway on which every refusal can be provoked: listeners with tight bounds, services that
//! misbehave, routes that ask for each thing.

use std::net::SocketAddr;

use serde_json::json;

use crate::api_keys::{make, owners};
use crate::bench::client::{Client, HOST};
use crate::bench::config::{Config, free_port};
use crate::bench::gateway::Gateway;
use crate::bench::pki::{Authority, Identity, Leaf};
use crate::bench::provider::Provider;
use crate::bench::service::{Plain, Reply, Service};
use crate::bench::{ORDERS_ID, ORDERS_NAME, World};
use crate::external_authorization::{external_authorization, server as judge};
use crate::token_exchange;

pub struct Stage {
    pub world: World,
    pub gateway: Gateway,
    /// Answers well, except below `/open/close`, `/open/garbage` and `/open/hang`.
    pub orders: Service,
    /// Its certificate is one that the gateway does not trust.
    foreign: Service,
    /// Says of every token that it is not good.
    issuer: Service,
    /// Takes connections and never says a word of TLS.
    mute: Plain,
    /// Whom the route `judged` asks: it says no at `/judged/no`, and nonsense at `/judged/nonsense`.
    judge: judge::Service,
    /// Where the token of the route `exchanged` is exchanged, or not, as its subject says.
    tokens: Service,
    pub web: Identity,
    /// Where the users of `/pages/**` log in.
    pub provider: Provider,
    /// Signs the clients of the listener `rotating`, until its bundle is replaced.
    pub rotating: Authority,
    /// An API key that is over, and one that belongs to other certificates.
    pub expired_key: String,
    pub strangers_key: String,
}

/// Names of the configuration, identities and addresses: no answer to a stranger has them.
pub const SECRETS: [&str; 32] = [
    "ruled",
    "owned",
    "hidden-rule",
    "judged",
    "asked",
    "introspected",
    "opa",
    "orders",
    "open",
    "typed",
    "limited",
    "impostor",
    "foreign",
    "gone",
    "nowhere",
    "mute",
    "silent",
    "full",
    "absent",
    "spire",
    "corp",
    "aged",
    "partners",
    "mesh",
    "tenant",
    "spiffe",
    "internal.",
    "127.0.0",
    "localhost",
    "rustls",
    "pingora",
    "portcullis",
];

/// Where nobody listens.
fn gone() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// More than one listener holds 127.0.0.1; each stands for one set of bounds.
fn listeners(config: &mut Config) {
    let edge = config.get("listeners.edge").clone();
    let mut listener = |name: &str, key: &str, value: serde_json::Value| {
        config.set(&format!("listeners.{name}"), edge.clone());
        config.set(&format!("listeners.{name}.{key}"), value);
    };
    listener("optional", "tls.clients.certificate", json!("optional"));
    listener(
        "tight",
        "limits.requests_per_peer",
        json!({ "rate": "1/h", "burst": 1 }),
    );
    listener("few", "limits.in_flight_per_peer", json!(1));
    listener(
        "hasty",
        "limits",
        json!({ "header_timeout": "300ms", "body_timeout": "1s" }),
    );
    listener("rotating", "tls.clients.trust", json!("rotating"));
}

/// Upstreams that fail, each in its own way, with a route to each below `/NAME/**`.
fn upstreams(
    config: &mut Config,
    orders: SocketAddr,
    foreign: SocketAddr,
    mute: SocketAddr,
    introspection: &str,
) {
    config.endpoints("orders", &[orders]);
    let gone = gone();
    let other = "spiffe://mesh.example/ns/shop/sa/other";
    let list = [
        ("impostor", orders, other),
        ("foreign", foreign, ORDERS_ID),
        ("gone", gone, ORDERS_ID),
        ("nowhere", gone, ORDERS_ID),
        ("mute", mute, ORDERS_ID),
        ("silent", orders, ORDERS_ID),
        ("full", orders, ORDERS_ID),
        ("absent", orders, ORDERS_ID),
    ];
    for (name, address, accept) in list {
        config.upstream(name, address, ORDERS_NAME, &[accept]);
        config.route(name, &format!("/{name}/**"), name);
    }
    config.set("upstreams.nowhere.endpoints", json!(["nowhere.invalid:9"]));
    config.set("upstreams.mute.timeouts.connect", "300ms");
    config.set("upstreams.silent.timeouts.response", "300ms");
    config.set("upstreams.full.in_flight", 1);
    // The keys of this issuer are to be fetched, and nobody is there.
    let mut unheard = config.get("issuers.corp").clone();
    let keys = json!({ "url": format!("https://{gone}/jwks"), "tls": { "trust": "mesh" } });
    unheard["keys"] = keys;
    config.set("issuers.unheard", unheard);
    config.route("unheard", "/unheard/**", "orders");
    config.set("routes.unheard.token", json!({ "issuer": "unheard" }));
    // One issuer says of every token that it is not good, and at the other nobody is there.
    let client = json!({ "client_id": "client-of-it", "tls": "gateway" });
    config.set("oauth_clients.us", client);
    for (name, url) in [
        ("introspected", introspection),
        ("unintrospected", &format!("https://{gone}/ask")),
    ] {
        let asking = json!({ "url": url, "tls": { "trust": "mesh" }, "client": "us" });
        let issuer = json!({
            "issuer": "https://id.example", "audiences": ["orders-api"], "introspection": asking,
        });
        config.set(&format!("issuers.{name}"), issuer);
        config.route(name, &format!("/{name}/**"), "orders");
        config.set(&format!("routes.{name}.token"), json!({ "issuer": name }));
    }
    // Our own identity towards this one is to come from an agent, and there is none.
    config.set(
        "workload_api.spire.socket",
        "unix:///nobody/listens/here.sock",
    );
    config.set("identities.absent", json!({ "workload_api": "spire" }));
    config.set("upstreams.absent.tls.identity", "absent");
}

/// What the key file of nonces has.
pub const NONCE_SECRET: &str = "a secret of more than 32 letters, for nonces";

/// `/proved/**` asks for a proof, `/nonced/**` for one with a nonce.
fn possession(world: &World, config: &mut Config) {
    world.folder.write("nonce.key", NONCE_SECRET);
    let mut noncing = config.get("issuers.corp").clone();
    noncing["dpop"] = json!({ "nonces": "required", "nonce_keys": ["nonce.key"] });
    config.set("issuers.noncing", noncing);
    for (name, issuer) in [("proved", "corp"), ("nonced", "noncing")] {
        config.route(name, &format!("/{name}/**"), "orders");
        let token = json!({ "issuer": issuer, "dpop": true });
        config.set(&format!("routes.{name}.token"), token);
    }
}

/// A route for browsers, `/pages/**`, and one whose server cannot be asked, `/lost/**`.
async fn logins(world: &World, provider: &Provider, config: &mut Config) {
    crate::login::set_up(world, provider, config).await;
    config.set("logins.staff.cookie", "sid");
    let mut lost = config.get("logins.staff").clone();
    lost["cookie"] = json!("lost");
    for (name, path) in [
        ("callback", "/lost"),
        ("logout", "/leave"),
        ("back_channel", "/told"),
    ] {
        lost[name] = json!(path);
    }
    lost["issuer"] = json!("corp");
    config.set("logins.lost", lost);
    config.route("lost", "/lost/**", "orders");
    config.set("routes.lost.login", "lost");
    config.remove("routes.lost.token");
}

impl Stage {
    pub async fn set() -> Self {
        let world = World::new();
        let rotating = Authority::new("rotating");
        world.folder.write("rotating-ca.pem", rotating.pem());
        let script = |request: &crate::bench::service::Received| {
            let step = request.target.split('/').nth(2).unwrap_or_default();
            match step {
                "close" => Reply::close(),
                "garbage" => Reply::raw("\u{1}\u{2} this is not HTTP\r\n\r\n"),
                "hang" => Reply::hang(),
                _ => Reply::ok("hello"),
            }
        };
        let orders = world.orders().reply(script).start().await;
        let stranger = Leaf::server("x").spiffe(ORDERS_ID).dns(ORDERS_NAME);
        let stranger = world.stranger.issue(stranger);
        let foreign = world.service_as(&stranger).start().await;
        let mute = Plain::start(b"").await;
        let issuer = world.mesh.issue(Leaf::server("issuer").dns("localhost"));
        let inactive = Reply::new(
            200,
            &[("Content-Type", "application/json")],
            r#"{"active":false}"#,
        );
        let issuer = Service::builder(&issuer, &world.mesh);
        let issuer = issuer.reply(move |_| inactive.clone()).start().await;
        let introspection = format!("https://localhost:{}/ask", issuer.address.port());
        world.folder.write("deny.list", "# nobody yet\n");
        let judge = judge::Service::start(&world).await;
        judge.decide(|question| match &*question.path {
            "/judged/no" => judge::Script::Say(judge::no()),
            _ => judge::Script::Say(Vec::new()),
        });
        let mut config = world.config();
        for (name, at) in [("judged", judge.address), ("unjudged", gone())] {
            config.set(
                &format!("external_authorization.{name}"),
                external_authorization(at),
            );
            config.route(name, &format!("/{name}/**"), "orders");
            config.set(&format!("routes.{name}.external_authorization"), name);
        }
        let tokens = token_exchange::server(&world)
            .reply(|request| match token_exchange::subject(request).as_str() {
                "refused" => token_exchange::error(400, "invalid_grant"),
                "denied" => token_exchange::error(400, "invalid_target"),
                _ => token_exchange::error(500, "server_error"),
            })
            .start()
            .await;
        config.route("exchanged", "/exchanged/**", "orders");
        token_exchange::set(&mut config, "exchanged", &world, tokens.address);
        config.set("deny", "deny.list");
        config.set("trust.rotating.ca", "rotating-ca.pem");
        listeners(&mut config);
        upstreams(
            &mut config,
            orders.address,
            foreign.address,
            mute.address,
            &introspection,
        );
        config.route("typed", "/typed/**", "orders");
        config.set(
            "routes.typed.token",
            json!({ "issuer": "corp", "typ": "at+jwt", "scopes": ["read"], "claims": { "tenant": "a" },
                    "from": ["authorization", "cookie:token"] }),
        );
        possession(&world, &mut config);
        let mut aged = config.get("issuers.corp").clone();
        aged["max_age"] = json!("1m");
        config.set("issuers.aged", aged);
        config.route("aged", "/aged/**", "orders");
        config.set("routes.aged.token", json!({ "issuer": "aged" }));
        let (over, bound) = (make("2020-01-01T00:00:00Z"), make("never"));
        let clients = "clients: [\"dns:far.example\"]";
        let far = format!("  far: {{ {clients}, keys: [{}] }}\n", bound.entry);
        world.folder.write("keys.yaml", owners(&[&over]) + &far);
        config.set("api_keys.keyed.file", "keys.yaml");
        config.route("keyed", "/keyed/**", "orders");
        config.remove("routes.keyed.token");
        config.set("routes.keyed.api_key", "keyed");
        config.route("ruled", "/ruled/**", "orders");
        config.set(
            "routes.ruled.policy",
            json!([{ "name": "hidden-rule", "cel": "request.query == 'open'" }]),
        );
        config.route("owned", "/owned/**", "orders");
        config.set("routes.owned.token", json!({ "issuer": "corp" }));
        config.set(
            "routes.owned.subject_is_peer",
            "spiffe://partners.example/user/{sub}",
        );
        config.route("limited", "/limited/**", "orders");
        config.set(
            "routes.limited.limits",
            json!([{ "rate": "1/h", "per": "client" }]),
        );
        config.set("routes.open.max_body", "16B");
        config.route("inside", "/inside/**", "orders");
        config.set("routes.inside.listeners", json!(["optional"]));
        let provider = world.provider().await;
        logins(&world, &provider, &mut config).await;
        // It is not ready for as long as it waits for the agent, and refuses what needs it.
        let gateway = world.gateway_starting(&config).await;
        let unreachable = [("place", "identities.absent"), ("result", "unreachable")];
        gateway
            .wait_for_metric("portcullis_source_reloads_total", &unreachable, |n| n > 0.0)
            .await;
        let web = world.web();
        Self {
            world,
            gateway,
            orders,
            foreign,
            issuer,
            mute,
            judge,
            tokens,
            web,
            provider,
            rotating,
            expired_key: over.key,
            strangers_key: bound.key,
        }
    }

    /// A client that the standard routes let in.
    pub fn client(&self) -> Client {
        self.gateway.client(&self.web)
    }

    /// The same client on another listener.
    pub fn client_of(&self, listener: &str) -> Client {
        self.client().address(self.gateway.address(listener))
    }

    /// No line has what opens a door: no part of a token or a proof, no key.
    pub fn check_no_credential(&self, line: &str) {
        let keys = [&self.expired_key, &self.strangers_key];
        for secret in keys.map(|key| key.get(22..).expect("a secret")) {
            assert!(!line.contains(secret), "{line}");
        }
        // Each token, and each proof, begins with `{"` in base64url.
        assert!(
            !line.contains("eyJ") && !line.contains(NONCE_SECRET),
            "{line}"
        );
    }

    /// Requests that any service has seen, and bytes that came to it by other ways.
    pub fn told(&self) -> (usize, usize, usize) {
        let foreign = self.foreign.bytes();
        let mute = String::from_utf8_lossy(&self.mute.received()).contains(HOST);
        (self.orders.requests().len(), foreign, usize::from(mute))
    }
}
