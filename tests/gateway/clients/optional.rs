//! Listeners where a certificate is optional: who needs one is said by each route, and `check` points
//! out routes of one host that do not say the same.

use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::{listener, route, route_for, warnings};
use crate::bench::World;
use crate::bench::gateway::Reloaded;
use crate::bench::pki::Leaf;

#[tokio::test]
async fn any_certificate_is_whoever_shows_one_that_the_listener_trusts() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("listeners.edge.tls.clients.certificate", "optional");
    route(&mut config, "members", "clients", "any_certificate");
    let gateway = world.gateway_with(&config).await;
    let nameless = world.partners.issue(Leaf::client("nameless"));
    let stranger = world.stranger.issue(Leaf::client("x"));
    for version in [&TLS12, &TLS13] {
        let nobody = gateway.anonymous().versions(&[version]);
        let refused = nobody.get("/members/x").await;
        assert_eq!(refused.status, 403);
        assert_eq!(
            gateway.reason(&refused).await.as_deref(),
            Some("certificate_missing")
        );
        assert_eq!(nobody.get("/open/x").await.status, 200);
        assert_eq!(
            nobody.connect_h2().await.get("/members/x").await.status,
            403
        );
        for identity in [&nameless, &world.web()] {
            let client = gateway.client(identity).versions(&[version]);
            assert_eq!(client.get("/members/x").await.status, 200);
            assert_eq!(client.get("/open/x").await.status, 200);
        }
        drop(
            gateway
                .client(&stranger)
                .versions(&[version])
                .rejection()
                .await,
        );
    }
    assert_eq!(orders.requests().len(), 10);
}

#[tokio::test]
async fn routes_of_one_host_that_disagree_are_pointed_out_by_check_start_and_reload() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    assert_eq!(warnings(&world, &config), [""; 0], "`required` is required");

    listener(&mut config, "lobby", "tls.clients.certificate", "optional");
    let want = "warning: routes.open.clients: on listener lobby clients without a certificate may \
                use this route of api.example.com, and for orders-read they need one; if that is \
                not meant, write `clients: any_certificate`, or name the `listeners` of each";
    assert_eq!(warnings(&world, &config), [want]);
    let mut gateway = world.gateway_with(&config).await;
    let told = want.trim_start_matches("warning: ");
    gateway.wait_for_log(|line| line.contains(told)).await;

    // Whatever makes them agree ends it.
    let mut agreed = config.clone();
    agreed.set("routes.open.clients", "any_certificate");
    assert_eq!(warnings(&world, &agreed), [""; 0]);
    let mut apart = config.clone();
    apart.set("routes.open.listeners", json!(["edge"]));
    assert_eq!(warnings(&world, &apart), [""; 0]);
    let mut apart = config.clone();
    for name in ["orders-read", "orders-write"] {
        apart.set(&format!("routes.{name}.listeners"), json!(["edge"]));
    }
    assert_eq!(warnings(&world, &apart), [""; 0]);

    // A token that is bound to a certificate needs one, whoever the clients are.
    for name in ["orders-read", "orders-write"] {
        config.set(&format!("routes.{name}.clients"), "any");
    }
    let bound = warnings(&world, &config);
    assert_eq!(bound.len(), 1);
    assert!(bound[0].contains("routes.open.clients") && bound[0].contains("for orders-write they"));
    let before = gateway.log().len();
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let told = bound[0].trim_start_matches("warning: ").to_owned();
    gateway.wait_for_log(|line| line.contains(&told)).await;
    assert!(gateway.log().len() > before);
    config.set("routes.orders-write.token.bound_to_certificate", false);
    assert_eq!(warnings(&world, &config), [""; 0]);
}

#[test]
fn a_wildcard_and_a_host_below_it_disagree_and_hosts_that_nobody_can_ask_for_do_not() {
    let world = World::new();
    let mut config = world.config();
    config.set("listeners.edge.tls.clients.certificate", "optional");
    config.set("routes.open.clients", "any_certificate");
    for (name, host, clients) in [
        ("below", "*.example.org", json!("any")),
        ("exact", "x.example.org", json!(["dns:a.example"])),
        ("apart", "y.z.example.org", json!("any")),
        ("unserved", "other.example.com", json!("any")),
        (
            "unserved-too",
            "other.example.com",
            json!("any_certificate"),
        ),
    ] {
        config.route(name, &format!("/{name}"), "orders");
        config.set(&format!("routes.{name}.match.host"), host);
        config.set(&format!("routes.{name}.clients"), clients);
    }
    let told = warnings(&world, &config);
    let disagree: Vec<_> = told
        .iter()
        .filter(|line| line.contains("on listener"))
        .collect();
    assert_eq!(disagree.len(), 1, "{told:?}");
    let start = "warning: routes.below.clients: on listener edge clients without a certificate may \
                 use this route of x.example.org, and for exact they need one";
    assert!(disagree[0].starts_with(start), "{told:?}");
}

#[test]
fn many_hosts_that_disagree_are_told_in_a_few_lines() {
    let world = World::new();
    let mut config = world.config();
    config.set("listeners.edge.tls.clients.certificate", "optional");
    config.set("routes.open.clients", "any_certificate");
    for number in 0..30 {
        for (kind, clients) in [("open", "any"), ("closed", "any_certificate")] {
            let name = format!("{kind}-{number}");
            route_for(&mut config, &name, &[]);
            config.set(
                &format!("routes.{name}.match.host"),
                format!("h{number}.example.org"),
            );
            config.set(&format!("routes.{name}.clients"), clients);
        }
    }
    let told = warnings(&world, &config);
    assert_eq!(told.len(), 21, "{told:?}");
    assert_eq!(
        told[20],
        "warning: and 10 more hosts whose routes disagree so"
    );
}
