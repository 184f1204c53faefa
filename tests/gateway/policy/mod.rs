//! `policy` and `subject_is_peer` of a route, by the real gateway: who is let through, what a
//! stranger cannot bring a rule to, what an operator sees of it, and what a mistake is told.

mod expressions;
mod mistakes;
mod subjects;
mod words;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Answer, Request};
use crate::bench::pki::Identity;
use crate::bench::service::Service;
use crate::bench::token::Token;

const RULES: &str = "portcullis_policy_rules_total";

/// A gateway with a route `/ruled/**` that takes any token of the issuer, and has a policy.
struct Stage {
    world: World,
    orders: Service,
    gateway: Gateway,
}

impl Stage {
    async fn with(policy: Value) -> Self {
        Self::set("policy", policy).await
    }

    async fn set(key: &str, value: Value) -> Self {
        let world = World::new();
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        config.route("ruled", "/ruled/**", "orders");
        config.set("routes.ruled.token", json!({ "issuer": "corp" }));
        config.set(&format!("routes.ruled.{key}"), value);
        let gateway = world.gateway_with(&config).await;
        Self {
            world,
            orders,
            gateway,
        }
    }

    fn request(&self, token: Token) -> Request {
        Request::get("/ruled/x").bearer(&token.sign(&self.world.issuer))
    }

    /// Asks, and holds the verdict: `None` if the service answers, else the reason; then the service
    /// has heard of nothing, and the client of no more than that.
    async fn ask(&self, client: &Identity, request: &Request) -> (Option<String>, Value) {
        let (reason, line, answer) = self.verdict(client, request).await;
        if reason.is_some() {
            assert_eq!(answer.status, 403, "{line}");
            let told = answer.text();
            assert!(told.contains("Access is denied."), "{told}");
            for secret in ["rule", "policy", "token", "claim"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
        (reason, line)
    }

    /// The same for any refusal, with the answer.
    async fn verdict(
        &self,
        client: &Identity,
        request: &Request,
    ) -> (Option<String>, Value, Answer) {
        let heard = self.orders.requests().len();
        let answer: Answer = self.gateway.client(client).request(request).await;
        let line = self.gateway.access_line(&answer).await;
        let reason = line["reason"].as_str().map(str::to_owned);
        let passed = usize::from(reason.is_none());
        assert_eq!(self.orders.requests().len(), heard + passed, "{line}");
        (reason, line, answer)
    }

    async fn count(&self, rule: &str, mode: &str, result: &str) -> f64 {
        let labels = [
            ("route", "ruled"),
            ("rule", rule),
            ("mode", mode),
            ("result", result),
        ];
        self.gateway.metrics().await.value(RULES, &labels)
    }
}

/// What a rule only reports is counted and logged, and let through; enforced, it refuses.
#[tokio::test]
async fn what_a_rule_would_refuse_is_seen_before_it_does() {
    let rule = |name: &str, cel: &str, report_only: bool| json!({ "name": name, "cel": cel, "report_only": report_only });
    let tenant = "token.claims.tenant == 'acme'";
    let mut stage = Stage::with(json!([
        rule("watched", tenant, true),
        rule("watched-too", "request.method == 'POST'", true),
        rule("enforced", "token.sub != 'mallory'", false),
        rule("behind", "true || token.sub == ''", false),
    ]))
    .await;
    let web = stage.world.web();
    let (reason, line) = stage.ask(&web, &stage.request(Token::new())).await;
    assert_eq!(reason, None);
    assert_eq!(line["policy_would_refuse"], "watched,watched-too");
    let why = "watched: there is no such key: tenant";
    assert_eq!(line["policy_failure"], why, "the other was answered");
    assert!(line.get("policy_rule").is_none(), "{line}");
    let token = Token::new().claim("tenant", "umbrella");
    drop(stage.ask(&web, &stage.request(token)).await);
    let token = Token::new().claim("sub", "mallory").claim("tenant", "acme");
    let (reason, line) = stage.ask(&web, &stage.request(token)).await;
    assert_eq!(reason.as_deref(), Some("policy_refused"));
    assert_eq!(line["policy_rule"], "enforced");
    assert_eq!(line["policy_would_refuse"], "watched-too");
    assert!(line.get("policy_failure").is_none(), "{line}");
    let want = [
        ("watched", "report_only", [1.0, 1.0, 1.0]),
        ("watched-too", "report_only", [0.0, 3.0, 0.0]),
        ("enforced", "enforced", [2.0, 1.0, 0.0]),
        // Nobody is asked behind the one that refuses.
        ("behind", "enforced", [2.0, 0.0, 0.0]),
    ];
    for (name, mode, counts) in want {
        for (result, count) in ["allowed", "refused", "failed"].into_iter().zip(counts) {
            assert_eq!(
                stage.count(name, mode, result).await,
                count,
                "{name} {result}"
            );
        }
    }
    // Now for real: what was counted before stays.
    let mut config = stage.gateway.config.clone();
    config.set(
        "routes.ruled.policy",
        json!([rule("watched", tenant, false)]),
    );
    stage.gateway.reload(&config).await;
    let (reason, line) = stage.ask(&web, &stage.request(Token::new())).await;
    assert_eq!(reason.as_deref(), Some("policy_refused"));
    assert_eq!(line["policy_rule"], "watched");
    assert_eq!(line["policy_failure"], "there is no such key: tenant");
    assert_eq!(stage.count("watched", "enforced", "failed").await, 1.0);
    assert_eq!(stage.count("watched", "report_only", "refused").await, 1.0);
}
