//! What an attacker, a broken server or a curious user would try.

use serde_json::{Value, json};

use super::browser::{Browser, PENDING, SESSION, member, with_member};
use super::{LOGINS, Stage, pages};
use crate::bench::gateway::Gateway;
use crate::bench::http1::Answer;
use crate::bench::provider::TOKEN;
use crate::bench::token::{IssuerKey, unix_now};

/// Goes as far as the address that the provider sends the browser back to.
async fn at_callback(browser: &mut Browser) -> String {
    let page = browser
        .go_until("/pages/1", |url| url.contains("/oauth/callback"))
        .await;
    assert!(member(&page.url, "code").is_some(), "{page:?}");
    page.url
}

async fn refused(gateway: &Gateway, answer: &Answer, reason: &str, what: &str) {
    assert_eq!(
        gateway.reason(answer).await.as_deref(),
        Some(reason),
        "{what}: {answer:?}"
    );
    let sets = answer.headers.all("set-cookie");
    let session = sets
        .iter()
        .any(|set| set.starts_with(&format!("{SESSION}=")) && !set.contains("Max-Age=0"));
    assert!(!session, "{what}: no session may come of it: {sets:?}");
}

#[tokio::test]
async fn a_callback_that_this_browser_did_not_ask_for_is_no_login() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);
    let url = at_callback(&mut browser).await;
    let state = member(&url, "state").expect("a state");
    let other_state = {
        let mut last = state.clone();
        let end = if last.pop() == Some('A') { 'B' } else { 'A' };
        last.push(end);
        last
    };
    let huge = "A".repeat(6_000);
    let states: [(&str, Value); 7] = [
        ("missing", Value::Null),
        ("empty", json!("")),
        ("another", json!("A".repeat(43))),
        ("one character off", json!(other_state)),
        ("cut", json!(&state[..42])),
        ("huge", json!(huge)),
        ("path-like", json!("../../../etc/passwd")),
    ];
    for (what, value) in states {
        let mut copy = browser.clone();
        let answer = copy.step(&with_member(&url, "state", value)).await;
        assert_eq!(answer.status, 400, "{what}");
        refused(&gateway, &answer, "login_state_unknown", what).await;
    }
    // The victim of somebody who has logged in as himself: login CSRF.
    let mut victim = browser.fresh();
    let answer = victim.step(&url).await;
    refused(
        &gateway,
        &answer,
        "login_state_unknown",
        "without the cookie",
    )
    .await;
    // With a login of his own under way, and the attacker's code and state.
    let mut victim = browser.fresh();
    let own = at_callback(&mut victim).await;
    let answer = victim.clone().step(&url).await;
    refused(
        &gateway,
        &answer,
        "login_state_unknown",
        "another login's state",
    )
    .await;
    // The attacker's code with the victim's state: PKCE and the nonce.
    let code = member(&url, "code").expect("a code");
    let answer = victim.step(&with_member(&own, "code", code.as_str())).await;
    refused(&gateway, &answer, "login_denied", "code of another session").await;
    // Another certificate than the login began with.
    let other = stage.world.partner("spiffe://partners.example/web/b");
    let url = at_callback(&mut browser).await;
    let answer = browser.at(&gateway, &other).step(&url).await;
    refused(
        &gateway,
        &answer,
        "login_state_unknown",
        "another certificate",
    )
    .await;
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn a_callback_counts_once() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);
    let url = at_callback(&mut browser).await;
    let before = browser.clone();
    assert_eq!(browser.step(&url).await.status, 303);
    let answer = browser.step(&url).await;
    refused(&gateway, &answer, "login_state_unknown", "the same again").await;
    // Also for whoever has kept the cookie, and the server is not asked.
    let answer = before.clone().step(&url).await;
    let what = "the same with the old cookie";
    refused(&gateway, &answer, "login_state_unknown", what).await;
    assert_eq!(stage.provider.requests(TOKEN).len(), 1);
    let labels = [("login", "staff"), ("result", "state_unknown")];
    assert_eq!(gateway.metrics().await.value(LOGINS, &labels), 2.0);
}

#[tokio::test]
async fn an_answer_that_is_none_of_the_servers_is_refused() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);
    let url = at_callback(&mut browser).await;
    let cases = [
        ("code and error", format!("{url}&error=access_denied")),
        ("neither", with_member(&url, "code", Value::Null)),
        ("an empty code", with_member(&url, "code", "")),
        ("two codes", format!("{url}&code=x")),
        ("two states", format!("{url}&state=x")),
        (
            "another issuer",
            with_member(&url, "iss", "https://evil.example"),
        ),
        ("no issuer", with_member(&url, "iss", Value::Null)),
        (
            "an issuer with a slash",
            with_member(&url, "iss", format!("{}/", stage.provider.issuer)),
        ),
    ];
    for (what, url) in cases {
        let answer = browser.clone().step(&url).await;
        assert_eq!(answer.status, 400, "{what}");
        refused(&gateway, &answer, "login_answer_malformed", what).await;
    }
    assert_eq!(
        stage.provider.requests(TOKEN).len(),
        0,
        "no code went anywhere"
    );
    // The user says no.
    stage.provider.user(Value::Null, json!({})).await;
    let page = stage.browser(&gateway).go("/pages/1").await;
    assert_eq!(page.answer.status, 403);
    refused(&gateway, &page.answer, "login_denied", "the user said no").await;
}

