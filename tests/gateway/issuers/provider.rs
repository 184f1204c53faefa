//! A real, certified authorization server: discovered, and followed through its rotations.

use serde_json::json;

use crate::bench::World;
use crate::bench::provider::{DISCOVERY, Grant, JWKS};
use crate::bench::token::Token;

use super::idp::Idp;
use super::{Stage, UNAVAILABLE, UNKNOWN};

#[tokio::test]
async fn a_certified_server_is_discovered_and_its_keys_followed() {
    let world = World::new();
    let provider = world.provider().await;
    let idp = Idp::start(&world).await;
    let stage = Stage::of(world, idp, |config, _| {
        config.set("issuers.corp.issuer", provider.issuer.as_str());
        let keys = json!({
            "discovery": true,
            "tls": { "ca": "provider-ca.pem" },
            "refresh": { "min": "1s", "max": "1s" },
            "cool_down": "1s",
            "timeout": "1s",
        });
        config.set("issuers.corp.keys", keys);
    })
    .await;
    assert!(!provider.requests(DISCOVERY).is_empty());
    assert!(!provider.requests(JWKS).is_empty());
    let old = provider.token(Grant::jwt()).await;
    assert_eq!(stage.verdict(&old).await, (200, None));
    // Another key signs: its first token passes at once, and so do those of before.
    provider.rotate().await;
    let new = provider.token(Grant::jwt()).await;
    assert_eq!(stage.verdict(&new).await, (200, None));
    assert_eq!(stage.verdict(&old).await, (200, None));
    // The old key goes, and its remembered tokens with it.
    provider.remove_key("es256-1").await;
    stage.generation(3.0).await;
    assert_eq!(stage.verdict(&old).await, (401, Some(UNKNOWN.into())));
    assert_eq!(stage.verdict(&new).await, (200, None));
    // It is away: what is known stays, what is not is nobody's fault.
    provider
        .faults(json!([{ "path": JWKS, "how": "hang" }]))
        .await;
    stage.next_fetch("unreachable").await;
    assert_eq!(stage.verdict(&new).await, (200, None));
    let strange = Token::new().claim("iss", provider.issuer.as_str());
    let strange = strange.sign(&stage.world.issuer);
    let refused = (503, Some(UNAVAILABLE.to_owned()));
    assert_eq!(stage.verdict(&strange).await, refused);
    provider.faults(json!([])).await;
    stage.next_fetch("ok").await;
    assert_eq!(stage.verdict(&strange).await.0, 401);
}
