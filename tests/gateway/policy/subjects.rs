//! `subject_is_peer`: the subject of the token is the one whom the certificate names.

use serde_json::json;

use super::Stage;
use crate::bench::pki::Leaf;
use crate::bench::token::Token;

const TEMPLATE: &str = "spiffe://partners.example/user/{sub}";

#[tokio::test]
async fn a_token_goes_with_the_certificate_of_its_subject_alone() {
    let stage = Stage::set("subject_is_peer", json!(TEMPLATE)).await;
    let jane = stage.world.partner("spiffe://partners.example/user/jane");
    let deep = stage.world.partner("spiffe://partners.example/user/jane/x");
    let dots = stage.world.partner("spiffe://partners.example/user/a..b");
    let other = stage.world.partner("spiffe://partners.example/users/jane");
    let unnamed = stage
        .world
        .partners
        .issue(Leaf::client("jane").dns("jane.example"));
    let of = |sub: &str| Token::new().claim("sub", sub);
    let cases = [
        ("her own", &jane, of("jane"), true),
        ("of another", &jane, of("john"), false),
        ("in another case", &jane, of("Jane"), false),
        ("a beginning", &jane, of("jan"), false),
        ("more", &jane, of("jane "), false),
        ("with a zero byte", &jane, of("jane\u{0}"), false),
        ("with a slash", &deep, of("jane/x"), false),
        ("below hers", &deep, of("jane"), false),
        ("with dots", &dots, of("a..b"), false),
        ("up and down", &jane, of("../user/jane"), false),
        ("escaped", &jane, of("%6aane"), false),
        ("empty", &jane, of(""), false),
        ("nobody's", &jane, Token::new().without("sub"), false),
        ("a number", &jane, Token::new().claim("sub", 7), false),
        ("another path", &other, of("jane"), false),
        ("no SPIFFE ID", &unnamed, of("jane"), false),
        ("her own again", &jane, of("jane"), true),
    ];
    for (what, client, token, passes) in cases {
        let (reason, line, _) = stage.verdict(client, &stage.request(token)).await;
        assert_eq!(reason.is_none(), passes, "{what}: {line}");
        if reason.as_deref() == Some("subject_not_peer") {
            assert_eq!(line["policy_rule"], "subject_is_peer", "{what}");
        } else {
            assert!(passes || what == "a number", "{what}: {line}");
        }
    }
    assert!(stage.count("subject_is_peer", "enforced", "refused").await >= 13.0);
}

#[tokio::test]
async fn a_subject_that_is_another_peer_can_be_watched_first() {
    let watched =
        json!({ "template": "spiffe://partners.example/{/org/unit}/{sub}", "report_only": true });
    let stage = Stage::set("subject_is_peer", watched).await;
    let jane = stage.world.partner("spiffe://partners.example/web/jane");
    let token = Token::new()
        .claim("sub", "jane")
        .claim("org", json!({ "unit": "web" }));
    let (reason, line) = stage.ask(&jane, &stage.request(token)).await;
    assert_eq!((reason, line.get("policy_would_refuse")), (None, None));
    let token = Token::new()
        .claim("sub", "jane")
        .claim("org", json!({ "unit": "ops" }));
    let (reason, line) = stage.ask(&jane, &stage.request(token)).await;
    assert_eq!(reason, None);
    assert_eq!(line["policy_would_refuse"], "subject_is_peer");
    assert_eq!(
        stage
            .count("subject_is_peer", "report_only", "refused")
            .await,
        1.0
    );
}