#[tokio::test]
async fn only_a_true_id_token_logs_in() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let stranger = IssuerKey::es256("es256-1");
    let stranger = {
        let forged = crate::bench::token::Token {
            header: json!({}),
            claims: json!({ "iss": stage.provider.issuer, "aud": "gateway", "sub": "alice",
                "exp": unix_now() + 300, "iat": unix_now() }),
        };
        forged.sign(&stranger)
    };
    let cases = [
        ("alg none", json!({ "header": { "alg": "none" } })),
        (
            "HS256 with the public key",
            json!({ "header": { "alg": "HS256" } }),
        ),
        ("another key", json!({ "raw": stranger })),
        ("no JWT", json!({ "raw": "x" })),
        ("nothing", json!({ "raw": "" })),
        ("another typ", json!({ "header": { "typ": "at+jwt" } })),
        (
            "a logout token",
            json!({ "header": { "typ": "logout+jwt" } }),
        ),
        ("crit", json!({ "header": { "crit": ["x"], "x": 1 } })),
        (
            "another issuer",
            json!({ "claims": { "iss": "https://evil.example" } }),
        ),
        ("another audience", json!({ "claims": { "aud": "svc" } })),
        ("another azp", json!({ "claims": { "azp": "svc" } })),
        (
            "audiences without azp",
            json!({ "claims": { "aud": ["gateway", "svc"] } }),
        ),
        ("over", json!({ "claims": { "exp": unix_now() - 600 } })),
        ("without an end", json!({ "claims": { "exp": null } })),
        (
            "from the future",
            json!({ "claims": { "iat": unix_now() + 600 } }),
        ),
        (
            "another nonce",
            json!({ "claims": { "nonce": "A".repeat(43) } }),
        ),
        ("no nonce", json!({ "claims": { "nonce": null } })),
        ("no user", json!({ "claims": { "sub": null } })),
        (
            "another at_hash",
            json!({ "claims": { "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" } }),
        ),
    ];
    for (what, tamper) in cases {
        stage.provider.tamper(tamper).await;
        let page = stage.browser(&gateway).go("/pages/1").await;
        let reasons = ["id_token_refused", "login_unavailable"];
        let reason = gateway.reason(&page.answer).await;
        let wanted = if matches!(what, "nothing") {
            reasons[1]
        } else {
            reasons[0]
        };
        assert_eq!(reason.as_deref(), Some(wanted), "{what}: {page:?}");
        refused(&gateway, &page.answer, wanted, what).await;
    }
    assert_eq!(stage.orders.bytes(), 0);
    stage.provider.tamper(Value::Null).await;
    assert_eq!(
        stage.browser(&gateway).go("/pages/1").await.answer.status,
        200
    );
}

