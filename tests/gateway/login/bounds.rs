//! What is answered on the paths of a login itself counts, and is bounded: it costs the server a question.

use serde_json::{Value, json};

use super::browser::{Browser, member, navigation, with_member};
use super::{Stage, shared};
use crate::bench::client::Client;
use crate::bench::http1::Request;
use crate::bench::provider::{TOKEN, encode_form};
use crate::bench::within;
use crate::shared_state::server::Redis;

/// Goes as far as the address that the provider sends the browser back to.
async fn at_callback(browser: &mut Browser) -> String {
    let stop = |url: &str| url.contains("/oauth/callback");
    browser.go_until("/pages/1", stop).await.url
}

#[tokio::test]
async fn a_login_counts_once_whoever_has_kept_its_cookie_and_at_whichever_gateway() {
    let mut stage = Stage::new().await;
    let redis = Redis::start(&[]);
    stage.config.set("shared_state", shared(&redis));
    let (one, two) = (stage.gateway().await, stage.gateway().await);
    let mut browser = stage.browser(&one);
    let url = at_callback(&mut browser).await;
    let asked = (0..12).map(|number| {
        let gateway = if number % 2 == 0 { &one } else { &two };
        let mut copy = browser.at(gateway, &stage.web);
        let url = url.clone();
        async move { (copy.step(&url).await.status, gateway, copy) }
    });
    let came = futures_util::future::join_all(asked).await;
    let good = came.iter().filter(|(status, ..)| *status == 303).count();
    let bad = came.iter().filter(|(status, ..)| *status == 400).count();
    assert_eq!((good, bad), (1, 11), "one of them logs in");
    assert_eq!(stage.provider.requests(TOKEN).len(), 1, "and asks");
    // Nor does it with another code, or with an error first.
    let mut copy = browser.at(&two, &stage.web);
    let answer = copy.step(&with_member(&url, "code", "another")).await;
    assert_eq!(
        two.reason(&answer).await.as_deref(),
        Some("login_state_unknown")
    );
    assert_eq!(stage.provider.requests(TOKEN).len(), 1);
    let mut browser = stage.browser(&one);
    let url = at_callback(&mut browser).await;
    let error = with_member(&url, "code", Value::Null) + "&error=access_denied";
    assert_eq!(browser.clone().step(&error).await.status, 403);
    assert_eq!(browser.clone().step(&url).await.status, 400);
    assert_eq!(stage.provider.requests(TOKEN).len(), 1);
}

#[tokio::test]
async fn who_makes_up_codes_is_held_back() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let client = gateway.client(&stage.web);
    let made_up = navigation(&format!("/oauth/callback?code=x&state={}", "A".repeat(43)));
    let mut connection = client.connect().await;
    let refused = async {
        loop {
            let answer = connection.request(&made_up).await;
            if answer.status == 429 {
                return answer;
            }
            assert_eq!(answer.status, 400);
        }
    };
    let answer = within("a bound", refused).await;
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("peer_rate_exceeded")
    );
    // Nobody else is, and nothing else.
    let other = stage.world.partner("spiffe://partners.example/web/b");
    let answer = gateway.client(&other).request(&made_up).await;
    assert_eq!(answer.status, 400);
    let answer = client.request(&navigation("/pages/1")).await;
    assert_eq!(answer.status, 303);
}

/// Asks until there is no place among those that are under way.
async fn full(client: &Client) {
    let asking = async {
        while client.get("/open/x").await.status != 429 {
            tokio::task::yield_now().await;
        }
    };
    within("a request under way", asking).await;
}

#[tokio::test]
async fn what_waits_for_the_server_or_for_a_body_is_under_way() {
    let mut stage = Stage::new().await;
    stage
        .config
        .set("listeners.edge.limits.in_flight_per_peer", 1);
    let gateway = stage.gateway().await;
    let client = gateway.client(&stage.web);
    let mut browser = stage.browser(&gateway);
    let url = at_callback(&mut browser).await;
    assert!(member(&url, "code").is_some(), "{url}");
    let hang = json!([{ "path": TOKEN, "how": "hang" }]);
    stage.provider.faults(hang).await;
    let waiting = tokio::spawn(async move { browser.step(&url).await.status });
    stage.provider.wait_for_requests(TOKEN, 1).await;
    let answer = client.get("/open/x").await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("peer_in_flight_exceeded")
    );
    waiting.abort();

    let other = stage.world.partner("spiffe://partners.example/web/b");
    let client = gateway.client(&other);
    assert_eq!(client.get("/open/x").await.status, 200);
    let mut telling = client.connect().await;
    let head = "POST /oauth/back-channel-logout HTTP/1.1\r\nHost: api.example.com\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\n";
    telling.send(head).await.expect("to send");
    full(&client).await;
    telling.send("logout_token=xxxxxxx").await.expect("to send");
    assert_eq!(telling.read_answer().await.expect("an answer").status, 400);
    assert_eq!(client.get("/open/x").await.status, 200);
}

/// Begins a login, and the way back from it with a code that its client has made up.
async fn made_up_code(browser: &mut Browser, issuer: &str) -> String {
    let sent = browser.step("/pages/1").await;
    let to = sent.header("location").expect("a place to go to");
    let state = member(to, "state").expect("a state");
    let pairs = [("code", "x"), ("state", &state), ("iss", issuer)];
    format!("/oauth/callback?{}", encode_form(&pairs))
}

