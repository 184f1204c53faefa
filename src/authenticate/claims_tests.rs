//! Payloads that are well signed, and what becomes of each.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::minting::{
    KEYS, LEEWAY, NOW, claims, claims_with, es256, good_token, issuer, issuer_with, verifier,
};
use crate::config::spec::IssuerSpec;
use crate::config::token::SubjectsSpec;
use crate::identity::subject::Subject;
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
        (json!({"scp": ["a", "b c"]}), Ok(vec!["a"])),
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

fn with_rules(
    claims: &Value,
    change: impl FnOnce(&mut IssuerSpec),
) -> Result<Arc<Subject>, Refusal> {
    let header = r#"{"alg":"ES256","kid":"ec"}"#;
    let token = KEYS.es256.token(header, &claims.to_string());
    verifier(&issuer_with(change), None, false).check(&token, None, NOW)
}

#[test]
fn an_access_token_of_rfc_9068_has_all_that_it_requires() {
    let check = |name: &str, value: Option<Value>| {
        let header = r#"{"alg":"ES256","kid":"ec","typ":"at+jwt"}"#;
        let token = KEYS.es256.token(header, &claims_with(name, value));
        let by_route = verifier(&issuer(), Some("application/at+jwt"), false);
        let by_issuer = issuer_with(|spec| spec.profile.typ = Some("at+JWT".into()));
        let by_issuer = verifier(&by_issuer, None, false);
        let first = by_route.check(&token, None, NOW).map(drop);
        for verifier in [&by_route, &by_issuer] {
            assert_eq!(verifier.check(&token, None, NOW).map(drop), first, "{name}");
        }
        let lax = verifier(&issuer(), None, false).check(&token, None, NOW);
        (first, lax.map(drop))
    };
    assert_eq!(check("x", Some(json!(1))), (Ok(()), Ok(())));
    let incomplete = Err(Refusal::TokenIncomplete);
    for name in ["sub", "client_id", "iat", "jti"] {
        assert_eq!(check(name, None), (incomplete, Ok(())), "without {name}");
    }
    for name in ["client_id", "jti"] {
        for value in [
            json!(1),
            json!(null),
            json!(["shop"]),
            json!({}),
            json!(true),
        ] {
            assert_eq!(
                check(name, Some(value.clone())),
                (incomplete, Ok(())),
                "{name} {value}"
            );
        }
    }
    for name in ["iss", "exp", "aud"] {
        let (strict, lax) = check(name, None);
        assert!(strict.is_err() && lax.is_err(), "without {name}");
    }
}

#[test]
fn a_token_is_as_old_as_iat_says() {
    let aged = |iat: Option<Value>, max_age| {
        let mut claims = claims();
        match iat {
            Some(iat) => claims["iat"] = iat,
            None => drop(claims.as_object_mut().unwrap().remove("iat")),
        }
        let max_age = Some(Duration::from_secs(max_age));
        with_rules(&claims, |spec| spec.profile.max_age = max_age).map(drop)
    };
    let hour = 3600;
    let good = [NOW, NOW - hour, NOW - hour - LEEWAY + 1, NOW + LEEWAY];
    for iat in good {
        assert_eq!(aged(Some(json!(iat)), hour), Ok(()), "{iat}");
    }
    let bad = [
        (Some(json!(NOW - hour - LEEWAY)), Refusal::TokenTooOld),
        (Some(json!(0)), Refusal::TokenTooOld),
        (Some(json!(NOW + LEEWAY + 1)), Refusal::TokenNotYetValid),
        (None, Refusal::TokenIncomplete),
        (Some(json!("1")), Refusal::TokenMalformed),
    ];
    for (iat, want) in bad {
        assert_eq!(aged(iat.clone(), hour), Err(want), "{iat:?}");
    }
    // A remembered token grows old as well.
    let issuer = issuer_with(|spec| spec.profile.max_age = Some(Duration::from_secs(60)));
    let verifier = verifier(&issuer, None, false);
    let token = good_token();
    assert_eq!(verifier.check(&token, None, NOW).map(drop), Ok(()));
    assert_eq!(verifier.check(&token, None, NOW + 79).map(drop), Ok(()));
    let late = verifier.check(&token, None, NOW + 80).map(drop);
    assert_eq!(late, Err(Refusal::TokenTooOld));
    assert_eq!(issuer.lookups(), (2, 1));
}

