//! Streams that a client resets while the issuer is asked about their token.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{Stage, new_token, says};
use crate::bench::client::HOST;
use crate::bench::raw_h2::{self, RawH2};
use crate::bench::service::Step;

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
