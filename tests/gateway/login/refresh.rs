//! Tokens that are renewed.

use serde_json::json;

use super::{REFRESHES, Stage, shared};
use crate::bench::http1::Request;
use crate::bench::provider::{DISCOVERY, TOKEN};
use crate::bench::service::Reply;
use crate::external_authorization::external_authorization;
use crate::external_authorization::server::{Script, Service, tell, yes_with};
use crate::shared_state::server::Redis;

/// Access tokens that are over at once.
async fn short(stage: &Stage) {
    stage.provider.ttl(json!({ "AccessToken": 1 })).await;
}

#[tokio::test]
async fn an_old_token_is_renewed_once_however_many_ask() {
    let mut stage = Stage::new().await;
    stage.config.set("logins.staff.forward_access_token", true);
    short(&stage).await;
    let (gateway, browser) = stage.logged_in().await;
    let first = stage.orders.only_request();
    let before = stage.provider.requests(TOKEN).len();
    stage.provider.ttl(json!({ "AccessToken": 3600 })).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    // Many at a time, all with the same cookie; and some after that.
    let asked = (0..10).map(|number| {
        let mut browser = browser.clone();
        async move {
            let answer = browser.ask(Request::get(&format!("/pages/{number}"))).await;
            let cookie = answer.header("set-cookie").is_some();
            let kept = answer.header("cache-control").map(str::to_owned);
            assert_eq!(kept.as_deref(), cookie.then_some("no-store"));
            ((answer.status, cookie), browser)
        }
    });
    let came = futures_util::future::join_all(asked).await;
    assert!(came.iter().all(|((status, _), _)| *status == 200));
    assert!(came.iter().any(|((_, cookie), _)| *cookie));
    assert_eq!(
        browser.clone().ask(Request::get("/pages/x")).await.status,
        200
    );
    let after = stage.provider.requests(TOKEN).len();
    assert_eq!(after, before + 1, "one refresh");
    let labels = [("login", "staff"), ("result", "renewed")];
    assert!(gateway.metrics().await.value(REFRESHES, &labels) >= 1.0);
    // Every one of them has a session that goes on, with the new token.
    for (_, mut browser) in came {
        assert_ne!(browser.session(), None);
        assert_eq!(browser.step("/pages/y").await.status, 200);
    }
    let last = stage.orders.last_request();
    assert_ne!(last.header("authorization"), first.header("authorization"));
    assert_eq!(stage.provider.requests(TOKEN).len(), after);
}

#[tokio::test]
async fn a_server_that_renews_no_more_ends_the_session() {
    let stage = Stage::new().await;
    short(&stage).await;
    let (gateway, mut browser) = stage.logged_in().await;
    let over = json!([{
        "path": TOKEN, "status": 400, "body": "{\"error\":\"invalid_grant\"}",
        "headers": { "content-type": "application/json" },
    }]);
    stage.provider.faults(over).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let answer = browser.ask(Request::get("/pages/1")).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("login_required")
    );
    let labels = [("login", "staff"), ("result", "ended")];
    assert_eq!(gateway.metrics().await.value(REFRESHES, &labels), 1.0);
}

