//! How much an issuer is asked: once for all who ask about one token, and so many questions at a time.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{GOOD, Stage, good, new_token, says};
use crate::bench::client::read_h2;
use crate::bench::http1::Request;
use crate::bench::service::Step;
use crate::bench::within;

#[tokio::test]
async fn many_who_ask_about_one_token_at_a_time_are_one_question() {
    let stage = Stage::set().await;
    let gate = Arc::new(Notify::new());
    stage.reply(says(&good()).after(Step::Gate(Arc::clone(&gate))));
    let request = Request::get("/orders/7").bearer(&new_token());
    let (mut connections, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut h2 = stage.client().connect_h2().await;
        for _ in 0..50 {
            answers.push(h2.start(&request).await.expect("a stream").0);
        }
        connections.push(h2);
    }
    stage.issuer.wait_for_requests(1).await;
    gate.notify_one();
    for answer in answers {
        let answer = within("an answer", read_h2(answer)).await.expect("whole");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(stage.questions(), 1);
    assert_eq!(stage.counted("active").await, 1.0);
    let took = "portcullis_introspection_duration_seconds_count";
    let took = stage
        .gateway
        .metrics()
        .await
        .value(took, &[("issuer", "corp")]);
    assert_eq!(took, 1.0);
}

#[tokio::test]
async fn questions_about_different_tokens_are_so_many_at_a_time() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.concurrency", 3);
        config.set("issuers.corp.introspection.timeout", "20s");
    })
    .await;
    let gate = Arc::new(Notify::new());
    stage.reply(says(&good()).after(Step::Gate(Arc::clone(&gate))));
    let mut h2 = stage.client().connect_h2().await;
    let mut answers = Vec::new();
    for _ in 0..30 {
        let request = Request::get("/orders/7").bearer(&new_token());
        answers.push(h2.start(&request).await.expect("a stream").0);
    }
    for answered in 0..30 {
        let asked = stage.issuer.wait_for_requests((answered + 3).min(30)).await;
        assert!(
            asked.len() <= answered + 3,
            "{} at a time",
            asked.len() - answered
        );
        gate.notify_one();
    }
    for answer in answers {
        let answer = within("an answer", read_h2(answer)).await.expect("whole");
        assert_eq!(answer.status, 200);
    }
}

/// 16 for each that may be under way wait; who comes then is told at once.
#[tokio::test]
async fn who_comes_when_too_many_wait_is_told_so_and_asks_nobody() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.concurrency", 1);
        config.set("issuers.corp.introspection.timeout", "20s");
    })
    .await;
    let gate = Arc::new(Notify::new());
    stage.reply(says(&good()).after(Step::Gate(Arc::clone(&gate))));
    let mut h2 = stage.client().connect_h2().await;
    let mut answers = Vec::new();
    for _ in 0..17 {
        let request = Request::get("/orders/7").bearer(&new_token());
        answers.push(h2.start(&request).await.expect("a stream").0);
    }
    let busy = [("issuer", "corp"), ("result", "busy")];
    stage
        .gateway
        .wait_for_metric(super::QUESTIONS, &busy, |count| count == 1.0)
        .await;
    let mut refused = 0;
    for answered in 0..16 {
        stage.issuer.wait_for_requests(answered + 1).await;
        gate.notify_one();
    }
    for answer in answers {
        let answer = within("an answer", read_h2(answer)).await.expect("whole");
        refused += usize::from(answer.status == 503);
    }
    assert_eq!((refused, stage.questions()), (1, 16));
    stage.say(&good());
    stage.hold("room again", &new_token(), GOOD).await;
}
