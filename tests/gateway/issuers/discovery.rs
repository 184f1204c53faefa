//! Where keys are, by what the issuer's metadata say.

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::service::Reply;
use crate::bench::token::Token;

use super::idp::Idp;
use super::{Stage, UNAVAILABLE};

const OPENID: &str = "/.well-known/openid-configuration";

/// A stage whose issuer is at `path` of the [`Idp`], with metadata where `prepare` puts it.
async fn discovered(path: &str, prepare: impl FnOnce(&Idp, &str)) -> Stage {
    let world = World::new();
    let idp = Idp::start(&world).await;
    idp.publish(&[&world.issuer]);
    let issuer = idp.url(path);
    prepare(&idp, &issuer);
    Stage::of(world, idp, |config, idp| {
        config.set("issuers.corp.issuer", issuer);
        let mut keys = idp.keys("/jwks");
        keys.as_object_mut().expect("keys").remove("url");
        keys["discovery"] = json!(true);
        config.set("issuers.corp.keys", keys);
    })
    .await
}

impl Stage {
    /// What becomes of a token of the issuer at `path`.
    async fn of_issuer(&self, path: &str) -> (u16, Option<String>) {
        let token = Token::new().claim("iss", self.idp.url(path));
        self.verdict(&token.sign(&self.world.issuer)).await
    }
}

#[tokio::test]
async fn openid_connect_says_where_the_keys_are() {
    for path in ["", "/realms/shop", "/realms/shop/"] {
        let at = format!("{}{OPENID}", path.trim_end_matches('/'));
        let prepare = |idp: &Idp, issuer: &str| idp.metadata(&at, issuer, &idp.url("/jwks"));
        let stage = discovered(path, prepare).await;
        assert_eq!(stage.of_issuer(path).await, (200, None), "{path}");
        assert!(stage.idp.asked(&at) >= 1);
    }
}

#[tokio::test]
async fn rfc_8414_says_so_for_issuers_that_know_nothing_of_openid_connect() {
    let path = "/realms/shop";
    let oauth = "/.well-known/oauth-authorization-server/realms/shop";
    let openid = format!("{path}{OPENID}");
    let stage = discovered(path, |idp, issuer| {
        idp.metadata(oauth, issuer, &idp.url("/jwks"));
    })
    .await;
    assert_eq!(stage.of_issuer(path).await, (200, None));
    stage.next_fetch("ok").await;
    // The form that was right is asked first from then on.
    assert_eq!(stage.idp.asked(&openid), 1);
    assert!(stage.idp.asked(oauth) >= 2);
}

#[tokio::test]
async fn only_a_form_that_is_not_there_is_followed_by_the_other() {
    let path = "/x";
    let oauth = "/.well-known/oauth-authorization-server/x";
    let world = World::new();
    let idp = Idp::start(&world).await;
    idp.publish(&[&world.issuer]);
    let issuer = idp.url(path);
    idp.metadata(oauth, &issuer, &idp.url("/jwks"));
    let openid = format!("{path}{OPENID}");
    idp.metadata(&openid, "https://another.example", &idp.url("/jwks"));
    let stage = Stage::of(world, idp, |config, idp| {
        config.set("issuers.corp.issuer", issuer);
        let mut keys = idp.keys("/jwks");
        keys.as_object_mut().expect("keys").remove("url");
        keys["discovery"] = json!(true);
        config.set("issuers.corp.keys", keys);
    })
    .await;
    let told = |event: &Value| {
        let problem = event["problem"].as_str().unwrap_or_default();
        event["result"] == "refused" && problem.contains("another.example")
    };
    stage.gateway.wait_for_event(told).await;
    let refused = (503, Some(UNAVAILABLE.to_owned()));
    assert_eq!(stage.of_issuer(path).await, refused);
    stage.idp.page(&openid, Reply::status(500));
    stage.next_fetch("unreachable").await;
    assert_eq!(stage.idp.asked(oauth), 0, "nobody shops for an answer");
    assert_eq!(stage.idp.asked("/jwks"), 0);
    stage.idp.page(&openid, Reply::status(404));
    stage.next_fetch("ok").await;
    assert_eq!(stage.of_issuer(path).await, (200, None));
}

#[tokio::test]
async fn metadata_may_be_elsewhere_but_not_of_another_issuer() {
    let stage = Stage::with(|config, idp| {
        idp.metadata("/meta", crate::bench::token::ISSUER, &idp.url("/jwks"));
        let mut keys = idp.keys("/jwks");
        keys.as_object_mut().expect("keys").remove("url");
        keys["discovery"] = json!(idp.url("/meta"));
        config.set("issuers.corp.keys", keys);
    })
    .await;
    let token = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&token).await, (200, None));
    // It begins to lie: the keys of before stay, and where it points to is not asked.
    let asked = stage.idp.asked("/evil");
    let lie = format!("{}/", crate::bench::token::ISSUER);
    stage.idp.metadata("/meta", &lie, &stage.idp.url("/evil"));
    stage.next_fetch("refused").await;
    assert_eq!(stage.verdict(&token).await, (200, None));
    assert_eq!(stage.idp.asked("/evil"), asked);
}
