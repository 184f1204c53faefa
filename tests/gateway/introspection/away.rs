//! What happens while the issuer does not answer, as it is written.

use serde_json::json;

use super::{GOOD, INACTIVE, Stage, UNAVAILABLE, good, new_token};
use crate::bench::service::Reply;

#[tokio::test]
async fn nobody_is_let_in_on_an_old_answer_unless_it_is_written() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.cache", "0s");
    })
    .await;
    let token = new_token();
    stage.hold("asked", &token, GOOD).await;
    stage.reply(Reply::close());
    stage.hold("away", &token, UNAVAILABLE).await;
    assert_eq!(stage.found("stale").await, 0.0);
}

#[tokio::test]
async fn an_old_answer_counts_while_the_issuer_is_away_and_not_once_it_says_otherwise() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.cache", "0s");
        config.set("issuers.corp.introspection.negative_cache", "0s");
        config.set("issuers.corp.introspection.when_away", "cached");
    })
    .await;
    let token = new_token();
    stage.hold("asked", &token, GOOD).await;
    for (what, reply) in [("gone", Reply::close()), ("broken", Reply::status(500))] {
        stage.reply(reply);
        stage.hold(what, &token, GOOD).await;
        stage
            .hold("nothing is known of this one", &new_token(), UNAVAILABLE)
            .await;
    }
    assert!(stage.found("stale").await >= 2.0);
    stage.say(&json!({ "active": false }));
    // For a moment after a failure nobody waits for the issuer who can do without.
    while stage.verdict(&token).await.0 == 200 {
        tokio::task::yield_now().await;
    }
    stage.hold("taken back", &token, INACTIVE).await;
    stage.reply(Reply::close());
    stage
        .hold("nothing brings it back", &token, UNAVAILABLE)
        .await;
    stage.say(&good());
    stage.hold("the issuer itself does", &token, GOOD).await;
}

#[tokio::test]
async fn an_old_answer_is_not_used_for_longer_than_it_may() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.cache", "0s");
        config.set("issuers.corp.introspection.when_away", "cached");
        config.set("issuers.corp.introspection.max_stale", "2s");
    })
    .await;
    let token = new_token();
    stage.hold("asked", &token, GOOD).await;
    stage.reply(Reply::close());
    let asked = std::time::Instant::now();
    stage.hold("old", &token, GOOD).await;
    loop {
        let (status, reason) = stage.verdict(&token).await;
        if status != 200 {
            assert_eq!((status, reason.as_deref()), UNAVAILABLE);
            break;
        }
        assert!(asked.elapsed().as_secs() < 5, "still used");
        tokio::task::yield_now().await;
    }
}

/// Whoever can do without an answer does not pay for an issuer that is silent.
#[tokio::test]
async fn a_silent_issuer_is_waited_for_once_in_a_while_only() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.cache", "0s");
        config.set("issuers.corp.introspection.timeout", "300ms");
        config.set("issuers.corp.introspection.when_away", "cached");
    })
    .await;
    let token = new_token();
    stage.hold("asked", &token, GOOD).await;
    stage.reply(Reply::hang());
    stage.hold("waits, and does without", &token, GOOD).await;
    let began = std::time::Instant::now();
    for _ in 0..10 {
        stage.hold("does without at once", &token, GOOD).await;
    }
    let questions = stage.questions() - 2;
    assert!(
        questions <= 1 + began.elapsed().as_secs() as usize,
        "{questions}"
    );
}
