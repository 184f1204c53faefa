//! Several issuers: a token of one is nothing on the route of another.

use serde_json::json;

use super::Stage;
use crate::bench::World;
use crate::bench::http1::Request;
use crate::bench::token::{self, IssuerKey, Token};

const LABS: &str = "https://labs.example.com";

/// `corp` on `/orders/**`; `labs`, with a key of its own, on `/labs/**`; `mirror`, with the key of
/// `corp` and another name, on `/mirror/**`.
async fn three(labs: &IssuerKey) -> Stage {
    let world = World::new();
    world.folder.write("labs.json", token::jwks(&[labs]));
    Stage::with(world, |config| {
        let mut issuer = |name: &str, iss: &str, file: &str| {
            let mut spec = config.get("issuers.corp").clone();
            spec["issuer"] = json!(iss);
            spec["keys"]["file"] = json!(file);
            config.set(&format!("issuers.{name}"), spec);
            config.route(name, &format!("/{name}/**"), "orders");
            config.set(&format!("routes.{name}.token"), json!({ "issuer": name }));
        };
        issuer("labs", LABS, "labs.json");
        issuer("mirror", "https://mirror.example.com", "jwks.json");
    })
    .await
}

#[tokio::test]
async fn a_token_of_one_issuer_does_not_pass_on_the_route_of_another() {
    let labs = IssuerKey::es256("k1"); // the same kid as corp's
    let stage = three(&labs).await;
    let corp = &stage.world.issuer;
    let of = |iss: &str, key: &IssuerKey| Token::new().claim("iss", iss).sign(key);
    let mirror = "https://mirror.example.com";
    let cases = [
        ("/orders/7", of(token::ISSUER, corp), None),
        ("/labs/x", of(LABS, &labs), None),
        ("/mirror/x", of(mirror, corp), None),
        ("/orders/7", of(LABS, &labs), Some("token_signature")),
        ("/labs/x", of(token::ISSUER, corp), Some("token_signature")),
        // Says that it is of the other, with its own key.
        ("/labs/x", of(LABS, corp), Some("token_signature")),
        (
            "/orders/7",
            of(token::ISSUER, &labs),
            Some("token_signature"),
        ),
        // The right key, which speaks for another issuer.
        ("/labs/x", of(token::ISSUER, &labs), Some("token_issuer")),
        ("/mirror/x", of(token::ISSUER, corp), Some("token_issuer")),
        ("/orders/7", of(mirror, corp), Some("token_issuer")),
    ];
    // Twice: what one issuer remembers is nothing to another.
    for round in 0..2 {
        for (target, token, reason) in &cases {
            let request = Request::get(target).bearer(token);
            let answer = stage.client().request(&request).await;
            let came = stage.gateway.reason(&answer).await;
            assert_eq!(came.as_deref(), *reason, "{target} in round {round}");
        }
    }
    assert_eq!(stage.orders.requests().len(), 6);
    for issuer in ["corp", "labs", "mirror"] {
        let (hits, _) = stage.lookups(issuer).await;
        assert_eq!(hits, 1.0, "{issuer} remembers its own token");
    }
}

#[tokio::test]
async fn a_route_without_a_token_rule_looks_at_no_token() {
    let stage = Stage::set().await;
    let request = Request::get("/open/x").bearer("nonsense");
    assert_eq!(stage.client().request(&request).await.status, 200);
    assert_eq!(stage.lookups("corp").await, (0.0, 0.0));
}
