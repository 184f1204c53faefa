//! Tokens that a real authorization server bound: `oidc-provider`, to certificates and to keys.

use std::sync::Arc;

use serde_json::json;

use crate::bench::World;
use crate::bench::dpop::Proof;
use crate::bench::http1::Request;
use crate::bench::provider::{Grant, JWKS};
use crate::bench::token::{Algorithm, IssuerKey};

#[tokio::test]
async fn tokens_that_the_provider_binds_work_for_whom_it_bound_them_and_for_nobody_else() {
    let world = World::new();
    let provider = world.provider().await;
    let keys = provider.client().get(JWKS).await.text();
    world.folder.write("jwks.json", keys);
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("issuers.corp.issuer", provider.issuer.as_str());
    let wishes = [
        (
            "keyed",
            json!({ "issuer": "corp", "typ": "at+jwt", "dpop": true }),
        ),
        (
            "certified",
            json!({ "issuer": "corp", "typ": "at+jwt", "bound_to_certificate": true }),
        ),
    ];
    for (name, token) in wishes {
        config.route(name, &format!("/{name}/**"), "orders");
        config.set(&format!("routes.{name}.token"), token);
    }
    let gateway = world.gateway_with(&config).await;
    let (web, thief) = (
        world.web(),
        world.partner("spiffe://partners.example/web/t"),
    );
    let ask = async |identity, request: &Request| {
        let answer = gateway.client(identity).request(request).await;
        (answer.status, gateway.reason(&answer).await)
    };
    let refused = |reason: &str| (401, Some(reason.to_owned()));

    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = Arc::new(IssuerKey::new("client", algorithm));
        let token = provider.token(Grant::jwt().dpop_shared(&key)).await;
        let path = "/keyed/x";
        let proof = || Proof::get(path, &token).sign(&key);
        let dpop = |proof: &str| Request::get(path).dpop(&token, proof);
        let used = proof();
        assert_eq!(ask(&web, &dpop(&used)).await, (200, None), "{algorithm:?}");
        assert_eq!(ask(&web, &dpop(&used)).await, refused("proof_replayed"));
        assert_eq!(
            ask(&thief, &dpop(&proof())).await,
            (200, None),
            "bound to the key alone"
        );
        let stolen = Proof::get(path, &token).sign(&IssuerKey::new("thief", algorithm));
        assert_eq!(
            ask(&web, &dpop(&stolen)).await,
            refused("proof_of_another_key")
        );
        let bearer = Request::get(path).bearer(&token);
        assert_eq!(ask(&web, &bearer).await, refused("token_bound_to_key"));
    }

    let token = provider.token(Grant::jwt().bound_to(&web)).await;
    let bearer = Request::get("/certified/x").bearer(&token);
    assert_eq!(ask(&web, &bearer).await, (200, None));
    assert_eq!(ask(&thief, &bearer).await, refused("token_of_another_peer"));
    let plain = provider.token(Grant::jwt()).await;
    for (path, reason) in [
        ("/certified/x", "token_unbound"),
        ("/keyed/x", "token_unbound_to_key"),
    ] {
        assert_eq!(
            ask(&web, &Request::get(path).bearer(&plain)).await,
            refused(reason)
        );
    }
}