#[tokio::test]
async fn no_client_has_more_than_half_of_the_questions_to_the_server() {
    let mut stage = Stage::new().await;
    stage.config.set("logins.staff.timeout", "30s");
    let gateway = stage.gateway().await;
    let hang = json!([{ "path": TOKEN, "how": "hang" }]);
    stage.provider.faults(hang).await;
    let begun = async |identity| {
        let mut browser = Browser::new(&gateway, &stage.provider, identity);
        let url = made_up_code(&mut browser, &stage.provider.issuer).await;
        (browser, url)
    };
    let ask = |(mut browser, url): (Browser, String)| {
        tokio::spawn(async move { browser.step(&url).await.status })
    };
    let mut asking = Vec::new();
    for _ in 0..40 {
        asking.push(ask(begun(&stage.web).await));
    }
    stage.provider.wait_for_requests(TOKEN, 32).await;
    // Whoever comes then need not wait behind it.
    let other = stage.world.partner("spiffe://partners.example/web/b");
    for _ in 0..4 {
        asking.push(ask(begun(&other).await));
    }
    stage.provider.wait_for_requests(TOKEN, 36).await;
    assert_eq!(stage.provider.requests(TOKEN).len(), 36);
    for one in asking {
        one.abort();
    }
}

#[tokio::test]
async fn who_shows_made_up_logout_tokens_fills_no_log() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let body = encode_form(&[("logout_token", "made.up.token")]);
    let forged = Request::post("/oauth/back-channel-logout", body)
        .header("Content-Type", "application/x-www-form-urlencoded");
    let client = gateway.client(&stage.web);
    for _ in 0..20 {
        let answer = client.request(&forged).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let last = client.request(&forged).await;
    let line = gateway.access_line(&last).await;
    assert_eq!(line["login"], "staff", "{line}");
    let told = |line: &String| line.contains("a logout token is not believed");
    let lines = gateway.log().into_iter().filter(told).count();
    assert_eq!(lines, 1, "once in a while");
}

#[tokio::test]
async fn tokens_without_an_id_token_are_told_in_the_log() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let body = json!({ "access_token": "a", "token_type": "Bearer" }).to_string();
    let without = json!([{
        "path": TOKEN, "status": 200, "body": body,
        "headers": { "content-type": "application/json" },
    }]);
    stage.provider.faults(without).await;
    let page = stage.browser(&gateway).go("/pages/1").await;
    assert_eq!(page.answer.status, 403, "{page:?}");
    gateway
        .wait_for_log(|line| {
            line.contains("an ID token is not believed") && line.contains("there is none")
        })
        .await;
}

#[tokio::test]
async fn a_server_that_waits_to_be_asked_for_its_logout_token_is_asked() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let mut telling = gateway.client(&stage.web).connect().await;
    let head = "POST /oauth/back-channel-logout HTTP/1.1\r\nHost: api.example.com\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\
                Expect: 100-continue\r\n\r\n";
    telling.send(head).await.expect("to send");
    let go_on = within("to go on", telling.wire.read_head()).await;
    let go_on = go_on.expect("to read").expect("a head");
    assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{go_on:?}");
    telling.send("logout_token=xxxxxxx").await.expect("to send");
    let answer = telling.read_answer().await.expect("an answer");
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[tokio::test]
async fn what_the_server_says_in_place_of_a_code_is_told_apart() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let cases = [
        ("access_denied", 403, "login_denied", false),
        ("temporarily_unavailable", 503, "login_unavailable", true),
        ("server_error", 503, "login_unavailable", true),
        ("invalid_scope", 403, "login_denied", true),
        ("made-up-by-somebody", 403, "login_denied", true),
    ];
    for (error, status, reason, told) in cases {
        let mut browser = stage.browser(&gateway);
        let url = at_callback(&mut browser).await;
        let url = with_member(&url, "code", Value::Null);
        let answer = browser.step(&format!("{url}&error={error}")).await;
        assert_eq!(answer.status, status, "{error}");
        assert_eq!(gateway.reason(&answer).await.as_deref(), Some(reason));
        let known = error != "made-up-by-somebody";
        let word = if known { error } else { "another" };
        let says = |line: &String| {
            line.contains("without a code") && line.contains(&format!("\"{word}\""))
        };
        assert_eq!(gateway.log().iter().any(says), told, "{error}");
    }
    let made_up = |line: &String| line.contains("made-up");
    assert!(!gateway.log().iter().any(made_up));
    assert_eq!(stage.provider.requests(TOKEN).len(), 0);
}

#[tokio::test]
async fn a_browser_that_asks_ahead_of_its_user_begins_and_ends_nothing() {
    let stage = Stage::new().await;
    let (gateway, browser) = stage.logged_in().await;
    let ahead = |target: &str| {
        let request = navigation(target).header("Sec-Purpose", "prefetch;prerender");
        Request {
            headers: request
                .headers
                .into_iter()
                .filter(|(name, _)| name != "Sec-Fetch-Site")
                .collect(),
            ..request
        }
        .header("Sec-Fetch-Site", "same-origin")
    };
    let answer = browser.fresh().ask(ahead("/pages/1")).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let answer = browser.clone().ask(ahead("/oauth/logout")).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("logout_cross_site")
    );
    assert_eq!(browser.clone().step("/pages/1").await.status, 200);
    assert_eq!(browser.clone().ask(ahead("/pages/1")).await.status, 200);
}
