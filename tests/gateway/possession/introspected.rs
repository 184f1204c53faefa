//! Tokens that say nothing by themselves (RFC 7662): bound to whom their issuer says, and proven as
//! JWTs are; and an issuer that takes its time to say so.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::until_after;
use crate::bench::dpop::{Proof, bound_to};
use crate::bench::http1::Request;
use crate::bench::service::Step;
use crate::bench::token::{IssuerKey, unix_now};
use crate::introspection::{Stage, good_but, new_token, says};

/// Routes `proved` (asks for a proof), `certified` (asks for a certificate) and `may` (asks for
/// nothing), each below its name; proofs count for five seconds, and clocks are right.
async fn stage() -> Stage {
    Stage::with(|config| {
        let wishes = [
            ("proved", json!({ "issuer": "corp", "dpop": true })),
            (
                "certified",
                json!({ "issuer": "corp", "bound_to_certificate": true }),
            ),
            ("may", json!({ "issuer": "corp" })),
        ];
        for (name, token) in wishes {
            config.route(name, &format!("/{name}/**"), "orders");
            config.set(&format!("routes.{name}.token"), token);
        }
        config.set("issuers.corp.introspection.timeout", "10s");
        config.set("issuers.corp.leeway", "0s");
        config.set("issuers.corp.dpop", json!({ "window": "5s" }));
    })
    .await
}

fn answer(kind: &str, cnf: &Value) -> Value {
    good_but(json!({ "token_type": kind, "cnf": cnf }))
}

#[tokio::test]
async fn an_opaque_token_is_proven_by_whom_its_issuer_says_and_by_nobody_else() {
    let stage = stage().await;
    let (key, other) = (IssuerKey::es256("client"), IssuerKey::es256("other"));
    let thief = stage.world.partner("spiffe://partners.example/web/thief");
    let certificate = json!({ "x5t#S256": stage.web.thumbprint() });
    let mut both = bound_to(&key);
    both["x5t#S256"] = certificate["x5t#S256"].clone();
    let dpop = |path: &str, token: &str, key: &IssuerKey| {
        Request::get(path).dpop(token, &Proof::get(path, token).sign(key))
    };
    let bare = |path: &str, token: &str| {
        Request::get(path).header("Authorization", &format!("DPoP {token}"))
    };
    let bearer = |path: &str, token: &str| Request::get(path).bearer(token);
    let beside = |path: &str, token: &str| {
        bearer(path, token).header("DPoP", &Proof::get(path, token).sign(&key))
    };
    let ask = async |identity, request: &Request| {
        let answer = stage.gateway.client(identity).request(request).await;
        let why = stage.gateway.reason(&answer).await;
        assert_eq!(answer.status, if why.is_none() { 200 } else { 401 });
        why
    };
    // Whatever it is called: `cnf` counts. Each twice, for the second time from memory.
    for (kind, path) in [
        ("DPoP", "/proved/x"),
        ("DPoP", "/may/x"),
        ("Bearer", "/may/x"),
    ] {
        stage.say(&answer(kind, &bound_to(&key)));
        let token = new_token();
        let used = dpop(path, &token, &key);
        let elsewhere = Proof::get(path, &new_token()).sign(&key);
        let cases = [
            ("without a proof", bare(path, &token), Some("proof_missing")),
            (
                "as Bearer",
                bearer(path, &token),
                Some("token_bound_to_key"),
            ),
            (
                "as Bearer, beside its proof",
                beside(path, &token),
                Some("token_bound_to_key"),
            ),
            (
                "with another key's proof",
                dpop(path, &token, &other),
                Some("proof_of_another_key"),
            ),
            (
                "with a proof for another token",
                Request::get(path).dpop(&token, &elsewhere),
                Some("proof_token"),
            ),
            ("with its proof", used.clone(), None),
            ("with the same again", used, Some("proof_replayed")),
            ("with another proof", dpop(path, &token, &key), None),
        ];
        for (what, request, reason) in cases {
            let why = ask(&thief, &request).await;
            assert_eq!(why.as_deref(), reason, "{kind} {path}: {what}");
        }
    }
    assert_eq!(stage.questions(), 3, "each token was asked about once");

    // To the certificate, to both, and to nothing.
    stage.say(&answer("Bearer", &certificate));
    let token = new_token();
    for path in ["/certified/x", "/may/x"] {
        assert_eq!(ask(&stage.web, &bearer(path, &token)).await, None);
        let why = ask(&thief, &bearer(path, &token)).await;
        assert_eq!(why.as_deref(), Some("token_of_another_peer"));
    }
    stage.say(&answer("DPoP", &both));
    let token = new_token();
    for path in ["/proved/x", "/certified/x"] {
        assert_eq!(ask(&stage.web, &dpop(path, &token, &key)).await, None);
        let why = ask(&thief, &dpop(path, &token, &key)).await;
        assert_eq!(why.as_deref(), Some("token_of_another_peer"));
        let why = ask(&stage.web, &bearer(path, &token)).await;
        assert_eq!(why.as_deref(), Some("token_bound_to_key"));
    }
    stage.say(&good_but(json!({})));
    let token = new_token();
    for (path, reason) in [
        ("/proved/x", "token_unbound_to_key"),
        ("/certified/x", "token_unbound"),
    ] {
        let why = ask(&stage.web, &bearer(path, &token)).await;
        assert_eq!(why.as_deref(), Some(reason));
    }
    let why = ask(&stage.web, &dpop("/may/x", &token, &key)).await;
    assert_eq!(why.as_deref(), Some("token_unbound_to_key"));
}

#[tokio::test]
async fn a_proof_that_was_good_before_the_issuer_was_asked_is_over_after_it() {
    let stage = stage().await;
    let key = IssuerKey::es256("client");
    let said = answer("DPoP", &bound_to(&key));
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    stage
        .issuer
        .set_reply(move |_| says(&said).after(Step::Gate(Arc::clone(&held))));
    let (path, token) = ("/proved/x", new_token());
    let issued = unix_now() - 3;
    let proof = Proof::get(path, &token).claim("iat", issued);
    let request = Request::get(path).dpop(&token, &proof.sign(&key));
    let client = stage.client();
    let opened = async {
        stage.issuer.wait_for_requests(1).await;
        until_after(issued + 5).await;
        gate.notify_one();
    };
    let (answer, ()) = tokio::join!(client.request(&request), opened);
    let why = stage.gateway.reason(&answer).await;
    assert_eq!(why.as_deref(), Some("proof_expired"));
    assert_eq!(stage.orders.requests().len(), 0);
}
