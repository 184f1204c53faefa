//! Key sets that an operator could hand us, and what becomes of each.

use serde_json::{Value, json};

use super::jwks::{FILE_BYTES_MAX, JwksError, KeySet};
use super::minting::{KEYS, base64url, issuer_of, issuer_spec};

fn read(set: &Value) -> Result<KeySet, JwksError> {
    KeySet::read(set.to_string().as_bytes(), &issuer_spec().algorithms)
}

/// Why a set with this one key is refused.
fn why(key: &Value) -> String {
    read(&json!({"keys": [key]})).unwrap_err().to_string()
}

fn changed(mut key: Value, name: &str, value: impl Into<Option<Value>>) -> Value {
    let map = key.as_object_mut().unwrap();
    match value.into() {
        Some(value) => map.insert(name.into(), value),
        None => map.remove(name),
    };
    key
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let (ec, rsa, ed) = (KEYS.es256.jwk("k"), KEYS.rsa.jwk("k"), KEYS.eddsa.jwk("k"));
    let other_y = KEYS.stranger.jwk("k")["y"].clone();
    let cases = [
        (json!({"kty": "oct", "k": "AAAA", "kid": "k"}), "symmetric"),
        (changed(ec.clone(), "d", json!("AAAA")), "private"),
        (changed(rsa.clone(), "p", json!("AAAA")), "private"),
        (
            changed(ec.clone(), "use", json!("enc")),
            "`use` is not \"sig\"",
        ),
        (changed(ec.clone(), "use", json!(1)), "`use` is not a text"),
        (
            changed(ec.clone(), "key_ops", json!(["encrypt"])),
            "key_ops",
        ),
        (changed(ec.clone(), "key_ops", json!([])), "key_ops"),
        (changed(ec.clone(), "key_ops", json!("verify")), "key_ops"),
        (changed(ec.clone(), "kty", json!("ec")), "`kty`"),
        (changed(ec.clone(), "kty", None), "`kty`"),
        (changed(ec.clone(), "kty", json!("RSA")), "no `n`"),
        (
            changed(ec.clone(), "crv", json!("P-384")),
            "length of its curve",
        ),
        (changed(ec.clone(), "crv", json!("P-521")), "`crv`"),
        (changed(ec.clone(), "crv", json!("secp256k1")), "`crv`"),
        (changed(ec.clone(), "y", other_y), "no point"),
        (changed(ec.clone(), "y", None), "no `y`"),
        (
            changed(ec.clone(), "x", json!(base64url([0; 31]))),
            "length of its curve",
        ),
        (changed(ec.clone(), "x", json!("+/==")), "base64url"),
        (changed(ec.clone(), "alg", json!("ES384")), "`alg`"),
        (changed(ec.clone(), "alg", json!("HS256")), "`alg`"),
        (changed(ec.clone(), "alg", json!("none")), "`alg`"),
        (changed(ec.clone(), "alg", json!("RS256")), "`alg`"),
        (changed(rsa.clone(), "alg", json!("RSA-OAEP")), "`alg`"),
        (
            changed(rsa.clone(), "alg", json!("PS512")),
            "not among the issuer's",
        ),
        (
            changed(rsa.clone(), "n", json!(base64url([0xFF; 64]))),
            "less than 2048 bits",
        ),
        (
            changed(rsa.clone(), "n", json!(base64url([0xFF; 128]))),
            "less than 2048 bits",
        ),
        (changed(rsa.clone(), "e", json!("AQ")), "exponent"),
        (changed(rsa, "e", json!("Aw")), "exponent"),
        (changed(ed.clone(), "crv", json!("Ed448")), "Ed25519"),
        (changed(ed.clone(), "crv", json!("X25519")), "Ed25519"),
        (
            changed(ed.clone(), "x", json!(base64url([1; 31]))),
            "32 bytes",
        ),
        (changed(ed, "x", json!(base64url([0; 32]))), "small order"),
        (changed(ec, "kid", json!(7)), "`kid` is not a text"),
        (json!("key"), "not an object"),
    ];
    for (key, want) in cases {
        let text = why(&key);
        assert!(text.contains(want), "{key}\n{text}\nwant {want}");
    }
}

