//! What is remembered of a token, and for how long.

use serde_json::json;

use super::{GOOD, INACTIVE, Stage, good_but, new_token};
use crate::bench::gateway::Reloaded;
use crate::bench::token::unix_now;

#[tokio::test]
async fn a_good_token_is_asked_about_once_and_a_bad_one_too() {
    let stage = Stage::set().await;
    let token = new_token();
    for _ in 0..3 {
        stage.hold("good", &token, GOOD).await;
    }
    assert_eq!(stage.questions(), 1);
    assert_eq!(
        (stage.found("hit").await, stage.found("miss").await),
        (2.0, 1.0)
    );
    stage.say(&json!({ "active": false }));
    stage.hold("still remembered", &token, GOOD).await;
    let bad = new_token();
    for _ in 0..3 {
        stage.hold("bad", &bad, INACTIVE).await;
    }
    assert_eq!((stage.questions(), stage.found("negative").await), (2, 2.0));
    stage.say(&good_but(json!({ "aud": "other" })));
    let other = new_token();
    for _ in 0..2 {
        stage
            .hold("not for us", &other, (401, Some("token_audience")))
            .await;
    }
    assert_eq!(stage.questions(), 3);
}

#[tokio::test]
async fn nothing_is_remembered_where_that_is_written() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.cache", "0s");
        config.set("issuers.corp.introspection.negative_cache", "0s");
    })
    .await;
    let token = new_token();
    stage.hold("good", &token, GOOD).await;
    stage.say(&json!({ "active": false }));
    stage.hold("taken back", &token, INACTIVE).await;
    stage.say(&good_but(json!({})));
    stage.hold("good again", &token, GOOD).await;
    assert_eq!(stage.questions(), 3);
}

/// Whatever `cache` says, the token's own end comes first.
#[tokio::test]
async fn no_answer_outlives_its_token() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.cache", "1h");
        config.set("issuers.corp.leeway", "0s");
    })
    .await;
    stage.say(&good_but(json!({ "exp": unix_now() + 3 })));
    let token = new_token();
    stage.hold("good", &token, GOOD).await;
    stage.say(&json!({ "active": false }));
    loop {
        let (status, reason) = stage.verdict(&token).await;
        if status != 200 {
            assert_eq!((status, reason.as_deref()), INACTIVE);
            break;
        }
        assert!(unix_now() < stage_end(), "the token is over");
        tokio::task::yield_now().await;
    }

    fn stage_end() -> i64 {
        static END: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
        *END.get_or_init(|| unix_now() + 5)
    }
}

#[tokio::test]
async fn answers_are_known_on_after_a_reload_unless_the_issuer_is_asked_otherwise() {
    let mut stage = Stage::set().await;
    let token = new_token();
    stage.hold("good", &token, GOOD).await;
    let mut config = stage.gateway.config.clone();
    config.set(
        "routes.orders-read.limits",
        json!([{ "rate": "1000/s", "per": "client" }]),
    );
    let reloaded = stage.gateway.reload(&config).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)));
    stage.hold("known on", &token, GOOD).await;
    assert_eq!(stage.questions(), 1);
    config.set("oauth_clients.us.client_id", "another");
    let reloaded = stage.gateway.reload(&config).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)));
    stage.hold("asked again", &token, GOOD).await;
    assert_eq!(stage.questions(), 2);
}
