//! Every kind of match, and which of several goes first, whatever the routes are called.

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::client::HOST;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;

/// The routes, by what their `match` says.
fn matches() -> Vec<Value> {
    let api = |path: &str| json!({ "host": HOST, "path": path });
    let with = |path: &str, key: &str, value: Value| {
        let mut matches = api(path);
        matches[key] = value;
        matches
    };
    let mut both = with("/m", "methods", json!(["GET"]));
    both["headers"] = json!({ "X-Tier": "gold" });
    let mut two = with("/h", "headers", json!({ "X-Tier": "gold" }));
    two["headers"]["X-Zone"] = json!("b");
    vec![
        api("/a"),                                              // 0
        api("/a/"),                                             // 1
        api("/a/**"),                                           // 2
        api("/a/b/**"),                                         // 3
        api("/a/b"),                                            // 4
        api("/a/{x}/c"),                                        // 5
        api("/a/b/{y}"),                                        // 6
        api("/users/{id}"),                                     // 7
        api("/users/{id}/orders/{order}"),                      // 8
        with("/m", "methods", json!(["GET", "HEAD"])),          // 9
        with("/m", "methods", json!(["POST"])),                 // 10
        api("/m"),                                              // 11
        both,                                                   // 12
        with("/h", "headers", json!({ "X-Tier": "gold" })),     // 13
        two,                                                    // 14
        with("/only", "methods", json!(["GET"])),               // 15
        json!({ "host": "shop.example.org", "path": "/**" }),   // 16
        json!({ "host": "*.example.org", "path": "/deep/er" }), // 17
        json!({ "host": "*.example.org", "path": "/**" }),      // 18
        json!({ "host": "EXAMPLE.net.", "path": "/x" }),        // 19
        api("/caf%C3%A9/{x}"),                                  // 20
    ]
}

/// A request and the number of the route that it takes; none: 404.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<usize>,
);

const CASES: &[Case] = &[
    // Exact paths, and what only looks like them.
    ("GET", HOST, "/a", &[], Some(0)),
    ("GET", HOST, "/a?b=/a/b", &[], Some(0)),
    ("GET", HOST, "/a/", &[], Some(1)),
    ("GET", HOST, "/A", &[], None),
    ("GET", HOST, "/ab", &[], None),
    ("GET", HOST, "/", &[], None),
    ("GET", HOST, "/%61", &[], Some(0)),
    // Longer before shorter, exact before `{name}`, an end before `**`; prefixes by segment.
    ("GET", HOST, "/a/x", &[], Some(2)),
    ("GET", HOST, "/a/x/y/z", &[], Some(2)),
    ("GET", HOST, "/a/b", &[], Some(4)),
    ("GET", HOST, "/a/b/", &[], Some(3)),
    ("GET", HOST, "/a/bb", &[], Some(2)),
    ("GET", HOST, "/a/x/c", &[], Some(5)),
    ("GET", HOST, "/a/b/c", &[], Some(6)),
    ("GET", HOST, "/a/b/d", &[], Some(6)),
    ("GET", HOST, "/a/b/d/e", &[], Some(3)),
    // `{name}` is one segment that is not empty.
    ("GET", HOST, "/users/7", &[], Some(7)),
    ("GET", HOST, "/users/7/", &[], None),
    ("GET", HOST, "/users/", &[], None),
    ("GET", HOST, "/users", &[], None),
    ("GET", HOST, "/users/7/orders/8", &[], Some(8)),
    ("GET", HOST, "/users/7/orders", &[], None),
    ("GET", HOST, "/users/7/orders/8/9", &[], None),
    ("GET", HOST, "/caf%c3%a9/1", &[], Some(20)),
    // Methods and header fields.
    ("GET", HOST, "/m", &[], Some(9)),
    ("HEAD", HOST, "/m", &[], Some(9)),
    ("POST", HOST, "/m", &[], Some(10)),
    ("DELETE", HOST, "/m", &[], Some(11)),
    ("GET", HOST, "/m", &[("x-tier", "gold")], Some(12)),
    ("POST", HOST, "/m", &[("x-tier", "gold")], Some(10)),
    ("GET", HOST, "/m", &[("x-tier", "silver")], Some(9)),
    (
        "GET",
        HOST,
        "/m",
        &[("x-tier", "gold"), ("x-tier", "gold")],
        Some(9),
    ),
    ("GET", HOST, "/h", &[("x-tier", "gold")], Some(13)),
    (
        "GET",
        HOST,
        "/h",
        &[("x-tier", "gold"), ("x-zone", "b")],
        Some(14),
    ),
    (
        "GET",
        HOST,
        "/h",
        &[("x-tier", "gold"), ("x-zone", "a")],
        Some(13),
    ),
    ("GET", HOST, "/h", &[("x-tier", "Gold")], None),
    ("GET", HOST, "/h", &[], None),
    ("GET", HOST, "/only", &[], Some(15)),
    ("POST", HOST, "/only", &[], None),
    ("HEAD", HOST, "/only", &[], None),
    ("OPTIONS", HOST, "/only", &[], None),
    // Hosts: exact before `*.`, which is one label.
    ("GET", "shop.example.org", "/deep/er", &[], Some(16)),
    ("GET", "blog.example.org", "/deep/er", &[], Some(17)),
    ("GET", "blog.example.org", "/deep", &[], Some(18)),
    ("GET", "a.b.example.org", "/deep/er", &[], None),
    ("GET", "example.org", "/deep/er", &[], None),
    ("GET", "example.net", "/x", &[], Some(19)),
    ("GET", "example.net", "/a", &[], None),
];

