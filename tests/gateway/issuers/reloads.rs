//! Reloads: keys go on where nothing about their issuer changed, and fetching ends with it.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use crate::bench::gateway::Reloaded;
use crate::bench::service::{Reply, Step};
use crate::bench::token::IssuerKey;

use super::{FETCHES, KEYS, Stage, UNAVAILABLE, UNKNOWN};

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
async fn tokens_wait_for_the_first_keys_from_elsewhere_and_those_of_before_count_no_more() {
    let mut stage = Stage::with(|config, _| {
        config.set("issuers.corp.keys.refresh.max", "1h");
    })
    .await;
    let old = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&old).await, (200, None));
    let key = IssuerKey::es256("elsewhere");
    let new = stage.token(&key);
    let gate = Arc::new(Notify::new());
    let mut slow = vec![Step::Gate(Arc::clone(&gate))];
    slow.extend(Reply::ok(crate::bench::token::jwks(&[&key])).0);
    stage.idp.page("/others", Reply(slow));
    let mut config = stage.gateway.config.clone();
    config.set("issuers.corp.keys.url", stage.idp.url("/others"));
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    stage.idp.wait_for("/others", 1).await;
    let none = stage.gateway.metrics().await;
    assert_eq!(none.value(KEYS, &[("issuer", "corp")]), 0.0);
    let lookups = "portcullis_token_cache_lookups_total";
    let misses = [("issuer", "corp"), ("result", "miss")];
    let before = none.value(lookups, &misses);
    let let_go = async {
        let both = |now| now >= before + 2.0;
        stage.gateway.wait_for_metric(lookups, &misses, both).await;
        let keys = crate::bench::token::jwks(&[&key]);
        stage.idp.page("/others", Reply::ok(keys)); // for the next question
        gate.notify_one();
    };
    let (old, new, ()) = tokio::join!(stage.verdict(&old), stage.verdict(&new), let_go);
    assert_eq!(new, (200, None));
    assert_eq!(old, (401, Some(UNKNOWN.to_owned())));
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