#[tokio::test]
async fn a_server_that_is_away_refuses_nobody_for_good() {
    let stage = Stage::new().await;
    short(&stage).await;
    let (gateway, browser) = stage.logged_in().await;
    stage
        .provider
        .faults(json!([{ "path": TOKEN, "how": "close" }]))
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let answer = browser.clone().ask(Request::get("/pages/1")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("login_unavailable")
    );
    stage.provider.faults(json!([])).await;
    let mut back = 0;
    for _ in 0..50 {
        back = browser.clone().ask(Request::get("/pages/1")).await.status;
        if back == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(back, 200);
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_begins_no_login() {
    let stage = Stage::new().await;
    stage
        .provider
        .faults(json!([{ "path": DISCOVERY, "status": 500 }]))
        .await;
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);
    let answer = browser.step("/pages/1").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("login_unavailable")
    );
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn a_renewed_id_token_is_of_the_same_user() {
    let stage = Stage::new().await;
    short(&stage).await;
    let (_gateway, mut browser) = stage.logged_in().await;
    stage
        .provider
        .tamper(json!({ "claims": { "sub": "mallory" } }))
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(browser.ask(Request::get("/pages/1")).await.status, 401);
}

/// The names of the renewed sessions in a store.
async fn renewals(redis: &Redis) -> Vec<String> {
    let names = redis.ask(&[b"KEYS", b"portcullis:renewal:*"]).await;
    let names = names.lines().filter(|line| line.starts_with("portcullis"));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_renewed_session_is_that_of_its_own_refresh_token_wherever_it_is_put() {
    let mut stage = Stage::new().await;
    let redis = Redis::start(&[]);
    stage.config.set("shared_state", shared(&redis));
    short(&stage).await;
    let (one, alice) = stage.logged_in().await;
    stage.provider.user("bob", json!({})).await;
    let mut bob = alice.fresh();
    assert_eq!(bob.go("/pages/2").await.answer.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    // What a gateway tells the others of each of them.
    let asked = Request::get("/pages/1");
    let of_alice = {
        assert_eq!(alice.clone().ask(asked.clone()).await.status, 200);
        renewals(&redis).await.pop().expect("a renewed session")
    };
    assert_eq!(bob.ask(asked.clone()).await.status, 200);
    let mut names = renewals(&redis).await;
    names.retain(|name| *name != of_alice);
    let of_bob = names.pop().expect("a renewed session");
    // Another gateway takes it from there.
    let two = stage.gateway().await;
    let mut there = alice.at(&two, &stage.web);
    let before = stage.provider.requests(TOKEN).len();
    assert_eq!(there.ask(asked.clone()).await.status, 200);
    assert_eq!(stage.provider.requests(TOKEN).len(), before);
    // Somebody who can write there puts the one in the place of the other.
    let copy: [&[u8]; 4] = [b"COPY", of_bob.as_bytes(), of_alice.as_bytes(), b"REPLACE"];
    assert!(redis.ask(&copy).await.starts_with(":1"));
    let three = stage.gateway().await;
    drop(alice.at(&three, &stage.web).ask(asked).await);
    let requests = stage.orders.requests();
    let last = requests
        .last()
        .and_then(|one| one.header("x-token-subject"));
    assert_ne!(last, Some("bob"), "alice does not become bob");
    drop(one);
}

/// An answer with a session in it, which others would get from the cache.
#[tokio::test]
async fn no_cache_keeps_a_session_whatever_the_service_and_the_authorization_say() {
    let mut stage = Stage::new().await;
    short(&stage).await;
    let opa = Service::start(&stage.world).await;
    let told = [
        ("cache-control", "public, max-age=600"),
        ("CDN-Cache-Control", "public, max-age=600"),
        ("surrogate-control", "max-age=600"),
        ("expires", "Wed, 01 Jan 2031 00:00:00 GMT"),
    ];
    let fields = told.map(|(name, value)| tell(name, value));
    opa.play(Script::Say(yes_with(&fields)));
    stage.orders.set_reply(move |_| Reply::new(200, &told, "x"));
    let entry = external_authorization(opa.address);
    stage.config.set("external_authorization.opa", entry);
    stage
        .config
        .set("routes.pages.external_authorization", "opa");
    let (_gateway, mut browser) = stage.logged_in().await;
    stage.provider.ttl(json!({ "AccessToken": 3600 })).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let answer = browser.ask(Request::get("/pages/2")).await;
    assert!(answer.header("set-cookie").is_some(), "{answer:?}");
    assert_eq!(answer.headers.all("cache-control"), ["no-store"]);
    for (name, _) in &told[1..] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    let answer = browser.ask(Request::get("/pages/3")).await;
    assert!(answer.header("set-cookie").is_none(), "{answer:?}");
    assert_eq!(answer.header("cdn-cache-control"), Some(told[1].1));
}
