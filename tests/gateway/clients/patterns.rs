//! `clients:` by fingerprint, public key and exact subject.

use rcgen::{DistinguishedName, DnType, DnValue};
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::route_for;
use crate::bench::World;
use crate::bench::gateway::{Gateway, run};
use crate::bench::pki::{Identity, KeyKind, Leaf};
use crate::bench::service::Service;

/// A leaf with this subject, in this order.
fn subject(parts: &[(DnType, DnValue)]) -> Leaf {
    let parts = parts.to_vec();
    Leaf::client("x").change(|params| {
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind, value);
        }
    })
}

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.to_owned())
}

fn printable(text: &str) -> DnValue {
    DnValue::PrintableString(text.try_into().expect("printable"))
}

/// C=DE, O=Example, Inc., CN=till 7
fn till(value: fn(&str) -> DnValue, name: &str) -> Leaf {
    subject(&[
        (DnType::CountryName, printable("DE")),
        (DnType::OrganizationName, value("Example, Inc.")),
        (DnType::CommonName, value(name)),
    ])
}

const ROUTES: [&str; 3] = ["fingerprint", "pin", "subject"];

/// A gateway with one route for each way to name this client.
async fn stage(world: &World, client: &Identity) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    let colons: Vec<_> = client
        .fingerprint()
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    let fingerprint = format!("fingerprint:sha256/{}", colons.join(":"));
    route_for(&mut config, "fingerprint", &["dns:x.example", &fingerprint]);
    let pin = format!("pin:sha256/{}", client.pin());
    route_for(&mut config, "pin", &[&pin]);
    let name = r"subject:CN=till 7,O=Example\, Inc.,C=DE";
    route_for(
        &mut config,
        "subject",
        &["spiffe://partners.example/*", name],
    );
    let gateway = world.gateway_with(&config).await;
    (orders, gateway)
}

async fn allowed(gateway: &Gateway, identity: &Identity) -> Vec<&'static str> {
    let mut allowed = Vec::new();
    let client = gateway.client(identity).resumption();
    let mut h2 = client.connect_h2().await;
    for route in ROUTES {
        let path = format!("/{route}/x");
        let answer = client.get(&path).await;
        assert_eq!(answer.status, h2.get(&path).await.status, "h2: {route}");
        match answer.status {
            200 => allowed.push(route),
            403 => assert_eq!(
                gateway.reason(&answer).await.as_deref(),
                Some("peer_not_allowed")
            ),
            other => panic!("{other} at {route}"),
        }
    }
    allowed
}

#[tokio::test]
async fn a_certificate_a_key_and_a_subject_each_let_in_whom_they_mean_and_nobody_else() {
    let world = World::new();
    let client = world.partners.issue(till(utf8, "till 7"));
    let (_orders, gateway) = stage(&world, &client).await;
    assert_eq!(allowed(&gateway, &client).await, ROUTES);

    // The same subject under another key, in another string type, beside other names: that subject.
    let another = world
        .partners
        .issue(till(printable, "till 7").dns("y.example"));
    assert_eq!(allowed(&gateway, &another).await, ["subject"]);
    // The same key in another certificate: that key.
    let key = || client.duplicate().key;
    let renamed = world.partners.issue_for(till(utf8, "till 8"), key());
    assert_eq!(allowed(&gateway, &renamed).await, ["pin"]);
    let renewed = world.partners.issue_for(till(utf8, "till 7"), key());
    assert_eq!(allowed(&gateway, &renewed).await, ["pin", "subject"]);
}

