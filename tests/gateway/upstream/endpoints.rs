//! Several endpoints, names, and endpoints that are down.

use serde_json::json;

use super::refused;
use crate::bench::http1::Request;
use crate::bench::service::{Plain, Reply};
use crate::bench::{ORDERS_ID, ORDERS_NAME, World};

const UP: &str = "portcullis_upstream_endpoint_up";

#[tokio::test]
async fn endpoints_take_turns() {
    let world = World::new();
    let services = [
        world.orders().start().await,
        world.orders().start().await,
        world.orders().start().await,
    ];
    let mut config = world.config();
    config.endpoints(
        "orders",
        &[
            services[0].address,
            services[1].address,
            services[2].address,
        ],
    );
    let gateway = world.gateway_with(&config).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    for _ in 0..9 {
        assert_eq!(connection.get("/open/x").await.status, 200);
    }
    for service in &services {
        assert_eq!(service.requests().len(), 3);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_no_request_and_comes_back() {
    let world = World::new();
    let up = world.orders().start().await;
    let mut down = world.orders().start().await;
    down.stop().await;
    let mut config = world.config();
    config.endpoints("orders", &[down.address, up.address]);
    let gateway = world.gateway_with(&config).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    let text = down.address.to_string();
    let label = [("upstream", "orders"), ("endpoint", text.as_str())];
    assert_eq!(
        gateway.metrics().await.value(UP, &label),
        1.0,
        "until it is known to be down"
    );
    for _ in 0..6 {
        assert_eq!(connection.get("/open/x").await.status, 200);
        assert_eq!(
            connection
                .request(&Request::post("/open/x", "y"))
                .await
                .status,
            200
        );
    }
    assert_eq!(up.requests().len(), 12);
    assert_eq!(gateway.metrics().await.value(UP, &label), 0.0);
    let back = world.orders().at(down.address).start().await;
    while back.requests().is_empty() {
        assert_eq!(connection.get("/open/x").await.status, 200);
        tokio::time::sleep(super::MILLIS(20)).await; // the time that it is left alone passes
    }
    gateway.wait_for_metric(UP, &label, |up| up == 1.0).await;
}

#[tokio::test]
async fn an_endpoint_that_is_silent_costs_no_request() {
    let world = World::new();
    let up = world.orders().start().await;
    let silent = Plain::start(b"").await;
    let mut config = world.config();
    config.endpoints("orders", &[silent.address, up.address]);
    config.set("upstreams.orders.timeouts.connect", "1s");
    let gateway = world.gateway_with(&config).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    for _ in 0..4 {
        assert_eq!(connection.get("/open/x").await.status, 200);
    }
    assert_eq!(up.requests().len(), 4);
}

#[tokio::test]
async fn an_imposter_among_the_endpoints_is_not_papered_over() {
    let world = World::new();
    let up = world.orders().start().await;
    let imposter = world
        .service("spiffe://mesh.example/ns/shop/sa/billing", ORDERS_NAME)
        .start()
        .await;
    let mut config = world.config();
    config.endpoints("orders", &[imposter.address, up.address]);
    let gateway = world.gateway_with(&config).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(connection.get("/open/x").await.status);
        if statuses.last() == Some(&502) {
            connection = gateway.client(&world.web()).connect().await;
        }
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 502).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(imposter.bytes(), 0);
    assert_eq!(refused(&gateway, "upstream_identity_mismatch").await, 1.0);
}

#[tokio::test]
async fn names_are_resolved() {
    let world = World::new();
    let orders = world
        .service(ORDERS_ID, ORDERS_NAME)
        .reply(|_| Reply::ok("named"))
        .start()
        .await;
    let mut config = world.config();
    let port = orders.address.port();
    config.set(
        "upstreams.orders.endpoints",
        json!([format!("localhost:{port}")]),
    );
    let gateway = world.gateway_with(&config).await;
    let answer = gateway.client(&world.web()).get("/open/x").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "named"));
    let line = gateway
        .wait_for_event(|event| event["target"] == "access")
        .await;
    assert_eq!(line["endpoint"], format!("localhost:{port}"));
    assert_eq!(line["endpoint_identity"], ORDERS_ID);
}

#[tokio::test]
async fn a_name_without_an_address_is_a_503() {
    let world = World::new();
    let mut config = world.config();
    config.set("upstreams.orders.endpoints", json!(["nobody.invalid:9443"]));
    let gateway = world.gateway_with(&config).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        503
    );
    assert_eq!(refused(&gateway, "upstream_no_endpoint").await, 1.0);
    let failed = [("upstream", "orders"), ("reason", "no_address")];
    let failures = "portcullis_upstream_connect_failures_total";
    assert!(gateway.metrics().await.value(failures, &failed) >= 1.0);
}
