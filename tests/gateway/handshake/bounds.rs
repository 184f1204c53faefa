//! How many handshakes and connections there may be, and how long a handshake may take.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::EDGE;
use super::hello::Hello;
use super::table::HANDSHAKES;
use crate::bench::client::{HOST, Rejection};
use crate::bench::gateway::Gateway;
use crate::bench::http1::Wire;
use crate::bench::{World, within};

const CONNECTIONS: &str = "portcullis_connections";
const REFUSED: &str = "portcullis_connections_refused_total";

async fn limited(world: &World, limits: Value) -> Gateway {
    let mut config = world.config();
    config.set("listeners.edge.limits", limits);
    world.gateway_with(&config).await
}

#[tokio::test]
async fn a_handshake_that_stands_still_is_ended_and_its_place_given_back() {
    let world = World::new();
    let limits = json!({ "handshake_timeout": "1s", "handshakes": 3, "connections": 3 });
    let gateway = limited(&world, limits).await;
    let client = gateway.client(&world.web());
    let hello = Hello::tls12(HOST).record();
    let mut open = Vec::new();
    for sent in [&hello[..0], &hello[..3], &hello[..]] {
        let mut tcp = client.tcp().await.expect("TCP");
        tcp.write_all(sent).await.expect("send");
        open.push(Wire::new(tcp));
    }
    let in_progress = "portcullis_handshakes_in_progress";
    gateway
        .wait_for_metric(in_progress, &[EDGE], |now| now == 3.0)
        .await;
    let connections = [("listener", "edge")];
    assert_eq!(
        gateway.metrics().await.value(CONNECTIONS, &connections),
        3.0,
        "from accept on"
    );
    for wire in &mut open {
        while matches!(within("the end", wire.fill()).await, Ok(1..)) {}
    }
    let timed_out = [EDGE, ("reason", "timed_out")];
    gateway
        .wait_for_metric(HANDSHAKES, &timed_out, |count| count == 3.0)
        .await;
    gateway
        .wait_for_metric(in_progress, &[EDGE], |now| now == 0.0)
        .await;
    gateway
        .wait_for_metric(CONNECTIONS, &connections, |now| now == 0.0)
        .await;
    assert_eq!(client.get("/nothing").await.status, 404);
}

#[tokio::test]
async fn connections_are_capped_in_total_and_given_back() {
    let world = World::new();
    let gateway = limited(&world, json!({ "connections": 2 })).await;
    let client = gateway.client(&world.web());
    let mut one = client.connect().await;
    one.get("/nothing").await;
    let mut two = client.connect().await;
    two.get("/nothing").await;
    assert!(matches!(client.rejection().await, Rejection::Closed));
    let why = [("listener", "edge"), ("reason", "too_many")];
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
    assert_eq!(one.get("/nothing").await.status, 404, "who is in stays in");
    drop(two);
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    assert_eq!(client.get("/nothing").await.status, 404);
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
}

#[tokio::test]
async fn connections_are_capped_for_each_source_and_given_back() {
    let world = World::new();
    let gateway = limited(&world, json!({ "connections_per_source": 1 })).await;
    let client = |source: &str| gateway.client(&world.web()).source(source);
    let first = client("127.0.0.20").connect().await;
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    assert!(matches!(
        client("127.0.0.20").rejection().await,
        Rejection::Closed
    ));
    let why = [("listener", "edge"), ("reason", "too_many_per_source")];
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
    assert_eq!(
        client("127.0.0.21").get("/nothing").await.status,
        404,
        "another source"
    );
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    drop(first);
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 0.0)
        .await;
    assert_eq!(client("127.0.0.20").get("/nothing").await.status, 404);
}

#[tokio::test]
async fn handshakes_at_a_time_are_capped_and_given_back() {
    let world = World::new();
    let gateway = limited(&world, json!({ "handshakes": 1 })).await;
    let client = gateway.client(&world.web());
    let mut open = client.connect().await;
    open.get("/nothing").await;
    let half_open = client.tcp().await.expect("TCP");
    let in_progress = "portcullis_handshakes_in_progress";
    gateway
        .wait_for_metric(in_progress, &[EDGE], |now| now == 1.0)
        .await;
    assert!(matches!(client.rejection().await, Rejection::Closed));
    let why = [("listener", "edge"), ("reason", "too_many_handshakes")];
    assert_eq!(gateway.metrics().await.value(REFUSED, &why), 1.0);
    assert_eq!(
        open.get("/nothing").await.status,
        404,
        "an open connection is no handshake"
    );
    drop(half_open);
    gateway
        .wait_for_metric(CONNECTIONS, &[("listener", "edge")], |now| now == 1.0)
        .await;
    assert_eq!(client.get("/nothing").await.status, 404);
}
