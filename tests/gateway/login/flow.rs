//! Logging in, and what services hear of it.

use serde_json::json;

use super::browser::{PENDING, SESSION, member, navigation};
use super::{LOGINS, Stage, pages};
use crate::bench::http1::Request;
use crate::bench::provider::{AUTHORIZATION, TOKEN};

#[tokio::test]
async fn a_browser_is_sent_to_log_in_and_comes_back_to_where_it_was_going() {
    let stage = Stage::new().await;
    stage
        .provider
        .user("alice", json!({ "name": "Alice" }))
        .await;
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);

    let page = browser
        .go_until("/pages/7?a=b&c=%2F", |url| url.contains("/auth"))
        .await;
    assert_eq!((page.answer.status, page.answer.text().as_str()), (303, ""));
    assert_eq!(page.answer.header("cache-control"), Some("no-store"));
    assert!(
        page.url.starts_with(&stage.provider.url(AUTHORIZATION)),
        "{}",
        page.url
    );
    let said = |name: &str| member(&page.url, name);
    assert_eq!(said("response_type").as_deref(), Some("code"));
    assert_eq!(said("client_id").as_deref(), Some("gateway"));
    assert_eq!(said("scope").as_deref(), Some("openid profile groups"));
    assert_eq!(
        said("redirect_uri").as_deref(),
        Some("https://api.example.com/oauth/callback")
    );
    assert_eq!(said("code_challenge_method").as_deref(), Some("S256"));
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(said(name).map(|text| text.len()), Some(43), "{name}");
    }
    assert_eq!(
        stage.orders.bytes(),
        0,
        "nothing goes to the service before the login"
    );

    let page = browser.go(&page.url).await;
    assert_eq!(
        (page.answer.status, page.answer.text().as_str()),
        (200, "hello")
    );
    assert_eq!(page.url, "https://api.example.com/pages/7?a=b&c=%2F");
    let request = stage.orders.only_request();
    assert_eq!(request.target, "/pages/7?a=b&c=%2F");
    assert_eq!(request.header("x-token-subject"), Some("alice"));
    assert_eq!(
        request.header("cookie"),
        None,
        "the gateway's cookies are its own"
    );
    assert_eq!(request.header("authorization"), None);

    let ours = browser.ours();
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert_eq!(ours[0].name, SESSION);
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(ours[0].field.contains(attribute), "{}", ours[0].field);
    }
    assert!(!ours[0].field.contains("Domain"), "{}", ours[0].field);
    for result in ["begun", "completed"] {
        let labels = [("login", "staff"), ("result", result)];
        assert_eq!(
            gateway.metrics().await.value(LOGINS, &labels),
            1.0,
            "{result}"
        );
    }
    // Whoever has a session is sent nowhere.
    let again = browser.step("/pages/8").await;
    assert_eq!(again.status, 200);
    assert_eq!(stage.provider.requests(TOKEN).len(), 1);
    assert!(
        !gateway.log().iter().any(|line| line.contains("ey")),
        "no token in the log"
    );
}

#[tokio::test]
async fn other_cookies_and_a_service_that_sets_ours_do_not_mix_with_the_session() {
    let stage = Stage::new().await;
    stage.orders.set_reply(|_| {
        crate::bench::service::Reply::raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: app=1; Path=/\r\n\
             Set-Cookie: __Host-portcullis-staff=1evil; Path=/; Secure\r\n\
             Set-Cookie: __Host-portcullis-staff.1=evil\r\n\
             Set-Cookie: =__Host-portcullis-staff=1evil; Path=/; Secure\r\n\
             Set-Cookie: other=2; Path=/\r\n\r\nok",
        )
    });
    let (_gateway, mut browser) = stage.logged_in().await;
    let before = browser.session().cloned();
    let answer = browser.step("/pages/2").await;
    assert_eq!(
        answer.headers.all("set-cookie"),
        ["app=1; Path=/", "other=2; Path=/"]
    );
    assert_eq!(browser.session().cloned(), before);
    assert_eq!(
        stage.orders.last_request().header("cookie"),
        Some("app=1; other=2")
    );
    // Also on routes that know no login.
    let answer = browser.step("/open/x").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        stage.orders.last_request().header("cookie"),
        Some("app=1; other=2")
    );
}

