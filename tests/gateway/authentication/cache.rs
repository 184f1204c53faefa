//! What is remembered of a token: its signature was right. Not that it may pass.

use serde_json::json;

use super::Stage;
use crate::bench::World;
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::token::{self, IssuerKey, Token, with_broken_signature};

#[tokio::test]
async fn the_signature_of_a_token_that_comes_a_thousand_times_is_checked_once() {
    let stage = Stage::set().await;
    let token = Token::new().sign(&stage.world.issuer);
    let request = Request::get("/orders/7").bearer(&token);
    let mut connection = stage.client().connect().await;
    for _ in 0..1000 {
        assert_eq!(connection.request(&request).await.status, 200);
    }
    assert_eq!(stage.lookups("corp").await, (999.0, 1.0));
}

#[tokio::test]
async fn a_wrong_token_is_never_remembered() {
    let stage = Stage::set().await;
    let token = with_broken_signature(&Token::new().sign(&stage.world.issuer));
    for _ in 0..3 {
        assert_eq!(stage.ask(&token).await.status, 401);
    }
    assert_eq!(stage.lookups("corp").await, (0.0, 3.0));
}

#[tokio::test]
async fn a_remembered_token_ends_when_its_time_is_over() {
    let stage = Stage::with(World::new(), |config| {
        config.set("issuers.corp.leeway", "0s");
    })
    .await;
    let token = Token::new().valid(-5, 3).sign(&stage.world.issuer);
    let ends = token::unix_now() + 3;
    assert_eq!(stage.ask(&token).await.status, 200);
    assert_eq!(stage.ask(&token).await.status, 200);
    assert_eq!(stage.lookups("corp").await, (1.0, 1.0), "remembered");
    loop {
        let before = token::unix_now();
        let answer = stage.ask(&token).await;
        if answer.status == 401 {
            let reason = stage.gateway.reason(&answer).await;
            assert_eq!(reason.as_deref(), Some("token_expired"));
            break;
        }
        assert!(before < ends, "used after its end");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn new_keys_drop_the_tokens_that_the_old_ones_had_signed() {
    let stage = Stage::set().await;
    let old = Token::new().sign(&stage.world.issuer);
    assert_eq!(stage.ask(&old).await.status, 200);
    let same_name = IssuerKey::es256(&stage.world.issuer.kid);
    let swap = |keys: String| {
        let folder = &stage.world.folder;
        stage
            .gateway
            .reload_by(move || drop(folder.write("jwks.json", keys)))
    };
    let reloaded = swap(token::jwks(&[&same_name])).await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    let refused = stage.ask(&old).await;
    let verdict = stage.verdict(&refused).await;
    assert_eq!(verdict, (401, Some("token_signature".to_owned())));
    let new = Token::new().sign(&same_name);
    assert_eq!(stage.ask(&new).await.status, 200);

    let another_name = IssuerKey::es256("k2");
    let reloaded = swap(token::jwks(&[&another_name])).await;
    assert_eq!(reloaded, Reloaded::Applied(3));
    let refused = stage.ask(&new).await;
    let verdict = stage.verdict(&refused).await;
    assert_eq!(verdict, (401, Some("token_key_unknown".to_owned())));
}

#[tokio::test]
async fn keys_that_overlap_let_a_rotation_lose_nobody() {
    let stage = Stage::set().await;
    let old = Token::new().sign(&stage.world.issuer);
    let next = IssuerKey::es256("k2");
    let both = token::jwks(&[&stage.world.issuer, &next]);
    let folder = &stage.world.folder;
    let swap = || drop(folder.write("jwks.json", both));
    assert_eq!(stage.gateway.reload_by(swap).await, Reloaded::Applied(2));
    assert_eq!(stage.ask(&old).await.status, 200);
    assert_eq!(stage.ask(&Token::new().sign(&next)).await.status, 200);
}

#[tokio::test]
async fn a_key_set_without_a_usable_key_is_not_taken_up() {
    let stage = Stage::set().await;
    let token = Token::new().sign(&stage.world.issuer);
    let folder = &stage.world.folder;
    let swap = || drop(folder.write("jwks.json", r#"{"keys":[]}"#));
    assert_eq!(stage.gateway.reload_by(swap).await, Reloaded::Refused);
    assert_eq!(stage.ask(&token).await.status, 200, "the old keys stay");
}

#[tokio::test]
async fn other_rules_for_the_issuer_hold_for_tokens_that_were_remembered() {
    let mut stage = Stage::set().await;
    let token = Token::new().sign(&stage.world.issuer);
    assert_eq!(stage.ask(&token).await.status, 200);
    let mut config = stage.gateway.config.clone();
    config.set("issuers.corp.audiences", json!(["billing-api"]));
    let reloaded = stage.gateway.reload(&config).await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    let refused = stage.ask(&token).await;
    let verdict = stage.verdict(&refused).await;
    assert_eq!(verdict, (401, Some("token_audience".to_owned())));
}

#[tokio::test]
async fn a_reload_that_leaves_the_issuer_alone_leaves_its_tokens_remembered() {
    let mut stage = Stage::set().await;
    let token = Token::new().sign(&stage.world.issuer);
    assert_eq!(stage.ask(&token).await.status, 200);
    let mut config = stage.gateway.config.clone();
    config.route("more", "/more/**", "orders");
    let reloaded = stage.gateway.reload(&config).await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    assert_eq!(stage.ask(&token).await.status, 200);
    assert_eq!(stage.lookups("corp").await, (1.0, 1.0));
}

#[tokio::test]
async fn what_a_route_asks_for_is_asked_of_a_remembered_token_each_time() {
    let mut stage = Stage::set().await;
    let token = Token::new().scope("orders:read").sign(&stage.world.issuer);
    assert_eq!(stage.ask(&token).await.status, 200);
    let request = Request::post("/orders/7", "x").bearer(&token);
    let refused = stage.client().request(&request).await;
    let verdict = stage.verdict(&refused).await;
    assert_eq!(verdict, (401, Some("token_unbound".to_owned())));
    let mut config = stage.gateway.config.clone();
    config.set("routes.orders-read.token.scopes", json!(["orders:admin"]));
    stage.gateway.reload(&config).await;
    let refused = stage.ask(&token).await;
    let verdict = stage.verdict(&refused).await;
    assert_eq!(verdict, (403, Some("scope_missing".to_owned())));
    assert_eq!(stage.lookups("corp").await, (2.0, 1.0), "all from memory");
}