#[test]
fn the_message_says_what_is_wrong_and_what_to_do() {
    let set = json!({"keys": [
        {"kty": "oct", "k": "AAAA", "kid": "old\n\u{1b}[31m"},
        {"kty": "EC", "crv": "P-521"},
    ]});
    let error = read(&set).unwrap_err();
    assert_eq!(
        error.what(),
        "the key set has no usable key (keys[0] (kid \"old\\n\\u{1b}[31m\"): it is symmetric: who \
         can verify with it can also sign; keys[1]: its `crv` is not P-256 or P-384)"
    );
    assert_eq!(
        error.hint(),
        "write a public key of the issuer for ES256, ES384, EdDSA, RS256, PS384"
    );
    let empty = read(&json!({"keys": []})).unwrap_err().to_string();
    assert!(empty.contains("(it is empty)"), "{empty}");
    let many: Vec<_> = (0..20).map(|_| json!({"kty": "oct"})).collect();
    let text = read(&json!({"keys": many})).unwrap_err().to_string();
    assert!(
        text.contains("keys[7]") && text.contains("and 12 more"),
        "{text}"
    );
    assert!(!text.contains("keys[8]"), "{text}");
}

#[test]
fn one_usable_key_is_enough_and_the_others_are_told() {
    let set = json!({"keys": [
        {"kty": "oct", "k": "AAAA", "kid": "secret"},
        KEYS.es256.jwk("ec"),
        changed(KEYS.rsa.jwk("enc"), "use", json!("enc")),
    ]});
    let issuer = issuer_of(&set, None);
    let told: Vec<_> = issuer
        .ignored_keys()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("keys[0] (kid \"secret\"): it is symmetric"),
        "{}",
        told[0]
    );
    assert!(
        told[1].starts_with("keys[2] (kid \"enc\"): its `use`"),
        "{}",
        told[1]
    );
}

#[test]
fn sets_that_are_no_sets_are_refused() {
    let algorithms = issuer_spec().algorithms;
    let read = |text: &str| KeySet::read(text.as_bytes(), &algorithms).unwrap_err();
    let not_json = [
        "",
        "{",
        "[]",
        "null",
        "keys: []",
        "{\"keys\":[]}x",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"EC\",\"kty\":\"EC\"}]}",
        "-----BEGIN PUBLIC KEY-----",
    ];
    for text in not_json {
        assert!(matches!(read(text), JwksError::NotJson(_)), "{text}");
    }
    for text in [
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":null}",
        "{\"Keys\":[]}",
        "{\"kty\":\"EC\"}",
    ] {
        assert_eq!(read(text), JwksError::NoList, "{text}");
    }
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "a".repeat(FILE_BYTES_MAX));
    assert!(matches!(read(&large), JwksError::TooLarge(_)));
    let many = json!({"keys": vec![json!({}); 101]}).to_string();
    assert_eq!(read(&many), JwksError::TooManyKeys(101));
}

#[test]
fn a_name_that_two_keys_have_is_refused_also_if_one_is_unusable() {
    let sets = [
        json!({"keys": [KEYS.es256.jwk("a"), KEYS.stranger.jwk("a")]}),
        json!({"keys": [KEYS.es256.jwk("a"), KEYS.es256.jwk("a")]}),
        json!({"keys": [{"kty": "oct", "kid": "a"}, KEYS.es256.jwk("a")]}),
    ];
    for set in sets {
        assert_eq!(read(&set).unwrap_err(), JwksError::DuplicateKid("a".into()));
    }
    let nameless = |key: &Value| changed(key.clone(), "kid", None);
    let set = json!({"keys": [nameless(&KEYS.es256.jwk("")), nameless(&KEYS.es384.jwk(""))]});
    assert!(read(&set).is_ok(), "keys need no name");
}

#[test]
fn a_leading_zero_does_not_change_an_rsa_key() {
    let rsa = KEYS.rsa.jwk("rsa");
    let Ok(modulus) = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        rsa["n"].as_str().unwrap(),
    ) else {
        panic!("a modulus")
    };
    let padded = [&[0], modulus.as_slice()].concat();
    let padded = changed(rsa.clone(), "n", json!(base64url(padded)));
    assert_eq!(
        read(&json!({"keys": [rsa]})),
        read(&json!({"keys": [padded]}))
    );
}

#[test]
fn a_key_that_was_taken_away_is_found_no_more() {
    let set = read(&json!({"keys": [KEYS.es256.jwk("k")]})).unwrap();
    let algorithm = crate::config::spec::SignatureAlgorithm::ES256;
    let found = || (set.find(Some("k"), algorithm), set.find(None, algorithm));
    assert!(matches!(found(), (Ok(_), Ok(_))));
    set.find(Some("k"), algorithm).unwrap().retire();
    let unknown = crate::refusal::Refusal::TokenKeyUnknown;
    assert_eq!(found().0.err(), Some(unknown));
    assert_eq!(found().1.err(), Some(unknown));
}
