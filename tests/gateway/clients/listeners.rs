//! `listeners:` of a route: the only ones that may reach it.

use serde_json::json;

use super::{REQUESTS, listener, route};
use crate::bench::World;
use crate::bench::client::HOST;
use crate::bench::gateway::{Gateway, Reloaded, run};
use crate::bench::http1::Answer;
use crate::bench::service::Service;

/// Two listeners; `inside` is for the second alone, `/inside/open/**` and `/**` are for both.
async fn stage(world: &World) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    listener(&mut config, "internal", "tls.min_version", "1.2");
    route(&mut config, "inside", "listeners", json!(["internal"]));
    config.route("open-inside", "/inside/open/**", "orders");
    config.route("all", "/**", "orders");
    let gateway = world.gateway_with(&config).await;
    (orders, gateway)
}

/// What a client can tell one answer from another by.
fn shape(answer: &Answer) -> (u16, String, Vec<String>) {
    let mut body = answer.json();
    let names = answer.headers.0.iter().map(|(name, _)| name.to_lowercase());
    body.as_object_mut()
        .expect("a problem")
        .remove("request_id");
    (answer.status, body.to_string(), names.collect())
}

#[tokio::test]
async fn a_route_is_reached_by_its_listeners_alone_and_no_wider_route_takes_over() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    let edge = gateway.client(&world.web());
    let inside = edge.clone().address(gateway.address("internal"));
    assert_eq!(inside.get("/inside/x").await.status, 200);
    assert_eq!(inside.connect_h2().await.get("/inside/x").await.status, 200);
    assert_eq!(orders.requests().len(), 2);

    let refused = edge.get("/inside/x").await;
    assert_eq!(refused.status, 404);
    let line = gateway.access_line(&refused).await;
    assert_eq!(line["reason"], "listener_not_allowed");
    assert_eq!(line["route"], "inside");
    assert_eq!(line["listener"], "edge");
    assert_eq!(edge.connect_h2().await.get("/inside/x").await.status, 404);
    assert_eq!(orders.requests().len(), 2, "no service heard of it");
    let labels = [("route", "inside"), ("reason", "listener_not_allowed")];
    assert_eq!(gateway.metrics().await.value(REQUESTS, &labels), 2.0);

    // Routes that name none are for all; a longer path of its own is its own route.
    for path in ["/inside/open/x", "/elsewhere"] {
        assert_eq!(edge.get(path).await.status, 200, "{path}");
        assert_eq!(inside.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_answer_is_that_to_a_path_that_is_not_there() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    listener(&mut config, "internal", "tls.min_version", "1.2");
    route(&mut config, "inside", "listeners", json!(["internal"]));
    let gateway = world.gateway_with(&config).await;
    let edge = gateway.client(&world.web());
    let (hidden, absent) = (edge.get("/inside/x").await, edge.get("/nothing/x").await);
    assert_eq!(shape(&hidden), shape(&absent));
}

#[tokio::test]
async fn an_open_connection_follows_the_listeners_of_now() {
    let world = World::new();
    let (orders, mut gateway) = stage(&world).await;
    let inside = gateway
        .client(&world.web())
        .address(gateway.address("internal"));
    let (mut h1, mut h2) = (inside.connect().await, inside.connect_h2().await);
    assert_eq!(h1.get("/inside/x").await.status, 200);
    assert_eq!(h2.get("/inside/x").await.status, 200);
    let mut config = gateway.config.clone();
    config.set("routes.inside.listeners", json!(["edge"]));
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let before = orders.requests().len();
    assert_eq!(h1.get("/inside/x").await.status, 404);
    assert_eq!(h2.get("/inside/x").await.status, 404);
    assert_eq!(orders.requests().len(), before);
    assert_eq!(
        gateway.client(&world.web()).get("/inside/x").await.status,
        200
    );
}

#[test]
fn listeners_do_not_tell_routes_apart_and_rehearsals_may_name_one() {
    let world = World::new();
    let mut config = world.config();
    listener(&mut config, "internal", "tls.min_version", "1.2");
    route(&mut config, "inside", "listeners", json!(["internal"]));
    let url = format!("https://{HOST}/inside/x");
    let test = |listener: Option<&str>, expect: serde_json::Value| {
        let mut request = json!({ "url": url });
        if let Some(listener) = listener {
            request["listener"] = json!(listener);
        }
        json!({ "request": request, "expect": expect })
    };
    let passes = json!({ "route": "inside" });
    let refused = json!({ "refusal": "listener_not_allowed" });
    let tests = [
        test(Some("internal"), passes.clone()),
        test(Some("edge"), refused),
        test(None, passes.clone()),
    ];
    config.set("tests", json!(tests));
    let output = run(&world, &config, &["check"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("3 test(s) passed"), "{told}");
    config.set("tests", json!([test(Some("edge"), passes)]));
    let output = run(&world, &config, &["check"]);
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        wrong.contains("it is refused: listener_not_allowed"),
        "{wrong}"
    );

    config.set("tests", json!([]));
    route(&mut config, "twin", "listeners", json!(["edge"]));
    config.set("routes.twin.match.path", "/inside/**");
    let output = run(&world, &config, &["check"]);
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(wrong.contains("neither goes first"), "{wrong}");
}

#[test]
fn a_host_is_looked_for_at_the_listeners_of_its_route() {
    let world = World::new();
    let second = crate::bench::pki::Leaf::server("second").dns("b.example.com");
    world
        .edge_authority
        .issue(second)
        .write(&world.folder, "second");
    let mut config = world.config();
    let pair = json!([{ "cert": "second.pem", "key": "second.key" }]);
    listener(&mut config, "internal", "tls.certificates", pair);
    route(&mut config, "there", "listeners", json!(["internal"]));
    config.set("routes.there.match.host", "b.example.com");
    assert_eq!(super::warnings(&world, &config), [""; 0]);
    config.set("routes.there.listeners", json!(["edge"]));
    let want = "warning: routes.there.match.host: none of its listeners has a certificate for \
                b.example.com; whoever asks for it fails in the handshake (unknown_server_name)";
    assert_eq!(super::warnings(&world, &config), [want]);
}
