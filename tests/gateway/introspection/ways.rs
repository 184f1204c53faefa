//! Issuers with keys and introspection: which tokens they are asked about.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{GOOD, INACTIVE, Stage, good_but, new_token};
use crate::bench::config::Config;
use crate::bench::token::{ISSUER, Token, unix_now};

fn keys(config: &mut Config) {
    config.set("issuers.corp.keys", json!({ "file": "jwks.json" }));
    config.set("issuers.corp.algorithms", json!(["ES256"]));
}

#[tokio::test]
async fn a_jwt_is_verified_here_and_the_issuer_asked_about_the_rest() {
    let stage = Stage::with(keys).await;
    stage
        .hold("a JWT", &Token::new().sign(&stage.world.issuer), GOOD)
        .await;
    assert_eq!(stage.questions(), 0);
    let over = Token::new().expired().sign(&stage.world.issuer);
    stage
        .hold("a JWT that is over", &over, (401, Some("token_expired")))
        .await;
    let other = crate::bench::token::with_broken_signature(&Token::new().sign(&stage.world.issuer));
    stage
        .hold("a forged JWT", &other, (401, Some("token_signature")))
        .await;
    assert_eq!(stage.questions(), 0, "nobody is asked about a JWT");
    stage.hold("opaque", &new_token(), GOOD).await;
    stage.hold("with dots in it", "opaque.a.b", GOOD).await;
    assert_eq!(stage.questions(), 2);
}

#[tokio::test]
async fn without_keys_the_issuer_is_asked_about_every_token() {
    let stage = Stage::set().await;
    let forged = Token::new().unsigned();
    stage.say(&json!({ "active": false }));
    stage
        .hold("a JWT that nobody signed", &forged, INACTIVE)
        .await;
    assert_eq!(stage.questions(), 1);
}

#[tokio::test]
async fn what_another_issuer_made_is_shown_to_that_one_alone() {
    let stage = Stage::set().await;
    let elsewhere = Token::new()
        .claim("iss", "https://elsewhere.example")
        .sign(&stage.world.issuer);
    stage
        .hold("another's", &elsewhere, (401, Some("token_issuer")))
        .await;
    assert_eq!(stage.questions(), 0);
    let own = Token::new().sign(&stage.world.issuer);
    stage.hold("its own", &own, GOOD).await;
    assert_eq!(stage.questions(), 1);
}

#[tokio::test]
async fn an_issuer_can_take_back_a_jwt_where_it_is_asked_about_all() {
    let stage = Stage::with(|config| {
        keys(config);
        config.set("issuers.corp.introspection.tokens", "all");
    })
    .await;
    let jwt = |number: i32| Token::new().claim("jti", number).sign(&stage.world.issuer);
    stage.hold("active", &jwt(1), GOOD).await;
    let heard = stage.orders.last_request();
    assert_eq!(heard.header("x-token-subject"), Some("alice"));
    stage.say(&json!({ "active": true }));
    stage
        .hold("active, and no more is said", &jwt(2), GOOD)
        .await;
    stage.say(&json!({ "active": false }));
    stage.hold("taken back", &jwt(3), INACTIVE).await;
    let asked = stage.questions();
    let over = Token::new().expired().sign(&stage.world.issuer);
    stage
        .hold("not worth a question", &over, (401, Some("token_expired")))
        .await;
    assert_eq!(stage.questions(), asked);
    let other = stage.world.partner("spiffe://partners.example/web/b");
    stage.say(&good_but(
        json!({ "cnf": { "x5t#S256": other.thumbprint() } }),
    ));
    let verdict = (401, Some("token_of_another_peer"));
    stage
        .hold("bound, as only the issuer says", &jwt(4), verdict)
        .await;
    let hash = stage.web.thumbprint();
    stage.say(&good_but(json!({ "cnf": { "x5t#S256": hash } })));
    stage.hold("bound to who shows it", &jwt(5), GOOD).await;
    let bound = Token::new().bound_to(&stage.web).claim("jti", 6);
    let bound = bound.sign(&stage.world.issuer);
    stage.hold("as both say", &bound, GOOD).await;
    let bound = Token::new().bound_to(&other).claim("jti", 7);
    let bound = bound.sign(&stage.world.issuer);
    stage.hold("as both say otherwise", &bound, verdict).await;
    stage.say(&good_but(json!({ "cnf": { "jkt": "A".repeat(43) } })));
    let verdict = (401, Some("token_bound_to_key"));
    stage
        .hold("bound to a key, as the issuer says", &jwt(8), verdict)
        .await;
    for (what, member, at, reason) in [
        ("not good yet", "nbf", 500, "token_not_yet_valid"),
        ("made later", "iat", 500, "token_not_yet_valid"),
        ("over", "exp", -500, "token_expired"),
    ] {
        let mut answer = json!({ "active": true });
        answer[member] = json!(unix_now() + at);
        stage.say(&answer);
        let token = Token::new().claim("jti", what).sign(&stage.world.issuer);
        stage.hold(what, &token, (401, Some(reason))).await;
    }
}