#[tokio::test]
async fn a_subject_that_is_nearly_the_one_is_another() {
    let world = World::new();
    let client = world.partners.issue(till(utf8, "till 7"));
    let (_orders, gateway) = stage(&world, &client).await;
    let cn = |text: &str| (DnType::CommonName, utf8(text));
    let o = |text: &str| (DnType::OrganizationName, utf8(text));
    let c = |text: &str| (DnType::CountryName, utf8(text));
    let long = "x".repeat(5_000);
    let others = [
        till(utf8, "Till 7"),
        till(utf8, "till  7"),
        till(utf8, "till 7 "),
        till(utf8, "till 7\0"),
        till(utf8, "till\u{a0}7"),
        till(utf8, &long),
        subject(&[]),
        subject(&[cn("till 7")]),
        subject(&[cn("till 7"), o("Example, Inc."), c("DE")]),
        subject(&[c("DE"), o("Example"), cn("till 7")]),
        subject(&[
            c("DE"),
            o("Example, Inc."),
            (DnType::OrganizationalUnitName, utf8("till 7")),
        ]),
        subject(&[c("DE"), o("Example, Inc.,CN=till 7")]),
        subject(&[cn("till 7,O=Example\\, Inc.,C=DE")]),
        subject(&[
            c("DE"),
            o("Example, Inc."),
            cn("till 7"),
            (DnType::LocalityName, utf8("x")),
        ]),
        Leaf::client("subject:CN=till 7,O=Example\\, Inc.,C=DE"),
        Leaf::client("x").dns("till7.example"),
    ];
    for leaf in others {
        let shown = format!("{leaf:?}");
        let identity = world.partners.issue(leaf);
        assert_eq!(allowed(&gateway, &identity).await, [""; 0], "{shown}");
    }
    // Who signs it counts before what it says.
    let stranger = world.stranger.issue(till(utf8, "till 7"));
    drop(gateway.client(&stranger).rejection().await);
}

#[tokio::test]
async fn a_resumed_session_is_the_same_certificate_key_and_subject() {
    let world = World::new();
    let client = world
        .partners
        .issue(till(utf8, "till 7").key(KeyKind::EcdsaP384));
    let (orders, gateway) = stage(&world, &client).await;
    for version in [&TLS12, &TLS13] {
        let client = gateway.client(&client).versions(&[version]).resumption();
        drop(client.get("/pin/x").await);
        for route in ROUTES {
            let mut connection = client.connect().await;
            assert!(connection.resumed());
            assert_eq!(connection.get(&format!("/{route}/x")).await.status, 200);
        }
    }
    // Logs and services go on to hear of the one identity.
    let want = format!("sha256:{}", client.fingerprint_hex());
    let told = orders.last_request();
    assert_eq!(told.header("x-client-identity"), Some(want.as_str()));
    let line = gateway
        .access_line(&gateway.client(&client).get("/subject/x").await)
        .await;
    assert_eq!(line["peer"], want);
}

#[test]
fn a_rehearsal_states_a_certificate_a_key_or_a_subject() {
    let world = World::new();
    let mut config = world.config();
    let hex = "0123456789abcdef".repeat(4);
    let fingerprint = format!("fingerprint:sha256/{hex}");
    let pin = format!("pin:sha256/{}=", "A".repeat(42) + "E");
    let name = "subject:CN=a\\,b+UID=7,O=Example";
    route_for(&mut config, "fingerprint", &[&fingerprint]);
    route_for(&mut config, "pin", &[&pin]);
    route_for(&mut config, "subject", &[name]);
    super::route(&mut config, "anybody", "clients", "any_certificate");
    let test = |route: &str, client: &str, expect: serde_json::Value| {
        let url = format!("https://api.example.com/{route}/x");
        match client {
            "" => json!({ "request": { "url": url }, "expect": expect }),
            client => json!({ "request": { "url": url, "client": client }, "expect": expect }),
        }
    };
    let to = |route: &str| json!({ "route": route });
    let refused = |reason: &str| json!({ "refusal": reason });
    let mut tests = vec![
        test(
            "fingerprint",
            &fingerprint
                .to_uppercase()
                .replace("FINGERPRINT:SHA256", "fingerprint:sha256"),
            to("fingerprint"),
        ),
        test("pin", &pin, to("pin")),
        test(
            "subject",
            "subject:UID=7+CN=a\\2Cb,O=Example",
            to("subject"),
        ),
        test(
            "subject",
            "subject:O=Example,UID=7+CN=a\\2Cb",
            refused("peer_not_allowed"),
        ),
        test("anybody", "subject:CN=x", to("anybody")),
        test("anybody", "", refused("certificate_missing")),
    ];
    for route in ROUTES {
        tests.push(test(
            route,
            "spiffe://partners.example/x",
            refused("peer_not_allowed"),
        ));
        tests.push(test(route, "", refused("certificate_missing")));
    }
    let count = tests.len();
    config.set("tests", json!(tests));
    let output = run(&world, &config, &["check"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains(&format!("{count} test(s) passed")),
        "{told}{wrong}"
    );
    // And one that is not so fails.
    config.set("tests", json!([test("pin", name, to("pin"))]));
    let output = run(&world, &config, &["check"]);
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(wrong.contains("it is refused: peer_not_allowed"), "{wrong}");
}
