//! `cel`: what expressions see of a request, and what a stranger cannot bring them to.

use std::time::Instant;

use serde_json::{Value, json};

use super::Stage;
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::token::Token;

fn rule(cel: &str) -> Value {
    json!([{ "name": "asked", "cel": cel }])
}

/// Each with a token or a request for which it holds, and one for which it does not.
#[tokio::test]
async fn an_expression_decides_by_certificate_token_and_request() {
    let stage = Stage::with(rule(
        "peer.spiffe_id == 'spiffe://partners.example/' + token.claims.unit + '/a'
         && (request.method == 'GET' || 'write' in token.scopes)
         && request.path.matches('^/ruled/[a-z]+$')
         && (!has(request.query) || request.query.startsWith('page='))
         && request.headers['x-tenant'] == [token.claims.tenant]
         && request.host == 'api.example.com' && request.listener == 'edge'
         && token.expires > now && now > 1700000000",
    ))
    .await;
    let web = stage.world.web();
    let good = || Token::new().claim("unit", "web").claim("tenant", "acme");
    let at =
        |target: &str, token: Token| Request::get(target).bearer(&token.sign(&stage.world.issuer));
    let tenant = |request: Request| request.header("X-Tenant", "acme");
    let write = good().scope("write").sign(&stage.world.issuer);
    let cases = [
        ("good", tenant(at("/ruled/x", good())), true),
        ("a page", tenant(at("/ruled/x?page=2", good())), true),
        ("another query", tenant(at("/ruled/x?all", good())), false),
        ("another path", tenant(at("/ruled/7", good())), false),
        (
            "another unit",
            tenant(at("/ruled/x", good().claim("unit", "ops"))),
            false,
        ),
        ("no unit", tenant(at("/ruled/x", Token::new())), false),
        (
            "a unit of numbers",
            tenant(at("/ruled/x", good().claim("unit", 7))),
            false,
        ),
        ("no field", at("/ruled/x", good()), false),
        ("two fields", tenant(tenant(at("/ruled/x", good()))), false),
        (
            "another tenant",
            tenant(at("/ruled/x", good().claim("tenant", "b"))),
            false,
        ),
        (
            "a write",
            tenant(Request::post("/ruled/x", "y").bearer(&write)),
            true,
        ),
        (
            "a write without the scope",
            tenant(Request::post("/ruled/x", "y").bearer(&good().sign(&stage.world.issuer))),
            false,
        ),
    ];
    for (what, request, passes) in cases {
        let (reason, line) = stage.ask(&web, &request).await;
        let want = (!passes).then_some("policy_refused");
        assert_eq!(reason.as_deref(), want, "{what}: {line}");
    }
}

/// A route takes `%3A` for `:`, and so do most services.
#[tokio::test]
async fn no_spelling_of_a_path_walks_around_a_rule() {
    let stage = Stage::with(rule("!request.path.endsWith(':cancel')")).await;
    let web = stage.world.web();
    let token = Token::new().sign(&stage.world.issuer);
    let cases = [
        ("/ruled/7:cancel", false),
        ("/ruled/7%3Acancel", false),
        ("/ruled/7%3acancel", false),
        ("/ruled/7%3A%63ancel", false),
        ("/ruled/7:cancel/", true),
        ("/ruled/7%3Aclose", true),
    ];
    for (target, passes) in cases {
        let request = Request::get(target).bearer(&token);
        let (reason, line) = stage.ask(&web, &request).await;
        let want = (!passes).then_some("policy_refused");
        assert_eq!(reason.as_deref(), want, "{target}: {line}");
    }
    let mut config = stage.gateway.config.clone();
    config.set(
        "tests",
        json!([{
            "request": {
                "url": "https://api.example.com/ruled/7%3Acancel",
                "client": "spiffe://partners.example/web/a", "claims": { "sub": "a" },
            },
            "expect": { "refusal": "policy_refused" },
        }]),
    );
    let mut gateway = stage.gateway;
    let came = gateway.reload(&config).await;
    assert!(
        matches!(came, Reloaded::Applied(_)),
        "a rehearsal: {came:?}"
    );
}

#[tokio::test]
async fn an_error_is_a_refusal_that_tells_the_operator_why_and_no_value() {
    let secret = "s3cret-claim-value";
    let cases = [
        (
            "1 / token.claims.zero == 1",
            json!({ "zero": 0 }),
            "a division by zero",
        ),
        (
            "token.claims.low - 1 < 0",
            json!({ "low": i64::MIN }),
            "a number is too large",
        ),
        (
            "token.claims.big + 1u > 0u",
            json!({ "big": u64::MAX }),
            "a number is too large",
        ),
        (
            "token.claims.list[3] == 1",
            json!({ "list": [1] }),
            "an index is out of bounds",
        ),
        (
            "token.claims.list[-1] == 1",
            json!({ "list": [1] }),
            "an index is out of bounds",
        ),
        (
            "token.claims.a > 3",
            json!({ "a": secret }),
            "the kinds of values do not fit: _>_ of string and int",
        ),
        (
            "token.claims.a + 1 == 3",
            json!({ "a": secret }),
            "the kinds of values do not fit",
        ),
        (
            "int(token.claims.a) == 3",
            json!({ "a": secret }),
            "a function cannot take its value: int",
        ),
        (
            "token.claims[token.claims.a] == 3",
            json!({ "a": secret }),
            "there is no such key",
        ),
        (
            "token.claims.a",
            json!({ "a": secret }),
            "the result is no truth value",
        ),
        (
            "token.claims.a.b.c == 1",
            json!({ "a": { "b": null } }),
            "the kinds of values do not fit: _._ of null_type and string",
        ),
        (
            "token.claims.a == 'x'",
            json!({}),
            "there is no such key: a",
        ),
        (
            "!token.claims.a.all(x, x == 1)",
            json!({ "a": "text" }),
            "the kinds of values do not fit",
        ),
    ];
    let mut stage = Stage::with(rule("true")).await;
    let web = stage.world.web();
    for (cel, claims, why) in cases {
        let mut config = stage.gateway.config.clone();
        config.set("routes.ruled.policy", rule(cel));
        stage.gateway.reload(&config).await;
        let claims = claims.as_object().expect("claims").clone();
        let token = claims
            .into_iter()
            .fold(Token::new(), |token, (name, value)| {
                token.claim(&name, value)
            });
        let (reason, line) = stage.ask(&web, &stage.request(token)).await;
        assert_eq!(reason.as_deref(), Some("policy_refused"), "{cel}");
        assert_eq!(line["policy_failure"], why, "{cel}");
    }
    assert!(!stage.gateway.log().join("\n").contains(secret));
}

