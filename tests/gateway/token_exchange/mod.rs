//! Calling on behalf (RFC 8693): the client's token is exchanged for one that is meant for the
//! service; by a hostile server of the tests, and by the certified one.

mod cached;
mod faults;
mod provider;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Answer, Request};
use crate::bench::provider::claims_of;
use crate::bench::service::{Builder, Received, Reply, Service};
use crate::bench::token::Token;

pub const EXCHANGES: &str = "portcullis_token_exchanges_total";
pub const CACHE: &str = "portcullis_token_exchange_cache_total";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A token endpoint at `https://localhost:PORT/token`, of the mesh.
pub fn server(world: &World) -> Builder {
    world.service("spiffe://mesh.example/ns/id/sa/tokens", "localhost")
}

/// Has the route exchange its token there.
pub fn set(config: &mut Config, route: &str, world: &World, address: SocketAddr) {
    world.folder.write(
        "client.secret",
        "a secret of the tests: 32 bytes and more\n",
    );
    config.set(
        "oauth_clients.us",
        json!({ "client_id": "us", "secret_file": "client.secret" }),
    );
    config.set(
        &format!("routes.{route}.token"),
        json!({ "issuer": "corp" }),
    );
    config.set(
        &format!("routes.{route}.exchange"),
        json!({
            "client": "us",
            "url": format!("https://localhost:{}/token", address.port()),
            "tls": { "trust": "mesh", "identity": "gateway" },
            "audience": "orders",
            "scopes": ["orders:read", "orders:list"],
        }),
    );
}

/// A member of the form that was posted.
pub fn member(request: &Received, name: &str) -> String {
    let body = String::from_utf8(request.body.clone()).expect("a form");
    let url = format!("https://form.example/?{body}");
    let mut found = Vec::new();
    for pair in url.split('?').nth(1).expect("a query").split('&') {
        let (own, value) = pair.split_once('=').expect("a pair");
        if own == name {
            found.push(decode(value));
        }
    }
    assert!(found.len() < 2, "{name} stands twice");
    found.pop().unwrap_or_default()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            }
            plain => bytes.push(plain),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// Whom the token speaks for that is to be exchanged.
pub fn subject(request: &Received) -> String {
    let claims = claims_of(&member(request, "subject_token"));
    claims["sub"].as_str().unwrap_or_default().to_owned()
}

pub fn error(status: u16, error: &str) -> Reply {
    answer(status, &json!({ "error": error }))
}

fn answer(status: u16, body: &Value) -> Reply {
    let json = [("Content-Type", "application/json")];
    Reply::new(status, &json, body.to_string())
}

fn issued(token: &str, seconds: u64) -> Value {
    json!({
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": seconds,
    })
}

/// A gateway whose route `open` exchanges tokens with `tokens`.
struct Stage {
    world: World,
    orders: Service,
    tokens: Service,
    gateway: Gateway,
}

impl Stage {
    /// Gives `for-SUB` for an hour.
    async fn set() -> Self {
        Self::with(&[]).await
    }

    async fn with(keys: &[(&str, Value)]) -> Self {
        Self::of(World::new(), |config| {
            for (key, value) in keys {
                config.set(&format!("routes.open.{key}"), value.clone());
            }
        })
        .await
    }

    async fn of(world: World, change: impl FnOnce(&mut Config)) -> Self {
        let script = |request: &Received| {
            let token = format!("for-{}", subject(request));
            answer(200, &issued(&token, 3_600))
        };
        let tokens = server(&world).reply(script).start().await;
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        set(&mut config, "open", &world, tokens.address);
        change(&mut config);
        let gateway = world.gateway_with(&config).await;
        Self {
            world,
            orders,
            tokens,
            gateway,
        }
    }

    fn token(&self, subject: &str) -> String {
        Token::new().subject(subject).sign(&self.world.issuer)
    }

    async fn ask(&self, request: &Request) -> Answer {
        let client = self.gateway.client(&self.world.web());
        client.request(request).await
    }

    /// Asks with this token, and gives status and reason.
    async fn get(&self, token: &str) -> (u16, String) {
        let answer = self.ask(&Request::get("/open/x").bearer(token)).await;
        let line = self.gateway.access_line(&answer).await;
        let reason = line["reason"].as_str().unwrap_or_default();
        (answer.status, reason.to_owned())
    }

    async fn exchanges(&self, result: &str) -> f64 {
        let labels = [("client", "us"), ("result", result)];
        self.gateway.metrics().await.value(EXCHANGES, &labels)
    }
}

const REFUSED: &str = "token_exchange_refused";
const DENIED: &str = "token_exchange_denied";
const UNAVAILABLE: &str = "token_exchange_unavailable";
