//! Tokens that a stranger would try, and what becomes of each: algorithms, keys, headers,
//! spellings, signatures.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::jws::TOKEN_BYTES_MAX;
use super::minting::{
    KEYS, NOW, base64url, claims, claims_with, es256, good_token, issuer_of, outcome, verifier,
};
use crate::refusal::Refusal;

fn with_header(header: &str) -> Result<(), Refusal> {
    es256(header, &claims().to_string())
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
    let keys = [
        (&KEYS.es256, "ec"),
        (&KEYS.es384, "ec384"),
        (&KEYS.rsa, "rsa"),
        (&KEYS.eddsa, "ed"),
    ];
    let macs = [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ];
    for (key, kid) in keys {
        let der = key.public_der();
        let base64 = STANDARD.encode(&der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        let jwk = key.jwk(kid).to_string();
        let secrets = [
            &der,
            base64.as_bytes(),
            pem.as_bytes(),
            pem.trim().as_bytes(),
            jwk.as_bytes(),
            b"",
        ];
        for secret in secrets {
            for (alg, mac) in macs {
                let header = json!({"alg": alg, "kid": kid}).to_string();
                let signed = format!("{}.{}", base64url(header), base64url(claims().to_string()));
                let mac = hmac::sign(&hmac::Key::new(mac, secret), signed.as_bytes());
                let token = format!("{signed}.{}", base64url(mac.as_ref()));
                assert_eq!(outcome(&token), Err(Refusal::TokenAlgorithm), "{alg} {kid}");
            }
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
    let checked = verifier(&issuer_of(&two, None), None, false).check(&token, None, NOW);
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
        format!("{header}.{payload}.{}/", signature.get(1..).unwrap()),
        format!("{header}.{payload}.{}+", signature.get(1..).unwrap()),
        format!("{header}.{payload}.~{}", signature.get(1..).unwrap()),
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
            let token = format!("{header}.{payload}.{}{other}", signature.get(..85).unwrap());
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
    let cut = format!("{signed}.{}", signature.get(..84).unwrap());
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
    let checked = verifier(&issuer_of(&set, None), None, false).check(&token, None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenSignature));
}
