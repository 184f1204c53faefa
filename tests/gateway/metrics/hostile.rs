//! Hostile traffic: whatever strangers choose becomes no series and no label.

use std::collections::BTreeSet;

use super::{Stage, cells, document, documented, stage};
use crate::bench::gateway::Metrics;
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::token::Token;

/// The series of a page without their values.
fn series(metrics: &Metrics) -> BTreeSet<String> {
    metrics
        .0
        .iter()
        .map(|one| format!("{}{:?}", one.name, one.labels))
        .collect()
}

/// Everything that a stranger can choose, with this marker in it.
async fn hostile(stage: &Stage, marker: &str) {
    let (world, gateway) = (&stage.world, &stage.gateway);
    let identity = world.partners.issue(
        Leaf::client(&format!("{marker}-common-name"))
            .spiffe(&format!("spiffe://partners.example/web/{marker}"))
            .dns(&format!("{marker}.example")),
    );
    let client = gateway.client(&identity);
    let token = Token::new()
        .scope("orders:read")
        .subject(&format!("{marker}-subject"))
        .claim("iss", "https://id.example.com");
    let good = token.sign(&world.issuer);
    let bad = token
        .clone()
        .claim("iss", format!("https://{marker}.example"))
        .sign(&world.issuer);
    let mut h1 = client.connect().await;
    let requests = [
        Request::get(&format!("/orders/{marker}?{marker}={marker}")).bearer(&good),
        Request::get(&format!("/orders/{marker}")).bearer(&bad),
        Request::get(&format!("/{marker}/{marker}")),
        Request::get("/open/x")
            .header(marker, marker)
            .header("X-Request-Id", marker),
        Request::get("/open/x")
            .header("traceparent", marker)
            .header("User-Agent", marker),
    ];
    for request in &requests {
        drop(h1.request(request).await);
    }
    // Each of these may end its connection.
    let alone = [
        Request::new(&marker.to_uppercase(), "/open/x"),
        Request::get("/open/x").host(&format!("{marker}.example")),
        Request::get(&format!("http://{marker}.example/open/x")),
        Request::get(&format!("/open/../{marker}")),
        Request::get("/open/x").header("Transfer-Encoding", marker),
        Request::get("/open/x").header("Authorization", marker),
    ];
    for request in &alone {
        drop(client.connect().await.try_request(request).await);
    }
    let mut h2 = client.connect_h2().await;
    for request in &requests {
        drop(h2.request(request).await);
    }
    // Refused handshakes: an unknown name, a stranger, an expired certificate.
    let leaf =
        || Leaf::client(&format!("{marker}-cn")).spiffe(&format!("spiffe://{marker}.example/x"));
    drop(
        gateway
            .client(&identity)
            .name(&format!("{marker}.example.net"))
            .rejection()
            .await,
    );
    drop(
        gateway
            .client(&world.stranger.issue(leaf()))
            .rejection()
            .await,
    );
    drop(
        gateway
            .client(&world.partners.issue(leaf().expired()))
            .rejection()
            .await,
    );
    drop(gateway.anonymous().alpn(&[marker]).try_connect().await);
}

#[tokio::test]
async fn whatever_strangers_say_makes_no_series_and_stands_nowhere_on_the_page() {
    let stage = stage().await;
    hostile(&stage, "marker0").await;
    let first = series(&stage.gateway.metrics().await);
    for round in 1..4 {
        hostile(&stage, &format!("marker{round}")).await;
    }
    let metrics = stage.gateway.metrics().await;
    assert_eq!(
        series(&metrics),
        first,
        "more of the same makes no more series"
    );
    let page = stage.gateway.admin("/metrics").await.text().to_lowercase();
    assert!(
        !page.contains("marker"),
        "{:#?}",
        page.lines()
            .filter(|line| line.contains("marker"))
            .collect::<Vec<_>>()
    );
    // And every value is one of the closed sets, or a name of the configuration.
    let mut known: BTreeSet<String> = document()
        .lines()
        .filter_map(cells)
        .map(|row| row[0].clone())
        .collect();
    let names = [
        "edge",
        "narrow",
        "orders",
        "early",
        "dead",
        "limited",
        "open",
        "orders-read",
        "orders-write",
        "corp",
        "partners",
        "(none)",
        "true",
        "false",
        "hit",
        "file",
        "miss",
        "ok",
        "none",
        "1xx",
        "2xx",
        "3xx",
        "4xx",
        "5xx",
        "0",
        "dpop_proof",
        "introspection",
        "login",
        "renewal",
        "server_logout",
        "session",
        "put_new",
        "get",
        "put",
        "remove",
        "refused",
        "local",
    ];
    known.extend(names.map(str::to_owned));
    known.extend(documented("#### `reason` of requests"));
    known.extend(documented("#### Shared state"));
    let free = [
        "le", "within", "endpoint", "place", "serial", "subject", "ca", "version",
    ];
    for one in &metrics.0 {
        for (label, value) in one
            .labels
            .iter()
            .filter(|(label, _)| !free.contains(&label.as_str()))
        {
            assert!(known.contains(value), "{} {label}={value}", one.name);
        }
    }
}