/// What looks like a JWT is somebody's, however it is signed: its issuer is asked about it, or nobody.
#[tokio::test]
async fn whatever_looks_like_a_jwt_is_shown_to_no_other_issuer() {
    const ELSEWHERE: &str = "https://elsewhere.example";
    let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = encoded(json!({ "iss": ELSEWHERE, "aud": "orders-api" }));
    let jws = |alg: &str| {
        let header = encoded(json!({ "alg": alg, "kid": "x" }));
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([1; 64]))
    };
    let jwe = |iss: &str| {
        let header = encoded(json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "iss": iss }));
        format!("{header}.a2V5.aXY.dGV4dA.dGFn")
    };
    let key = format!("pcak_0123456789abcdef_{}", "0".repeat(72));
    let theirs = [
        ("HS256", jws("HS256")),
        ("ES512", jws("ES512")),
        ("none", jws("none")),
        ("ES256", jws("ES256")),
        ("with a dot behind it", jws("ES256") + "."),
        ("encrypted", jwe(ELSEWHERE)),
    ];
    let stage = Stage::set().await;
    for (what, token) in &theirs {
        stage.hold(what, token, (401, Some("token_issuer"))).await;
    }
    stage
        .hold("an API key", &key, (401, Some("token_malformed")))
        .await;
    assert_eq!(stage.questions(), 0, "nobody is asked");
    stage.hold("encrypted, its own", &jwe(ISSUER), GOOD).await;
    assert_eq!(stage.questions(), 1);
    // With keys, and beside another issuer.
    let stage = Stage::with(|config| {
        let mut partner = config.get("issuers.corp").clone();
        let partner_keys = partner.as_object_mut().expect("a map");
        partner_keys.remove("introspection");
        partner["issuer"] = json!(ELSEWHERE);
        partner["keys"] = json!({ "file": "jwks.json" });
        partner["algorithms"] = json!(["ES256"]);
        config.set("issuers.partner", partner);
        let any = json!([{ "issuer": "corp" }, { "issuer": "partner" }]);
        config.set("routes.orders-read.token", json!({ "any": any }));
    })
    .await;
    for (what, token) in theirs.iter().chain([
        &("encrypted, of nobody", jwe("").replace("..", ".")),
        &("an API key", key),
    ]) {
        let (status, reason) = stage.verdict(token).await;
        assert_eq!(status, 401, "{what}: {reason:?}");
    }
    assert_eq!(stage.questions(), 0, "nobody is asked");
    stage.hold("opaque", &new_token(), GOOD).await;
    let stage = Stage::with(keys).await;
    let sound = Token::new().sign(&stage.world.issuer);
    for token in [format!("{sound}."), format!("{sound}.a"), jwe(ISSUER)] {
        let verdict = (401, Some("token_malformed"));
        stage.hold("no sound JWT", &token, verdict).await;
    }
    assert_eq!(stage.questions(), 0, "nobody is asked");
}
