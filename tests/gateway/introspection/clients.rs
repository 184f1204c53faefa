//! Who the gateway is to the issuer: its credential is taken as it is now, and shown to nobody else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{GOOD, Stage, new_token};
use crate::bench::gateway;

#[tokio::test]
async fn a_new_secret_is_used_for_the_next_question() {
    let stage = Stage::set().await;
    stage.hold("the first", &new_token(), GOOD).await;
    let write = |secret: &str| stage.world.folder.write("client.secret", secret);
    stage.gateway.taken_by(|| drop(write("another"))).await;
    stage.hold("the second", &new_token(), GOOD).await;
    let proof = STANDARD.encode("gate%3Away:another");
    let asked = stage.issuer.last_request();
    assert_eq!(
        asked.header("authorization"),
        Some(&*format!("Basic {proof}"))
    );
    write("two\nlines");
    let refused = [("place", "oauth_clients.us"), ("result", "refused")];
    stage
        .gateway
        .wait_for_metric("portcullis_source_reloads_total", &refused, |count| {
            count >= 1.0
        })
        .await;
    stage.hold("that of before stays", &new_token(), GOOD).await;
    let asked = stage.issuer.last_request();
    assert_eq!(
        asked.header("authorization"),
        Some(&*format!("Basic {proof}"))
    );
}

#[tokio::test]
async fn a_client_that_proves_itself_by_certificate_shows_it_and_sends_no_secret() {
    let stage = Stage::with(|config| {
        config.set(
            "oauth_clients.us",
            json!({ "client_id": "gate:way", "tls": "gateway" }),
        );
    })
    .await;
    stage.hold("asked", &new_token(), GOOD).await;
    let asked = stage.issuer.only_request();
    assert_eq!(asked.header("authorization"), None);
    let body = String::from_utf8(asked.body).unwrap();
    assert!(body.ends_with("&client_id=gate%3Away"), "{body}");
    let shown = crate::bench::pki::sha256(&stage.world.gateway_identity.chain[0]);
    assert_eq!(asked.peer, shown);
}

#[test]
fn what_is_wrong_with_a_client_is_told_in_its_place() {
    let world = crate::bench::World::new();
    world.folder.write("empty", "");
    world.folder.write("short", "too short");
    let other = crate::bench::token::IssuerKey::es256("x");
    world.folder.write("other.key", other.private_pem());
    let introspection = json!({
        "url": "https://id.example.com/ask", "tls": { "trust": "mesh" }, "client": "us",
    });
    let cases = [
        (
            json!({ "client_id": "a", "secret_file": "empty" }),
            json!({}),
            "empty is empty",
        ),
        (
            json!({ "client_id": "a", "secret_file": "gateway.key" }),
            json!({}),
            "is too long for a secret, or holds a key",
        ),
        (
            json!({ "client_id": "a", "secret_file": "nowhere" }),
            json!({}),
            "nowhere cannot be read",
        ),
        (
            json!({ "client_id": "a", "private_key_jwt": { "key_file": "other.key", "algorithm": "RS256" } }),
            json!({}),
            "other.key is none for RS256",
        ),
        (
            json!({ "client_id": "a", "tls": "gateway" }),
            json!({ "tls": { "trust": "mesh", "identity": "other" } }),
            "shows the certificate of `gateway`, and this is another",
        ),
        (
            json!({ "client_id": "a", "tls": "gateway" }),
            json!({ "share_key": "short" }),
            "the secret has less than 32 characters",
        ),
    ];
    for (client, more, want) in cases {
        let mut config = world.config();
        config.set("identities.other", config.get("identities.gateway").clone());
        config.set("oauth_clients.us", client);
        let mut introspection = introspection.clone();
        for (name, value) in more.as_object().unwrap() {
            introspection[name] = value.clone();
        }
        config.set("issuers.corp.introspection", introspection);
        let store =
            json!({ "endpoints": ["localhost:6379"], "tls": "none", "when_away": "refuse" });
        config.set("shared_state", json!({ "redis": store }));
        config.choose_ports();
        let output = gateway::run(&world, &config, &["check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && said.contains(want),
            "{want}\n{said}"
        );
    }
}