#[test]
fn scopes_come_from_the_claims_that_the_operator_names_and_from_no_other() {
    let cases = [
        (
            "permissions",
            json!({"permissions": ["a", "b"], "scope": "admin"}),
            Ok(vec!["a", "b"]),
        ),
        (
            "roles",
            json!({"roles": "a  b", "scp": "admin"}),
            Ok(vec!["a", "b"]),
        ),
        (
            "/realm_access/roles",
            json!({"realm_access": {"roles": ["a"]}}),
            Ok(vec!["a"]),
        ),
        (
            "https://e.com/s",
            json!({"https://e.com/s": ["a"], "scope": "b"}),
            Ok(vec!["a"]),
        ),
        (
            "roles",
            json!({"scope": "admin", "scp": ["admin"]}),
            Ok(vec![]),
        ),
        ("roles", json!({"roles": []}), Ok(vec![])),
        (
            "roles",
            json!({"roles": ["a", 1]}),
            Err(Refusal::TokenMalformed),
        ),
        (
            "roles",
            json!({"roles": {"a": true}}),
            Err(Refusal::TokenMalformed),
        ),
        (
            "roles",
            json!({"roles": null}),
            Err(Refusal::TokenMalformed),
        ),
        (
            "scp roles",
            json!({"scp": "a", "roles": ["b"], "scope": "c"}),
            Ok(vec!["a", "b"]),
        ),
        ("scp roles", json!({"roles": ["b"]}), Ok(vec!["b"])),
    ];
    for (names, given, want) in cases {
        let mut all = claims();
        all.as_object_mut().unwrap().remove("scope");
        for (name, value) in given.as_object().unwrap() {
            all[name] = value.clone();
        }
        let paths = names.split(' ').map(|name| name.parse().unwrap()).collect();
        let came = with_rules(&all, |spec| spec.profile.scopes_claims = paths);
        let came = came.map(|subject| subject.scopes.iter().map(String::from).collect::<Vec<_>>());
        let want = want.map(|list| list.into_iter().map(String::from).collect());
        assert_eq!(came, want, "{names} {given}");
    }
}

#[test]
fn a_workload_is_of_its_trust_domain_whatever_else_it_says() {
    let check = |sub: Option<Value>, iss: Option<&str>, asks_for_iss: bool, header: &str| {
        let mut all = claims();
        let map = all.as_object_mut().unwrap();
        map.remove("sub");
        map.remove("iss");
        sub.map(|sub| map.insert("sub".into(), sub));
        iss.map(|iss| map.insert("iss".into(), json!(iss)));
        let issuer = issuer_with(|spec| {
            spec.profile.subjects = SubjectsSpec::Workloads {
                of: "mesh.example".parse().unwrap(),
                iss: asks_for_iss,
            };
        });
        let token = KEYS.es256.token(header, &all.to_string());
        verifier(&issuer, None, false)
            .check(&token, None, NOW)
            .map(drop)
    };
    let header = r#"{"alg":"ES256","kid":"ec"}"#;
    let own = Some("https://id.example.com");
    let good = json!("spiffe://mesh.example/ns/shop/sa/web");
    for iss in [None, Some("https://spire.example"), own] {
        assert_eq!(
            check(Some(good.clone()), iss, false, header),
            Ok(()),
            "{iss:?}"
        );
        let want = if iss == own {
            Ok(())
        } else {
            Err(Refusal::TokenIssuer)
        };
        assert_eq!(
            check(Some(good.clone()), iss, true, header),
            want,
            "{iss:?}"
        );
    }
    let bad = [
        json!("spiffe://other.example/ns/shop/sa/web"),
        json!("spiffe://mesh.example.evil/x"),
        json!("spiffe://mesh.example"),
        json!("spiffe://MESH.example/x"),
        json!("spiffe://mesh.example/../x"),
        json!("mesh.example/x"),
        json!(""),
    ];
    for sub in bad {
        let came = check(Some(sub.clone()), own, true, header);
        assert_eq!(came, Err(Refusal::TokenIssuer), "{sub}");
        let came = check(Some(sub.clone()), None, false, header);
        assert_eq!(came, Err(Refusal::TokenIssuer), "{sub}, without iss");
    }
    assert_eq!(check(None, own, true, header), Err(Refusal::TokenIssuer));
    for (typ, want) in [
        ("JWT", Ok(())),
        ("JOSE", Ok(())),
        ("at+jwt", Err(Refusal::TokenType)),
        ("", Err(Refusal::TokenType)),
    ] {
        let header = json!({"alg": "ES256", "kid": "ec", "typ": typ}).to_string();
        assert_eq!(
            check(Some(good.clone()), None, false, &header),
            want,
            "{typ}"
        );
    }
}
