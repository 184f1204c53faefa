//! What the log says of a handshake that failed.

use serde_json::{Value, json};

use super::play::talk;
use super::table::HANDSHAKES;
use super::{EDGE, gateway};
use crate::bench::World;
use crate::bench::client::HOST;
use crate::bench::gateway::Gateway;
use crate::bench::pki::Leaf;

/// Waits for the line about a failed handshake with this reason.
async fn line(gateway: &Gateway, reason: &str) -> Value {
    gateway
        .wait_for_event(|event| event["target"] == "handshake" && event["reason"] == reason)
        .await
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn the_log_line_has_the_facts_of_the_certificate_that_was_refused() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let leaf = |cn: &str| {
        Leaf::client(cn)
            .spiffe("spiffe://partners.example/web/a")
            .serial(0xbeef)
    };
    let (partners, stranger) = (&world.partners, &world.stranger);
    let cases = [
        (
            "certificate_expired",
            "partners",
            partners.issue(leaf("a").dns("a.example").expired()),
        ),
        (
            "certificate_not_yet_valid",
            "partners",
            partners.issue(leaf("a").dns("a.example").not_yet_valid()),
        ),
        (
            "unknown_issuer",
            "stranger",
            stranger.issue(leaf("a").dns("a.example")),
        ),
        (
            "wrong_usage",
            "partners",
            partners.issue(leaf("a").dns("a.example").authority()),
        ),
        (
            "several_spiffe_names",
            "partners",
            partners.issue(leaf("a").dns("a.example").spiffe("spiffe://b/c")),
        ),
        (
            "certificate_malformed",
            "partners",
            partners.issue(leaf("a").dns("a.example").unknown_extension(true)),
        ),
    ];
    for (reason, issuer, identity) in &cases {
        let client = gateway.client(identity).source("127.0.0.77");
        drop(client.rejection().await);
        let line = line(&gateway, reason).await;
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (text("side"), text("name")),
            ("downstream".into(), "edge".into()),
            "{line}"
        );
        assert!(text("peer_address").starts_with("127.0.0.77:"), "{line}");
        assert_eq!(text("sni"), HOST, "{line}");
        assert_eq!(text("certificate_subject"), "CN=a", "{line}");
        assert_eq!(text("certificate_issuer"), format!("CN={issuer}"), "{line}");
        assert!(text("certificate_serial").ends_with("be:ef"), "{line}");
        let names = text("certificate_names");
        assert!(
            names.contains("URI:spiffe://partners.example/web/a"),
            "{line}"
        );
        assert!(names.contains("DNS:a.example"), "{line}");
        let not_after = &text("certificate_not_after");
        assert!(
            not_after.starts_with("20") && not_after.ends_with('Z'),
            "{line}"
        );
        assert!(!text("error").is_empty(), "{line}");
    }
    let lines = gateway
        .log()
        .into_iter()
        .filter(|line| line.contains("handshake failed"));
    assert_eq!(lines.count(), cases.len(), "one line for each");
}

#[tokio::test]
async fn a_line_without_a_certificate_says_source_name_and_reason() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let client = gateway.anonymous().source("127.0.0.78");
    drop(client.rejection().await);
    drop(client.clone().name("who.example.com").rejection().await);
    drop(talk(&client, b"GET / HTTP/1.1\r\n\r\n").await);
    for (reason, sni) in [
        ("certificate_missing", json!(HOST)),
        ("unknown_server_name", json!("who.example.com")),
        ("plain_http", Value::Null),
    ] {
        let line = line(&gateway, reason).await;
        assert_eq!(line["sni"], sni, "{line}");
        assert!(
            line["peer_address"]
                .as_str()
                .expect("a source")
                .starts_with("127.0.0.78:")
        );
        assert_eq!(line["certificate_subject"], Value::Null, "{line}");
    }
}

#[tokio::test]
async fn a_flood_of_failures_is_counted_in_full_and_logged_in_part() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let client = gateway.anonymous();
    for _ in 0..60 {
        drop(talk(&client, b"GET / HTTP/1.1\r\n\r\n").await);
    }
    let plain = [EDGE, ("reason", "plain_http")];
    gateway
        .wait_for_metric(HANDSHAKES, &plain, |count| count == 60.0)
        .await;
    // The line that comes after the pause says how many were left out.
    let suppressed = loop {
        drop(talk(&client, b"GET / HTTP/1.1\r\n\r\n").await);
        let lines = gateway.log();
        let events = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let suppressed: u64 = events
            .filter_map(|event| event["suppressed"].as_u64())
            .sum();
        if suppressed > 0 {
            break suppressed;
        }
    };
    let total = gateway.metrics().await.value(HANDSHAKES, &plain) as u64;
    let written = gateway
        .log()
        .iter()
        .filter(|line| line.contains("handshake failed"))
        .count();
    assert!(
        suppressed + written as u64 <= total,
        "{suppressed} + {written} of {total}"
    );
}
