//! Mistakes in rules are told with their place before a request is there, and `tests:` rehearse
//! rules.

use std::process::Command;

use serde_json::json;

use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::gateway::Reloaded;
use crate::bench::token::Token;

use super::Stage;

fn config(world: &World) -> Config {
    let mut config = world.config();
    config.choose_ports();
    config
}

#[tokio::test]
async fn check_shows_the_line_and_column_of_a_mistake_in_an_expression() {
    let world = World::new();
    let mut config = config(&world);
    config.set(
        "routes.orders-read.policy",
        json!([{ "name": "a", "cel": "CEL" }]),
    );
    let text = config.yaml();
    let written = "|\n        token.sub == 'a' &&\n          tokn.tenant == 'acme'";
    let text = text.replace("cel: CEL", &format!("cel: {written}"));
    let line = text
        .lines()
        .position(|line| line.contains("tokn"))
        .expect("a line")
        + 1;
    let column = text
        .lines()
        .nth(line - 1)
        .and_then(|line| line.find("tokn"))
        .expect("a column")
        + 1;
    world.folder.write("gateway.yaml", &text);
    let ran = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("check")
        .current_dir(world.folder.path())
        .output()
        .expect("run the gateway");
    let ran = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    let want =
        format!("{line}:{column} routes.orders-read.policy[0].cel: there is no variable `tokn`");
    assert!(ran.contains(&want), "{want}\n{ran}");
}

#[tokio::test]
async fn a_reload_with_a_mistake_in_a_rule_changes_nothing() {
    let mut stage =
        Stage::with(json!([{ "name": "a", "cel": "token.claims.tenant == 'acme'" }])).await;
    let mut config = stage.gateway.config.clone();
    let hostile = "!!(!!!!!!(!!!!(((((!!(!!(!!!!((".repeat(100);
    let deep = format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000));
    let chain = format!("1{} == 1", " ? 1 : 1".repeat(400));
    for cel in [
        "request.path",
        "token.claims.tenant ==",
        hostile.as_str(),
        &deep,
        &chain,
    ] {
        config.set("routes.ruled.policy", json!([{ "name": "a", "cel": cel }]));
        let came = stage.gateway.reload(&config).await;
        assert!(matches!(came, Reloaded::Refused), "{cel:.40}: {came:?}");
    }
    let web = stage.world.web();
    let (reason, _) = stage.ask(&web, &stage.request(Token::new())).await;
    assert_eq!(reason.as_deref(), Some("policy_refused"));
    let token = Token::new().claim("tenant", "acme");
    assert_eq!(stage.ask(&web, &stage.request(token)).await.0, None);
}

#[tokio::test]
async fn a_rehearsal_asks_the_rules_and_says_which_refused() {
    let mut stage = Stage::with(json!([
        { "name": "tenant", "cel": "token.claims.tenant == 'acme' && request.query == 'a=1'" },
        { "name": "watched", "cel": "false", "report_only": true },
    ]))
    .await;
    let mut config = stage.gateway.config.clone();
    config.set(
        "routes.ruled.subject_is_peer",
        "spiffe://partners.example/user/{sub}",
    );
    let test = |claims: serde_json::Value, expect: serde_json::Value| {
        json!({ "request": {
            "url": "https://api.example.com/ruled/x?a=1",
            "client": "spiffe://partners.example/user/jane", "claims": claims,
        }, "expect": expect })
    };
    let good = test(
        json!({ "sub": "jane", "tenant": "acme" }),
        json!({ "route": "ruled" }),
    );
    let tests = json!([
        good,
        test(
            json!({ "sub": "jane", "tenant": "b" }),
            json!({ "refusal": "policy_refused" })
        ),
        test(
            json!({ "sub": "jane" }),
            json!({ "refusal": "policy_refused" })
        ),
        test(
            json!({ "sub": "john", "tenant": "acme" }),
            json!({ "refusal": "subject_not_peer" })
        ),
    ]);
    config.set("tests", tests);
    let came = stage.gateway.reload(&config).await;
    assert!(matches!(came, Reloaded::Applied(_)), "{came:?}");
    assert_eq!(stage.count("tenant", "enforced", "allowed").await, 0.0);
    config.set(
        "tests",
        json!([test(json!({ "sub": "jane" }), json!({ "route": "ruled" }))]),
    );
    let came = stage.gateway.reload(&config).await;
    assert!(matches!(came, Reloaded::Refused), "{came:?}");
    let want = "expected route ruled, but it is refused: policy_refused, by the rule tenant: there is no such key: tenant";
    let log = stage.gateway.log().join("\n");
    assert!(log.contains(want), "{log}");
}
