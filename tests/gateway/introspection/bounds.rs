//! How much an issuer is asked: once for all who ask about one token, and so many questions at a time.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{GOOD, Stage, good, new_token, says};
use crate::bench::client::{HOST, read_h2};
use crate::bench::http1::Request;
use crate::bench::raw_h2::{self, RawH2};
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

/// Begins a request with a token, lets the gateway take it, and resets it. Whether it could.
async fn begin_and_reset(h2: &mut RawH2, stream: u32, token: &str) -> bool {
    let bearer = format!("Bearer {token}");
    let mut head = raw_h2::get(HOST, "/orders/7");
    head.push(("authorization", &bearer));
    let begun = h2.headers(stream, &head, true).await;
    tokio::time::sleep(std::time::Duration::from_millis(4)).await;
    begun.is_ok() && h2.reset(stream, 8).await.is_ok()
}

async fn gated(resets: u32) -> (Stage, Arc<Notify>) {
    let stage = Stage::with(|config| {
        let limits = json!({ "streams": 10, "resets": resets });
        config.set("listeners.edge.limits.http2", limits);
        config.set("issuers.corp.introspection.timeout", "20s");
    })
    .await;
    let gate = Arc::new(Notify::new());
    let inactive = says(&json!({ "active": false }));
    stage.reply(inactive.after(Step::Gate(Arc::clone(&gate))));
    (stage, gate)
}

const CLOSED: &str = "portcullis_connections_closed_total";

#[tokio::test]
async fn a_reset_while_the_issuer_is_asked_counts_as_one() {
    let (stage, gate) = gated(20).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let token = new_token();
    for stream in (1..).step_by(2).take(25) {
        assert!(begin_and_reset(&mut h2, stream, &token).await, "{stream}");
    }
    gate.notify_one();
    let refused = [("reason", "token_inactive")];
    stage
        .gateway
        .wait_for_metric("portcullis_refusals_total", &refused, |n| n == 25.0)
        .await;
    let _ended = begin_and_reset(&mut h2, 51, &token).await; // from now on
    let resets = [("reason", "http2_resets")];
    stage
        .gateway
        .wait_for_metric(CLOSED, &resets, |n| n == 1.0)
        .await;
    let metrics = stage.gateway.metrics().await;
    let internal = [("reason", "internal")];
    assert_eq!(metrics.value("portcullis_refusals_total", &internal), 0.0);
}

#[tokio::test]
async fn requests_that_go_on_after_their_reset_are_so_many() {
    let (stage, gate) = gated(30).await;
    let mut h2 = RawH2::start(&stage.client()).await;
    let token = new_token();
    let mut begun = 0;
    for stream in (1..).step_by(2).take(200) {
        if !begin_and_reset(&mut h2, stream, &token).await {
            break;
        }
        begun += 1;
    }
    assert!(begun < 100, "{begun} requests wait at a time");
    let resets = [("reason", "http2_resets")];
    stage
        .gateway
        .wait_for_metric(CLOSED, &resets, |n| n == 1.0)
        .await;
    gate.notify_one();
}
