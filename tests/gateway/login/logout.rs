//! Logging out: by the user, and by the server.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::browser::{SESSION, member, navigation, with_member};
use super::{LOGOUTS, Stage, shared};
use crate::bench::client::HOST;
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Answer, Request};
use crate::bench::provider::{END_SESSION, claims_of, encode_form, random_text};
use crate::bench::token::{IssuerKey, unix_now};
use crate::shared_state::server::Redis;

const BACK_CHANNEL: &str = "/oauth/back-channel-logout";

#[tokio::test]
async fn a_user_logs_out_here_and_at_the_server_and_no_copy_of_the_session_stays() {
    let stage = Stage::new().await;
    let (gateway, mut browser) = stage.logged_in().await;
    let copy = browser.clone();
    let away = |url: &str| url.starts_with("https://localhost");
    let page = browser.go_until("/oauth/logout?to=/pages/open", away).await;
    assert_eq!(
        page.answer.header("clear-site-data"),
        Some("\"cache\""),
        "nothing of the user is shown to who goes back"
    );
    let page = browser.go(&page.url).await;
    assert!(
        page.url.starts_with(&stage.provider.url(END_SESSION)),
        "{page:?}"
    );
    assert_eq!(
        claims_of(&member(&page.url, "id_token_hint").expect("a hint"))["sub"],
        "alice"
    );
    assert_eq!(browser.session(), None);
    let (before, bytes) = (stage.orders.requests().len(), stage.orders.bytes());
    let back = browser.submit(&page).await;
    // The page is one that wants a login; the user is not logged in at the server any more.
    assert_eq!(stage.orders.requests().len(), before + 1);
    assert!(stage.orders.bytes() > bytes);
    assert_eq!(back.url, "https://api.example.com/pages/open");
    assert_eq!(
        copy.clone().step("/pages/1").await.status,
        303,
        "the copy is no session"
    );
    assert_eq!(copy.clone().ask(Request::get("/pages/1")).await.status, 401);
    let labels = [("login", "staff"), ("by", "user"), ("result", "ended")];
    assert_eq!(gateway.metrics().await.value(LOGOUTS, &labels), 1.0);
}

#[tokio::test]
async fn after_a_logout_nobody_is_sent_off_this_host() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let browser = stage.browser(&gateway);
    let elsewhere = [
        "//evil.example",
        "/\\evil.example",
        "/%2f%2fevil.example",
        "https://evil.example/",
        "https:evil.example",
        "\\\\evil.example",
        "/bye/../x",
        "javascript:alert(1)",
        "/unknown",
        "/bye?x",
        "/bye#x",
        "/bye/",
        "",
    ];
    for to in elsewhere {
        let target = with_member("/oauth/logout?", "to", to);
        let answer = browser.clone().step(&target).await;
        assert_eq!(answer.header("location"), Some("/bye"), "{to}");
        let target = with_member("/oauth/logout/done?", "to", to);
        let answer = browser.clone().step(&target).await;
        assert_eq!(answer.header("location"), Some("/bye"), "{to}");
    }
    let answer = browser.clone().step("/oauth/logout?to=/pages/open").await;
    assert_eq!(answer.header("location"), Some("/pages/open"));
    let answer = browser
        .clone()
        .step("/oauth/logout?to=/pages/open&to=/bye")
        .await;
    assert_eq!(answer.header("location"), Some("/bye"));
}

#[tokio::test]
async fn the_way_back_from_the_servers_logout_is_for_the_browser_that_went() {
    let stage = Stage::new().await;
    let (_gateway, mut browser) = stage.logged_in().await;
    let page = browser.go("/oauth/logout?to=/pages/open").await;
    let state = member(&page.url, "state").expect("a state");
    let back = |state: &str| format!("/oauth/logout/done?state={state}");
    let mut without = browser.fresh();
    let answer = without.step(&back(&state)).await;
    assert_eq!(answer.header("location"), Some("/bye"));
    let mut other = browser.clone();
    let answer = other.step(&back(&"A".repeat(43))).await;
    assert_eq!(answer.header("location"), Some("/bye"));
    let answer = browser.step(&back(&state)).await;
    assert_eq!(answer.header("location"), Some("/pages/open"));
    let answer = browser.step(&back(&state)).await;
    assert_eq!(answer.header("location"), Some("/bye"), "it counts once");
}

