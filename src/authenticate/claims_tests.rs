//! Payloads that are well signed, and what becomes of each.

use serde_json::{Value, json};

use super::minting::{LEEWAY, NOW, claims, claims_with, es256, good_token, issuer, verifier};
use crate::refusal::Refusal;

fn with_claim(name: &str, value: impl Into<Option<Value>>) -> Result<(), Refusal> {
    es256(
        r#"{"alg":"ES256","kid":"ec"}"#,
        &claims_with(name, value.into()),
    )
}

/// A good payload in which the texts `"WHAT"` are replaced: for what `Value` cannot hold.
fn with_text(what: &str) -> Result<(), Refusal> {
    let payload = claims_with("hole", Some(json!("WHAT"))).replace("\"hole\":\"WHAT\"", what);
    assert!(payload.contains(what));
    es256(r#"{"alg":"ES256","kid":"ec"}"#, &payload)
}

#[test]
fn payloads_with_two_meanings_are_refused() {
    let twice = format!("\"exp\":{}", NOW + 9_000);
    let texts = [
        twice.as_str(),
        "\"\\u0065xp\":1",
        "\"iss\":\"https://id.example.com\"",
        "\"x\":{\"a\":1,\"a\":2}",
        "\"x\":1e400",
        "\"x\":-1e400",
        "\"x\":NaN",
        "\"x\":\"\\ud800\"",
    ];
    for text in texts {
        assert_eq!(with_text(text), Err(Refusal::TokenMalformed), "{text}");
    }
    let deep = format!("\"x\":{}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(with_text(&deep), Err(Refusal::TokenMalformed), "nested");
    for payload in ["", "[]", "null", "1", "\"\"", "{} {}", "{"] {
        let header = r#"{"alg":"ES256","kid":"ec"}"#;
        assert_eq!(
            es256(header, payload),
            Err(Refusal::TokenMalformed),
            "{payload}"
        );
    }
}

#[test]
fn times_are_numbers_within_bounds_and_hold() {
    let now = i64::try_from(NOW).unwrap();
    let leeway = i64::try_from(LEEWAY).unwrap();
    let good = [
        ("exp", json!(now + 1)),
        ("exp", json!(now - leeway + 1)),
        ("exp", json!(1_800_000_000.5)),
        ("exp", json!(9_999_999_999_u64)),
        ("nbf", json!(now + leeway)),
        ("iat", json!(now + leeway)),
        ("nbf", json!(0)),
        ("iat", json!(1e9)),
    ];
    for (name, value) in good {
        assert_eq!(with_claim(name, value.clone()), Ok(()), "{name} {value}");
    }
    for name in ["nbf", "iat", "sub", "scope"] {
        assert_eq!(with_claim(name, None), Ok(()), "without {name}");
    }
    let bad = [
        ("exp", json!(now - leeway), Refusal::TokenExpired),
        ("exp", json!(0), Refusal::TokenExpired),
        (
            "exp",
            json!(f64::from(1_799_999_970) + 0.9),
            Refusal::TokenExpired,
        ),
        ("nbf", json!(now + leeway + 1), Refusal::TokenNotYetValid),
        (
            "nbf",
            json!(f64::from(1_800_000_030) + 0.1),
            Refusal::TokenNotYetValid,
        ),
        ("iat", json!(now + leeway + 1), Refusal::TokenNotYetValid),
        ("exp", json!(-1), Refusal::TokenMalformed),
        ("exp", json!(-0.5), Refusal::TokenMalformed),
        ("exp", json!(1e300), Refusal::TokenMalformed),
        ("exp", json!(u64::MAX), Refusal::TokenMalformed),
        ("exp", json!(NOW * 1_000_000), Refusal::TokenMalformed),
        (
            "exp",
            json!((NOW + 300).to_string()),
            Refusal::TokenMalformed,
        ),
        ("exp", json!(null), Refusal::TokenMalformed),
        ("exp", json!([NOW + 300]), Refusal::TokenMalformed),
        ("exp", json!(true), Refusal::TokenMalformed),
        ("nbf", json!("0"), Refusal::TokenMalformed),
        ("nbf", json!(-1), Refusal::TokenMalformed),
        ("iat", json!({}), Refusal::TokenMalformed),
    ];
    for (name, value, want) in bad {
        assert_eq!(with_claim(name, value.clone()), Err(want), "{name} {value}");
    }
    assert_eq!(
        with_claim("exp", None),
        Err(Refusal::TokenExpired),
        "no end"
    );
}

#[test]
fn issuer_and_audience_are_exact() {
    let good = [
        json!("orders-api"),
        json!(["x", "orders-api"]),
        json!(["other-api"]),
    ];
    for value in good {
        assert_eq!(with_claim("aud", value.clone()), Ok(()), "{value}");
    }
    let bad = [
        ("aud", json!("Orders-api"), Refusal::TokenAudience),
        ("aud", json!("orders-api "), Refusal::TokenAudience),
        ("aud", json!("x orders-api"), Refusal::TokenAudience),
        ("aud", json!([]), Refusal::TokenAudience),
        ("aud", json!(["x"]), Refusal::TokenAudience),
        ("aud", json!(""), Refusal::TokenAudience),
        ("aud", json!([["orders-api"]]), Refusal::TokenMalformed),
        ("aud", json!(["orders-api", 1]), Refusal::TokenMalformed),
        ("aud", json!({"orders-api": 1}), Refusal::TokenMalformed),
        ("aud", json!(null), Refusal::TokenMalformed),
        (
            "iss",
            json!("https://id.example.com/"),
            Refusal::TokenIssuer,
        ),
        ("iss", json!("https://ID.example.com"), Refusal::TokenIssuer),
        ("iss", json!("https://evil.example"), Refusal::TokenIssuer),
        ("iss", json!(""), Refusal::TokenIssuer),
        (
            "iss",
            json!(["https://id.example.com"]),
            Refusal::TokenMalformed,
        ),
        ("sub", json!(1), Refusal::TokenMalformed),
        ("scope", json!(["orders:read"]), Refusal::TokenMalformed),
    ];
    for (name, value, want) in bad {
        assert_eq!(with_claim(name, value.clone()), Err(want), "{name} {value}");
    }
    assert_eq!(with_claim("aud", None), Err(Refusal::TokenAudience));
    assert_eq!(with_claim("iss", None), Err(Refusal::TokenIssuer));
}

#[test]
fn scopes_come_from_scope_or_else_from_scp() {
    let cases = [
        (json!({"scope": "a  b"}), Ok(vec!["a", "b"])),
        (json!({"scope": ""}), Ok(vec![])),
        (json!({"scp": "a b"}), Ok(vec!["a", "b"])),
        (json!({"scp": ["a", "b c"]}), Ok(vec!["a", "b c"])),
        (json!({"scope": "a", "scp": ["admin"]}), Ok(vec!["a"])),
        (json!({}), Ok(vec![])),
        (json!({"scp": ["a", 1]}), Err(Refusal::TokenMalformed)),
        (json!({"scp": {"a": 1}}), Err(Refusal::TokenMalformed)),
        (json!({"scope": 1}), Err(Refusal::TokenMalformed)),
    ];
    let verifier = verifier(&issuer(), None, false);
    for (claims, want) in cases {
        let got = verifier.rehearse(claims.as_object().unwrap(), None, NOW);
        let got = got.map(|subject| subject.scopes.iter().map(ToString::to_string).collect());
        let want: Result<Vec<String>, _> =
            want.map(|list| list.into_iter().map(Into::into).collect());
        assert_eq!(got, want, "{claims}");
    }
}

#[test]
fn the_subject_is_what_the_issuer_signed() {
    let checked = verifier(&issuer(), None, false).check(&good_token(), None, NOW);
    let subject = checked.unwrap();
    assert_eq!(subject.issuer.as_str(), "corp");
    assert_eq!(subject.sub.as_deref(), Some("alice"));
    assert_eq!(subject.expires, NOW + 300);
    assert!(subject.has_scope("orders:read") && subject.has_scope("orders:list"));
    assert!(!subject.has_scope("orders") && !subject.has_scope(""));
    assert_eq!(Value::Object((*subject.claims).clone()), claims());
}

#[test]
fn long_tokens_are_refused_whatever_they_say() {
    let padded = |length: usize| with_claim("pad", json!("a".repeat(length)));
    assert_eq!(padded(11_000), Ok(()));
    assert_eq!(padded(13_000), Err(Refusal::TokenMalformed));
}
