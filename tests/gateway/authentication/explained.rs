//! The access log says what is wrong with a token, in words that no stranger can forge; the client
//! hears none of it.

use serde_json::{Value, json};

use super::Stage;
use crate::bench::World;
use crate::bench::dpop::{Proof, bound_to};
use crate::bench::http1::Request;
use crate::bench::token::{self, IssuerKey, Token, with_broken_signature};

const LABS: &str = "https://labs.example.com";

/// `/both/**` takes tokens of two issuers, `/proved/**` asks for a proof.
async fn stage() -> Stage {
    let world = World::new();
    let labs = IssuerKey::es256("labs-1");
    world.folder.write("labs.json", token::jwks(&[&labs]));
    Stage::with(world, |config| {
        let mut labs = config.get("issuers.corp").clone();
        labs["issuer"] = json!(LABS);
        labs["keys"]["file"] = json!("labs.json");
        config.set("issuers.labs", labs);
        config.route("both", "/both/**", "orders");
        config.set(
            "routes.both.token",
            json!({ "any": [{ "issuer": "corp" }, { "issuer": "labs" }] }),
        );
        config.route("proved", "/proved/**", "orders");
        config.set(
            "routes.proved.token",
            json!({ "issuer": "corp", "dpop": true }),
        );
    })
    .await
}

/// The access line of a request.
async fn line(stage: &Stage, request: &Request) -> Value {
    let answer = stage.client().request(request).await;
    stage.gateway.access_line(&answer).await
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told_to_the_log_and_nothing_of_it_can_be_forged() {
    let stage = stage().await;
    let sign = |token: Token| token.sign(&stage.world.issuer);
    let get = |target: &str, token: &str| Request::get(target).bearer(token);
    let long = "x".repeat(1_000);
    let cases = [
        (
            get(
                "/orders/7",
                &sign(Token::new().claim("aud", json!(["a", "b\"\n", "c", "d"]))),
            ),
            "aud [\"a\", \"b\\\"\\n\", \"c\" and 1 more], expected \"orders-api\"".to_owned(),
        ),
        (
            get("/orders/7", &sign(Token::new().without("aud"))),
            "no aud, expected \"orders-api\"".to_owned(),
        ),
        (
            get("/orders/7", &sign(Token::new().without("exp"))),
            "no exp".to_owned(),
        ),
        (
            get("/orders/7", &sign(Token::new().claim("aud", long.as_str()))),
            format!("aud \"{}\"…, expected \"orders-api\"", "x".repeat(128)),
        ),
        // The token of another issuer: its key is not there, and why stands beside it.
        (
            get(
                "/orders/7",
                &sign(Token::new().header("kid", "2026-12").claim("iss", LABS)),
            ),
            format!(
                "kid \"2026-12\"; unverified iss \"{LABS}\", expected \"{}\"",
                token::ISSUER
            ),
        ),
        (
            get("/orders/7", &sign(Token::new().header("alg", "RS256"))),
            "alg \"RS256\", expected ES256".to_owned(),
        ),
        (
            get(
                "/orders/7",
                &sign(
                    Token::new()
                        .header("alg", "RS256")
                        .header("kid", Value::Null),
                ),
            ),
            "no kid, alg \"RS256\"".to_owned(),
        ),
        (
            get(
                "/orders/7",
                &sign(Token::new().header("kid", "\",\"status\":200,\"x\":\"\u{1b}[2J\u{202e}")),
            ),
            "kid \"\\\",\\\"status\\\":200,\\\"x\\\":\\\"\\u{1b}[2J\\u{202e}\"".to_owned(),
        ),
        (
            get(
                "/both/x",
                &sign(Token::new().claim("iss", "https://nobody.example")),
            ),
            "unverified iss \"https://nobody.example\" is none of the route's issuers".to_owned(),
        ),
        (
            get("/orders/7", &sign(Token::new().scope("orders:write"))),
            "no scope \"orders:read\"".to_owned(),
        ),
    ];
    for (request, want) in &cases {
        let line = line(&stage, request).await;
        assert_eq!(line["detail"], want.as_str(), "{line}");
    }
}

#[tokio::test]
async fn whose_a_token_is_says_its_signature_alone() {
    let stage = stage().await;
    let eve = Token::new()
        .subject("eve")
        .expired()
        .sign(&stage.world.issuer);
    let request = |token: &str| Request::get("/orders/7").bearer(token);
    let forged = line(&stage, &request(&with_broken_signature(&eve))).await;
    assert_eq!(forged["reason"], "token_signature");
    assert!(
        forged.get("subject").is_none() && forged.get("issuer").is_none(),
        "{forged}"
    );
    let over = line(&stage, &request(&eve)).await;
    assert_eq!(
        (&over["issuer"], &over["subject"]),
        (&json!("corp"), &json!("eve")),
        "{over}"
    );
}

#[tokio::test]
async fn a_token_that_speaks_for_nobody_is_known_by_its_client() {
    let stage = stage().await;
    let machine = || Token::new().without("sub");
    let cases = [
        (
            machine().claim("client_id", "billing").claim("azp", "x"),
            Some("billing"),
            200,
        ),
        (machine().claim("azp", "billing"), Some("billing"), 200),
        (machine(), None, 200),
        (machine().claim("client_id", json!({ "a": 1 })), None, 200),
        (Token::new().claim("client_id", "billing"), None, 200),
        (
            machine().claim("client_id", "billing").scope("x"),
            Some("billing"),
            403,
        ),
        (
            machine().claim("client_id", "billing").expired(),
            Some("billing"),
            401,
        ),
    ];
    for (token, want, status) in cases {
        let token = token.sign(&stage.world.issuer);
        let line = line(&stage, &Request::get("/orders/7").bearer(&token)).await;
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(
            line.get("client_id").and_then(Value::as_str),
            want,
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_proof_for_another_port_is_told_with_both_urls_and_no_query() {
    let stage = stage().await;
    let key = IssuerKey::es256("client");
    let token = Token::new().claim("cnf", bound_to(&key));
    let token = token.sign(&stage.world.issuer);
    let cases = [
        (
            "https://api.example.com/proved/x?code=hidden#hidden",
            "\"https://api.example.com/proved/x\"",
        ),
        (
            "https://user:hidden@api.example.com/proved/x",
            "\"(with user information)\"",
        ),
        ("", "\"\""),
    ];
    for (htu, shown) in cases {
        let proof = Proof::new("GET", htu, &token).sign(&key);
        let request = Request::get("/proved/x").host("api.example.com:8443");
        let line = line(&stage, &request.dpop(&token, &proof)).await;
        let want = format!("htu {shown}, expected \"https://api.example.com:8443/proved/x\"");
        assert_eq!(line["reason"], "proof_target", "{line}");
        assert_eq!(line["detail"], want, "{line}");
        assert_eq!(line["subject"], "alice", "{line}");
    }
    assert!(!stage.gateway.log().join("\n").contains("hidden"));
}