#[tokio::test]
async fn another_site_logs_nobody_out() {
    let stage = Stage::new().await;
    let (gateway, browser) = stage.logged_in().await;
    let get = || Request::get("/oauth/logout").header("Accept", "text/html");
    let foreign = [
        get(),
        get().header("Sec-Fetch-Site", "cross-site"),
        get().header("Sec-Fetch-Site", "same-site"),
        get()
            .header("Sec-Fetch-Site", "none")
            .header("Sec-Fetch-Site", "cross-site"),
        get().header("Origin", "https://evil.example"),
        get().header("Origin", "null"),
        get().header("Referer", "https://evil.example/"),
        get().header("Referer", "https://api.example.com.evil.example/"),
        get().header("Referer", "https://api.example.com@evil.example/"),
        Request::post("/oauth/logout", "").header("Origin", "https://evil.example"),
        Request::post("/oauth/logout", ""),
    ];
    for request in foreign {
        let answer = browser.clone().ask(request.clone()).await;
        assert_eq!(answer.status, 403, "{request:?}");
        assert_eq!(
            gateway.reason(&answer).await.as_deref(),
            Some("logout_cross_site")
        );
    }
    assert_eq!(browser.clone().step("/pages/1").await.status, 200);
    let own = [
        get().header("Sec-Fetch-Site", "same-origin"),
        get().header("Referer", "https://api.example.com/pages/1"),
        Request::post("/oauth/logout", "").header("Origin", "https://api.example.com"),
    ];
    for request in own {
        assert_eq!(browser.clone().ask(request).await.status, 303);
    }
    let put = Request::new("DELETE", "/oauth/logout").header("Sec-Fetch-Site", "same-origin");
    assert_eq!(browser.clone().ask(put).await.status, 405);
}

#[tokio::test]
async fn a_logout_at_the_server_ends_the_session_here() {
    let stage = Stage::new().await;
    let (gateway, mut browser) = stage.logged_in().await;
    stage.reachable(&gateway).await;
    assert_eq!(browser.step("/pages/1").await.status, 200);
    // The user logs out at the provider itself: it tells the gateway behind his back.
    let page = browser.go(&stage.provider.url(END_SESSION)).await;
    drop(browser.submit(&page).await);
    stage
        .provider
        .wait_until("the back channel", || !stage.provider.reached().is_empty())
        .await;
    let reached = stage.provider.reached();
    assert_eq!(reached[0]["status"], json!(200), "{reached:?}");
    assert_eq!(browser.ask(Request::get("/pages/1")).await.status, 401);
    assert_eq!(browser.session(), None);
    let labels = [("login", "staff"), ("by", "server"), ("result", "ended")];
    assert_eq!(gateway.metrics().await.value(LOGOUTS, &labels), 1.0);
}

/// What a logout token of the provider says that ends all sessions of the user.
fn logout_claims(stage: &Stage) -> Value {
    json!({
        "iss": stage.provider.issuer, "aud": "gateway", "sub": "alice", "jti": random_text(),
        "iat": unix_now(), "exp": unix_now() + 120,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    })
}

async fn tell(stage: &Stage, gateway: &Gateway, token: &str) -> Answer {
    let body = encode_form(&[("logout_token", token)]);
    let request = Request::post(BACK_CHANNEL, body)
        .header("Content-Type", "application/x-www-form-urlencoded");
    gateway.client(&stage.web).request(&request).await
}

