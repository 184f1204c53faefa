//! The main way: a right client with a right token gets its service's answer.

use crate::bench::http1::Request;
use crate::bench::token::Token;
use crate::bench::{WEB_ID, World};

#[tokio::test]
async fn a_right_client_with_a_right_token_gets_the_services_answer() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let token = Token::new().scope("orders:read").sign(&world.issuer);
    let client = gateway.client(&world.web());
    let answer = client
        .request(&Request::get("/orders/7").bearer(&token))
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(
        orders.only_request().header("x-client-identity"),
        Some(WEB_ID)
    );
}

#[tokio::test]
async fn h2_clients_get_the_same() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let token = Token::new().scope("orders:read").sign(&world.issuer);
    let mut h2 = gateway.client(&world.web()).connect_h2().await;
    let answer = h2.request(&Request::get("/orders/7").bearer(&token)).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(
        orders.only_request().header("x-client-identity"),
        Some(WEB_ID)
    );
}
