//! What is held against an answer: the rules for JWTs, and what the question must look like.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{GOOD, INACTIVE, Stage, good_but, new_token};
use crate::bench::http1::Request;
use crate::bench::token::unix_now;

#[tokio::test]
async fn the_issuer_is_asked_as_rfc_7662_says_and_the_service_hears_of_the_subject() {
    let stage = Stage::set().await;
    stage.hold("a good token", "a+b/c~d_e-f.g=", GOOD).await;
    let asked = stage.issuer.only_request();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/ask")
    );
    let body = String::from_utf8(asked.body.clone()).unwrap();
    let want = "token=a%2Bb%2Fc%7Ed_e-f.g%3D&token_type_hint=access_token";
    assert_eq!(body, want);
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    let proof = STANDARD.encode("gate%3Away:a+secret%3A+100%25+%2B+more");
    assert_eq!(
        asked.header("authorization"),
        Some(&*format!("Basic {proof}"))
    );
    let heard = stage.orders.only_request();
    assert_eq!(heard.header("x-token-subject"), Some("alice"));
    assert_eq!(heard.header("active"), None);
}

#[tokio::test]
async fn an_answer_is_held_against_the_rules_for_jwts() {
    let stage = Stage::set().await;
    let now = unix_now();
    let other = stage.world.partner("spiffe://partners.example/web/b");
    let bound =
        |identity: &crate::bench::pki::Identity| json!({ "x5t#S256": identity.thumbprint() });
    let cases = [
        ("nothing is wrong", json!({}), GOOD),
        ("it does not say who it is", json!({ "iss": null }), GOOD),
        (
            "one audience of several",
            json!({ "aud": ["x", "orders-api"] }),
            GOOD,
        ),
        (
            "DPoP is spelled in another way",
            json!({ "token_type": "bearer" }),
            GOOD,
        ),
        (
            "bound to this client",
            json!({ "cnf": bound(&stage.web) }),
            GOOD,
        ),
        ("not active", json!({ "active": false }), INACTIVE),
        (
            "another issuer",
            json!({ "iss": "https://other.example" }),
            (401, Some("token_issuer")),
        ),
        (
            "another audience",
            json!({ "aud": "other" }),
            (401, Some("token_audience")),
        ),
        (
            "no audience",
            json!({ "aud": null }),
            (401, Some("token_audience")),
        ),
        (
            "over",
            json!({ "exp": now - 60 }),
            (401, Some("token_expired")),
        ),
        (
            "without an end",
            json!({ "exp": null }),
            (401, Some("token_expired")),
        ),
        (
            "not begun",
            json!({ "nbf": now + 120 }),
            (401, Some("token_not_yet_valid")),
        ),
        (
            "made later",
            json!({ "iat": now + 120 }),
            (401, Some("token_not_yet_valid")),
        ),
        (
            "a refresh token",
            json!({ "token_type": "refresh_token" }),
            (401, Some("token_type")),
        ),
        (
            "bound to another",
            json!({ "cnf": bound(&other) }),
            (401, Some("token_of_another_peer")),
        ),
        (
            "without the scope",
            json!({ "scope": "orders" }),
            (403, Some("scope_missing")),
        ),
    ];
    for (what, members, verdict) in cases {
        stage.say(&good_but(members));
        stage.hold(what, &new_token(), verdict).await;
    }
}

#[tokio::test]
async fn a_route_may_ask_for_a_bound_token_and_for_claims() {
    let stage = Stage::with(|config| {
        config.set(
            "routes.orders-read.token.claims",
            json!({ "client_id": "shop" }),
        );
    })
    .await;
    stage.hold("the claim is there", &new_token(), GOOD).await;
    stage.say(&good_but(json!({ "client_id": "other" })));
    stage
        .hold("it is another", &new_token(), (403, Some("claim_missing")))
        .await;
    stage.say(&good_but(json!({})));
    let request = Request::post("/orders/7", "x").bearer(&new_token());
    let answer = stage.client().request(&request).await;
    assert_eq!(
        stage.gateway.reason(&answer).await.as_deref(),
        Some("token_unbound")
    );
}

/// A refresh token is active as well, and says neither for whom it is nor what it is.
#[tokio::test]
async fn an_audience_may_be_left_out_where_that_is_written_and_the_token_is_no_refresh_token() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.audience", "when_told");
    })
    .await;
    let cases = [
        ("no audience", json!({ "aud": null }), GOOD),
        (
            "another",
            json!({ "aud": "other" }),
            (401, Some("token_audience")),
        ),
        (
            "neither audience nor type",
            json!({ "aud": null, "token_type": null }),
            (401, Some("token_audience")),
        ),
    ];
    for (what, members, verdict) in cases {
        stage.say(&good_but(members));
        stage.hold(what, &new_token(), verdict).await;
    }
}

#[tokio::test]
async fn neither_tokens_nor_secrets_nor_claims_are_written_down() {
    let stage = Stage::set().await;
    stage.say(&good_but(json!({ "secret_claim": "whisper-9" })));
    stage.hold("good", "opaque-whisper-1", GOOD).await;
    let error = json!({ "error": "invalid_request", "error_description": "no such token: opaque-whisper-2-and-more" });
    let refusal = crate::bench::service::Reply::new(
        400,
        &[("Content-Type", "application/json")],
        error.to_string(),
    );
    stage.reply(refusal);
    assert_eq!(stage.ask("opaque-whisper-2-and-more").await.status, 503);
    let line = stage
        .gateway
        .wait_for_event(|line| line["result"] == "refused")
        .await;
    assert!(
        line["error"].as_str().unwrap().contains("invalid_request"),
        "{line}"
    );
    for line in stage.gateway.log() {
        assert!(
            !line.contains("whisper") && !line.contains("100%"),
            "{line}"
        );
    }
}
