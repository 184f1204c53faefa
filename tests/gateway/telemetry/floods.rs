//! Floods of failures over sockets: who comes often stays in the record, and the record stays small.

use serde_json::json;

use super::{find, length, wait_for_page};
use crate::bench::World;
use crate::bench::http1::Wire;
use crate::bench::pki::Leaf;
use crate::bench::within;

#[tokio::test]
async fn a_flood_from_many_sources_with_many_names_hides_nobody_who_fails_often() {
    let world = World::new();
    let gateway = world.gateway_with(&world.config()).await;
    let heavy = world.partners.issue(
        Leaf::client("heavy")
            .spiffe("spiffe://partners.example/heavy")
            .expired(),
    );
    let client = gateway.client(&heavy).source("127.0.0.99");
    for _ in 0..40 {
        drop(client.rejection().await);
    }
    // Strangers, each with a name of his own: more than there are places.
    for number in 0..150 {
        let leaf = Leaf::client("x").spiffe(&format!("spiffe://x.example/{number}"));
        let stranger = world.stranger.issue(leaf);
        let source = format!("127.1.0.{}", number + 1);
        drop(gateway.client(&stranger).source(&source).rejection().await);
    }
    for number in 0..250 {
        let client = gateway
            .anonymous()
            .source(&format!("127.2.0.{}", number + 1));
        let mut wire = Wire::new(client.tcp().await.expect("TCP"));
        wire.send(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
        drop(within("the end", wire.read_to_end()).await);
    }
    let page = wait_for_page(&gateway, "/tls/failures", |page| page["failures"] == 440).await;
    assert!(length(&page["identities"]) <= 100);
    assert_eq!(length(&page["sources"]), 100);
    assert!((1..=32).contains(&length(&page["samples"])));
    let first = &page["identities"][0];
    assert_eq!(first["identity"], "spiffe://partners.example/heavy");
    assert_eq!(first["reasons"], json!({"certificate_expired": 40}));
    let source = &page["sources"][0];
    assert_eq!(
        (&source["source"], &source["count"]),
        (&json!("127.0.0.99"), &json!(40))
    );
    assert_eq!(find(&page["issuers"], "issuer", "CN=partners")["count"], 40);
    assert_eq!(find(&page["reasons"], "reason", "plain_http")["count"], 250);
}