#[tokio::test]
async fn a_session_that_was_touched_is_none() {
    let mut stage = Stage::new().await;
    super::cookie_key(&stage.world, "other.key", 9);
    let mut guests = super::staff();
    for (name, value) in [
        ("callback", "/guests/callback"),
        ("logout", "/guests/logout"),
        ("back_channel", "/guests/back-channel"),
    ] {
        guests[name] = json!(value);
    }
    // Another login with the same keys, and one on another host.
    stage.config.set("logins.guests", guests);
    let mut route = pages("/guests/**");
    route["login"] = json!("guests");
    stage.config.set("routes.guests", route);
    let mut route = pages("/pages/**");
    route["match"]["host"] = json!("b.example.org");
    stage.config.set("routes.elsewhere", route);
    let (mut gateway, browser) = stage.logged_in().await;
    let value = browser.session().expect("a session").value.clone();
    let bytes = stage.orders.bytes();
    let mut values = vec![
        String::new(),
        "1".to_owned(),
        "0".to_owned(),
        "9".to_owned(),
    ];
    values.push(format!("2{}", &value[1..]));
    values.push(format!("1{}", "A".repeat(3_000)));
    for at in [1, 5, value.len() / 2, value.len() - 1] {
        let mut changed = value.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        values.push(String::from_utf8(changed).expect("ASCII"));
        values.push(value[..at].to_owned());
    }
    for changed in values {
        let mut copy = browser.clone();
        copy.change(SESSION, |_| changed.clone());
        let answer = copy.step("/pages/1").await;
        assert_eq!(answer.status, 303, "{changed}");
        assert_eq!(copy.session(), None, "{changed}: removed");
    }
    // Twice: whose would it be?
    let mut copy = browser.clone();
    let twice = crate::bench::http1::Request::get("/pages/1")
        .header("Cookie", &format!("{SESSION}={value}; {SESSION}={value}"));
    copy.forget(|_| true);
    assert_eq!(copy.ask(twice).await.status, 400);
    // As the session of the other login.
    let mut session = browser.session().expect("a session").clone();
    session.name = "__Host-portcullis-guests".to_owned();
    let mut copy = browser.fresh();
    copy.plant(&session);
    assert_eq!(copy.step("/guests/1").await.status, 303);
    // At another host of the same login.
    let elsewhere = crate::bench::http1::Request::get("/pages/1")
        .header("Cookie", &format!("{SESSION}={value}"));
    let client = gateway.client(&stage.web).name("b.example.org");
    assert_eq!(client.request(&elsewhere).await.status, 401);
    // A login under way as a session.
    let mut copy = browser.fresh();
    copy.step("/pages/1").await;
    let mut pending = copy.named(|name| name.starts_with(PENDING))[0].clone();
    pending.name = SESSION.to_owned();
    pending.value = format!("1{}", pending.value);
    copy.plant(&pending);
    assert_eq!(copy.step("/pages/1").await.status, 303);
    assert_eq!(
        stage.orders.bytes(),
        bytes,
        "nothing of this reached the service"
    );
    assert_eq!(browser.clone().step("/pages/1").await.status, 200);
    // What merely looks like it browsers do not guard: a neighbour of the host who sets one shuts nobody out.
    for name in [SESSION.to_lowercase(), format!("{SESSION}[x]")] {
        let mut copy = browser.clone();
        let mut other = copy.session().expect("a session").clone();
        other.name = name;
        copy.plant(&other);
        assert_eq!(copy.step("/pages/1").await.status, 200, "{}", other.name);
        other.name = "neighbour".to_owned();
        other.value = format!("1,{SESSION}=1");
        copy.plant(&other);
        assert_eq!(copy.step("/pages/1").await.status, 200, "{}", other.value);
    }
    // Under another key.
    let mut config = gateway.config.clone();
    config.set("logins.staff.keys", json!(["other.key"]));
    gateway.reload(&config).await;
    assert_eq!(browser.clone().step("/pages/1").await.status, 303);
}

#[tokio::test]
async fn a_login_makes_a_new_session_and_keeps_none_that_was_planted() {
    let stage = Stage::new().await;
    let (gateway, attacker) = stage.logged_in().await;
    let planted = attacker.session().expect("a session").clone();
    stage.provider.user("bob", json!({})).await;
    let mut victim = stage.browser(&gateway);
    // A login that ends with another session already there does not go on with it.
    let url = at_callback(&mut victim).await;
    victim.plant(&planted);
    assert_eq!(victim.go(&url).await.answer.status, 200);
    assert_ne!(victim.session().map(|c| &c.value), Some(&planted.value));
    let last = stage.orders.last_request();
    assert_eq!(last.header("x-token-subject"), Some("bob"));
}

#[tokio::test]
async fn a_code_that_was_asked_for_without_pkce_is_not_taken() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    // Somebody in between takes the challenge away, or puts his own there.
    let without = |url: &str| {
        let without = with_member(url, "code_challenge", Value::Null);
        with_member(&without, "code_challenge_method", Value::Null)
    };
    let own = |url: &str| with_member(url, "code_challenge", "A".repeat(43));
    for change in [&without as &dyn Fn(&str) -> String, &own] {
        let mut browser = stage.browser(&gateway);
        let page = browser
            .go_until("/pages/1", |url| url.contains("/auth?"))
            .await;
        let url = change(&page.url);
        let page = browser.go(&url).await;
        refused(&gateway, &page.answer, "login_denied", &url).await;
    }
}

#[tokio::test]
async fn spellings_of_other_hosts_are_no_places_to_come_back_to() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let client = gateway.client(&stage.web);
    for target in [
        "//evil.example",
        "/\\evil.example",
        "/%2f%2fevil.example",
        "/%5cevil.example",
        "https://evil.example/pages/1",
        "/pages/..//evil.example",
        "/pages//evil.example",
    ] {
        let answer = client.request(&super::browser::navigation(target)).await;
        assert_eq!(answer.status, 400, "{target}");
    }
    let mut browser = stage.browser(&gateway);
    let page = browser
        .go("/pages/1?next=//evil.example&x=https://evil.example")
        .await;
    assert_eq!(
        page.url,
        "https://api.example.com/pages/1?next=//evil.example&x=https://evil.example"
    );
}
