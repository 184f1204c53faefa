//! What stands in the log and in the metrics of who logs in and out, and of sessions in other hands.

use serde_json::{Value, json};

use super::browser::navigation;
use super::{LOGINS, Stage};
use crate::bench::http1::Request;

#[tokio::test]
async fn a_session_with_another_certificate_leaves_a_trace() {
    let stage = Stage::new().await;
    let (gateway, browser) = stage.logged_in().await;
    let other = stage.world.partner("spiffe://partners.example/web/b");
    for (request, status) in [
        (navigation("/pages/1"), 303),
        (Request::get("/pages/1"), 401),
        (navigation("/oauth/logout"), 303),
    ] {
        let target = request.target.clone();
        let answer = browser.at(&gateway, &other).ask(request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let line = gateway.access_line(&answer).await;
        let want = json!(["staff", "other_certificate", "home", "alice"]);
        let told = ["login", "session", "issuer", "subject"].map(|name| line[name].clone());
        assert_eq!(json!(told), want, "{target}: {line}");
    }
    let labels = [("login", "staff"), ("result", "other_certificate")];
    assert_eq!(gateway.metrics().await.value(LOGINS, &labels), 3.0);
    // Its owner goes on.
    let answer = browser.clone().step("/pages/1").await;
    assert_eq!(answer.status, 200);
    let line = gateway.access_line(&answer).await;
    assert_eq!(
        (&line["login"], &line["session"]),
        (&json!("staff"), &Value::Null)
    );
}

#[tokio::test]
async fn who_logs_in_and_out_stands_in_the_log() {
    let stage = Stage::new().await;
    let gateway = stage.gateway().await;
    let mut browser = stage.browser(&gateway);
    let stop = |url: &str| url.contains("/oauth/callback");
    let page = browser.go_until("/pages/1", stop).await;
    let back = browser.step(&page.url).await;
    assert_eq!(back.status, 303, "{back:?}");
    let copy = browser.clone();
    let logout = browser.step("/oauth/logout").await;
    let ended = copy.clone().ask(Request::get("/pages/1")).await;
    let again = browser.step(&page.url).await;
    for (answer, subject, session, reason) in [
        (&back, json!("alice"), Value::Null, Value::Null),
        (&logout, json!("alice"), Value::Null, Value::Null),
        (
            &ended,
            json!("alice"),
            json!("ended"),
            json!("login_required"),
        ),
        (
            &again,
            Value::Null,
            Value::Null,
            json!("login_state_unknown"),
        ),
    ] {
        let line = gateway.access_line(answer).await;
        assert_eq!(line["login"], "staff", "{line}");
        assert_eq!(line["subject"], subject, "{line}");
        assert_eq!(line["session"], session, "{line}");
        assert_eq!(line["reason"], reason, "{line}");
    }
}