/// A gateway whose route number `n` is called `name(n)`.
async fn gateway(world: &World, name: impl Fn(usize) -> String) -> Gateway {
    let more = Leaf::server("more")
        .dns("a.b.example.org")
        .dns("example.org")
        .dns("example.net");
    world
        .edge_authority
        .issue(more)
        .write(&world.folder, "more");
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set(
        "listeners.edge.tls.certificates.1",
        json!({ "cert": "more.pem", "key": "more.key" }),
    );
    config.set("routes", json!({}));
    for (number, matches) in matches().into_iter().enumerate() {
        config.set(
            &format!("routes.{}", name(number)),
            json!({ "match": matches, "clients": "any", "token": "none", "upstream": "orders" }),
        );
    }
    let gateway = world.gateway_with(&config).await;
    hold(world, &gateway, name).await;
    gateway
}

/// Asks every case and looks which route the log names; every second one over h2.
async fn hold(world: &World, gateway: &Gateway, name: impl Fn(usize) -> String) {
    let web = world.web();
    for (number, (method, host, target, fields, want)) in CASES.iter().enumerate() {
        let client = gateway.client(&web).name(host);
        let request = Request::new(method, target);
        let request = fields.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        let answer = if number % 2 == 0 {
            client.request(&request).await
        } else {
            client.connect_h2().await.request(&request).await
        };
        let line = gateway.access_line(&answer).await;
        let took = line["route"].as_str().map(str::to_owned);
        assert_eq!(took, want.map(&name), "{method} {host} {target} {fields:?}");
        if want.is_none() {
            assert_eq!(
                (answer.status, &line["reason"]),
                (404, &json!("route_unknown"))
            );
        }
    }
}

#[tokio::test]
async fn the_most_exact_route_takes_the_request_and_what_no_route_names_is_unknown() {
    let world = World::new();
    gateway(&world, |number| format!("r{number:02}")).await;
}

#[tokio::test]
async fn the_same_routes_under_other_names_and_in_another_order_decide_the_same() {
    // 8 and 21 have no common factor, so each number gets another place.
    let world = World::new();
    gateway(&world, |number| format!("s{:02}", (number * 8 + 5) % 21)).await;
    let world = World::new();
    gateway(&world, |number| format!("t{:02}", 20 - number)).await;
}

#[tokio::test]
async fn who_sees_no_route_learns_nothing_of_those_that_are_there() {
    let world = World::new();
    let gateway = world.gateway_with(&world.config()).await;
    let client = gateway.client(&world.web());
    let mut bodies = Vec::new();
    for request in [
        Request::get("/elsewhere"),
        Request::new("DELETE", "/orders/7"),
        Request::new("PATCH", "/orders/7"),
        Request::get("/order"),
    ] {
        let answer = client.request(&request).await;
        assert_eq!(answer.status, 404, "{request:?}");
        assert_eq!(answer.header("allow"), None);
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}
