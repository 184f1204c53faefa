//! `allow`: combinations of identities, issuer, scopes and claims.

use serde_json::json;

use super::Stage;
use crate::bench::token::Token;

#[tokio::test]
async fn one_of_several_combinations_must_fit_as_a_whole() {
    let stage = Stage::with(json!([
        { "name": "who", "allow": [
            { "identities": ["spiffe://partners.example/web/*"], "scopes": ["orders:read", "orders:list"] },
            { "identities": ["spiffe://partners.example/ops"], "claims": { "role": { "one_of": ["admin", "owner"] } } },
            { "claims": { "/realm/name": { "matches": "team-*" } }, "issuer": "corp" },
        ] },
        { "name": "not-robots", "allow": [{ "claims": { "kind": "human" } }] },
    ]))
    .await;
    let (web, ops) = (
        stage.world.web(),
        stage.world.partner("spiffe://partners.example/ops"),
    );
    let human = || Token::new().claim("kind", "human");
    let scoped = || human().scope("orders:list more orders:read");
    let admin = || human().claim("role", json!(["guest", "admin"]));
    let team = || human().claim("realm", json!({ "name": "team-a" }));
    let cases = [
        ("web with both scopes", &web, scoped(), None),
        ("ops with a role", &ops, admin(), None),
        ("anybody of a team", &ops, team(), None),
        ("anybody of a team", &web, team(), None),
        ("nothing at all", &web, human(), Some("who")),
        ("one scope", &web, human().scope("orders:read"), Some("who")),
        ("the scopes of another", &ops, scoped(), Some("who")),
        ("the role of another", &web, admin(), Some("who")),
        (
            "another role",
            &ops,
            human().claim("role", "adm"),
            Some("who"),
        ),
        (
            "halves of two",
            &ops,
            human().scope("orders:read").claim("role", "x"),
            Some("who"),
        ),
        (
            "a name at the top",
            &web,
            human().claim("/realm/name", "team-a"),
            Some("who"),
        ),
        (
            "a robot",
            &web,
            scoped().claim("kind", "robot"),
            Some("not-robots"),
        ),
    ];
    for (what, client, token, rule) in cases {
        let (reason, line) = stage.ask(client, &stage.request(token)).await;
        assert_eq!(reason.as_deref(), rule.map(|_| "policy_refused"), "{what}");
        assert_eq!(line["policy_rule"].as_str(), rule, "{what}");
        assert!(line.get("policy_failure").is_none(), "{what}");
    }
}

#[tokio::test]
async fn who_shows_no_certificate_is_none_of_the_identities() {
    let mut stage = Stage::with(json!([
        { "name": "known", "allow": [{ "identities": ["spiffe://partners.example/web/*"] }] },
    ]))
    .await;
    let mut config = stage.gateway.config.clone();
    config.set("listeners.edge.tls.clients.certificate", "optional");
    stage.gateway.reload(&config).await;
    let request = stage.request(Token::new());
    let answer = stage.gateway.anonymous().request(&request).await;
    let reason = stage.gateway.reason(&answer).await;
    assert_eq!(reason.as_deref(), Some("policy_refused"));
    assert_eq!(stage.ask(&stage.world.web(), &request).await.0, None);
}
