//! Tokens that a stranger would try, and what becomes of each.

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::issuer::{CacheCounts, Issuer};
use super::jws::TOKEN_BYTES_MAX;
use super::minting::{
    KEYS, LEEWAY, NOW, base64url, bearer, claims, claims_with, good_token, issuer_of, set, verifier,
};
use crate::identity::certificate::{PeerIdentity, peer_identity};
use crate::refusal::Refusal;

fn issuer() -> Arc<Issuer> {
    issuer_of(&set(), None)
}

/// What a route without wishes says to a token from a client without a certificate.
fn outcome(token: &str) -> Result<(), Refusal> {
    verifier(&issuer(), None, false)
        .check(&bearer(token), None, NOW)
        .map(drop)
}

fn es256(header: &str, payload: &str) -> Result<(), Refusal> {
    outcome(&KEYS.es256.token(header, payload))
}

fn with_header(header: &str) -> Result<(), Refusal> {
    es256(header, &claims().to_string())
}

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

/// Header and payload as they are, without a signature.
fn unsigned(header: &str) -> String {
    format!("{}.{}.", base64url(header), base64url(claims().to_string()))
}

#[test]
fn good_tokens_of_every_kind_of_key_pass() {
    let payload = claims().to_string();
    assert_eq!(outcome(&good_token()), Ok(()));
    assert_eq!(
        outcome(
            &KEYS
                .es384
                .token(r#"{"alg":"ES384","kid":"ec384"}"#, &payload)
        ),
        Ok(())
    );
    assert_eq!(
        outcome(&KEYS.eddsa.token(r#"{"alg":"EdDSA","kid":"ed"}"#, &payload)),
        Ok(())
    );
    assert_eq!(
        outcome(&KEYS.rsa.token(r#"{"alg":"RS256","kid":"rsa"}"#, &payload)),
        Ok(())
    );
    let header = base64url(r#"{"alg":"PS384","kid":"rsa"}"#);
    let signed = format!("{header}.{}", base64url(&payload));
    let ps384 = base64url(KEYS.rsa.sign_ps384(&signed));
    assert_eq!(outcome(&format!("{signed}.{ps384}")), Ok(()));
    assert_eq!(
        with_header(r#"{"alg":"ES256"}"#),
        Ok(()),
        "one key fits: no kid is needed"
    );
}

#[test]
fn the_subject_is_what_the_issuer_signed() {
    let checked = verifier(&issuer(), None, false).check(&bearer(&good_token()), None, NOW);
    let subject = checked.unwrap();
    assert_eq!(subject.issuer.as_str(), "corp");
    assert_eq!(subject.sub.as_deref(), Some("alice"));
    assert_eq!(subject.expires, NOW + 300);
    assert!(subject.has_scope("orders:read") && subject.has_scope("orders:list"));
    assert!(!subject.has_scope("orders") && !subject.has_scope(""));
    assert_eq!(Value::Object(subject.claims.clone()), claims());
}

#[test]
fn unsigned_tokens_are_refused_in_every_spelling() {
    for alg in ["none", "None", "NONE", "nOnE", "", "none ", "null"] {
        let header = json!({"alg": alg, "kid": "ec"}).to_string();
        assert_eq!(
            outcome(&unsigned(&header)),
            Err(Refusal::TokenAlgorithm),
            "{alg}"
        );
        assert_eq!(
            with_header(&header),
            Err(Refusal::TokenAlgorithm),
            "{alg}, signed"
        );
    }
    let odd = [
        (r#"{"kid":"ec"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":null}"#, Refusal::TokenMalformed),
        (r#"{"alg":["ES256"]}"#, Refusal::TokenMalformed),
        (r#"{"alg":"ES256"}"#, Refusal::TokenSignature),
    ];
    for (header, want) in odd {
        assert_eq!(outcome(&unsigned(header)), Err(want), "{header}");
    }
}

#[test]
fn public_keys_are_no_hmac_secrets() {
    let jwk = set()["keys"].to_string();
    let Value::Object(ec) = KEYS.es256.jwk("ec") else {
        unreachable!()
    };
    let x = ec["x"].as_str().unwrap().to_owned();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&x)
    );
    let modulus = KEYS.rsa.jwk("rsa")["n"].to_string();
    for secret in [
        jwk.as_bytes(),
        x.as_bytes(),
        pem.as_bytes(),
        modulus.as_bytes(),
        b"",
        b"secret",
    ] {
        for (alg, kid) in [
            ("HS256", "ec"),
            ("HS256", "rsa"),
            ("HS384", "rsa"),
            ("HS512", "ed"),
        ] {
            let header = json!({"alg": alg, "kid": kid}).to_string();
            let signed = format!("{}.{}", base64url(header), base64url(claims().to_string()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let mac = hmac::sign(&key, signed.as_bytes());
            let token = format!("{signed}.{}", base64url(mac.as_ref()));
            assert_eq!(outcome(&token), Err(Refusal::TokenAlgorithm), "{alg} {kid}");
        }
    }
}

#[test]
fn the_key_decides_the_algorithm() {
    let cases = [
        (r#"{"alg":"ES384","kid":"ec"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"RS256","kid":"ec"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"EdDSA","kid":"ec"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"ES256","kid":"ec384"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"ES256","kid":"rsa"}"#, Refusal::TokenAlgorithm),
        // A good algorithm that the operator did not write for this issuer.
        (r#"{"alg":"RS512","kid":"rsa"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"PS256","kid":"rsa"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"RS512"}"#, Refusal::TokenKeyUnknown),
        // The right key and algorithm, another key's signature.
        (r#"{"alg":"EdDSA","kid":"ed"}"#, Refusal::TokenSignature),
        (r#"{"alg":"PS384","kid":"rsa"}"#, Refusal::TokenSignature),
        (r#"{"alg":"es256","kid":"ec"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"ES256K","kid":"ec"}"#, Refusal::TokenAlgorithm),
        (r#"{"alg":"ES512","kid":"ec"}"#, Refusal::TokenAlgorithm),
    ];
    for (header, want) in cases {
        assert_eq!(with_header(header), Err(want), "{header}");
    }
    let rs256 = KEYS
        .rsa
        .token(r#"{"alg":"PS384","kid":"rsa"}"#, &claims().to_string());
    assert_eq!(
        outcome(&rs256),
        Err(Refusal::TokenSignature),
        "PKCS #1 padding as PSS"
    );
}

#[test]
fn a_kid_is_a_name_and_nothing_else() {
    let kids = [
        "",
        "EC",
        "ec ",
        " ec",
        "ec\0",
        "e",
        "ecc",
        "../../../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "https://evil.example/jwks.json",
        "' OR '1'='1",
        "ec' UNION SELECT 'x",
        "$(id)",
        "${jndi:ldap://x}",
        "\u{435}c",
        "0",
        "*",
        "%65%63",
    ];
    for kid in kids {
        let header = json!({"alg": "ES256", "kid": kid}).to_string();
        assert_eq!(
            with_header(&header),
            Err(Refusal::TokenKeyUnknown),
            "{kid:?}"
        );
    }
    for kid in [
        json!(1),
        json!(null),
        json!(["ec"]),
        json!({"ec": 1}),
        json!(true),
    ] {
        let header = json!({"alg": "ES256", "kid": kid}).to_string();
        assert_eq!(with_header(&header), Err(Refusal::TokenMalformed), "{kid}");
    }
    let long = json!({"alg": "ES256", "kid": "a".repeat(8000)}).to_string();
    assert_eq!(with_header(&long), Err(Refusal::TokenKeyUnknown));
}

#[test]
fn without_a_kid_keys_are_not_tried() {
    let two = json!({"keys": [KEYS.es256.jwk("a"), KEYS.stranger.jwk("b")]});
    let token = KEYS
        .es256
        .token(r#"{"alg":"ES256"}"#, &claims().to_string());
    let checked = verifier(&issuer_of(&two, None), None, false).check(&bearer(&token), None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenKeyUnknown));
}

#[test]
fn headers_that_want_more_than_a_signature_are_refused() {
    let stranger = KEYS.stranger.jwk("ec");
    let members = [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("jwk", stranger),
        ("jwk", json!({})),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
    ];
    for (name, value) in members {
        let header = json!({"alg": "ES256", "kid": "ec", name: value}).to_string();
        let stranger = KEYS.stranger.token(&header, &claims().to_string());
        assert_eq!(outcome(&stranger), Err(Refusal::TokenHeader), "{header}");
        assert_eq!(
            with_header(&header),
            Err(Refusal::TokenHeader),
            "{header}, well signed"
        );
    }
    for name in ["enc", "zip"] {
        let header = json!({"alg": "ES256", "kid": "ec", name: "DEF"}).to_string();
        assert_eq!(with_header(&header), Err(Refusal::TokenMalformed), "{name}");
    }
    assert_eq!(
        outcome("e30.e30.e30.e30.e30"),
        Err(Refusal::TokenMalformed),
        "a JWE"
    );
}

#[test]
fn broken_headers_are_refused() {
    let bad = [
        "",
        "{}x",
        "[]",
        "null",
        "\"ES256\"",
        "{",
        "\u{feff}{\"alg\":\"ES256\"}",
        r#"{"alg":"ES256","alg":"ES256"}"#,
        r#"{"alg":"none","alg":"ES256","kid":"ec"}"#,
        r#"{"alg":"ES256","\u0061lg":"none","kid":"ec"}"#,
        r#"{"alg":"ES256","kid":"ec","kid":"ec"}"#,
        r#"{"alg":"ES256","kid":"ec","typ":1}"#,
        r#"{"alg":"ES256","kid":"ec","x":{"y":1,"y":2}}"#,
    ];
    for header in bad {
        assert_eq!(
            with_header(header),
            Err(Refusal::TokenMalformed),
            "{header}"
        );
    }
}

#[test]
fn only_one_spelling_of_a_token_is_read() {
    let good = good_token();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    let malformed = [
        ".".into(),
        "..".into(),
        "...".into(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!("{good}="),
        format!("{good}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}AAA"),
        format!("{header}.{payload}.{}/", &signature[1..]),
        format!("{header}.{payload}.{}+", &signature[1..]),
        format!("{header}.{payload}.~{}", &signature[1..]),
        format!("A.{payload}.{signature}"),
        format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX)),
    ];
    for token in malformed {
        assert_eq!(outcome(&token), Err(Refusal::TokenMalformed), "{token}");
    }
    // 64 bytes are 86 characters, the last with four unused bits: each other value of them would
    // be a second spelling of the same signature.
    let last = signature.chars().last().unwrap();
    for other in ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_'])
    {
        if other != last {
            let token = format!("{header}.{payload}.{}{other}", &signature[..85]);
            let refusal = outcome(&token).unwrap_err();
            let canonical = matches!(other, 'A' | 'Q' | 'g' | 'w');
            let want = if canonical {
                Refusal::TokenSignature
            } else {
                Refusal::TokenMalformed
            };
            assert_eq!(refusal, want, "{other}");
        }
    }
    for whitespace in [' ', '\t'] {
        let token = format!("{header}.{payload}.{whitespace}{signature}");
        assert_eq!(outcome(&token), Err(Refusal::TokenMalformed));
    }
}

#[test]
fn wrong_signatures_are_refused() {
    let good = good_token();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let with = |bytes: &[u8]| outcome(&format!("{signed}.{}", base64url(bytes)));
    assert_eq!(
        with(&[0; 64]),
        Err(Refusal::TokenSignature),
        "r and s are zero (CVE-2022-21449)"
    );
    assert_eq!(with(&[]), Err(Refusal::TokenSignature));
    assert_eq!(with(&[0; 63]), Err(Refusal::TokenSignature));
    assert_eq!(with(&[0; 96]), Err(Refusal::TokenSignature));
    assert_eq!(
        with(&KEYS.es384.sign(signed)),
        Err(Refusal::TokenSignature),
        "another curve"
    );
    assert_eq!(
        with(&KEYS.stranger.sign(signed)),
        Err(Refusal::TokenSignature),
        "another key"
    );
    assert_eq!(
        with(&KEYS.rsa.sign(signed)),
        Err(Refusal::TokenSignature),
        "another kind"
    );
    assert_eq!(
        with(b"\x30\x06\x02\x01\x01\x02\x01\x01"),
        Err(Refusal::TokenSignature),
        "DER"
    );
    let cut = format!("{signed}.{}", &signature[..84]);
    assert_eq!(outcome(&cut), Err(Refusal::TokenSignature), "cut short");

    let payload = claims_with("sub", Some(json!("root")));
    let header = signed.split_once('.').unwrap().0;
    let tampered = format!("{header}.{}.{signature}", base64url(payload));
    assert_eq!(
        outcome(&tampered),
        Err(Refusal::TokenSignature),
        "another payload"
    );
}

#[test]
fn a_right_signature_in_der_is_refused() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let point = aws_lc_rs::signature::KeyPair::public_key(&pair)
        .as_ref()
        .to_vec();
    let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y}]});
    let signed = format!(
        "{}.{}",
        base64url(r#"{"alg":"ES256"}"#),
        base64url(claims().to_string())
    );
    let der = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", base64url(der.as_ref()));
    let checked = verifier(&issuer_of(&set, None), None, false).check(&bearer(&token), None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenSignature));
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
fn the_route_says_which_type() {
    let issuer = issuer();
    let check = |header_typ: &str, want: Option<&str>| {
        let header = json!({"alg": "ES256", "kid": "ec", "typ": header_typ}).to_string();
        let token = KEYS.es256.token(&header, &claims().to_string());
        let verifier = verifier(&issuer, want, false);
        let first = verifier.check(&bearer(&token), None, NOW).map(drop);
        let cached = verifier.check(&bearer(&token), None, NOW).map(drop);
        assert_eq!(first, cached, "the cache makes no difference");
        first
    };
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/AT+jwt",
    ] {
        assert_eq!(check(typ, Some("at+jwt")), Ok(()), "{typ}");
        assert_eq!(check(typ, Some("application/at+JWT")), Ok(()), "{typ}");
        assert_eq!(check(typ, None), Ok(()), "{typ}");
    }
    for typ in [
        "JWT",
        "",
        "at+jwt ",
        "text/at+jwt",
        "application/application/at+jwt",
    ] {
        assert_eq!(check(typ, Some("at+jwt")), Err(Refusal::TokenType), "{typ}");
    }
    let none = KEYS
        .es256
        .token(r#"{"alg":"ES256","kid":"ec"}"#, &claims().to_string());
    let checked = verifier(&issuer, Some("at+jwt"), false).check(&bearer(&none), None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenType));
}

/// Two clients with certificates of their own.
fn two_peers() -> [PeerIdentity; 2] {
    ["a.example", "b.example"].map(|name| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        peer_identity(made.cert.der()).unwrap()
    })
}

#[test]
fn a_bound_token_is_good_only_with_its_certificate() {
    let [alice, mallory] = two_peers();
    let issuer = issuer();
    let thumbprint = alice.fingerprint.to_base64url();
    let payload = claims_with("cnf", Some(json!({"x5t#S256": thumbprint})));
    let token = KEYS.es256.token(r#"{"alg":"ES256","kid":"ec"}"#, &payload);
    for asked_for in [true, false] {
        let verifier = verifier(&issuer, None, asked_for);
        let check = |peer| verifier.check(&bearer(&token), peer, NOW).map(drop);
        // Twice, and in turns: what is cached is not that the binding held.
        for _ in 0..2 {
            assert_eq!(check(Some(&alice)), Ok(()));
            assert_eq!(check(Some(&mallory)), Err(Refusal::TokenOfAnotherPeer));
            assert_eq!(check(None), Err(Refusal::TokenOfAnotherPeer));
        }
    }
    assert_eq!(issuer.cached_tokens(), 1);
}

#[test]
fn a_route_that_wants_bound_tokens_takes_no_others() {
    let [alice, _] = two_peers();
    let thumbprint = alice.fingerprint.to_base64url();
    let issuer = issuer();
    let check = |cnf: Option<Value>, bound| {
        let payload = claims_with("cnf", cnf);
        let token = KEYS.es256.token(r#"{"alg":"ES256","kid":"ec"}"#, &payload);
        verifier(&issuer, None, bound)
            .check(&bearer(&token), Some(&alice), NOW)
            .map(drop)
    };
    assert_eq!(check(None, true), Err(Refusal::TokenUnbound));
    assert_eq!(check(None, false), Ok(()));
    let hex = alice.fingerprint.to_string();
    let bad = [
        // Proofs that we cannot check: no plain bearer tokens either.
        (json!({}), Refusal::TokenOfAnotherPeer),
        (
            json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
            Refusal::TokenOfAnotherPeer,
        ),
        (json!({"jwk": {}}), Refusal::TokenOfAnotherPeer),
        (json!({"kid": "x"}), Refusal::TokenOfAnotherPeer),
        (
            json!({"x5t#S256": thumbprint, "jkt": "x"}),
            Refusal::TokenOfAnotherPeer,
        ),
        (json!({"X5T#S256": thumbprint}), Refusal::TokenOfAnotherPeer),
        (
            json!({"x5t#S256": base64url([0; 32])}),
            Refusal::TokenOfAnotherPeer,
        ),
        (json!({"x5t#S256": hex}), Refusal::TokenMalformed),
        (json!({"x5t#S256": ""}), Refusal::TokenMalformed),
        (
            json!({"x5t#S256": format!("{thumbprint}=")}),
            Refusal::TokenMalformed,
        ),
        (
            json!({"x5t#S256": base64url([0; 31])}),
            Refusal::TokenMalformed,
        ),
        (json!({"x5t#S256": null}), Refusal::TokenMalformed),
        (json!(thumbprint), Refusal::TokenMalformed),
        (json!(null), Refusal::TokenMalformed),
        (json!([]), Refusal::TokenMalformed),
    ];
    for (cnf, want) in bad {
        assert_eq!(check(Some(cnf.clone()), true), Err(want), "{cnf}");
        assert_eq!(
            check(Some(cnf.clone()), false),
            Err(want),
            "{cnf}, not asked for"
        );
    }
}

#[test]
fn a_token_is_verified_once_and_forgotten_at_its_end() {
    let issuer = issuer();
    let verifier = verifier(&issuer, None, false);
    let headers = bearer(&good_token());
    let first = verifier.check(&headers, None, NOW).unwrap();
    let second = verifier.check(&headers, None, NOW + 299).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "the same facts");
    assert_eq!(issuer.cache_counts(), CacheCounts { hits: 1, misses: 1 });
    // Between `exp` and the leeway the token is good but no longer remembered.
    assert!(verifier.check(&headers, None, NOW + 300).is_ok());
    assert_eq!(issuer.cache_counts(), CacheCounts { hits: 1, misses: 2 });
    assert_eq!(issuer.cached_tokens(), 0);
    let late = verifier.check(&headers, None, NOW + 300 + LEEWAY);
    assert_eq!(late.err(), Some(Refusal::TokenExpired));
}

#[test]
fn a_remembered_token_is_still_not_valid_before_its_time() {
    let issuer = issuer();
    let verifier = verifier(&issuer, None, false);
    let headers = bearer(&good_token());
    assert!(verifier.check(&headers, None, NOW).is_ok());
    let early = verifier.check(&headers, None, NOW - 10 - LEEWAY - 1);
    assert_eq!(early.err(), Some(Refusal::TokenNotYetValid));
    assert_eq!(issuer.cache_counts().hits, 1);
}

#[test]
fn refused_tokens_are_not_remembered() {
    let issuer = issuer();
    let verifier = verifier(&issuer, None, false);
    let token = KEYS
        .stranger
        .token(r#"{"alg":"ES256","kid":"ec"}"#, &claims().to_string());
    for _ in 0..3 {
        let checked = verifier.check(&bearer(&token), None, NOW);
        assert_eq!(checked.err(), Some(Refusal::TokenSignature));
    }
    assert_eq!(issuer.cached_tokens(), 0);
    assert_eq!(issuer.cache_counts(), CacheCounts { hits: 0, misses: 3 });
}

#[test]
fn the_cache_outlives_a_reload_only_if_nothing_changed() {
    let first = issuer();
    let headers = bearer(&good_token());
    verifier(&first, None, false)
        .check(&headers, None, NOW)
        .unwrap();
    let same = issuer_of(&set(), Some(&first));
    assert!(same.is_same(&first));
    assert_eq!(same.cached_tokens(), 1);
    verifier(&same, None, false)
        .check(&headers, None, NOW)
        .unwrap();
    assert_eq!(same.cache_counts(), CacheCounts { hits: 1, misses: 1 });

    // The key is taken away: the token that was remembered is not let in again.
    let rotated = issuer_of(&json!({"keys": [KEYS.stranger.jwk("new")]}), Some(&same));
    assert!(!rotated.is_same(&same));
    assert_eq!(rotated.cached_tokens(), 0);
    assert_eq!(
        rotated.cache_counts(),
        CacheCounts { hits: 1, misses: 1 },
        "counters go on"
    );
    let checked = verifier(&rotated, None, false).check(&headers, None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenKeyUnknown));

    // Another key under the same name, and a key under another algorithm.
    let swapped = issuer_of(&json!({"keys": [KEYS.stranger.jwk("ec")]}), Some(&same));
    let checked = verifier(&swapped, None, false).check(&headers, None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenSignature));
    let mut spec = super::minting::issuer_spec();
    spec.audiences = vec!["other-api".into()];
    let text = set().to_string();
    let other = Issuer::new(same.name(), &spec, text.as_bytes(), Some(&same)).unwrap();
    let checked = verifier(&Arc::new(other), None, false).check(&headers, None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenAudience));
}

#[test]
fn a_rehearsal_assumes_only_what_the_claims_do_not_say() {
    let [alice, _] = two_peers();
    let check = |claims: Value, bound, peer| {
        let verifier = verifier(&issuer(), None, bound);
        verifier
            .rehearse(claims.as_object().unwrap(), peer, NOW)
            .map(drop)
    };
    assert_eq!(check(json!({"scope": "a"}), false, None), Ok(()));
    assert_eq!(check(json!({"scope": "a"}), true, Some(&alice)), Ok(()));
    assert_eq!(
        check(json!({"scope": "a"}), true, None),
        Err(Refusal::TokenUnbound)
    );
    assert_eq!(
        check(json!({"aud": "x"}), false, None),
        Err(Refusal::TokenAudience)
    );
    assert_eq!(
        check(json!({"iss": "x"}), false, None),
        Err(Refusal::TokenIssuer)
    );
    assert_eq!(
        check(json!({"exp": 1}), false, None),
        Err(Refusal::TokenExpired)
    );
    let foreign = json!({"cnf": {"x5t#S256": base64url([7; 32])}});
    assert_eq!(
        check(foreign, true, Some(&alice)),
        Err(Refusal::TokenOfAnotherPeer)
    );
}
