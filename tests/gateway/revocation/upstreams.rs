//! Connections to services: one that was made on other terms is not used again, and does not wait for
//! its end in the pool.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::http1::Request;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::service::{Reply, Service, Step};
use crate::bench::{ORDERS_ID, ORDERS_NAME, World};

/// A service with a certificate of another authority, which the mesh trusts for now.
async fn behind_another_authority(world: &World, reply: Reply) -> (Service, Gateway) {
    let other = Authority::new("other mesh");
    let both = format!("{}{}", world.mesh.pem(), other.pem());
    world.folder.write("mesh-ca.pem", both);
    let leaf = Leaf::server("service").spiffe(ORDERS_ID).dns(ORDERS_NAME);
    let service = world.service_as(&other.issue(leaf));
    let orders = service.reply(move |_| reply.clone()).start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("upstreams.orders.timeouts.idle", "10m");
    (orders, world.gateway_with(&config).await)
}

async fn remove_the_other(world: &World, gateway: &Gateway) {
    let write = || drop(world.folder.write("mesh-ca.pem", world.mesh.pem()));
    let reloaded = gateway.reload_by(write).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
}

async fn closed(orders: &Service) {
    orders
        .wait_until("its connections to end", |orders| {
            orders.open_connections() == 0
        })
        .await;
}

#[tokio::test]
async fn a_pooled_connection_ends_with_the_authority_of_its_service() {
    let world = World::new();
    let (orders, gateway) = behind_another_authority(&world, Reply::ok("hello")).await;
    let client = gateway.client(&world.web());
    for _ in 0..2 {
        assert_eq!(client.get("/open/x").await.status, 200);
    }
    assert_eq!((orders.connections(), orders.open_connections()), (1, 1));
    remove_the_other(&world, &gateway).await;
    assert_eq!(client.get("/open/x").await.status, 502);
    assert_eq!(orders.requests().len(), 2, "it was told nothing more");
    closed(&orders).await;
}

#[tokio::test]
async fn a_pooled_connection_ends_when_its_service_is_accepted_no_more() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("upstreams.orders.timeouts.idle", "10m");
    let mut gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    // What does not concern it leaves it alone.
    config.route("more", "/more/**", "orders");
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(client.get("/more/x").await.status, 200);
    assert_eq!((orders.connections(), orders.open_connections()), (1, 1));
    let other = "spiffe://mesh.example/ns/shop/sa/another";
    config.set("upstreams.orders.tls.accept", json!([other]));
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    closed(&orders).await;
    assert_eq!(client.get("/open/x").await.status, 502);
    assert_eq!(orders.requests().len(), 2, "it was told nothing more");
    // The terms of before come back, and with them the service.
    config.set("upstreams.orders.tls.accept", json!([ORDERS_ID]));
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let before = orders.connections();
    for _ in 0..3 {
        assert_eq!(client.get("/open/x").await.status, 200);
    }
    assert_eq!(orders.connections(), before + 1, "one connection, pooled");
}

#[tokio::test]
async fn a_request_under_way_ends_as_it_began_and_its_connection_with_it() {
    let world = World::new();
    let gate = Arc::new(Notify::new());
    let late = Reply::ok("late").after(Step::Gate(Arc::clone(&gate)));
    let (orders, gateway) = behind_another_authority(&world, late).await;
    let client = gateway.client(&world.web());
    let mut connection = client.connect().await;
    let get = Request::get("/open/x").bytes("api.example.com");
    connection.send(get).await.expect("sent");
    orders.wait_for_requests(1).await;
    remove_the_other(&world, &gateway).await;
    gate.notify_waiters();
    let answer = connection.read_answer().await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    closed(&orders).await;
    assert_eq!(connection.get("/open/x").await.status, 502);
    assert_eq!(orders.requests().len(), 1);
}
