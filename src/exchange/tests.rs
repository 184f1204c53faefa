//! What a token endpoint may answer: read strictly.

use serde_json::{Map, Value, json};

use super::answer;
use crate::config::exchange::TokenTypeSpec;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn with(name: &str, value: Value) -> Map<String, Value> {
    let mut answer = json!({
        "access_token": "new",
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 60,
    });
    answer[name] = value;
    answer.as_object().cloned().unwrap()
}

#[test]
fn what_is_taken_and_what_is_not() {
    let cases = [
        ("token_type", json!("bearer"), true),
        ("token_type", json!("N_A"), true),
        ("token_type", json!("DPoP"), false),
        ("access_token", json!("a.b-c_d~e+f/g=="), true),
        ("access_token", json!("given"), false),
        ("access_token", json!("a b"), false),
        ("access_token", json!(""), false),
        ("issued_token_type", json!(ACCESS_TOKEN), true),
        (
            "issued_token_type",
            json!("urn:ietf:params:oauth:token-type:jwt"),
            false,
        ),
        ("expires_in", json!(1), true),
        ("expires_in", json!(0), false),
        ("expires_in", json!(1.5), false),
        ("expires_in", json!(u64::MAX), false),
    ];
    for (name, value, taken) in cases {
        let answer = with(name, value.clone());
        let requested = Some(TokenTypeSpec::AccessToken);
        let read = answer::read(&answer, "given", requested);
        assert_eq!(read.is_ok(), taken, "{name}: {value}");
    }
}

#[test]
fn the_token_that_was_given_is_none_in_any_spelling() {
    let cases = [
        ("given", "given="),
        ("given", "given."),
        ("given", "given=.="),
        ("given=", "given"),
        ("a.b.c", "a.b.c"),
        ("a.b.c", "a.b.c="),
        ("a.b.c", "a.b.c."),
        ("eya.b.ca", "eya.b.cb"),
    ];
    for (given, back) in cases {
        let read = answer::read(&with("access_token", json!(back)), given, None);
        assert!(read.is_err(), "{given} {back}");
    }
    let others = [
        ("given", "givenn"),
        ("eya.b.c", "eya.d.c"),
        ("a.b", "a.c"),
        ("v4.local.one", "v4.local.other"), // no JWT
    ];
    for (given, other) in others {
        let read = answer::read(&with("access_token", json!(other)), given, None);
        assert!(read.is_ok(), "{given} {other}");
    }
}

#[test]
fn a_token_is_not_shown() {
    let read = answer::read(&with("access_token", json!("hidden")), "given", None).unwrap();
    assert!(read.authorization.is_sensitive());
    assert!(!format!("{read:?} {:?}", read.authorization).contains("hidden"));
}
