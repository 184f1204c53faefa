//! A real authorization server: asked in every way that it knows clients by, with plain and with
//! signed answers, about tokens of every kind.

use serde_json::{Value, json};

use super::{GOOD, INACTIVE, new_token};
use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Request;
use crate::bench::pki::Identity;
use crate::bench::provider::{Grant, INTROSPECTION, JWKS, Provider, SECRET};
use crate::bench::service::Service;

struct Stage {
    world: World,
    provider: Provider,
    orders: Service,
    gateway: Gateway,
    web: Identity,
}

impl Stage {
    /// A gateway that asks as this client, and remembers nothing.
    async fn with(client: Value, change: impl FnOnce(&mut Config, &Provider)) -> Self {
        let world = World::new();
        let provider = world.provider().await;
        let orders = world.orders().start().await;
        world.folder.write("client.secret", SECRET);
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        config.set("trust.provider", json!({ "ca": "provider-ca.pem" }));
        config.set("oauth_clients.us", client);
        let introspection = json!({
            "url": provider.url(INTROSPECTION), "tls": { "trust": "provider" }, "client": "us",
            "cache": "0s", "negative_cache": "0s",
        });
        let issuer = json!({
            "issuer": provider.issuer, "audiences": ["orders-api"], "introspection": introspection,
        });
        config.set("issuers.corp", issuer);
        change(&mut config, &provider);
        let gateway = world.gateway_with(&config).await;
        let web = world.web();
        Self {
            world,
            provider,
            orders,
            gateway,
            web,
        }
    }

    async fn hold(&self, what: &str, by: &Identity, token: &str, want: (u16, Option<&str>)) {
        let request = Request::get("/orders/7").bearer(token);
        let answer = self.gateway.client(by).request(&request).await;
        let reason = self.gateway.reason(&answer).await;
        assert_eq!((answer.status, reason.as_deref()), want, "{what}");
    }
}

fn clients() -> [(&'static str, Value); 3] {
    [
        (
            "by secret",
            json!({ "client_id": "gateway", "secret_file": "client.secret" }),
        ),
        (
            "by key",
            json!({
                "client_id": "gateway-key",
                "private_key_jwt": { "key_file": "client.key", "kid": "client", "algorithm": "ES256" },
            }),
        ),
        (
            "by certificate",
            json!({ "client_id": "gateway-mtls", "tls": "gateway" }),
        ),
    ]
}

#[tokio::test]
async fn the_gateway_is_known_by_secret_by_key_and_by_certificate() {
    for (what, client) in clients() {
        let stage = Stage::with(client, |_, _| ()).await;
        let token = stage.provider.token(Grant::opaque()).await;
        stage.hold(what, &stage.web, &token, GOOD).await;
        let heard = stage.orders.last_request();
        assert_eq!(
            heard.header("x-client-identity"),
            Some(crate::bench::WEB_ID)
        );
        stage
            .hold("nobody knows it", &stage.web, &new_token(), INACTIVE)
            .await;
        stage.provider.revoke(&token).await;
        stage.hold("taken back", &stage.web, &token, INACTIVE).await;
        drop(stage.world);
    }
}

#[tokio::test]
async fn signed_answers_of_a_real_server_are_believed_and_plain_ones_are_not_asked_for() {
    for (what, client) in clients() {
        let stage = Stage::with(client, |config, provider| {
            let keys = json!({ "url": provider.url(JWKS), "tls": { "trust": "provider" } });
            config.set("issuers.corp.keys", keys);
            config.set("issuers.corp.algorithms", json!(["ES256"]));
            config.set("issuers.corp.introspection.signed", true);
        })
        .await;
        let token = stage.provider.token(Grant::opaque()).await;
        stage.hold(what, &stage.web, &token, GOOD).await;
        stage
            .hold("nobody knows it", &stage.web, &new_token(), INACTIVE)
            .await;
        let asked = stage.provider.requests(INTROSPECTION);
        let accept = Some("application/token-introspection+jwt");
        assert!(asked.iter().all(|asked| asked.header("accept") == accept));
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_good_in_its_hands_alone() {
    let (_, client) = clients().into_iter().next().expect("a client");
    let stage = Stage::with(client, |_, _| ()).await;
    let token = stage
        .provider
        .token(Grant::opaque().bound_to(&stage.web))
        .await;
    stage.hold("its owner", &stage.web, &token, GOOD).await;
    let other = stage.world.partner("spiffe://partners.example/web/b");
    let refused = (401, Some("token_of_another_peer"));
    stage.hold("somebody else", &other, &token, refused).await;
    let other = Grant::opaque().audience("another-api");
    let other = stage.provider.token(other).await;
    stage
        .hold(
            "another API",
            &stage.web,
            &other,
            (401, Some("token_audience")),
        )
        .await;
}

#[tokio::test]
async fn a_client_that_the_server_does_not_know_is_our_fault_and_not_the_tokens() {
    let client = json!({ "client_id": "nobody", "secret_file": "client.secret" });
    let stage = Stage::with(client, |_, _| ()).await;
    let token = stage.provider.token(Grant::opaque()).await;
    stage
        .hold("unknown to it", &stage.web, &token, super::UNAVAILABLE)
        .await;
    let line = stage
        .gateway
        .wait_for_event(|line| line["result"] == "refused")
        .await;
    assert!(
        line["error"].as_str().unwrap().contains("invalid_client"),
        "{line}"
    );
}
