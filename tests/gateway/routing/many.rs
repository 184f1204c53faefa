//! Ten thousand routes.

use serde_json::json;

use crate::bench::World;
use crate::bench::client::HOST;
use crate::bench::http1::Request;

const COUNT: usize = 10_000;

#[tokio::test]
async fn ten_thousand_routes_load_and_each_takes_its_own_requests() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    let routes: serde_json::Map<String, serde_json::Value> = (0..COUNT)
        .map(|number| {
            let path = match number % 3 {
                0 => format!("/service{number}/**"),
                1 => format!("/service{number}/{{id}}"),
                _ => format!("/v1/{{tenant}}/service{number}"),
            };
            let route = json!({
                "match": { "host": HOST, "path": path },
                "clients": "any", "token": "none", "upstream": "orders",
            });
            (format!("r{number}"), route)
        })
        .collect();
    config.set("routes", routes);
    let gateway = world.gateway_with(&config).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    for number in (0..COUNT).step_by(501).chain([1, 2, COUNT - 1]) {
        let target = match number % 3 {
            0 => format!("/service{number}/a/b/c"),
            1 => format!("/service{number}/7"),
            _ => format!("/v1/x/service{number}"),
        };
        let answer = connection.request(&Request::get(&target)).await;
        let line = gateway.access_line(&answer).await;
        assert_eq!(line["route"], format!("r{number}"), "{target}");
    }
    let answer = connection.get(&format!("/service{COUNT}/x")).await;
    assert_eq!(answer.status, 404);
}
