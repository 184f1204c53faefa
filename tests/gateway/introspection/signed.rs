//! Signed answers (RFC 9701): nothing else is believed where they are asked for.

use serde_json::{Value, json};

use super::{
    GOOD, INACTIVE, Stage, UNAVAILABLE, good, good_but, json_reply, new_token, says, start_issuer,
};
use crate::bench::World;
use crate::bench::service::{Received, Reply};
use crate::bench::token::{self, ISSUER, IssuerKey, Token, unix_now};

const TYPE: &str = "application/token-introspection+jwt";

fn answer(members: Value) -> Token {
    let claims = json!({
        "iss": ISSUER, "aud": "gate:way", "iat": unix_now(), "token_introspection": good(),
    });
    let mut token = Token {
        header: json!({ "typ": "token-introspection+jwt" }),
        claims,
    };
    for (name, value) in members.as_object().expect("an object") {
        token = match value {
            Value::Null => token.without(name),
            value => token.claim(name, value.clone()),
        };
    }
    token
}

fn jwt(kind: &str, text: &str) -> Reply {
    Reply::new(200, &[("Content-Type", kind)], text)
}

#[tokio::test]
async fn only_an_answer_that_the_issuer_signed_for_us_now_is_believed() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.keys", json!({ "file": "jwks.json" }));
        config.set("issuers.corp.algorithms", json!(["ES256"]));
        config.set("issuers.corp.introspection.signed", true);
    })
    .await;
    let key = &stage.world.issuer;
    let stranger = IssuerKey::es256(&key.kid);
    let now = unix_now();
    let inactive = json!({ "token_introspection": { "active": false } });
    let refused = json!({ "token_introspection": good_but(json!({ "aud": "other" })) });
    let cases = [
        ("good", jwt(TYPE, &answer(json!({})).sign(key)), GOOD),
        (
            "for several",
            jwt(TYPE, &answer(json!({ "aud": ["x", "gate:way"] })).sign(key)),
            GOOD,
        ),
        ("inactive", jwt(TYPE, &answer(inactive).sign(key)), INACTIVE),
        (
            "not for our API",
            jwt(TYPE, &answer(refused).sign(key)),
            (401, Some("token_audience")),
        ),
        ("plain", says(&good()), UNAVAILABLE),
        (
            "a JWT that says to be JSON",
            jwt("application/json", &answer(json!({})).sign(key)),
            UNAVAILABLE,
        ),
        (
            "JSON that says to be a JWT",
            jwt(TYPE, &good().to_string()),
            UNAVAILABLE,
        ),
        (
            "signed by another",
            jwt(TYPE, &answer(json!({})).sign(&stranger)),
            UNAVAILABLE,
        ),
        (
            "signed by nobody",
            jwt(TYPE, &answer(json!({})).unsigned()),
            UNAVAILABLE,
        ),
        (
            "an access token",
            jwt(TYPE, &Token::new().sign(key)),
            UNAVAILABLE,
        ),
        (
            "another type",
            jwt(TYPE, &answer(json!({})).header("typ", "JWT").sign(key)),
            UNAVAILABLE,
        ),
        (
            "no type",
            jwt(
                TYPE,
                &answer(json!({})).header("typ", Value::Null).sign(key),
            ),
            UNAVAILABLE,
        ),
        (
            "another issuer",
            jwt(
                TYPE,
                &answer(json!({ "iss": "https://other.example" })).sign(key),
            ),
            UNAVAILABLE,
        ),
        (
            "for another client",
            jwt(TYPE, &answer(json!({ "aud": "other" })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "for nobody",
            jwt(TYPE, &answer(json!({ "aud": null })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "of no time",
            jwt(TYPE, &answer(json!({ "iat": null })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "of before",
            jwt(TYPE, &answer(json!({ "iat": now - 600 })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "of later",
            jwt(TYPE, &answer(json!({ "iat": now + 600 })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "over",
            jwt(TYPE, &answer(json!({ "exp": now - 300 })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "over at no time",
            jwt(TYPE, &answer(json!({ "exp": "soon" })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "not good yet",
            jwt(TYPE, &answer(json!({ "nbf": now + 300 })).sign(key)),
            UNAVAILABLE,
        ),
        (
            "good for a while",
            jwt(
                TYPE,
                &answer(json!({ "exp": now + 300, "nbf": now - 1 })).sign(key),
            ),
            GOOD,
        ),
        (
            "empty",
            jwt(
                TYPE,
                &answer(json!({ "token_introspection": null })).sign(key),
            ),
            UNAVAILABLE,
        ),
        (
            "active outside of it",
            jwt(
                TYPE,
                &answer(json!({ "active": true, "token_introspection": {} })).sign(key),
            ),
            UNAVAILABLE,
        ),
    ];
    for (what, reply, verdict) in cases {
        stage.reply(reply);
        stage.hold(what, &new_token(), verdict).await;
    }
    let asked = stage.issuer.requests();
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("accept") == Some(TYPE))
    );
}

/// What the issuer signed about one token is no token.
#[tokio::test]
async fn a_signed_answer_does_not_pass_for_a_token() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.keys", json!({ "file": "jwks.json" }));
        config.set("issuers.corp.algorithms", json!(["ES256"]));
        config.set("issuers.corp.audiences", json!(["orders-api", "gate:way"]));
    })
    .await;
    let answer = answer(json!({})).sign(&stage.world.issuer);
    let (status, reason) = stage.verdict(&answer).await;
    assert_eq!((status, reason.as_deref()), (401, Some("token_expired")));
}

/// The keys say when they may be asked for again, and so does the refusal.
#[tokio::test]
async fn an_answer_whose_key_cannot_be_had_is_worth_another_try_when_the_keys_are() {
    let world = World::new();
    let issuer = start_issuer(&world).await;
    let by = |key: &IssuerKey| jwt(TYPE, &answer(json!({})).sign(key));
    let known = by(&world.issuer);
    let (unknown, next) = (IssuerKey::es256("unknown"), IssuerKey::es256("next"));
    let (unknown, next) = (by(&unknown), by(&next));
    let keys = token::jwks(&[&world.issuer]);
    issuer.set_reply(move |request: &Received| {
        let body = String::from_utf8_lossy(&request.body);
        match &*request.target {
            "/jwks" => json_reply(&keys),
            _ if body.contains("token=unknown") => unknown.clone(),
            _ if body.contains("token=next") => next.clone(),
            _ => known.clone(),
        }
    });
    let url = format!("https://localhost:{}/jwks", issuer.address.port());
    let stage = Stage::of(world, issuer, |config| {
        let keys = json!({ "url": url, "tls": { "trust": "mesh" }, "cool_down": "200s" });
        config.set("issuers.corp.keys", keys);
        config.set("issuers.corp.algorithms", json!(["ES256"]));
        config.set("issuers.corp.introspection.signed", true);
    })
    .await;
    stage.hold("good", "known", GOOD).await;
    stage.hold("nobody's", "unknown", UNAVAILABLE).await;
    let refused = stage.ask("next").await;
    assert_eq!(refused.status, 503);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((100..=200).contains(&wait), "{wait}");
    stage.hold("others are asked about", "another", GOOD).await;
}
