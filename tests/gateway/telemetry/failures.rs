//! `/tls/failures`: each failed handshake with what can be known of it.

use serde_json::{Value, json};

use super::{find, length, page, wait_for_page};
use crate::bench::client::HOST;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Wire;
use crate::bench::pki::{KeyKind, Leaf};
use crate::bench::service::Service;
use crate::bench::{ORDERS_NAME, World, within};

async fn gateway(world: &World) -> Gateway {
    world.gateway_with(&world.config()).await
}

fn failures(count: u64) -> impl Fn(&Value) -> bool {
    move |page| page["failures"] == count
}

#[tokio::test]
async fn a_failed_client_is_told_with_all_that_its_certificate_says() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let below = world.stranger.intermediate("below");
    let leaf = Leaf::client("mallory")
        .spiffe("spiffe://partners.example/web/a")
        .dns("m.example")
        .serial(0xbeef)
        .key(KeyKind::EcdsaP384);
    let identity = below.issue(leaf);
    let client = gateway.client(&identity).source("127.0.0.77");
    for _ in 0..3 {
        drop(client.rejection().await);
    }
    let page = wait_for_page(&gateway, "/tls/failures", failures(3)).await;
    assert_eq!(page["certificates_not_read"], 0);
    let reason = find(&page["reasons"], "reason", "unknown_issuer");
    assert_eq!(
        (&reason["count"], &reason["side"]),
        (&json!(3), &json!("downstream"))
    );
    let who = find(
        &page["identities"],
        "identity",
        "spiffe://partners.example/web/a",
    );
    assert_eq!(who["count"], 3);
    assert_eq!(who["reasons"], json!({"unknown_issuer": 3}));
    let issuer = find(&page["issuers"], "issuer", "CN=below");
    assert_eq!(issuer["reasons"], json!({"unknown_issuer": 3}));
    assert_eq!(find(&page["sources"], "source", "127.0.0.77")["count"], 3);
    let last = &who["last"];
    assert_eq!(
        (&last["side"], &last["name"]),
        (&json!("downstream"), &json!("edge"))
    );
    assert_eq!(last["sni"], HOST);
    assert_eq!(last["reason"], "unknown_issuer");
    assert!(
        last["detail"]
            .as_str()
            .expect("words")
            .contains("no CA of the trust bundles signed it"),
        "{last}"
    );
    let peer = last["peer_address"].as_str().expect("an address");
    assert!(peer.starts_with("127.0.0.77:"), "{last}");
    let certificate = &last["certificate"];
    assert_eq!(certificate["subject"], "CN=mallory");
    assert_eq!(certificate["issuer"], "CN=below");
    assert!(
        certificate["serial"]
            .as_str()
            .expect("hex")
            .ends_with("be:ef")
    );
    assert_eq!(certificate["fingerprint"], identity.fingerprint_hex());
    assert_eq!(certificate["key"], "ECDSA P-384");
    assert_eq!(certificate["chain_length"], 2);
    let names = json!(["URI:spiffe://partners.example/web/a", "DNS:m.example"]);
    assert_eq!(certificate["names"], names);
    for time in ["not_before", "not_after"] {
        let text = certificate[time].as_str().expect("a time");
        assert!(
            text.starts_with("20") && text.ends_with('Z'),
            "{certificate}"
        );
    }
    assert_eq!(length(&page["samples"]), 3);
}

#[tokio::test]
async fn a_failure_without_a_certificate_is_told_by_source_name_and_reason() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let client = gateway.anonymous().source("127.0.0.78");
    drop(client.rejection().await);
    drop(client.clone().name("who.example.com").rejection().await);
    let mut wire = Wire::new(client.tcp().await.expect("TCP"));
    wire.send(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    drop(within("the end", wire.read_to_end()).await);
    let page = wait_for_page(&gateway, "/tls/failures", failures(3)).await;
    let source = find(&page["sources"], "source", "127.0.0.78");
    let each = json!({"certificate_missing": 1, "unknown_server_name": 1, "plain_http": 1});
    assert_eq!(source["reasons"], each);
    assert_eq!(page["identities"], json!([]));
    for (reason, sni) in [
        ("certificate_missing", json!(HOST)),
        ("unknown_server_name", json!("who.example.com")),
        ("plain_http", Value::Null),
    ] {
        let sample = find(&page["samples"], "reason", reason);
        assert_eq!(
            (&sample["sni"], &sample["certificate"]),
            (&sni, &Value::Null)
        );
    }
}

