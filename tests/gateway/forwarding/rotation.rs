//! Keys that the gateway makes: published before they sign and after, kept over a reload.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{FIELD, KEYS, kid, kids, signed, token, verify};
use crate::bench::gateway::{GENERATION, Reloaded};
use crate::bench::pki::Leaf;
use crate::bench::within;
use crate::http1::Stage;

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_until_its_last_token_has_ended() {
    let short = json!({ "lifetime": "10s", "rotate": "10s" });
    let stage = Stage::with(|config| signed(config, short)).await;
    let [first, second] = kids(&stage.gateway).await.try_into().expect("two keys");
    assert_eq!(stage.client().get("/open/a").await.status, 200);
    let before = token(&stage.orders.last_request()).to_owned();
    assert_eq!(kid(&before), first);
    let began = "portcullis_signed_identity_key_start_timestamp_seconds";
    let since = stage.gateway.metrics().await.value(began, &[]);
    assert!(since > 1e9);
    let turned = async {
        // A scrape of keys is what makes them turn where no request does.
        while kids(&stage.gateway).await[0] == first {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the next key to sign", turned).await;
    let now = kids(&stage.gateway).await;
    assert_eq!(now[0], second, "the one that was published before");
    assert_eq!(now.len(), 3);
    assert_eq!(now[2], first);
    assert_eq!(stage.client().get("/open/a").await.status, 200);
    let after = token(&stage.orders.last_request()).to_owned();
    assert_eq!(kid(&after), second);
    assert!(verify(&stage.gateway, &after, "orders").await.is_ok());
    // The signature of before can still be checked; its time may be over.
    let claims = verify(&stage.gateway, &before, "orders").await;
    assert!(
        claims.is_ok() || claims == Err("ExpiredSignature".to_owned()),
        "{claims:?}"
    );
    let metrics = stage.gateway.metrics().await;
    assert!(metrics.value(began, &[]) > since);
}

#[tokio::test]
async fn a_token_goes_out_again_until_half_of_its_time_has_passed() {
    let stage = Stage::with(|config| signed(config, json!({ "lifetime": "10s" }))).await;
    let mut connection = stage.connect().await;
    let mut ask = async || {
        assert_eq!(connection.get("/open/a").await.status, 200);
        token(&stage.orders.last_request()).to_owned()
    };
    let first = ask().await;
    let claims = verify(&stage.gateway, &first, "orders").await;
    let issued = claims.expect("a good token")["iat"].as_i64().expect("iat");
    let renewed = async {
        loop {
            let next = ask().await;
            if next != first {
                return next;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let renewed = within("another token", renewed).await;
    let claims = verify(&stage.gateway, &renewed, "orders").await;
    let later = claims.expect("a good token")["iat"].as_i64().expect("iat") - issued;
    assert!((5..=8).contains(&later), "{later}");
    assert_eq!(kid(&first), kid(&renewed));
    assert!(
        verify(&stage.gateway, &first, "orders").await.is_ok(),
        "it is still good"
    );
}

#[tokio::test]
async fn services_are_told_for_how_long_keys_are_good() {
    for (how, max_age) in [
        (json!({}), "max-age=300"),
        (json!({ "rotate": "10s", "lifetime": "10s" }), "max-age=5"),
        (json!({ "rotate": "4m" }), "max-age=120"),
    ] {
        let stage = Stage::with(|config| signed(config, how)).await;
        let answer = stage.gateway.admin(KEYS).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), Some(max_age));
        let kind = Some("application/jwk-set+json");
        assert_eq!(answer.header("content-type"), kind);
        let set = answer.json();
        for key in set["keys"].as_array().expect("keys") {
            let names: Vec<_> = key.as_object().expect("a key").keys().collect();
            assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        }
        // Not on the edge.
        assert_eq!(stage.client().get(KEYS).await.status, 404);
    }
}

#[tokio::test]
async fn there_are_no_keys_where_nothing_is_signed() {
    let stage = Stage::new().await;
    assert_eq!(stage.gateway.admin(KEYS).await.status, 404);
    assert_eq!(stage.client().get("/open/a").await.status, 200);
    assert!(!stage.orders.only_request().headers.has(FIELD));
}

#[tokio::test]
async fn a_reload_keeps_keys_and_tokens_and_says_what_is_new() {
    let mut stage = Stage::with(|config| signed(config, json!({}))).await;
    assert_eq!(stage.client().get("/open/a").await.status, 200);
    let first = token(&stage.orders.last_request()).to_owned();
    let published = kids(&stage.gateway).await;
    let mut config = stage.gateway.config.clone();
    config.set("routes.orders-read.max_body", "1KiB");
    assert_eq!(stage.gateway.reload(&config).await, Reloaded::Applied(2));
    assert_eq!(stage.client().get("/open/a").await.status, 200);
    assert_eq!(token(&stage.orders.last_request()), first);
    assert_eq!(kids(&stage.gateway).await, published);
    // Under another lifetime the token of before is not used again.
    config.set("signed_identity.lifetime", "30s");
    assert_eq!(stage.gateway.reload(&config).await, Reloaded::Applied(3));
    assert_eq!(stage.client().get("/open/a").await.status, 200);
    let seen = stage.orders.last_request();
    let claims: Value = verify(&stage.gateway, token(&seen), "orders")
        .await
        .expect("a good token");
    let (issued, ends) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    assert_eq!(ends.expect("exp") - issued.expect("iat"), 30);
    assert_eq!(kids(&stage.gateway).await, published);
}

#[tokio::test]
async fn a_new_certificate_of_the_gateway_presents_its_tokens_from_then_on() {
    let stage = Stage::with(|config| signed(config, json!({}))).await;
    let mut told = Vec::new();
    for turn in 0..2 {
        if turn == 1 {
            let generation = stage.gateway.metrics().await.value(GENERATION, &[]);
            let id = "spiffe://mesh.example/ns/edge/sa/gateway";
            let renewed = stage.world.mesh.issue(Leaf::client("gateway").spiffe(id));
            renewed.write(&stage.world.folder, "gateway");
            stage
                .gateway
                .wait_for_metric(GENERATION, &[], |now| now > generation)
                .await;
        }
        assert_eq!(stage.client().get("/open/a").await.status, 200);
        let seen = stage.orders.last_request();
        let claims = verify(&stage.gateway, token(&seen), "orders").await;
        let claims = claims.expect("a good token");
        assert_eq!(
            claims["cnf"]["x5t#S256"],
            URL_SAFE_NO_PAD.encode(&seen.peer)
        );
        told.push((seen.peer.clone(), kid(token(&seen))));
    }
    assert_ne!(told[0].0, told[1].0, "another certificate");
    assert_eq!(told[0].1, told[1].1, "the same key");
}