#[tokio::test]
async fn only_a_true_logout_token_ends_sessions_and_only_once() {
    let stage = Stage::new().await;
    let (gateway, browser) = stage.logged_in().await;
    let good = || logout_claims(&stage);
    let typ = json!({ "typ": "logout+jwt" });
    let changed = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        claims
    };
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let bad = [
        ("another typ", json!({ "typ": "JWT" }), good()),
        ("no typ", json!({ "typ": null }), good()),
        ("an access token's typ", json!({ "typ": "at+jwt" }), good()),
        (
            "alg none",
            json!({ "typ": "logout+jwt", "alg": "none" }),
            good(),
        ),
        (
            "another issuer",
            typ.clone(),
            changed("iss", json!("https://evil.example")),
        ),
        (
            "another audience",
            typ.clone(),
            changed("aud", json!("svc")),
        ),
        ("over", typ.clone(), changed("exp", json!(unix_now() - 600))),
        (
            "old",
            typ.clone(),
            changed("iat", json!(unix_now() - 3_600)),
        ),
        ("a nonce", typ.clone(), changed("nonce", json!("n"))),
        ("no event", typ.clone(), changed("events", json!({}))),
        (
            "an event that is no object",
            typ.clone(),
            changed("events", json!({ event: 1 })),
        ),
        ("no jti", typ.clone(), changed("jti", Value::Null)),
        ("nobody", typ.clone(), changed("sub", Value::Null)),
    ];
    for (what, header, claims) in bad {
        let token = stage.provider.sign(header, claims).await;
        let answer = tell(&stage, &gateway, &token).await;
        assert_eq!(answer.status, 400, "{what}");
        assert_eq!(
            gateway.reason(&answer).await.as_deref(),
            Some("logout_token_refused"),
            "{what}"
        );
    }
    // Of a key that is not the server's.
    let stranger = IssuerKey::es256("es256-1");
    let forged = crate::bench::token::Token {
        header: typ.clone(),
        claims: good(),
    }
    .sign(&stranger);
    assert_eq!(tell(&stage, &gateway, &forged).await.status, 400);
    let token = stage.provider.sign(typ.clone(), good()).await;
    let twice = encode_form(&[("logout_token", &token), ("logout_token", &token)]);
    let form = "application/x-www-form-urlencoded";
    let odd = [
        Request::post(BACK_CHANNEL, &twice).header("Content-Type", form),
        Request::post(BACK_CHANNEL, "").header("Content-Type", form),
        Request::post(BACK_CHANNEL, encode_form(&[("logout_token", &token)])),
        Request::post(BACK_CHANNEL, "x".repeat(40_000)).header("Content-Type", form),
        Request::get(&format!("{BACK_CHANNEL}?logout_token={token}")),
    ];
    for request in odd {
        let answer = gateway.client(&stage.web).request(&request).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    assert_eq!(
        browser.clone().step("/pages/1").await.status,
        200,
        "nothing was ended"
    );

    assert_eq!(tell(&stage, &gateway, &token).await.status, 200);
    assert_eq!(browser.clone().step("/pages/1").await.status, 303);
    assert_eq!(
        tell(&stage, &gateway, &token).await.status,
        400,
        "it came before"
    );
    // Who logs in again, later, is not hit by what ended the sessions before.
    let second = unix_now();
    while unix_now() == second {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut again = browser.fresh();
    assert_eq!(again.go("/pages/2").await.answer.status, 200);
    assert_eq!(again.step("/pages/3").await.status, 200);
}

#[tokio::test]
async fn a_session_of_the_server_is_ended_by_its_sid_alone() {
    let stage = Stage::new().await;
    let (gateway, mut browser) = stage.logged_in().await;
    let mut other = browser.fresh();
    assert_eq!(other.go("/pages/2").await.answer.status, 200);
    // Another gateway would not hear of this logout; the hint tells the `sid`.
    let page = browser.clone().go("/oauth/logout").await;
    let hint = member(&page.url, "id_token_hint").expect("a hint");
    let sid = claims_of(&hint)["sid"].clone();
    assert!(sid.is_string(), "{hint}");
    // The same session of the server, in a session of ours that nobody has ended.
    let mut third = browser.clone();
    third.forget(|cookie| cookie.name.starts_with(SESSION));
    assert_eq!(third.go("/pages/3").await.answer.status, 200);
    assert_eq!(third.step("/pages/3").await.status, 200);
    let mut claims = logout_claims(&stage);
    claims["sid"] = sid;
    let token = stage
        .provider
        .sign(json!({ "typ": "logout+jwt" }), claims)
        .await;
    assert_eq!(tell(&stage, &gateway, &token).await.status, 200);
    assert_eq!(
        other.step("/pages/2").await.status,
        200,
        "another session of the same user"
    );
    assert_eq!(third.step("/pages/3").await.status, 303);
    assert_eq!(browser.step("/pages/1").await.status, 303);
}

#[tokio::test]
async fn a_logout_of_one_session_ends_those_that_nobody_can_tell_from_it() {
    let stage = Stage::new().await;
    let (gateway, mut named) = stage.logged_in().await;
    // The server says no `sid` in the ID tokens of these.
    stage
        .provider
        .tamper(json!({ "claims": { "sid": null } }))
        .await;
    let mut unnamed = named.fresh();
    assert_eq!(unnamed.go("/pages/2").await.answer.status, 200);
    stage.provider.user("bob", json!({})).await;
    let mut bob = named.fresh();
    assert_eq!(bob.go("/pages/3").await.answer.status, 200);
    let typ = json!({ "typ": "logout+jwt" });
    let mut claims = logout_claims(&stage);
    claims["sid"] = json!("one of alice, of which we know nothing");
    let token = stage.provider.sign(typ, claims).await;
    assert_eq!(tell(&stage, &gateway, &token).await.status, 200);
    assert_eq!(unnamed.ask(Request::get("/pages/2")).await.status, 401);
    assert_eq!(named.step("/pages/1").await.status, 200, "another sid");
    assert_eq!(bob.step("/pages/3").await.status, 200, "another user");
}

/// What an entry about the sessions of the standard login is called in the store.
fn name_of(stage: &Stage, kind: &str, name: &str) -> String {
    let plain = |text: &str| STANDARD.encode(text);
    let (issuer, client) = (plain(&stage.provider.issuer), plain("gateway"));
    let key = format!(
        "server_logout\0ended {kind} {issuer} {client} {}",
        plain(name)
    );
    let hash = digest(&SHA256, key.as_bytes());
    format!("portcullis:server_logout:{}", URL_SAFE_NO_PAD.encode(hash))
}

#[tokio::test]
async fn a_logout_that_could_not_be_kept_is_heard_when_it_is_told_again() {
    let mut stage = Stage::new().await;
    let redis = Redis::start(&[]);
    stage.config.set("shared_state", shared(&redis));
    let (gateway, mut browser) = stage.logged_in().await;
    let claims = logout_claims(&stage);
    let jti = claims["jti"].as_str().expect("a text").to_owned();
    let token = json!({ "typ": "logout+jwt" });
    let token = stage.provider.sign(token, claims).await;
    // From now on the store takes nothing but that this token came.
    let rights = format!("%W~{}", name_of(&stage, "logout_token", &jti));
    let rights = ["resetkeys", "%R~*", &rights, "-del"];
    let mut command: Vec<&[u8]> = vec![b"ACL", b"SETUSER", b"default"];
    command.extend(rights.map(str::as_bytes));
    assert!(redis.ask(&command).await.starts_with("+OK"));
    assert_eq!(tell(&stage, &gateway, &token).await.status, 503);
    assert_eq!(browser.step("/pages/1").await.status, 200, "not ended");
    let all: [&[u8]; 5] = [b"ACL", b"SETUSER", b"default", b"allkeys", b"+del"];
    assert!(redis.ask(&all).await.starts_with("+OK"));
    assert_eq!(tell(&stage, &gateway, &token).await.status, 200);
    assert_eq!(browser.ask(Request::get("/pages/1")).await.status, 401);
    let known = name_of(&stage, "logout_token", &jti);
    let known = redis.ask(&[b"EXISTS", known.as_bytes()]).await;
    assert!(known.starts_with(":1"), "{known}: the name is right");
}

#[tokio::test]
async fn nothing_of_a_logout_is_there_where_it_is_not_written() {
    let mut stage = Stage::new().await;
    let mut staff = super::staff();
    let members = staff.as_object_mut().expect("an object");
    members.remove("logout");
    members.remove("back_channel");
    stage.config.set("logins.staff", staff);
    let (_gateway, mut browser) = stage.logged_in().await;
    for path in ["/oauth/logout", "/oauth/logout/done", BACK_CHANNEL] {
        assert_eq!(browser.step(path).await.status, 404, "{path}");
    }
    let elsewhere = browser
        .ask(navigation("/oauth/callback").host("other.example.org"))
        .await;
    assert_ne!(elsewhere.status, 200);
    assert!(
        browser
            .session()
            .is_some_and(|cookie| cookie.name == SESSION && cookie.host == HOST)
    );
}

#[tokio::test]
async fn what_one_gateway_ended_is_over_at_every_other_that_shares_its_store() {
    let mut stage = Stage::new().await;
    let redis = Redis::start(&[]);
    stage.config.set("shared_state", shared(&redis));
    let (one, browser) = stage.logged_in().await;
    let two = stage.gateway().await;
    let mut there = browser.at(&two, &stage.web);
    assert_eq!(
        there.step("/pages/1").await.status,
        200,
        "one session for both"
    );
    // The server tells the first; the old cookie comes to the second.
    let token = json!({ "typ": "logout+jwt" });
    let token = stage.provider.sign(token, logout_claims(&stage)).await;
    assert_eq!(tell(&stage, &one, &token).await.status, 200);
    assert_eq!(there.clone().step("/pages/1").await.status, 303);
    assert_eq!(there.ask(Request::get("/pages/1")).await.status, 401);
    assert_eq!(
        tell(&stage, &two, &token).await.status,
        400,
        "it came before, elsewhere"
    );
    // While nobody can say whether a session was ended, it is not good.
    let mut redis = redis;
    redis.kill();
    let mut other = browser.at(&two, &stage.web);
    let answer = other.step("/pages/1").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(
        two.reason(&answer).await.as_deref(),
        Some("login_unavailable")
    );
}
