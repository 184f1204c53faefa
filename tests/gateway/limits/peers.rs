//! The limit of the listener, in front of everything that costs more.

use serde_json::json;

use super::Stage;
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::token::{Token, with_broken_signature};

const LOOKUPS: &str = "portcullis_token_cache_lookups_total";

async fn stage(burst: u32) -> Stage {
    Stage::set(|config| {
        config.set(
            "listeners.edge.limits.requests_per_peer",
            json!({ "rate": "1/h", "burst": burst }),
        );
    })
    .await
}

#[tokio::test]
async fn over_the_limit_no_signature_is_checked_be_the_token_good_or_bad() {
    let stage = stage(2).await;
    let good = Token::new().sign(&stage.world.issuer);
    let bad = with_broken_signature(&good);
    let read = |token: &str| Request::get("/orders/7").bearer(token);
    let mut connection = stage.gateway.client(&stage.web).connect().await;
    for _ in 0..2 {
        assert_eq!(connection.request(&read(&bad)).await.status, 401);
    }
    for token in [&bad, &good, &bad] {
        let answer = connection.request(&read(token)).await;
        assert_eq!(answer.status, 429);
        let reason = stage.reason(&answer).await;
        assert_eq!(reason.as_deref(), Some("peer_rate_exceeded"));
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let lookups = stage.gateway.metrics().await.value(LOOKUPS, &[]);
    assert_eq!(
        lookups, 2.0,
        "each look-up of a bad token is a signature checked"
    );
    assert_eq!(stage.orders.requests().len(), 0);
    let mut other = stage.gateway.client(&stage.other).connect().await;
    assert_eq!(
        other.request(&read(&good)).await.status,
        200,
        "another peer"
    );
}

#[tokio::test]
async fn whatever_a_peer_asks_for_counts_on_whatever_connection() {
    let stage = stage(4).await;
    let client = stage.gateway.client(&stage.web);
    assert_eq!(client.get("/elsewhere").await.status, 404);
    assert_eq!(client.get("/orders/7").await.status, 401);
    assert_eq!(client.connect_h2().await.get("/open/x").await.status, 200);
    let twin = stage.gateway.client(&stage.world.web());
    assert_eq!(twin.get("/open/x").await.status, 200);
    for answer in [
        client.get("/elsewhere").await,
        client.connect_h2().await.get("/open/x").await,
        twin.source("127.0.0.9").get("/open/x").await,
    ] {
        assert_eq!(answer.status, 429);
        let wait: u64 = answer
            .header("retry-after")
            .and_then(|text| text.parse().ok())
            .expect("Retry-After in seconds");
        assert!((3500..=3600).contains(&wait), "{wait}");
        let told = answer.header("ratelimit").unwrap_or_default();
        assert_eq!(told, format!("\"peer\";r=0;t={wait}"));
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"peer\";q=4;w=14400")
        );
    }
}

#[tokio::test]
async fn the_count_of_a_peer_outlives_a_reload() {
    let mut stage = stage(1).await;
    let client = stage.gateway.client(&stage.web);
    assert_eq!(client.get("/open/x").await.status, 200);
    let mut config = stage.gateway.config.clone();
    config.route("more", "/more/**", "orders");
    assert_eq!(stage.gateway.reload(&config).await, Reloaded::Applied(2));
    assert_eq!(client.get("/more/x").await.status, 429);
}