#[tokio::test]
async fn only_a_browser_that_goes_somewhere_is_sent_to_log_in() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let client = gateway.client(&stage.web);
    let old = Request::get("/pages/1").header("Accept", "text/html");
    assert_eq!(client.request(&old).await.status, 303, "an older browser");
    let others = [
        Request::get("/pages/1"),
        Request::get("/pages/1").header("Accept", "*/*"),
        Request::get("/pages/1").header("Accept", "application/json, text/htmlx"),
        Request::post("/pages/1", "a=b").header("Accept", "text/html"),
        Request::new("HEAD", "/pages/1").header("Accept", "text/html"),
        old.clone().header("Sec-Fetch-Mode", "cors"),
        old.clone()
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-Dest", "iframe"),
        old.clone()
            .header("Sec-Fetch-Dest", "document")
            .header("Sec-Fetch-Dest", "document"),
        old.clone().header("X-Requested-With", "XMLHttpRequest"),
    ];
    for request in others {
        let answer = client.request(&request).await;
        assert_eq!(answer.status, 401, "{request:?}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Cookie realm=\"api\"")
        );
        assert_eq!(
            gateway.reason(&answer).await.as_deref(),
            Some("login_required")
        );
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn the_client_certificate_is_still_required() {
    let stage = Stage::new().await;
    let (gateway, browser) = stage.logged_in().await;
    assert!(matches!(
        gateway.anonymous().rejection().await,
        crate::bench::client::Rejection::Tls(_)
    ));
    // The session is good with the certificate that it began with, and with no other.
    let other = stage.world.partner("spiffe://partners.example/web/b");
    let mut thief = browser.at(&gateway, &other);
    assert_eq!(thief.step("/pages/1").await.status, 303);
    assert_eq!(thief.ask(Request::get("/pages/1")).await.status, 401);
    assert_eq!(
        thief.session(),
        None,
        "a session that is no good is removed"
    );
}

#[tokio::test]
async fn a_login_may_be_without_a_certificate_where_the_listener_says_so() {
    let mut stage = Stage::new().await;
    stage
        .config
        .set("listeners.edge.tls.clients.certificate", "optional");
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway).through(gateway.anonymous());
    assert_eq!(browser.go("/pages/1").await.answer.status, 200);
    assert_eq!(browser.step("/pages/2").await.status, 200);
    // It does not become the session of whoever has a certificate.
    let mut other = browser.at(&gateway, &stage.web);
    assert_eq!(other.step("/pages/2").await.status, 303);
}

#[tokio::test]
async fn a_session_may_be_for_every_certificate_if_that_is_written() {
    let mut stage = Stage::new().await;
    stage.config.set("logins.staff.bound_to_certificate", false);
    let (gateway, browser) = stage.logged_in().await;
    let renewed = stage.world.partner("spiffe://partners.example/web/b");
    let mut other = browser.at(&gateway, &renewed);
    assert_eq!(other.step("/pages/1").await.status, 200);
}

#[tokio::test]
async fn services_get_the_access_token_only_where_that_is_written() {
    let mut stage = Stage::new().await;
    stage.config.set("logins.staff.forward_access_token", true);
    let (_gateway, _browser) = stage.logged_in().await;
    let request = stage.orders.only_request();
    let bearer = request.header("authorization").expect("a token");
    let token = bearer.strip_prefix("Bearer ").expect("a bearer token");
    assert_eq!(
        stage.provider.introspect(token).await["active"],
        json!(true)
    );
}

#[tokio::test]
async fn a_route_may_take_a_token_or_a_login_and_never_both_at_once() {
    let mut stage = Stage::new().await;
    let mut both = pages("/pages/**");
    both["token"] = json!({ "issuer": "home", "scopes": ["orders:read"] });
    both["clients"] = json!("any_certificate");
    stage.config.set("routes.pages", both);
    let token = stage
        .provider
        .token(crate::bench::provider::Grant::jwt().scope("orders:read"))
        .await;
    let mut gateway = stage.gateway().await;
    let bearer = Request::get("/pages/1").bearer(&token);
    assert_eq!(
        gateway.client(&stage.web).request(&bearer).await.status,
        200
    );
    // What is asked of tokens of an issuer is asked of sessions of its users.
    let mut browser = stage.browser(&gateway);
    let page = browser.go("/pages/1").await;
    assert_eq!(page.answer.status, 403, "{page:?}");
    let reason = gateway.reason(&page.answer).await;
    assert_eq!(reason.as_deref(), Some("scope_missing"));
    let served = stage.orders.requests().len();
    let mut config = gateway.config.clone();
    let cases = [
        (
            "token",
            json!({ "issuer": "home", "scopes": ["groups"] }),
            200,
        ),
        (
            "token",
            json!({ "issuer": "home", "claims": { "sub": "alice" } }),
            200,
        ),
        (
            "token",
            json!({ "issuer": "home", "claims": { "sub": "bob" } }),
            403,
        ),
        (
            "token",
            json!({ "issuer": "corp", "scopes": ["orders:read"] }),
            200,
        ),
    ];
    for (key, section, status) in cases {
        config.set(&format!("routes.pages.{key}"), section.clone());
        gateway.reload(&config).await;
        let answer = browser.step("/pages/1").await;
        assert_eq!(answer.status, status, "{section}: {answer:?}");
        let answer = browser.ask(navigation("/pages/1").bearer(&token)).await;
        assert_eq!(answer.status, 400, "{section}: {answer:?}");
        let reason = gateway.reason(&answer).await;
        assert_eq!(reason.as_deref(), Some("credentials_several"), "{section}");
    }
    assert_eq!(stage.orders.requests().len(), served + 3);
    let last = stage.orders.last_request();
    assert_eq!(last.header("x-token-subject"), Some("alice"));
    let other = stage.browser(&gateway).ask(Request::get("/pages/1")).await;
    assert_eq!(other.status, 401);
}

