//! `trust.NAME.next`: the bundle that is to come, verified in the shadow of the one in use.

use serde_json::json;

use super::{find, page, wait_for_page};
use crate::bench::crl::Crl;
use crate::bench::gateway::{Gateway, run};
use crate::bench::pki::{Authority, Leaf, write_atomically};
use crate::bench::{WEB_ID, World};

const VERIFICATIONS: &str = "portcullis_next_trust_verifications_total";

fn of(result: &str) -> [(&str, &str); 2] {
    [("trust", "partners"), ("result", result)]
}

async fn fate(gateway: &Gateway, identity: &str) -> serde_json::Value {
    let page = page(gateway, "/tls/clients").await;
    find(&page["clients"], "identity", identity)["certificates"][0]["next"].clone()
}

#[tokio::test]
async fn who_would_fail_under_the_next_ca_is_told_and_served_all_the_same() {
    let world = World::new();
    let orders = world.orders().start().await;
    let new = Authority::new("partners-2");
    world.folder.write("next-ca.pem", new.pem());
    // Today both are believed; tomorrow the new one alone.
    let both = [world.partners.pem(), new.pem()].concat();
    world.folder.write("partners-ca.pem", both);
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("trust.partners.next", json!({"ca": "next-ca.pem"}));
    let gateway = world.gateway_with(&config).await;
    let metrics = gateway.metrics().await;
    for result in ["ok", "unknown_issuer"] {
        assert_eq!(
            metrics.get(VERIFICATIONS, &of(result)),
            Some(0.0),
            "{result}"
        );
    }
    let moved = "spiffe://partners.example/web/moved";
    let moved_client = new.issue(Leaf::client("moved").spiffe(moved));
    for identity in [&world.web(), &moved_client] {
        // Several handshakes of one certificate: it is verified in the shadow once.
        for _ in 0..5 {
            assert_eq!(gateway.client(identity).get("/open/x").await.status, 200);
        }
    }
    let metrics = gateway.metrics().await;
    // `world.web()` issues anew each time it is asked, and was asked once.
    assert_eq!(metrics.value(VERIFICATIONS, &of("unknown_issuer")), 1.0);
    assert_eq!(metrics.value(VERIFICATIONS, &of("ok")), 1.0);
    assert_eq!(fate(&gateway, WEB_ID).await, "unknown_issuer");
    assert_eq!(fate(&gateway, moved).await, "ok");
    let failing = page(&gateway, "/tls/clients?next=fail").await;
    assert_eq!(
        (&failing["shown"], &failing["clients"][0]["identity"]),
        (&json!(1), &json!(WEB_ID))
    );
    let passing = page(&gateway, "/tls/clients?next=ok").await;
    assert_eq!(
        (&passing["shown"], &passing["clients"][0]["identity"]),
        (&json!(1), &json!(moved))
    );
    let text = gateway
        .admin("/tls/clients?format=text&next=fail")
        .await
        .text();
    assert!(text.contains(", next unknown_issuer"), "{text}");
    // In the record of failures there is nobody.
    assert_eq!(page(&gateway, "/tls/failures").await["failures"], 0);
}

#[tokio::test]
async fn the_next_bundle_is_watched_and_a_broken_one_leaves_the_last_good_one() {
    let world = World::new();
    let orders = world.orders().start().await;
    let new = Authority::new("partners-2");
    let file = world.folder.write("next-ca.pem", new.pem());
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("trust.partners.next", json!({"ca": "next-ca.pem"}));
    let gateway = world.gateway_with(&config).await;
    let web = world.web();
    let client = gateway.client(&web).resumption();
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(fate(&gateway, WEB_ID).await, "unknown_issuer");
    // The operator sees who would fail, and keeps the old CA beside the new one.
    let reloads = [("place", "trust.partners.next"), ("result", "ok")];
    const RELOADS: &str = "portcullis_source_reloads_total";
    let before = gateway.metrics().await.value(RELOADS, &reloads);
    write_atomically(&file, [world.partners.pem(), new.pem()].concat().as_bytes());
    gateway
        .wait_for_metric(RELOADS, &reloads, |now| now > before)
        .await;
    let mut again = client.connect().await;
    assert!(again.resumed(), "what is rehearsed takes no session away");
    assert_eq!(again.get("/open/x").await.status, 200);
    assert_eq!(fate(&gateway, WEB_ID).await, "ok");
    let refused = [("place", "trust.partners.next"), ("result", "refused")];
    write_atomically(&file, b"-----BEGIN CERTIFICATE-----\n");
    gateway
        .wait_for_metric(RELOADS, &refused, |now| now > 0.0)
        .await;
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(fate(&gateway, WEB_ID).await, "ok");
}

#[tokio::test]
async fn a_next_bundle_that_cannot_be_read_is_a_problem() {
    let world = World::new();
    let mut config = world.config();
    config.choose_ports();
    config.set("trust.partners.next", json!({"ca": "not-there.pem"}));
    let output = run(&world, &config, &["check"]);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("trust.partners.next"), "{said}");
}

#[tokio::test]
async fn services_are_rehearsed_as_well() {
    let world = World::new();
    let orders = world.orders().start().await;
    let new = Authority::new("mesh-2");
    world.folder.write("next-mesh.pem", new.pem());
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("trust.mesh.next", json!({"ca": "next-mesh.pem"}));
    let gateway = world.gateway_with(&config).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        200
    );
    let labels = [("trust", "mesh"), ("result", "unknown_issuer")];
    gateway
        .wait_for_metric(VERIFICATIONS, &labels, |count| count == 1.0)
        .await;
    // Clients are verified against another bundle, of which nothing is to come.
    let page = wait_for_page(&gateway, "/tls/clients", |page| page["seen"] == 1).await;
    assert_eq!(page["clients"][0]["certificates"][0]["next"], json!(null));
}

#[tokio::test]
async fn a_next_crl_shows_whom_it_will_turn_away() {
    let world = World::new();
    let orders = world.orders().start().await;
    let revoked = "spiffe://partners.example/web/revoked";
    let leaf = |name: &str, serial| {
        let id = format!("spiffe://partners.example/web/{name}");
        world
            .partners
            .issue(Leaf::client(name).spiffe(&id).serial(serial))
    };
    let crl = Crl::of(&[0x77]).pem(&world.partners);
    world.folder.write("next.crl", crl);
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("trust.partners.next", json!({"crl": "next.crl"}));
    let gateway = world.gateway_with(&config).await;
    for identity in [leaf("revoked", 0x77), leaf("good", 0x78)] {
        assert_eq!(gateway.client(&identity).get("/open/x").await.status, 200);
    }
    assert_eq!(fate(&gateway, revoked).await, "certificate_revoked");
    assert_eq!(
        fate(&gateway, "spiffe://partners.example/web/good").await,
        "ok"
    );
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.value(VERIFICATIONS, &of("certificate_revoked")),
        1.0
    );
    assert_eq!(metrics.value(VERIFICATIONS, &of("ok")), 1.0);
}