/// Header values that are no text, claims with zero bytes, from every alphabet, and very deep.
#[tokio::test]
async fn strange_values_are_compared_as_they_are() {
    let stage = Stage::with(rule(
        "token.claims.name == '日本\\u0000x' && token.claims.deep.a.a.a.a.a.a.a.a[0][0] == 0.5
         && request.headers['x-raw'] != ['abc'] && token.claims.e == 1e300 && token.claims.none == null",
    ))
    .await;
    let web = stage.world.web();
    let deep = (0..8).fold(json!([[0.5]]), |below, _| json!({ "a": below }));
    let token = |name: &str| {
        let token = Token::new().claim("name", name).claim("deep", deep.clone());
        token.claim("e", 1e300).claim("none", Value::Null)
    };
    let raw = |value: &[u8]| {
        let mut head = b"GET /ruled/x HTTP/1.1\r\nHost: api.example.com\r\nX-Raw: ".to_vec();
        head.extend(value);
        head
    };
    for (name, value, passes) in [
        ("日本\u{0}x", &b"\xff\xfe"[..], true),
        ("日本\u{0}x", b"abc", false),
        ("日本", b"\xff\xfe", false),
        ("日本\u{0}", b"\xff\xfe", false),
    ] {
        let mut head = raw(value);
        let bearer = token(name).sign(&stage.world.issuer);
        head.extend(format!("\r\nAuthorization: Bearer {bearer}\r\n\r\n").into_bytes());
        let mut connection = stage.gateway.client(&web).connect().await;
        connection.send(&head).await.expect("sent");
        let answer = connection.read_answer().await.expect("an answer");
        assert_eq!(
            answer.status == 200,
            passes,
            "{name:?} {value:?}: {}",
            answer.status
        );
    }
}

/// The largest lists that fit a token, in loops within loops: refused, in a time that does not depend
/// on them.
#[tokio::test]
async fn no_token_makes_a_rule_run_long() {
    let stage = Stage::with(rule(
        "token.claims.n.all(x, token.claims.n.all(y, token.claims.n.all(z, x + y + z >= 0)))",
    ))
    .await;
    let web = stage.world.web();
    let few = Token::new().claim("n", json!([1, 2, 3]));
    assert_eq!(stage.ask(&web, &stage.request(few)).await.0, None);
    let many = Token::new().claim("n", vec![7; 5_000]);
    let begun = Instant::now();
    let (reason, line) = stage.ask(&web, &stage.request(many)).await;
    assert_eq!(reason.as_deref(), Some("policy_refused"), "{line}");
    assert_eq!(line["policy_failure"], "it costs too much");
    // 125,000,000,000 rounds would take hours.
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

/// As deep as an expression may be, on the stack of a worker under a request.
#[tokio::test]
async fn the_deepest_expression_is_evaluated() {
    let deep = (0..16).fold("token.claims.a == 1".to_owned(), |inner, _| {
        format!("!({inner})")
    });
    let loops = (0..4).fold("x == 1".to_owned(), |inner, n| {
        let variable = if n == 0 {
            "x".to_owned()
        } else {
            format!("x{n}")
        };
        format!("token.claims.l.all({variable}, {inner})")
    });
    let stage = Stage::with(json!([
        { "name": "deep", "cel": deep },
        { "name": "loops", "cel": loops },
    ]))
    .await;
    let token = Token::new().claim("a", 1).claim("l", json!([1]));
    let (reason, line) = stage.ask(&stage.world.web(), &stage.request(token)).await;
    assert_eq!(reason, None, "{line}");
}

#[tokio::test]
async fn who_is_not_there_is_refused_unless_the_rule_asks_for_it() {
    let mut stage = Stage::with(rule("!has(peer.spiffe_id)")).await;
    let mut config = stage.gateway.config.clone();
    config.set("listeners.edge.tls.clients.certificate", "optional");
    stage.gateway.reload(&config).await;
    let request = stage.request(Token::new());
    let ask = async |gateway: &crate::bench::gateway::Gateway| {
        let answer = gateway.anonymous().request(&request).await;
        gateway.access_line(&answer).await
    };
    let line = ask(&stage.gateway).await;
    assert_eq!(line["reason"], "policy_refused", "{line}");
    assert!(line["policy_failure"].is_string(), "{line}");
    config.set(
        "routes.ruled.policy",
        rule("peer == null || peer.spiffe_id == ''"),
    );
    stage.gateway.reload(&config).await;
    let line = ask(&stage.gateway).await;
    assert!(line.get("reason").is_none(), "{line}");
}
