//! Keys from files: shared by several gateways, rotated by the operator.

use rcgen::KeyPair;
use serde_json::json;

use super::{KEYS, kid, kids, signed, token, verify};
use crate::bench::World;
use crate::bench::gateway::{Gateway, Reloaded, run};
use crate::bench::pki::KeyKind;
use crate::http1::Stage;

fn write_key(world: &World, name: &str, kind: KeyKind) -> KeyPair {
    let key = kind.generate();
    world.folder.write(name, key.serialize_pem());
    key
}

#[tokio::test]
async fn gateways_that_share_keys_are_one_to_services() {
    let world = World::new();
    write_key(&world, "a.key", KeyKind::EcdsaP256);
    write_key(&world, "b.key", KeyKind::EcdsaP256);
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    signed(&mut config, json!({ "keys": ["a.key", "b.key"] }));
    let mut one = world.gateway_with(&config).await;
    let mut of_two = config.clone();
    of_two.choose_ports();
    let file = world.folder.write("two.yaml", of_two.yaml());
    let two = Gateway::start_with_file(&world, &of_two, file).await;
    let published = kids(&one).await;
    assert_eq!((published.len(), &kids(&two).await), (2, &published));
    let keep = Some("max-age=300");
    assert_eq!(one.admin(KEYS).await.header("cache-control"), keep);
    let web = world.web();
    assert_eq!(one.client(&web).get("/open/a").await.status, 200);
    let of_one = token(&orders.last_request()).to_owned();
    assert_eq!(kid(&of_one), published[0], "the first signs");
    assert!(verify(&two, &of_one, "orders").await.is_ok());
    // Step by step: the new one stands behind, then in front, then the old one goes.
    write_key(&world, "c.key", KeyKind::EcdsaP256);
    for (list, signs, count) in [(["a.key", "c.key"], 0, 2), (["c.key", "a.key"], 1, 2)] {
        config.set("signed_identity.keys", json!(list));
        assert!(matches!(one.reload(&config).await, Reloaded::Applied(_)));
        assert_eq!(kids(&one).await.len(), count);
        assert_eq!(one.client(&web).get("/open/a").await.status, 200);
        let token = token(&orders.last_request()).to_owned();
        assert_eq!(kid(&token) == published[0], signs == 0);
        assert!(verify(&one, &token, "orders").await.is_ok());
    }
    assert!(verify(&one, &of_one, "orders").await.is_ok());
    config.set("signed_identity.keys", json!(["c.key"]));
    assert!(matches!(one.reload(&config).await, Reloaded::Applied(_)));
    let gone = verify(&one, &of_one, "orders").await;
    assert_eq!(gone, Err(format!("no key {}", published[0])));
}

#[tokio::test]
async fn a_key_file_that_changes_is_read_again() {
    let world = World::new();
    write_key(&world, "a.key", KeyKind::EcdsaP256);
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    signed(&mut config, json!({ "keys": ["a.key"] }));
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/a").await.status, 200);
    let before = kids(&gateway).await;
    let reloaded = gateway
        .reload_by(|| drop(write_key(&world, "a.key", KeyKind::EcdsaP256)))
        .await;
    assert!(matches!(reloaded, Reloaded::Applied(_)));
    let after = kids(&gateway).await;
    assert_ne!(before, after);
    // Not one more request is told with the key of before, whatever was signed a moment ago.
    assert_eq!(client.get("/open/a").await.status, 200);
    assert_eq!(kid(token(&orders.last_request())), after[0]);
    // Half a file is not used; the last good key stays.
    let text = std::fs::read_to_string(world.folder.join("a.key")).expect("a key");
    let refused = gateway
        .reload_by(|| drop(world.folder.write("a.key", &text[..text.len() / 2])))
        .await;
    assert_eq!(refused, Reloaded::Refused);
    assert_eq!(kids(&gateway).await, after);
    assert_eq!(client.get("/open/a").await.status, 200);
    assert_eq!(kid(token(&orders.last_request())), after[0]);
    let secret = text.lines().nth(1).expect("a line of the key");
    assert!(!gateway.log().join("\n").contains(secret));
}

#[test]
fn keys_that_cannot_sign_are_problems_at_their_place() {
    let world = World::new();
    for (name, kind) in [
        ("good.key", KeyKind::EcdsaP256),
        ("p384.key", KeyKind::EcdsaP384),
        ("ed.key", KeyKind::Ed25519),
        ("rsa.key", KeyKind::Rsa2048),
    ] {
        write_key(&world, name, kind);
    }
    let good = std::fs::read(world.folder.join("good.key")).expect("a key");
    world.folder.write("same.key", &good);
    world.folder.write("text.key", "hello");
    world.folder.write("public.key", world.mesh.pem());
    let cases = [
        (
            "p384.key",
            "signed_identity.keys[1]: the private key in",
            "is none on the curve P-256",
        ),
        (
            "ed.key",
            "signed_identity.keys[1]: the private key in",
            "is none on the curve P-256",
        ),
        (
            "rsa.key",
            "signed_identity.keys[1]: the private key in",
            "is none on the curve P-256",
        ),
        ("missing.key", "signed_identity.keys[1]:", "cannot be read"),
        (
            "text.key",
            "signed_identity.keys[1]:",
            "has no private key in it",
        ),
        (
            "public.key",
            "signed_identity.keys[1]:",
            "has a certificate in it and no private key",
        ),
        (
            "same.key",
            "signed_identity.keys: the same key stands in two files",
            "name each key once",
        ),
    ];
    for (name, place, what) in cases {
        let mut config = world.config();
        signed(&mut config, json!({ "keys": ["good.key", name] }));
        let output = run(&world, &config, &["check", "--config", "gateway.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{name}: {said}");
        assert!(
            said.contains(place) && said.contains(what),
            "{name}: {said}"
        );
    }
}

#[tokio::test]
async fn a_key_that_others_can_read_is_pointed_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::with(|config| signed(config, json!({}))).await;
    write_key(&stage.world, "open.key", KeyKind::EcdsaP256);
    let file = stage.world.folder.join("open.key");
    let everybody = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&file, everybody).expect("a mode");
    let mut gateway = stage.gateway;
    let mut config = gateway.config.clone();
    signed(&mut config, json!({ "keys": ["open.key"] }));
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    gateway
        .wait_for_log(|line| line.contains("signed_identity.keys[0]") && line.contains("chmod 600"))
        .await;
}
