//! Issuers that mean no good, or are broken: nobody is let in, and nobody is told that its token is
//! bad, for nobody knows.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{
    GOOD, Stage, UNAVAILABLE, good, good_but, introspection, json_reply, new_token, says,
    start_issuer,
};
use crate::bench::World;
use crate::bench::pki::Leaf;
use crate::bench::service::{Received, Reply, Service, Step};
use crate::bench::token::unix_now;

fn typed(status: u16, kind: &str, body: &str) -> Reply {
    Reply::new(status, &[("Content-Type", kind)], body)
}

#[tokio::test]
async fn an_answer_that_cannot_be_believed_is_no_verdict() {
    let stage = Stage::set().await;
    let good = good().to_string();
    let without_active = good_but(json!({ "active": null })).to_string();
    let twice = good.replacen('{', r#"{"active":false,"#, 1);
    let nested = format!(
        r#"{{"active":true,"x":{}1{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let milliseconds = good_but(json!({ "exp": unix_now() * 1000 }));
    let huge = good_but(json!({ "x": "y".repeat(70_000) }));
    let unbound = good_but(json!({ "token_type": "DPoP" }));
    let elsewhere = [
        ("Location", "https://localhost:1/ask"),
        ("Content-Type", "application/json"),
    ];
    let cases = [
        (
            "true as a text",
            says(&good_but(json!({ "active": "true" }))),
        ),
        ("true as a number", says(&good_but(json!({ "active": 1 })))),
        (
            "null",
            json_reply(&without_active.replacen('{', r#"{"active":null,"#, 1)),
        ),
        ("no word of it", json_reply(&without_active)),
        (
            "Active",
            json_reply(&without_active.replacen('{', r#"{"Active":true,"#, 1)),
        ),
        ("both, the good one last", json_reply(&twice)),
        ("deep", json_reply(&nested)),
        ("an end in milliseconds", says(&milliseconds)),
        (
            "an end as a text",
            says(&good_but(json!({ "exp": "tomorrow" }))),
        ),
        (
            "a subject that is none",
            says(&good_but(json!({ "sub": { "a": 1 } }))),
        ),
        (
            "a client that is none",
            says(&good_but(json!({ "client_id": 7 }))),
        ),
        (
            "a type that is none",
            says(&good_but(json!({ "token_type": ["Bearer"] }))),
        ),
        ("bound to a key that is not said", says(&unbound)),
        (
            "a binding that is none",
            says(&good_but(json!({ "cnf": "x" }))),
        ),
        ("huge", says(&huge)),
        ("a list", json_reply(&format!("[{good}]"))),
        ("two objects", json_reply(&format!("{good}{good}"))),
        ("nothing", json_reply("")),
        (
            "a page for people",
            typed(200, "text/html", "<h1>Hello</h1>"),
        ),
        (
            "JSON that says to be a page",
            typed(200, "text/html", &good),
        ),
        ("JSON of no type", Reply::ok(&good)),
        (
            "a signed answer that nobody asked for",
            typed(200, "application/token-introspection+jwt", "a.b.c"),
        ),
        ("made", typed(201, "application/json", &good)),
        ("a part", typed(206, "application/json", &good)),
        ("a redirect", Reply::new(302, &elsewhere, &good)),
        (
            "a redirect that keeps the method",
            Reply::new(307, &elsewhere, &good),
        ),
        (
            "who are you?",
            typed(401, "application/json", r#"{"error":"invalid_client"}"#),
        ),
        (
            "a 401 that says active",
            typed(401, "application/json", &good),
        ),
        ("you may not", Reply::status(403)),
        (
            "what do you want?",
            typed(400, "application/json", r#"{"error":"invalid_request"}"#),
        ),
        ("not here", Reply::status(404)),
        (
            "too often",
            Reply::new(429, &[("Retry-After", "9999999")], ""),
        ),
        ("a fault", typed(500, "application/json", &good)),
        ("later", Reply::status(503)),
        ("garbage", Reply::raw("\u{1}\u{2}\u{3} no HTTP\r\n\r\n")),
        (
            "half an answer",
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{").then(Step::Cut),
        ),
        ("no answer", Reply::close()),
    ];
    for (number, (what, reply)) in cases.into_iter().enumerate() {
        stage.reply(reply);
        let (client, token) = (stage.partner(&format!("client-{number}")), new_token());
        stage.hold_as(&client, what, &token, UNAVAILABLE).await;
        let answer = stage.ask_as(&client, &token).await;
        assert!(answer.header("www-authenticate").is_none(), "{what}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=300).contains(&wait), "{what}: {wait}");
        stage.say(&super::good());
        let (status, _) = stage.ask_again(&new_token()).await;
        assert_eq!(status, 200, "{what}");
    }
    stage.say(&super::good());
    stage.hold("well again", &new_token(), GOOD).await;
    for (result, least) in [
        ("refused", 5.0),
        ("failed", 3.0),
        ("unusable", 20.0),
        ("unreachable", 2.0),
    ] {
        let counted = stage.counted(result).await;
        assert!(counted >= least, "{result}: {counted}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_slow_holds_nobody_for_longer_than_its_timeout() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.timeout", "300ms");
    })
    .await;
    let body = good().to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let drip = Step::Drip(body.into_bytes(), Duration::from_millis(100));
    for (what, reply) in [
        ("silent", Reply::hang()),
        ("dripping", Reply::raw(head).then(drip)),
    ] {
        stage.reply(reply);
        let client = stage.partner(what);
        stage
            .hold_as(&client, what, &new_token(), UNAVAILABLE)
            .await;
    }
    assert!(stage.counted("too_slow").await >= 2.0);
    let line = stage
        .gateway
        .wait_for_event(|line| line["result"] == "too_slow")
        .await;
    assert_eq!(line["issuer"], "corp");
}

#[tokio::test]
async fn a_stranger_in_the_issuers_place_hears_nothing() {
    let world = World::new();
    let cases = [
        (
            "signed by nobody we know",
            world.stranger.issue(Leaf::server("x").dns("localhost")),
        ),
        (
            "of another name",
            world.mesh.issue(Leaf::server("x").dns("other.example")),
        ),
        (
            "over",
            world
                .mesh
                .issue(Leaf::server("x").dns("localhost").expired()),
        ),
    ];
    let mut strangers = Vec::new();
    for (what, identity) in cases {
        let service = Service::builder(&identity, &world.mesh).anyone();
        let service = service.reply(|_| says(&good())).start().await;
        strangers.push((what, service));
    }
    let urls: Vec<_> = strangers
        .iter()
        .map(|(_, service)| introspection(service))
        .collect();
    let issuer = start_issuer(&world).await;
    let stage = Stage::of(world, issuer, |config| {
        for (number, introspection) in urls.into_iter().enumerate() {
            let mut other = config.get("issuers.corp").clone();
            other["introspection"] = introspection;
            config.set(&format!("issuers.stranger-{number}"), other);
            let name = format!("stranger-{number}");
            config.route(&name, &format!("/{name}/**"), "orders");
            config.set(&format!("routes.{name}.token"), json!({ "issuer": name }));
        }
    })
    .await;
    for (number, (what, service)) in strangers.iter().enumerate() {
        let request = crate::bench::http1::Request::get(&format!("/stranger-{number}/x"));
        let answer = stage.client().request(&request.bearer(&new_token())).await;
        let reason = stage.gateway.reason(&answer).await;
        assert_eq!((answer.status, reason.as_deref()), UNAVAILABLE, "{what}");
        assert_eq!(service.bytes(), 0, "{what}");
    }
}

/// A server may repeat what it was sent, whole, in part or in another spelling.
#[tokio::test]
async fn nothing_that_the_issuer_repeats_gets_into_the_log() {
    let stage = Stage::set().await;
    stage.issuer.set_reply(|request: &Received| {
        let proof = request.header("authorization").unwrap_or_default();
        let decoded = STANDARD.decode(proof.trim_start_matches("Basic "));
        let decoded = String::from_utf8(decoded.expect("base64")).expect("text");
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let words = format!(
            "AADSTS7000215: {proof} {decoded} {} {body}",
            body.to_uppercase()
        );
        let part = body.split("token=").nth(1).unwrap_or_default();
        let (status, error) = match body.contains("known-word") {
            true => (401, "invalid_client"),
            false => (400, part.get(4..).unwrap_or_default()),
        };
        let said = json!({ "error": error, "error_description": words });
        typed(status, "application/json", &said.to_string())
    });
    let word = "the-secret-of-the-token-0123456789";
    for (client, token) in [("one", "opaque"), ("two", "known-word")] {
        let token = format!("{token}-{word}");
        let client = stage.partner(client);
        stage.hold_as(&client, "repeats", &token, UNAVAILABLE).await;
    }
    let event = |line: &serde_json::Value| line["result"] == "refused";
    let line = stage.gateway.wait_for_event(event).await;
    let log = stage.gateway.log().join("\n").to_lowercase();
    for secret in [word, "a secret", "a+secret", "z2f0zs", "basic "] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(log.contains("aadsts7000215"), "{log}");
    let url = stage.gateway.config.get("issuers.corp.introspection.url");
    assert_eq!(&line["url"], url);
}

/// What an operator needs to mend it stands in the line.
#[tokio::test]
async fn the_log_tells_where_the_issuer_was_asked_and_when_it_answers_again() {
    let stage = Stage::with(|config| {
        let url = config.get("issuers.corp.introspection.url").clone();
        let url = format!("{}?tenant=hidden", url.as_str().expect("a text"));
        config.set("issuers.corp.introspection.url", url);
    })
    .await;
    stage.reply(Reply::status(404));
    stage.hold("not here", &new_token(), UNAVAILABLE).await;
    let refused = |line: &serde_json::Value| line["result"] == "refused";
    let line = stage.gateway.wait_for_event(refused).await;
    assert_eq!(line["hint"], "is this the right URL?");
    let url = line["url"].as_str().expect("a text");
    assert!(url.ends_with("/ask"), "{url}");
    stage.reply(Reply::status(500));
    stage.hold("broken", &new_token(), UNAVAILABLE).await;
    let again = |line: &str| line.contains("answers about tokens again");
    assert!(!stage.gateway.log().iter().any(|line| again(line)));
    stage.say(&good());
    assert_eq!(stage.ask_again(&new_token()).await.0, 200);
    stage.gateway.wait_for_log(again).await;
    stage.hold("told once", &new_token(), GOOD).await;
    let log = stage.gateway.log();
    assert_eq!(log.iter().filter(|line| again(line)).count(), 1);
}
