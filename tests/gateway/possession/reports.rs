//! Switching it on without an outage: `report_only` lets in what `false` lets in, and says who would
//! be refused; `tests:` say it before.

use serde_json::{Value, json};

use super::{POSSESSION, Stage};
use crate::bench::World;
use crate::bench::dpop::Proof;
use crate::bench::gateway::run;
use crate::bench::http1::Request;
use crate::bench::token::Token;

#[tokio::test]
async fn report_only_counts_and_logs_who_would_be_refused_and_refuses_nobody_else() {
    let stage = Stage::with(|_, config| {
        for (name, wish) in [("bound", json!("report_only")), ("free", json!(false))] {
            config.route(name, &format!("/{name}/**"), "orders");
            let token = json!({ "issuer": "corp", "bound_to_certificate": wish, "dpop": wish });
            config.set(&format!("routes.{name}.token"), token);
        }
    })
    .await;
    for result in ["proved", "reported", "refused"] {
        let came = stage.count("reported", "dpop", result).await;
        assert_eq!(came, 0.0, "{result}: it is there before anybody asks");
    }
    let plain = Token::new().sign(&stage.world.issuer);
    let bound = Token::new().bound_to(&stage.web).sign(&stage.world.issuer);
    let foreign = Token::new().bound_to(&stage.world.gateway_identity);
    let foreign = foreign.sign(&stage.world.issuer);
    let bearer = |path: &str, token: &str| Request::get(path).bearer(token);
    let proved = |path: &str| {
        let proof = Proof::get(path, &stage.token).sign(&stage.key);
        Request::get(path).dpop(&stage.token, &proof)
    };
    let cases = [
        (
            "plain",
            bearer("/bound/x", &plain),
            None,
            Some("certificate,dpop"),
        ),
        (
            "to its certificate",
            bearer("/bound/x", &bound),
            None,
            Some("dpop"),
        ),
        (
            "to another",
            bearer("/bound/x", &foreign),
            Some("token_of_another_peer"),
            None,
        ),
        ("to its key", proved("/bound/x"), None, Some("certificate")),
        (
            "to a key, as bearer",
            bearer("/bound/x", &stage.token),
            Some("token_bound_to_key"),
            Some("certificate"),
        ),
    ];
    for (what, request, reason, reported) in cases {
        let answer = stage.client().request(&request).await;
        assert_eq!(stage.reason(&answer).await.as_deref(), reason, "{what}");
        let line = stage.gateway.access_line(&answer).await;
        let told = line.get("possession_reported").and_then(Value::as_str);
        assert_eq!(told, reported, "{what}");
    }
    let counts = [
        ("certificate", "proved", 1.0),
        ("certificate", "reported", 3.0),
        ("certificate", "refused", 1.0),
        ("dpop", "proved", 1.0),
        ("dpop", "reported", 2.0),
        ("dpop", "refused", 1.0),
    ];
    for (method, result, want) in counts {
        let came = stage.count("bound", method, result).await;
        assert_eq!(came, want, "{method} {result}");
    }
    // What is not asked for is counted only where it is shown.
    assert_eq!(
        stage
            .client()
            .request(&bearer("/free/x", &plain))
            .await
            .status,
        200
    );
    assert_eq!(stage.client().request(&proved("/free/x")).await.status, 200);
    assert_eq!(stage.count("free", "dpop", "proved").await, 1.0);
    let metrics = stage.gateway.metrics().await;
    for (method, result) in [("certificate", "reported"), ("dpop", "reported")] {
        let labels = [("route", "free"), ("method", method), ("result", result)];
        assert!(metrics.series(POSSESSION, &labels).is_empty(), "{method}");
    }
}

#[test]
fn a_rehearsal_says_what_a_token_without_a_proof_would_come_to() {
    let world = World::new();
    let check = |wish: Value, claims: Value, expect: Value| {
        let mut config = world.config();
        config.choose_ports();
        config.route("keyed", "/keyed/**", "orders");
        let token = json!({ "issuer": "corp", "dpop": wish });
        config.set("routes.keyed.token", token);
        let url = "https://api.example.com/keyed/x";
        let client = "spiffe://partners.example/web/a";
        let request = json!({ "url": url, "client": client, "claims": claims });
        config.set("tests", json!([{ "request": request, "expect": expect }]));
        let ended = run(&world, &config, &["check"]);
        (
            ended.status.success(),
            String::from_utf8_lossy(&ended.stderr).into_owned(),
        )
    };
    let keyed = json!({ "route": "keyed" });
    let unbound = json!({ "refusal": "token_unbound_to_key" });
    let jkt = json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } });
    let nobody = json!({ "cnf": null });
    let kid = json!({ "cnf": { "kid": "x" } });
    let cases = [
        (json!(true), json!({}), &keyed, true),
        (json!(true), jkt.clone(), &keyed, true),
        (json!(true), nobody.clone(), &unbound, true),
        (json!(true), nobody.clone(), &keyed, false),
        (json!("report_only"), nobody.clone(), &keyed, true),
        (json!(false), nobody, &keyed, true),
        (json!(false), jkt, &keyed, true),
        (
            json!(false),
            kid,
            &json!({ "refusal": "token_binding_unknown" }),
            true,
        ),
    ];
    for (wish, claims, expect, passes) in cases {
        let (passed, said) = check(wish.clone(), claims.clone(), expect.clone());
        assert_eq!(passed, passes, "{wish} {claims} {expect}: {said}");
    }
}
