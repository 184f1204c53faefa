//! What was sealed under one configuration, and comes under another.

use super::browser::{SESSION, navigation};
use super::{LOGINS, Stage};
use crate::bench::gateway::Reloaded;
use crate::bench::provider::TOKEN;

#[tokio::test]
async fn cookies_under_another_name_are_no_session_and_services_do_not_get_the_old_ones() {
    let stage = Stage::new().await;
    let (mut gateway, browser) = stage.logged_in().await;
    let mut config = gateway.config.clone();
    config.set("logins.staff.cookie", "team");
    let reloaded = gateway.reload(&config).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    let mut old = browser.clone();
    assert_eq!(old.step("/open/x").await.status, 200);
    assert_eq!(stage.orders.last_request().header("cookie"), None);
    assert_eq!(old.step("/pages/1").await.status, 303);
    // Whoever had it from before has nothing under the new name.
    let value = browser.session().expect("a session").value.clone();
    let renamed = format!("__Host-team={value}");
    let renamed = navigation("/pages/1").header("Cookie", &renamed);
    assert_eq!(
        gateway.client(&stage.web).request(&renamed).await.status,
        303
    );
    // Under the old one it is what it was.
    config.set("logins.staff.cookie", "portcullis-staff");
    gateway.reload(&config).await;
    let mut back = browser.clone();
    assert_eq!(back.step("/pages/1").await.status, 200);
    assert!(back.session().is_some_and(|cookie| cookie.name == SESSION));
}

#[tokio::test]
async fn a_code_and_its_verifier_are_told_to_nobody_but_the_server_that_was_asked() {
    let stage = Stage::new().await;
    let mut gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);
    let stop = |url: &str| url.contains("/oauth/callback");
    let back = browser.go_until("/pages/1", stop).await.url;
    // From now on the login is another client's.
    let mut config = gateway.config.clone();
    config.set("oauth_clients.gateway.client_id", "another");
    gateway.reload(&config).await;
    let answer = browser.step(&back).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let reason = gateway.reason(&answer).await;
    assert_eq!(reason.as_deref(), Some("login_state_unknown"));
    assert_eq!(stage.provider.requests(TOKEN).len(), 0);
    let labels = [("login", "staff"), ("result", "state_unknown")];
    assert_eq!(gateway.metrics().await.value(LOGINS, &labels), 1.0);
}
