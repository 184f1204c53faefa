//! Tokens never appear in anything that the gateway writes.

use super::Stage;
use crate::bench::World;
use crate::bench::http1::Request;
use crate::bench::token::{Token, with_broken_signature};

#[tokio::test]
async fn no_token_and_no_part_of_one_is_ever_written_down() {
    for format in ["json", "readable"] {
        let stage = Stage::with(World::new(), |config| {
            config.set("logs.level", "debug").set("logs.format", format);
        })
        .await;
        let good = Token::new().sign(&stage.world.issuer);
        let wrong = with_broken_signature(&good);
        let get = || Request::get("/orders/7");
        let requests = [
            get().bearer(&good),
            get().bearer(&wrong),
            get().header("Authorization", &format!("Basic {good}")),
            get().header("Authorization", &good),
            get().bearer(&good).bearer(&wrong),
            get().header("Cookie", &format!("session={good}")),
            Request::get(&format!("/orders/7?access_token={good}")),
            Request::get(&format!("/open/x?access_token={good}")),
            Request::get(&format!("/elsewhere?access_token={good}#{good}")),
            Request::get(&format!("/open/%2e%2e/x?access_token={good}")),
            get().header("Authorization_", &good).bearer(&good),
            get().header("Bad Name", &good),
            get().bearer(&Token::new().expired().sign(&stage.world.issuer)),
        ];
        let count = requests.len();
        for request in requests {
            stage.client().request(&request).await;
        }
        // A mark of its own ends the part of the log that is looked at.
        stage.client().get("/the-end").await;
        stage
            .gateway
            .wait_for_log(|line| line.contains("/the-end"))
            .await;
        let log = stage.gateway.log();
        let lines = log.iter().filter(|line| line.contains("access")).count();
        assert!(lines > count, "{lines} access lines in {format}");
        let parts = good.split('.').chain(wrong.split('.'));
        let text = log.join("\n");
        for part in parts.filter(|part| part.len() > 8) {
            let start = &part[..part.len().min(24)];
            let whole_header = part.len() < 60; // the same for all tokens of the key
            assert!(
                !text.contains(part) && (whole_header || !text.contains(start)),
                "{format}: {part} stands in the log"
            );
        }
        let metrics = stage.gateway.admin("/metrics").await.text();
        assert!(!metrics.contains(&good), "in the metrics");
    }
}
