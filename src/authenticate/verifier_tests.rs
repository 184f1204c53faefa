//! What depends on the route and on the connection, and what the cache may remember.

use std::sync::Arc;

use serde_json::{Value, json};

use super::issuer::Issuer;
use super::minting::{
    KEYS, LEEWAY, NOW, base64url, claims, claims_with, good_token, issuer, issuer_of, issuer_spec,
    set, verifier,
};
use crate::identity::certificate::{PeerIdentity, peer_identity};
use crate::refusal::Refusal;

/// Two clients with certificates of their own.
fn two_peers() -> [PeerIdentity; 2] {
    ["a.example", "b.example"].map(|name| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        peer_identity(made.cert.der()).unwrap()
    })
}

#[test]
fn the_route_says_which_type() {
    let issuer = issuer();
    let check = |header_typ: &str, want: Option<&str>| {
        let header = json!({"alg": "ES256", "kid": "ec", "typ": header_typ}).to_string();
        let token = KEYS.es256.token(&header, &claims().to_string());
        let verifier = verifier(&issuer, want, false);
        let first = verifier.check(&token, None, NOW).map(drop);
        let cached = verifier.check(&token, None, NOW).map(drop);
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
    let checked = verifier(&issuer, Some("at+jwt"), false).check(&none, None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenType));
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
        let check = |peer| verifier.check(&token, peer, NOW).map(drop);
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
            .check(&token, Some(&alice), NOW)
            .map(drop)
    };
    assert_eq!(check(None, true), Err(Refusal::TokenUnbound));
    assert_eq!(check(None, false), Ok(()));
    let hex = alice.fingerprint.to_string();
    let another = |cnf: Value| (cnf, Refusal::TokenOfAnotherPeer);
    let unknown = |cnf: Value| (cnf, Refusal::TokenBindingUnknown);
    let malformed = |cnf: Value| (cnf, Refusal::TokenMalformed);
    let bad = [
        // Proofs that we cannot check: no plain bearer tokens either.
        unknown(json!({})),
        unknown(json!({"jwk": {}})),
        unknown(json!({"kid": "x"})),
        unknown(json!({"X5T#S256": thumbprint})),
        another(json!({"x5t#S256": base64url([0; 32])})),
        malformed(json!({"x5t#S256": thumbprint, "jkt": "x"})),
        malformed(json!({"x5t#S256": hex})),
        malformed(json!({"x5t#S256": ""})),
        malformed(json!({"x5t#S256": format!("{thumbprint}=")})),
        malformed(json!({"x5t#S256": base64url([0; 31])})),
        malformed(json!({"x5t#S256": null})),
        malformed(json!(thumbprint)),
        malformed(json!(null)),
        malformed(json!([])),
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
    let token = good_token();
    let first = verifier.check(&token, None, NOW).unwrap();
    let second = verifier.check(&token, None, NOW + 299).unwrap();
    assert_eq!(first, second);
    assert_eq!(
        second.claims["client_id"], "shop",
        "read from what was shown"
    );
    assert_eq!(issuer.lookups(), (1, 1));
    // Between `exp` and the leeway the token is good but no longer remembered.
    assert!(verifier.check(&token, None, NOW + 300).is_ok());
    assert_eq!(issuer.lookups(), (1, 2));
    assert_eq!(issuer.cached_tokens(), 0);
    let late = verifier.check(&token, None, NOW + 300 + LEEWAY);
    assert_eq!(late.err(), Some(Refusal::TokenExpired));
}

#[test]
fn a_remembered_token_is_still_not_valid_before_its_time() {
    let issuer = issuer();
    let verifier = verifier(&issuer, None, false);
    let token = good_token();
    assert!(verifier.check(&token, None, NOW).is_ok());
    let early = verifier.check(&token, None, NOW - 10 - LEEWAY - 1);
    assert_eq!(early.err(), Some(Refusal::TokenNotYetValid));
    assert_eq!(issuer.lookups().0, 1);
}

#[test]
fn refused_tokens_are_not_remembered() {
    let issuer = issuer();
    let verifier = verifier(&issuer, None, false);
    let token = KEYS
        .stranger
        .token(r#"{"alg":"ES256","kid":"ec"}"#, &claims().to_string());
    for _ in 0..3 {
        let checked = verifier.check(&token, None, NOW);
        assert_eq!(checked.err(), Some(Refusal::TokenSignature));
    }
    assert_eq!(issuer.cached_tokens(), 0);
    assert_eq!(issuer.lookups(), (0, 3));
}

#[test]
fn the_cache_outlives_a_reload_only_if_nothing_changed() {
    let first = issuer();
    let token = good_token();
    verifier(&first, None, false)
        .check(&token, None, NOW)
        .unwrap();
    let same = issuer_of(&set(), Some(&first));
    assert!(same.is_same(&first));
    assert_eq!(same.cached_tokens(), 1);
    verifier(&same, None, false)
        .check(&token, None, NOW)
        .unwrap();
    assert_eq!(same.lookups(), (1, 1));

    // The key is taken away: the token that was remembered is not let in again.
    let rotated = issuer_of(&json!({"keys": [KEYS.stranger.jwk("new")]}), Some(&same));
    assert!(!rotated.is_same(&same));
    assert_eq!(rotated.cached_tokens(), 0);
    assert_eq!(rotated.lookups(), (1, 1), "counters go on");
    let checked = verifier(&rotated, None, false).check(&token, None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenKeyUnknown));

    // Another key under the same name, and a key under another algorithm.
    let swapped = issuer_of(&json!({"keys": [KEYS.stranger.jwk("ec")]}), Some(&same));
    let checked = verifier(&swapped, None, false).check(&token, None, NOW);
    assert_eq!(checked.err(), Some(Refusal::TokenSignature));
    let mut spec = issuer_spec();
    spec.audiences = vec!["other-api".into()];
    let text = set().to_string();
    let other = Issuer::new(
        same.name(),
        &spec,
        text.as_bytes(),
        Arc::default(),
        Some(&same),
    )
    .unwrap();
    let checked = verifier(&Arc::new(other), None, false).check(&token, None, NOW);
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
