//! Reloads: keys go on where nothing about their issuer changed, and fetching ends with it.

use serde_json::json;

use crate::bench::gateway::Reloaded;
use crate::bench::service::Reply;
use crate::bench::token::IssuerKey;

use super::{FETCHES, KEYS, Stage, UNAVAILABLE};

#[tokio::test]
async fn keys_outlive_a_reload_that_does_not_touch_their_origin() {
    let mut stage = Stage::with(|config, _| {
        config.set("issuers.corp.keys.refresh.max", "1h");
    })
    .await;
    let token = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&token).await, (200, None));
    // From now on nothing can be fetched.
    stage.idp.page("/jwks", Reply::status(500));
    let asked = stage.idp.asked("/jwks");
    let mut config = stage.gateway.config.clone();
    config.route("more", "/more/**", "orders");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(stage.verdict(&token).await, (200, None));
    assert_eq!(stage.idp.asked("/jwks"), asked, "and nobody was asked");
    // Another audience: tokens are looked at anew, with the same keys.
    config.set("issuers.corp.audiences", json!(["another", "orders-api"]));
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(stage.verdict(&token).await, (200, None));
    assert_eq!(stage.idp.asked("/jwks"), asked);
    // Other times: the keys go on, and are fetched by the new times.
    config.set("issuers.corp.keys.refresh.max", "30m");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    stage.idp.wait_for("/jwks", asked + 1).await;
    assert_eq!(stage.verdict(&token).await, (200, None));
    // Elsewhere: what was believed there says nothing about here.
    config.set("issuers.corp.keys.url", stage.idp.url("/others"));
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let refused = (503, Some(UNAVAILABLE.to_owned()));
    assert_eq!(stage.verdict(&token).await, refused);
    stage.idp.page(
        "/others",
        Reply::ok(crate::bench::token::jwks(&[&stage.world.issuer])),
    );
    stage
        .gateway
        .wait_for_metric(KEYS, &[("issuer", "corp")], |keys| keys == 1.0)
        .await;
    assert_eq!(stage.verdict(&token).await, (200, None));
}

#[tokio::test]
async fn an_issuer_that_leaves_the_configuration_is_asked_no_more() {
    let mut stage = Stage::with(|config, idp| {
        let mut labs = config.get("issuers.corp").clone();
        labs["keys"]["url"] = json!(idp.url("/labs"));
        config.set("issuers.labs", labs);
        idp.page(
            "/labs",
            Reply::ok(crate::bench::token::jwks(&[&IssuerKey::es256("l")])),
        );
    })
    .await;
    stage.idp.wait_for("/labs", 2).await;
    let mut config = stage.gateway.config.clone();
    config.remove("issuers.labs");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let metrics = stage.gateway.metrics().await;
    assert!(metrics.get(FETCHES, &[("issuer", "labs")]).is_none());
    let asked = stage.idp.asked("/labs");
    // Two rounds of the one that stays.
    stage.next_fetch("ok").await;
    stage.next_fetch("ok").await;
    assert!(
        stage.idp.asked("/labs") <= asked + 1,
        "one may have been under way"
    );
}
