//! Many connections at once.

use std::time::Instant;

use super::{How, OTHERS, PROMISED, REVOKED, Stage};
use crate::bench::client::Connection;
use crate::bench::within;

/// Connections of clients that lose their standing: some show the same certificate.
const THEIRS: usize = 120;
const CERTIFICATES: usize = OTHERS as usize;
const OURS: usize = 40;

#[tokio::test]
async fn all_connections_are_closed_in_time_and_no_other() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let identities: Vec<_> = (0..OTHERS)
            .map(|number| stage.another_of_theirs(number))
            .collect();
        let mut theirs: Vec<Connection> = Vec::new();
        for number in 0..THEIRS {
            let identity = &identities[number % CERTIFICATES];
            let mut connection = stage.gateway.client(identity).connect().await;
            assert_eq!(connection.get("/open/x").await.status, 200);
            theirs.push(connection);
        }
        let mut ours: Vec<Connection> = Vec::new();
        for _ in 0..OURS {
            let mut connection = stage.our_client().connect().await;
            assert_eq!(connection.get("/open/x").await.status, 200);
            ours.push(connection);
        }
        let at: Instant = stage.revoke();
        for connection in &mut theirs {
            within("the end", connection.closed()).await;
        }
        assert!(at.elapsed() < PROMISED, "{how:?}: {:?}", at.elapsed());
        stage.closed(THEIRS as f64).await;
        for connection in &mut ours {
            assert_eq!(connection.get("/open/x").await.status, 200, "{how:?}");
        }
        assert_eq!(
            stage.gateway.metrics().await.value(REVOKED, &[]),
            THEIRS as f64,
            "{how:?}"
        );
        let log = stage.gateway.log();
        let lines = log
            .iter()
            .filter(|line| line.contains("\"target\":\"revocation\""));
        assert!(lines.count() < THEIRS, "{how:?}: no line for each of many");
    }
}
