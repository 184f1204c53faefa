//! Against the certified authorization server: as each of our clients, and with what it refuses.

use serde_json::json;

use crate::bench::World;
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::provider::{Grant, SECRET, TOKEN, claims_of};

#[tokio::test]
async fn the_certified_server_exchanges_tokens_as_each_of_our_clients() {
    let world = World::new();
    let provider = world.provider().await;
    let orders = world.orders().start().await;
    world.folder.write("client.secret", SECRET);
    let key = json!({ "key_file": "client.key", "kid": "client", "algorithm": "ES256" });
    let clients = [
        (
            "gateway",
            json!({ "client_id": "gateway", "secret_file": "client.secret" }),
        ),
        (
            "gateway-mtls",
            json!({ "client_id": "gateway-mtls", "tls": "gateway" }),
        ),
        (
            "gateway-key",
            json!({ "client_id": "gateway-key", "private_key_jwt": key }),
        ),
    ];
    for (client, us) in clients {
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        config.set("trust.provider.ca", "provider-ca.pem");
        config.set("oauth_clients.us", us);
        config.set("issuers.corp.issuer", provider.issuer.as_str());
        config.set(
            "issuers.corp.keys",
            json!({ "url": provider.url("/jwks"), "tls": { "trust": "provider" } }),
        );
        config.set("routes.open.token", json!({ "issuer": "corp" }));
        config.set(
            "routes.open.exchange",
            json!({
                "client": "us",
                "url": provider.url(TOKEN),
                "tls": { "trust": "provider" },
                "audience": "orders",
            }),
        );
        let mut gateway = world.gateway_with(&config).await;
        let client_of_web = gateway.client(&world.web());
        let token = provider.token(Grant::jwt().scope("orders:read")).await;
        let before = provider.requests(TOKEN).len();
        for _ in 0..2 {
            let request = Request::get("/open/x").bearer(&token);
            let answer = client_of_web.request(&request).await;
            assert_eq!(answer.status, 200, "{client}: {:?}", gateway.log().last());
        }
        assert_eq!(provider.requests(TOKEN).len(), before + 1, "{client}");
        let got = orders.last_request();
        let new = got.header("authorization").expect("a token");
        let new = new.strip_prefix("Bearer ").expect("a bearer's");
        assert_ne!(new, token);
        let claims = claims_of(new);
        assert_eq!(claims["sub"], claims_of(&token)["sub"], "{client}");
        assert_eq!(claims["aud"], "orders", "{client}: {claims}");
        assert_eq!(claims["act"]["sub"], client, "{claims}");

        let mut config = gateway.config.clone();
        config.set("routes.open.exchange.audience", "forbidden");
        let reloaded = gateway.reload(&config).await;
        assert!(matches!(reloaded, Reloaded::Applied(_)));
        let refused = client_of_web
            .request(&Request::get("/open/x").bearer(&token))
            .await;
        assert_eq!(refused.status, 403, "invalid_target");
    }
}
