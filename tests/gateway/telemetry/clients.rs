//! `/tls/clients` and the metrics about clients.

use serde_json::{Value, json};

use super::{find, length, page, wait_for_page};
use crate::bench::http1::Request;
use crate::bench::pki::{Identity, Leaf};
use crate::bench::token::Token;
use crate::bench::{WEB_ID, World};
use crate::handshake::hello::Hello;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A client of `partners` whose certificate ends in so many seconds.
fn ending(world: &World, name: &str, seconds: i64) -> Identity {
    let id = format!("spiffe://partners.example/web/{name}");
    let leaf = Leaf::client(name).spiffe(&id).valid(-HOUR, seconds);
    world.partners.issue(leaf)
}

fn seen(count: u64) -> impl Fn(&Value) -> bool {
    move |page| page["seen"] == count
}

#[tokio::test]
async fn a_client_is_told_with_its_certificate_and_what_it_used() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let web = world.web();
    let client = gateway.client(&web).resumption();
    let token = Token::new().scope("orders:read").sign(&world.issuer);
    let mut first = client.connect().await;
    for _ in 0..3 {
        let read = Request::get("/orders/7").bearer(&token);
        assert_eq!(first.request(&read).await.status, 200);
    }
    // Of a route that does not let it through it is not told.
    let write = Request::new("PUT", "/orders/7");
    assert_eq!(first.request(&write).await.status, 401);
    let mut second = client.connect().await;
    assert_eq!(second.get("/open/x").await.status, 200);
    assert!(second.resumed());
    let page = wait_for_page(&gateway, "/tls/clients", seen(1)).await;
    assert_eq!(
        (&page["evicted"], &page["shown"], &page["most"]),
        (&json!(0), &json!(1), &json!(10_000))
    );
    let one = find(&page["clients"], "identity", WEB_ID);
    assert_eq!(one["listeners"], json!(["edge"]));
    assert_eq!(one["routes"], json!(["open", "orders-read"]));
    assert_eq!(one["more_routes"], false);
    assert_eq!(
        (&one["handshakes"], &one["resumed"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(one["open_connections"], 2);
    assert_eq!(
        one["tls"],
        json!({"version": "1.3", "group": "X25519MLKEM768", "post_quantum": true})
    );
    let days = one["ends_in"].as_i64().expect("seconds") / DAY;
    assert!((29..=30).contains(&days), "{one}");
    let certificate = &one["certificates"][0];
    assert_eq!(length(&one["certificates"]), 1);
    assert_eq!(certificate["fingerprint"], web.fingerprint_hex());
    assert_eq!(certificate["issuer"], "CN=partners");
    assert_eq!(
        (&certificate["not_after"], &certificate["next"]),
        (&one["not_after"], &Value::Null)
    );
    drop((first, second));
    wait_for_page(&gateway, "/tls/clients", |page| {
        page["clients"][0]["open_connections"] == 0
    })
    .await;
}

#[tokio::test]
async fn who_must_act_first_stands_first_and_is_counted() {
    let world = World::new();
    let gateway = world.gateway_with(&world.config()).await;
    let days = [
        ("c", 20 * DAY),
        ("a", HOUR / 2),
        ("d", 60 * DAY),
        ("b", 5 * DAY),
    ];
    for (name, seconds) in days {
        drop(
            gateway
                .client(&ending(&world, name, seconds))
                .connect()
                .await,
        );
    }
    drop(gateway.anonymous().rejection().await);
    let page = wait_for_page(&gateway, "/tls/clients", seen(4)).await;
    let names: Vec<&str> = page["clients"]
        .as_array()
        .expect("clients")
        .iter()
        .filter_map(|one| one["identity"].as_str()?.rsplit('/').next())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.value("portcullis_clients_seen", &[]), 4.0);
    let expiring = ["1h", "24h", "7d", "30d"]
        .map(|within| metrics.value("portcullis_clients_expiring", &[("within", within)]));
    assert_eq!(expiring, [1.0, 1.0, 2.0, 3.0]);
    let shown = |path: &'static str| {
        let gateway = &gateway;
        async move { super::page(gateway, path).await["shown"].as_u64() }
    };
    assert_eq!(shown("/tls/clients?within=7d").await, Some(2));
    assert_eq!(shown("/tls/clients?limit=3").await, Some(3));
    assert_eq!(shown("/tls/clients?listener=edge").await, Some(4));
    assert_eq!(shown("/tls/clients?listener=other").await, Some(0));
    assert_eq!(shown("/tls/clients?route=open").await, Some(0));
    assert_eq!(
        shown("/tls/clients?identity=spiffe://partners.example/web/a").await,
        Some(1)
    );
    assert_eq!(shown("/tls/clients?next=fail").await, Some(0));
    // Nothing is rehearsed, so of nobody it is known.
    assert_eq!(shown("/tls/clients?next=unknown").await, Some(4));
    for query in ["within=1y", "limit=many", "next=maybe", "who=a"] {
        let answer = gateway.admin(&format!("/tls/clients?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    let text = gateway.admin("/tls/clients?format=text").await.text();
    assert!(text.contains("spiffe://partners.example/web/a\n"), "{text}");
    assert!(text.contains("  29m") || text.contains("  30m"), "{text}");
}

#[tokio::test]
async fn a_client_that_has_rotated_is_not_expiring() {
    let world = World::new();
    let gateway = world.gateway_with(&world.config()).await;
    drop(
        gateway
            .client(&ending(&world, "a", HOUR / 2))
            .connect()
            .await,
    );
    let hour = [("within", "1h")];
    gateway
        .wait_for_metric("portcullis_clients_expiring", &hour, |count| count == 1.0)
        .await;
    drop(
        gateway
            .client(&ending(&world, "a", 60 * DAY))
            .connect()
            .await,
    );
    // One that still shows the old certificate changes nothing.
    drop(
        gateway
            .client(&ending(&world, "a", HOUR / 2))
            .connect()
            .await,
    );
    gateway
        .wait_for_metric("portcullis_clients_expiring", &hour, |count| count == 0.0)
        .await;
    let page = page(&gateway, "/tls/clients").await;
    assert_eq!(page["seen"], 1);
    assert_eq!(length(&page["clients"][0]["certificates"]), 3);
}

#[tokio::test]
async fn hellos_are_counted_by_what_they_offer_before_anything_is_agreed_on() {
    let world = World::new();
    let gateway = world.gateway_with(&world.config()).await;
    const HELLOS: &str = "portcullis_client_hellos_total";
    let of = |ready: &'static str| [("listener", "edge"), ("post_quantum", ready)];
    let metrics = gateway.metrics().await;
    assert_eq!(
        (
            metrics.value(HELLOS, &of("true")),
            metrics.value(HELLOS, &of("false"))
        ),
        (0.0, 0.0)
    );
    drop(gateway.client(&world.web()).connect().await);
    gateway
        .wait_for_metric(HELLOS, &of("true"), |count| count == 1.0)
        .await;
    // Without; and with a group that only we do not have, so that nothing comes of it.
    for (groups, ready, count) in [
        (vec![23], "false", 1.0),
        (vec![23, 0x0202], "true", 2.0),
        (vec![29, 0x6399], "false", 2.0),
    ] {
        let hello = Hello {
            groups,
            ..Hello::tls12(crate::bench::client::HOST)
        };
        let mut tcp = gateway.anonymous().tcp().await.expect("TCP");
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &hello.record())
            .await
            .expect("sent");
        gateway
            .wait_for_metric(HELLOS, &of(ready), |now| now == count)
            .await;
    }
}

#[tokio::test]
async fn the_time_of_each_verification_is_counted_on_both_sides() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        200
    );
    let stranger = world
        .stranger
        .issue(Leaf::client("a").spiffe("spiffe://a.example/b"));
    drop(gateway.client(&stranger).rejection().await);
    const SECONDS: &str = "portcullis_certificate_verification_duration_seconds";
    let count = format!("{SECONDS}_count");
    let edge = [("side", "downstream"), ("name", "edge")];
    // One each, of the client that passed and of the one that did not.
    gateway
        .wait_for_metric(&count, &edge, |count| count == 2.0)
        .await;
    let upstream = [("side", "upstream"), ("name", "orders")];
    gateway
        .wait_for_metric(&count, &upstream, |count| count == 1.0)
        .await;
    let metrics = gateway.metrics().await;
    let sum = metrics.value(&format!("{SECONDS}_sum"), &edge);
    assert!(sum > 0.0 && sum < 1.0, "{sum}");
    let bounds = [
        "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005",
        "0.01",
    ];
    let page = gateway.admin("/metrics").await.text();
    let of_edge =
        |line: &&str| line.starts_with(&format!("{SECONDS}_bucket")) && line.contains("\"edge\"");
    assert_eq!(
        page.lines().filter(of_edge).count(),
        bounds.len() + 1,
        "{page}"
    );
}
