//! Issuers with keys and introspection: which tokens they are asked about.

use serde_json::json;

use super::{GOOD, INACTIVE, Stage, good_but, new_token};
use crate::bench::config::Config;
use crate::bench::token::Token;

fn keys(config: &mut Config) {
    config.set("issuers.corp.keys", json!({ "file": "jwks.json" }));
    config.set("issuers.corp.algorithms", json!(["ES256"]));
}

#[tokio::test]
async fn a_jwt_is_verified_here_and_the_issuer_asked_about_the_rest() {
    let stage = Stage::with(keys).await;
    stage
        .hold("a JWT", &Token::new().sign(&stage.world.issuer), GOOD)
        .await;
    assert_eq!(stage.questions(), 0);
    let over = Token::new().expired().sign(&stage.world.issuer);
    stage
        .hold("a JWT that is over", &over, (401, Some("token_expired")))
        .await;
    let other = crate::bench::token::with_broken_signature(&Token::new().sign(&stage.world.issuer));
    stage
        .hold("a forged JWT", &other, (401, Some("token_signature")))
        .await;
    assert_eq!(stage.questions(), 0, "nobody is asked about a JWT");
    stage.hold("opaque", &new_token(), GOOD).await;
    stage.hold("with dots in it", "opaque.a.b", GOOD).await;
    assert_eq!(stage.questions(), 2);
}

#[tokio::test]
async fn without_keys_the_issuer_is_asked_about_every_token() {
    let stage = Stage::set().await;
    let forged = Token::new().unsigned();
    stage.say(&json!({ "active": false }));
    stage
        .hold("a JWT that nobody signed", &forged, INACTIVE)
        .await;
    assert_eq!(stage.questions(), 1);
}

#[tokio::test]
async fn what_another_issuer_made_is_shown_to_that_one_alone() {
    let stage = Stage::set().await;
    let elsewhere = Token::new()
        .claim("iss", "https://elsewhere.example")
        .sign(&stage.world.issuer);
    stage
        .hold("another's", &elsewhere, (401, Some("token_issuer")))
        .await;
    assert_eq!(stage.questions(), 0);
    let own = Token::new().sign(&stage.world.issuer);
    stage.hold("its own", &own, GOOD).await;
    assert_eq!(stage.questions(), 1);
}

#[tokio::test]
async fn an_issuer_can_take_back_a_jwt_where_it_is_asked_about_all() {
    let stage = Stage::with(|config| {
        keys(config);
        config.set("issuers.corp.introspection.tokens", "all");
    })
    .await;
    let jwt = |number: i32| Token::new().claim("jti", number).sign(&stage.world.issuer);
    stage.hold("active", &jwt(1), GOOD).await;
    let heard = stage.orders.last_request();
    assert_eq!(heard.header("x-token-subject"), Some("alice"));
    stage.say(&json!({ "active": true }));
    stage
        .hold("active, and no more is said", &jwt(2), GOOD)
        .await;
    stage.say(&json!({ "active": false }));
    stage.hold("taken back", &jwt(3), INACTIVE).await;
    let asked = stage.questions();
    let over = Token::new().expired().sign(&stage.world.issuer);
    stage
        .hold("not worth a question", &over, (401, Some("token_expired")))
        .await;
    assert_eq!(stage.questions(), asked);
    let other = stage.world.partner("spiffe://partners.example/web/b");
    stage.say(&good_but(
        json!({ "cnf": { "x5t#S256": other.thumbprint() } }),
    ));
    let verdict = (401, Some("token_of_another_peer"));
    stage
        .hold("bound, as only the issuer says", &jwt(4), verdict)
        .await;
}