#[tokio::test]
async fn long_sessions_stand_in_several_cookies_and_too_long_ones_nowhere() {
    let stage = Stage::new().await;
    let long = "x".repeat(4_000);
    stage.provider.user("alice", json!({ "name": long })).await;
    let (gateway, mut browser) = stage.logged_in().await;
    let parts = browser.named(|name| name.starts_with(SESSION));
    assert!(parts.len() > 1, "{parts:?}");
    assert!(parts.iter().all(|cookie| cookie.field.len() < 4_096));
    assert_eq!(browser.step("/pages/2").await.status, 200);
    assert_eq!(stage.orders.last_request().header("cookie"), None);
    let mut cut = browser.clone();
    cut.forget(|cookie| cookie.name == format!("{SESSION}.1"));
    assert_eq!(cut.step("/pages/2").await.status, 303);

    let longer = "x".repeat(10_000);
    stage.provider.user("bob", json!({ "name": longer })).await;
    let page = stage.browser(&gateway).go("/pages/1").await;
    assert_eq!(page.answer.status, 502, "{page:?}");
    assert_eq!(
        gateway.reason(&page.answer).await.as_deref(),
        Some("session_too_large")
    );
}

#[tokio::test]
async fn keys_of_cookies_rotate_without_a_login() {
    let mut stage = Stage::new().await;
    let (mut gateway, mut browser) = stage.logged_in().await;
    super::cookie_key(&stage.world, "cookie-2.key", 2);
    let mut config = gateway.config.clone();
    config.set("logins.staff.keys", json!(["cookie-2.key", "cookie-1.key"]));
    gateway.reload(&config).await;
    assert_eq!(browser.step("/pages/2").await.status, 200);
    config.set("logins.staff.keys", json!(["cookie-2.key"]));
    gateway.reload(&config).await;
    assert_eq!(
        browser.step("/pages/2").await.status,
        303,
        "the old key is gone"
    );
    stage.config = config;
}

#[tokio::test]
async fn a_session_counts_for_the_client_that_it_was_made_for_alone() {
    let stage = Stage::new().await;
    let (mut gateway, mut browser) = stage.logged_in().await;
    assert_eq!(browser.step("/pages/2").await.status, 200);
    let mut config = gateway.config.clone();
    config.set("oauth_clients.gateway.client_id", "another");
    gateway.reload(&config).await;
    assert_eq!(browser.step("/pages/2").await.status, 303);
}

#[tokio::test]
async fn logins_under_way_are_bounded_for_each_browser() {
    let mut stage = Stage::new().await;
    stage.config.set("logins.staff.in_progress", 10);
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);
    for number in 0..100 {
        let answer = browser.step(&format!("/pages/{number}")).await;
        assert_eq!(answer.status, 303);
        let under_way = browser.named(|name| name.starts_with(PENDING)).len();
        assert!(under_way <= 10, "{under_way}");
    }
    // Nor do they fill what a listener takes of header fields, wherever the tabs are going.
    let mut browser = stage.browser(&gateway);
    let long = "x".repeat(1_000);
    for number in 0..20 {
        let answer = browser.step(&format!("/pages/{number}?{long}")).await;
        assert_eq!(answer.status, 303);
        let under_way = browser.named(|name| name.starts_with(PENDING));
        let bytes: usize = under_way.iter().map(|one| one.value.len()).sum();
        assert!(bytes <= 14 * 1024, "{bytes}");
    }
    // Several at a time do not get in each other's way.
    let mut browser = stage.browser(&gateway);
    let stop = |url: &str| url.contains("/oauth/callback");
    let one = browser.go_until("/pages/one", stop).await.url;
    let two = browser.go_until("/pages/two", stop).await.url;
    assert_eq!(
        browser.go(&one).await.url,
        "https://api.example.com/pages/one"
    );
    assert_eq!(
        browser.go(&two).await.url,
        "https://api.example.com/pages/two"
    );
}

#[tokio::test]
async fn sessions_end_when_they_are_idle_and_when_they_are_old() {
    let mut stage = Stage::new().await;
    stage.config.set(
        "logins.staff.session",
        json!({ "idle": "1s", "max": "10s" }),
    );
    let (_gateway, mut browser) = stage.logged_in().await;
    let copy = browser.clone();
    let mut over = 0;
    // No event tells that a second is over.
    while over == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        if copy.clone().step("/pages/1").await.status == 303 {
            over = 1;
        }
    }
    browser.forget(|cookie| cookie.name == SESSION);
    stage.provider.wait_for_requests(TOKEN, 1).await;
}
