//! The vectors of Project Wycheproof against the functions that the gateway itself calls:
//! [`KeySet::read`] and [`jws::verify`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::jwks::KeySet;
use super::jws;
use crate::config::spec::SignatureAlgorithm;
use crate::refusal::Refusal;

const EVERY: [SignatureAlgorithm; 9] = [
    SignatureAlgorithm::RS256,
    SignatureAlgorithm::RS384,
    SignatureAlgorithm::RS512,
    SignatureAlgorithm::PS256,
    SignatureAlgorithm::PS384,
    SignatureAlgorithm::PS512,
    SignatureAlgorithm::ES256,
    SignatureAlgorithm::ES384,
    SignatureAlgorithm::EdDSA,
];

/// Why a `valid` case is refused: (the case, why).
type Refused = (u64, &'static str);

const SYMMETRIC: &str = "the key is symmetric";
const OTHER_ALGORITHM: &str = "the key says PS256 and the token PS384";
const P521: &str = "P-521 is not ours, and there is no algorithm ES521";

struct Case {
    number: u64,
    valid: bool,
    outcome: Result<Vec<u8>, Option<Refusal>>,
    jws: String,
}

/// Runs a file. The outcome of a case is the payload, a refusal, or `None` where the key set
/// itself is refused.
fn run(file: &str) -> Vec<Case> {
    let file: Value = serde_json::from_str(file).unwrap();
    let mut cases = Vec::new();
    for group in file["testGroups"].as_array().unwrap() {
        // Symmetric groups have no public key: the file of such an operator would have this.
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = if key.get("keys").is_some() {
            key.clone()
        } else {
            json!({ "keys": [key] })
        };
        let keys = KeySet::read(set.to_string().as_bytes(), &EVERY);
        for test in group["tests"].as_array().unwrap() {
            let jws = test["jws"]
                .as_str()
                .map_or_else(|| test["jws"].to_string(), str::to_owned);
            let outcome = match &keys {
                Ok(keys) => jws::verify(&jws, keys)
                    .map(|signed| signed.payload)
                    .map_err(Some),
                Err(_no_usable_key) => Err(None),
            };
            let valid = match test["result"].as_str().unwrap() {
                "valid" => true,
                "invalid" => false,
                other => panic!("the files had no {other} case"),
            };
            cases.push(Case {
                number: test["tcId"].as_u64().unwrap(),
                valid,
                outcome,
                jws,
            });
        }
    }
    cases
}

fn hold(file: &str, count: usize, refused: &[Refused]) -> BTreeMap<&'static str, usize> {
    let refused: BTreeMap<_, _> = refused.iter().copied().collect();
    let cases = run(file);
    assert_eq!(cases.len(), count);
    let mut outcomes = BTreeMap::new();
    for case in cases {
        let Case {
            number,
            valid,
            outcome,
            jws,
        } = case;
        let accept = valid && !refused.contains_key(&number);
        assert_eq!(outcome.is_ok(), accept, "case {number}: {outcome:?} {jws}");
        let label = match outcome {
            Ok(_payload) => "accepted",
            Err(Some(refusal)) => refusal.reason(),
            Err(None) => "no usable key",
        };
        *outcomes.entry(label).or_default() += 1;
    }
    outcomes
}

#[test]
fn every_signature_vector_is_decided_rightly() {
    let refused = [
        (1, SYMMETRIC),
        (346, OTHER_ALGORITHM),
        (347, P521),
        (348, SYMMETRIC),
        (350, OTHER_ALGORITHM),
        (351, P521),
        (352, SYMMETRIC),
        (357, SYMMETRIC),
        (358, SYMMETRIC),
        (359, SYMMETRIC),
        (372, SYMMETRIC),
        (373, SYMMETRIC),
        (376, SYMMETRIC),
        (377, SYMMETRIC),
    ];
    let file = include_str!("../../tests/vectors/json_web_signature_test.json");
    let outcomes = hold(file, 401, &refused);
    assert_eq!(outcomes["accepted"], 32, "{outcomes:?}");
    assert!(outcomes["token_signature"] > 280, "{outcomes:?}");
}

#[test]
fn every_key_vector_is_decided_rightly() {
    let refused = [
        (2, SYMMETRIC),
        (13, SYMMETRIC),
        (14, SYMMETRIC),
        (15, SYMMETRIC),
    ];
    let file = include_str!("../../tests/vectors/json_web_key_test.json");
    let outcomes = hold(file, 26, &refused);
    assert_eq!(outcomes["accepted"], 1, "{outcomes:?}");
}

#[test]
fn symmetric_vectors_are_refused_by_their_algorithm_under_an_asymmetric_set() {
    let file = include_str!("../../tests/vectors/json_web_signature_test.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let groups = file["testGroups"].as_array().unwrap();
    let es256 = groups
        .iter()
        .find(|group| group["comment"] == "es256")
        .unwrap();
    let set = json!({ "keys": [es256["public"]] }).to_string();
    let keys = KeySet::read(set.as_bytes(), &EVERY).unwrap();
    let symmetric = groups.iter().filter(|group| group.get("public").is_none());
    let mut count = 0;
    for test in symmetric.flat_map(|group| group["tests"].as_array().unwrap()) {
        let Some(jws) = test["jws"].as_str() else {
            continue;
        };
        let refusal = jws::verify(jws, &keys).unwrap_err();
        let expected = [Refusal::TokenAlgorithm, Refusal::TokenMalformed];
        assert!(
            expected.contains(&refusal),
            "case {}: {refusal:?}",
            test["tcId"]
        );
        if test["result"] == "valid" && !jws.contains('?') {
            assert_eq!(refusal, Refusal::TokenAlgorithm, "case {}", test["tcId"]);
            count += 1;
        }
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn the_vector_of_rfc_8037_is_accepted() {
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let keys = KeySet::read(json!({ "keys": [key] }).to_string().as_bytes(), &EVERY).unwrap();
    let jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-\
               09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signed = jws::verify(jws, &keys).unwrap();
    assert_eq!(signed.payload, b"Example of Ed25519 signing");
    let tampered = jws.replace(".hgy", ".hgx");
    assert_eq!(
        jws::verify(&tampered, &keys).unwrap_err(),
        Refusal::TokenSignature
    );
}
