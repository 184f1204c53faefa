//! Keys that change: a new one, one that goes, and what becomes of the tokens that are remembered.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::bench::World;
use crate::bench::service::{Reply, Step};
use crate::bench::token::{self, IssuerKey, Token};

use super::idp::Idp;
use super::{KEYS, Stage, UNKNOWN};

#[tokio::test]
async fn the_keys_are_there_before_the_gateway_says_that_it_is_ready() {
    let stage = Stage::set().await; // waits for /readyz alone
    let asked = stage.idp.asked("/jwks");
    assert!(asked >= 1, "fetched in advance");
    let good = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&good).await, (200, None));
    let corp = [("issuer", "corp")];
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value(KEYS, &corp), 1.0);
    assert!(metrics.value("portcullis_issuer_keys_age_seconds", &corp) < 60.0);
    let next = "portcullis_issuer_keys_next_refresh_timestamp_seconds";
    let next = metrics.value(next, &corp) - token::unix_now() as f64;
    assert!((-5.0..10.0).contains(&next), "{next}");
    let line = |event: &serde_json::Value| event["issuer"] == "corp" && event["keys"] == 1;
    stage.gateway.wait_for_event(line).await;
}

#[tokio::test]
async fn while_the_first_keys_are_on_their_way_the_gateway_is_not_ready() {
    let world = World::new();
    let idp = Idp::start(&world).await;
    let gate = Arc::new(Notify::new());
    let mut slow = vec![Step::Gate(Arc::clone(&gate))];
    slow.extend(Reply::ok(token::jwks(&[&world.issuer])).0);
    idp.page("/jwks", Reply(slow));
    let mut config = world.config();
    config.set("issuers.corp.keys", idp.keys("/jwks"));
    let mut gateway = world.gateway_starting(&config).await;
    idp.wait_for("/jwks", 1).await;
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    idp.publish(&[&world.issuer]); // for the next question
    gate.notify_one();
    gateway.wait_until_ready().await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.value(KEYS, &[("issuer", "corp")]), 1.0);
}

#[tokio::test]
async fn a_key_that_is_taken_away_takes_its_remembered_tokens_with_it_and_no_others() {
    let stage = {
        let world = World::new();
        let idp = Idp::start(&world).await;
        let stays = IssuerKey::es256("stays");
        idp.publish(&[&world.issuer, &stays]);
        (Stage::of(world, idp, |_, _| ()).await, stays)
    };
    let (stage, stays) = stage;
    let lookups = |result: &'static str| {
        let stage = &stage;
        async move {
            let metrics = stage.gateway.metrics().await;
            let labels = [("issuer", "corp"), ("result", result)];
            metrics.value("portcullis_token_cache_lookups_total", &labels)
        }
    };
    let (gone, kept) = (stage.token(&stage.world.issuer), stage.token(&stays));
    for token in [&gone, &kept, &gone, &kept] {
        assert_eq!(stage.verdict(token).await, (200, None));
    }
    assert_eq!(lookups("hit").await, 2.0, "both are remembered");
    stage.idp.publish(&[&stays]);
    stage.generation(2.0).await;
    let asked = stage.fetches(&[("cause", "unknown_key")]).await;
    // The very next request.
    assert_eq!(stage.verdict(&gone).await, (401, Some(UNKNOWN.into())));
    assert_eq!(stage.verdict(&kept).await, (200, None));
    assert_eq!(lookups("hit").await, 3.0, "the other is still remembered");
    let now = stage.fetches(&[("cause", "unknown_key")]).await;
    assert_eq!(now, asked, "that it is gone is known, and nobody is asked");
    // It comes back: the key is believed again, and what was remembered of before is not.
    stage.idp.publish(&[&stage.world.issuer, &stays]);
    stage.generation(3.0).await;
    let misses = lookups("miss").await;
    assert_eq!(stage.verdict(&gone).await, (200, None));
    assert_eq!(lookups("miss").await, misses + 1.0);
}

#[tokio::test]
async fn a_token_with_a_new_key_is_let_in_at_once_and_the_issuer_asked_once() {
    let stage = Stage::with(|config, _| {
        config.set("issuers.corp.keys.refresh.max", "1h");
    })
    .await;
    let new = IssuerKey::es256("new");
    stage.idp.publish(&[&stage.world.issuer, &new]);
    let before = stage.idp.asked("/jwks");
    let token = stage.token(&new);
    // Twenty at a time.
    let asked = (0..20).map(|_| stage.ask(&token));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(stage.idp.asked("/jwks"), before + 1);
    assert_eq!(stage.fetches(&[("cause", "unknown_key")]).await, 1.0);
}

#[tokio::test]
async fn another_key_under_the_same_name_is_another_key() {
    let stage = Stage::set().await;
    let old = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&old).await, (200, None));
    let same_name = IssuerKey::es256(&stage.world.issuer.kid);
    stage.idp.publish(&[&same_name]);
    stage.generation(2.0).await;
    let refused = (401, Some("token_signature".to_owned()));
    assert_eq!(stage.verdict(&old).await, refused);
    let new = stage.token(&same_name);
    assert_eq!(stage.verdict(&new).await, (200, None));
}

#[tokio::test]
async fn an_issuer_that_takes_all_keys_away_is_believed() {
    let stage = Stage::set().await;
    let token = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&token).await, (200, None));
    stage.idp.page("/jwks", Reply::ok("{\"keys\":[]}"));
    stage.next_fetch("no_keys").await;
    let refused = (503, Some(super::UNAVAILABLE.to_owned()));
    assert_eq!(stage.verdict(&token).await, refused, "on the next request");
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value(KEYS, &[("issuer", "corp")]), 0.0);
    stage.idp.publish(&[&stage.world.issuer]);
    stage.next_fetch("ok").await;
    assert_eq!(stage.verdict(&token).await, (200, None));
}

#[tokio::test]
async fn unusable_keys_are_passed_over_and_told() {
    let world = World::new();
    let idp = Idp::start(&world).await;
    let mut secret = world.issuer.jwk();
    secret["kid"] = "for-encryption".into();
    secret["use"] = "enc".into();
    let mut wrap = world.issuer.jwk();
    wrap["kid"] = "wraps".into();
    wrap["key_ops"] = serde_json::json!(["wrapKey"]);
    let weak = serde_json::json!({
        "kty": "RSA", "kid": "weak", "e": "AQAB", "n": format!("{}w", "_".repeat(85)),
    });
    let oct = serde_json::json!({ "kty": "oct", "kid": "symmetric", "k": "c2VjcmV0" });
    let keys = serde_json::json!({ "keys": [secret, wrap, weak, oct, world.issuer.jwk()] });
    idp.page("/jwks", super::idp::json_reply(&keys.to_string()));
    let stage = Stage::of(world, idp, |_, _| ()).await;
    assert_eq!(
        stage.verdict(&stage.token(&stage.world.issuer)).await,
        (200, None)
    );
    for kid in ["for-encryption", "wraps"] {
        let token = Token::new().header("kid", kid).sign(&stage.world.issuer);
        assert_eq!(stage.verdict(&token).await.0, 401, "{kid}");
    }
    let hs256 = Token::new().sign_hs256(b"secret", "symmetric");
    assert_eq!(stage.verdict(&hs256).await.0, 401);
    for word in ["`use`", "`key_ops`", "less than 2048 bits", "symmetric"] {
        let told = |event: &serde_json::Value| {
            event["issuer"] == "corp" && event["key"].as_str().is_some_and(|key| key.contains(word))
        };
        stage.gateway.wait_for_event(told).await;
    }
}