#[tokio::test]
async fn services_that_fail_towards_us_are_told_as_well() {
    let world = World::new();
    let wrong = "spiffe://mesh.example/ns/shop/sa/billing";
    let service = world.service(wrong, ORDERS_NAME).start().await;
    let gateway = world.gateway(&service).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        502
    );
    let page = wait_for_page(&gateway, "/tls/failures?side=upstream", |page| {
        length(&page["identities"]) == 1
    })
    .await;
    let who = find(&page["identities"], "identity", wrong);
    assert_eq!(who["reasons"], json!({"identity_mismatch": 1}));
    assert_eq!(who["side"], "upstream");
    assert_eq!(
        (&who["last"]["name"], &who["last"]["sni"]),
        (&json!("orders"), &json!(ORDERS_NAME))
    );
    let address = service.address.to_string();
    assert_eq!(who["last"]["peer_address"], address);
    assert_eq!(who["last"]["certificate"]["chain_length"], 1);
    assert_eq!(
        find(&page["sources"], "source", "127.0.0.1")["side"],
        "upstream"
    );
    // What clients did is left out by the filter.
    let other = super::page(&gateway, "/tls/failures?side=downstream").await;
    assert_eq!(
        (&other["identities"], &other["samples"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test]
async fn a_service_that_refuses_our_certificate_late_is_told() {
    let world = World::new();
    let identity = world
        .mesh
        .issue(Leaf::server("orders").spiffe(crate::bench::ORDERS_ID));
    let service = Service::builder(&identity, &world.stranger).start().await;
    let gateway = world.gateway(&service).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        502
    );
    let page = wait_for_page(&gateway, "/tls/failures?side=upstream", |page| {
        length(&page["reasons"]) == 1
    })
    .await;
    let reason = page["reasons"][0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("alert_"), "{page:#}");
    assert_eq!(page["samples"][0]["name"], "orders");
    assert_eq!(
        find(&page["sources"], "source", "127.0.0.1")["reasons"],
        json!({reason: 1})
    );
}

#[tokio::test]
async fn one_reason_can_be_asked_for_and_nonsense_is_refused() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let stranger = world
        .stranger
        .issue(Leaf::client("a").spiffe("spiffe://a.example/b"));
    drop(gateway.client(&stranger).rejection().await);
    drop(gateway.anonymous().rejection().await);
    wait_for_page(&gateway, "/tls/failures", failures(2)).await;
    let only = page(
        &gateway,
        "/tls/failures?reason=unknown_issuer&side=downstream",
    )
    .await;
    assert_eq!(length(&only["reasons"]), 1);
    assert_eq!(length(&only["identities"]), 1);
    assert_eq!(length(&only["samples"]), 1);
    assert_eq!(only["sources"][0]["count"], 1);
    let all = json!({"unknown_issuer": 1, "certificate_missing": 1});
    assert_eq!(only["sources"][0]["reasons"], all);
    let none = page(&gateway, "/tls/failures?reason=timed_out").await;
    for list in ["reasons", "identities", "issuers", "sources", "samples"] {
        assert_eq!(none[list], json!([]), "{list}");
    }
    for query in [
        "reason=nonsense",
        "reason=unknown_issuer&reason=timed_out",
        "side=both",
        "reasons=unknown_issuer",
        "reason",
        "format=xml",
        "reason=%75nknown_issuer",
    ] {
        for path in ["/tls/failures", "/tls/clients"] {
            let answer = gateway.admin(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 400, "{path}?{query}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn people_read_the_same_as_text() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let stranger = world
        .stranger
        .issue(Leaf::client("a").spiffe("spiffe://a.example/b"));
    drop(gateway.client(&stranger).rejection().await);
    wait_for_page(&gateway, "/tls/failures", failures(1)).await;
    let answer = gateway.admin("/tls/failures?format=text").await;
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"));
    let text = answer.text();
    for wanted in [
        "1 handshakes failed since 20",
        "spiffe://a.example/b  unknown_issuer=1",
        "subject CN=a, issuer CN=stranger, serial ",
        &stranger.fingerprint_hex(),
        "for api.example.com",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
    let clients = gateway.admin("/tls/clients?format=text").await.text();
    assert!(
        clients.starts_with("0 of 0 clients of the last day"),
        "{clients}"
    );
}

/// Texts that break out of JSON, of a line or of a terminal.
#[tokio::test]
async fn nothing_in_a_hostile_certificate_breaks_the_page() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let hostile = [
        "\",\"count\":0,\"x\":\"",
        "a\r\nSOURCES\r\n",
        "\u{1b}[2J\u{9b}31m",
        "\u{0}\u{7f}\\",
        "\u{202e}gpj\u{2028}\u{feff}",
        "]}\n{\"identities\":[]}",
    ];
    let long = "\u{1f4a9}".repeat(15_000); // 60,000 bytes
    let texts = hostile.iter().copied().chain([long.as_str()]);
    let mut sent = 0;
    for text in texts {
        let leaf = Leaf::client(text).spiffe(&format!("https://a.example/{sent}"));
        let identity = world.stranger.issue(leaf);
        drop(gateway.client(&identity).rejection().await);
        sent += 1;
    }
    let mut many = Leaf::client("many");
    for number in 0..1_000 {
        many = many.spiffe(&format!(
            "spiffe://a.example/\"{number}\\{}",
            "x".repeat(20)
        ));
    }
    drop(
        gateway
            .client(&world.stranger.issue(many))
            .rejection()
            .await,
    );
    let page = wait_for_page(&gateway, "/tls/failures", failures(sent + 1)).await;
    assert_eq!(
        length(&page["samples"]),
        usize::try_from(sent).expect("few") + 1
    );
    let names = page["samples"][0]["certificate"]["names"]
        .as_array()
        .expect("names");
    assert_eq!(names.len(), 8);
    for form in ["json", "text"] {
        let text = gateway
            .admin(&format!("/tls/failures?format={form}"))
            .await
            .text();
        assert!(text.len() < 60_000, "{form}: {}", text.len());
        let harmless =
            |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{2028}\u{feff}".contains(c));
        assert!(text.chars().all(harmless), "{form}: {text:?}");
        assert_eq!(
            text.lines().filter(|line| line.trim() == "SOURCES").count(),
            usize::from(form == "text")
        );
    }
}
