//! What happens while the issuer does not answer, as it is written.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{GOOD, INACTIVE, Stage, UNAVAILABLE, good, new_token, says};
use crate::bench::service::{Received, Reply};

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
    let (status, _) = stage.ask_again(&token).await;
    assert_eq!(status, 200, "the issuer itself does");
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
    let asked = Instant::now();
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
    let began = Instant::now();
    for _ in 0..10 {
        stage.hold("does without at once", &token, GOOD).await;
    }
    let questions = stage.questions() - 2;
    assert!(
        questions <= 1 + began.elapsed().as_secs() as usize,
        "{questions}"
    );
}

/// What a client shows may be what the issuer chokes on: that says nothing of other tokens.
#[tokio::test]
async fn a_token_that_the_issuer_chokes_on_brings_no_other_back() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.cache", "0s");
        config.set("issuers.corp.introspection.negative_cache", "0s");
        config.set("issuers.corp.introspection.timeout", "300ms");
        config.set("issuers.corp.introspection.when_away", "cached");
    })
    .await;
    let cases = [
        ("not understood", Reply::status(400)),
        ("forbidden by a filter", Reply::status(403)),
        ("said nonsense about", says(&json!({ "active": "perhaps" }))),
        ("a fault", Reply::status(500)),
        ("the end of a connection", Reply::close()),
        ("silence", Reply::hang()),
    ];
    for (number, (what, reply)) in cases.into_iter().enumerate() {
        let client = stage.partner(&format!("client-{number}"));
        let token = new_token();
        stage.say(&good());
        stage.hold_as(&client, what, &token, GOOD).await;
        stage.issuer.set_reply(move |request: &Received| {
            let body = String::from_utf8_lossy(&request.body);
            if body.contains("token=crafted") {
                reply.clone()
            } else if body.contains("token=fine") {
                says(&good())
            } else {
                says(&json!({ "active": false }))
            }
        });
        stage
            .hold_as(&client, what, &format!("crafted-{number}"), UNAVAILABLE)
            .await;
        stage.hold_as(&client, what, &token, INACTIVE).await;
        stage
            .hold_as(
                &client,
                what,
                &format!("crafted-again-{number}"),
                UNAVAILABLE,
            )
            .await;
        stage.hold(what, &format!("fine-{number}"), GOOD).await;
    }
    assert_eq!(stage.found("stale").await, 0.0);
}

/// Who has waited in vain once does not wait again at once, and keeps nobody else from trying.
#[tokio::test]
async fn who_ran_into_a_silent_issuer_is_told_at_once_for_a_moment() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.timeout", "200ms");
    })
    .await;
    stage.reply(Reply::hang());
    loop {
        stage.hold("waits", &new_token(), UNAVAILABLE).await;
        let (told, asked) = (Instant::now(), stage.questions());
        let answer = stage.ask(&new_token()).await;
        if told.elapsed() > Duration::from_millis(700) {
            continue; // it may have been tried again
        }
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(stage.questions(), asked, "nobody is asked");
        break;
    }
    assert!(stage.counted("away").await >= 1.0);
    let asked = stage.questions();
    let other = stage.partner("other");
    stage
        .hold_as(&other, "another tries", &new_token(), UNAVAILABLE)
        .await;
    assert_eq!(stage.questions(), asked + 1);
    stage.say(&good());
    let third = stage.partner("third");
    stage
        .hold_as(&third, "it answers", &new_token(), GOOD)
        .await;
    stage.hold("so it is there", &new_token(), GOOD).await;
}

/// Where no token can be at fault, nobody waits.
#[tokio::test]
async fn an_issuer_that_refuses_the_gateway_is_away_for_everybody() {
    let stage = Stage::set().await;
    stage.reply(Reply::status(401));
    loop {
        let began = Instant::now();
        stage.hold("refuses us", &new_token(), UNAVAILABLE).await;
        let asked = stage.questions();
        let other = stage.partner("other");
        let answer = stage.ask_as(&other, &new_token()).await;
        if began.elapsed() > Duration::from_millis(900) {
            continue;
        }
        assert_eq!((answer.status, stage.questions()), (503, asked));
        break;
    }
    stage.say(&good());
    assert_eq!(stage.ask_again(&new_token()).await.0, 200);
}
