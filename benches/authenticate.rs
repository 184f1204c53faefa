//! What a token costs in `authenticate`: one that is remembered, one that is new beside one bare
//! verification of the crate that verifies, one that is remembered with a new proof (RFC 9449), and the
//! memory of a hundred thousand.
//!
//! Times are CPU time of this thread, each party in turn, in one run; medians of the rounds. The tokens
//! are as Keycloak makes them, with 600 to 900 bytes of claims.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench may stop, prints what it found, and reads /proc"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use portcullis::authenticate::authenticator::{Asked, Authenticated, Authenticator, Way};
use portcullis::authenticate::issuer::Issuer;
use portcullis::authenticate::possession::Possession;
use portcullis::authenticate::possession::nonces::NonceSecrets;
use portcullis::authenticate::possession::replays::Replays;
use portcullis::authenticate::possession::terms::ProofTerms;
use portcullis::authenticate::tokens::Tokens;
use portcullis::authenticate::told::Told;
use portcullis::authenticate::verifier::JwtVerifier;
use portcullis::config::issuer_keys::IssuerKeysSpec;
use portcullis::config::possession::{Demand, DpopSpec};
use portcullis::config::spec::{IssuerSpec, JwtSpec, SignatureAlgorithm};
use portcullis::config::token::{Carrier, TokenProfile};
use portcullis::identity::host::Authority;
use portcullis::identity::path::NormalPath;
use portcullis::observe::{IssuerMetrics, Metrics};
use portcullis::pki::{JwtAlgorithm, SigningKey, key_set};
use portcullis::shared_state::SharedState;
use serde_json::{Map, Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time of all tokens.
const NOW: u64 = 1_800_000_000;
const ROUNDS: usize = 15;
const REMEMBERED_PER_ROUND: u64 = 20_000;
const NEW_PER_ROUND: u64 = 300;
const HELD: u64 = 100_000;

fn main() {
    let key = SigningKey::generate(JwtAlgorithm::ES256).expect("a key");
    speed(&key);
    proofs(&key);
    memory(&key);
}

/// A route that asks for a token of one issuer.
fn route(key: &SigningKey) -> Authenticator {
    let spec = IssuerSpec {
        issuer: "https://keycloak.example.com/realms/shop".into(),
        audiences: vec!["orders-api".into()],
        algorithms: vec![SignatureAlgorithm::ES256],
        keys: IssuerKeysSpec::File("jwks.json".into()),
        introspection: None,
        leeway: Duration::from_secs(30),
        dpop: DpopSpec::default(),
        profile: TokenProfile::default(),
    };
    let name = "keycloak".parse().expect("a name");
    let set = key_set(&[key]).to_string();
    let metrics = Arc::new(IssuerMetrics::default());
    let issuer = Issuer::new(&name, &spec, set.as_bytes(), metrics, None);
    let jwt = JwtSpec {
        issuer: name,
        scopes: Vec::new(),
        claims: BTreeMap::new(),
        typ: None,
        bound_to_certificate: Demand::No,
        dpop: Demand::No,
    };
    let secrets = NonceSecrets::OfProcess(Arc::default());
    let replays = Replays::new(Arc::new(SharedState::in_memory()));
    let terms = ProofTerms::new(&jwt.issuer, &spec, secrets, replays);
    let metrics = Metrics::new().route(&jwt.issuer);
    let possession = Possession::new(Demand::No, Demand::No, Arc::new(terms), metrics);
    let issuer = Arc::new(issuer.expect("an issuer"));
    let verifier = JwtVerifier::new(issuer, &jwt, possession);
    let tokens = Tokens::new(vec![verifier], &[Carrier::Authorization]);
    Authenticator::new(vec![Way::Tokens(tokens)])
}

/// A token as Keycloak makes them.
fn token(key: &SigningKey, number: u64) -> String {
    key.sign(&claims(number)).expect("a token")
}

fn claims(number: u64) -> Map<String, Value> {
    let id = format!(
        "{number:08x}-3f4a-4b6e-9c51-5b0f4a7d{:04x}",
        number % 0xffff
    );
    let roles = [
        "offline_access",
        "default-roles-shop",
        "uma_authorization",
        "orders-reader",
    ];
    let more = usize::try_from(number % 3).unwrap_or_default();
    let claims = json!({
        "exp": NOW + 300, "iat": NOW, "auth_time": NOW - 600, "jti": format!("onrtac:{id}"),
        "iss": "https://keycloak.example.com/realms/shop", "aud": ["orders-api", "account"],
        "sub": id, "typ": "Bearer", "azp": "shop-frontend", "sid": format!("{id}-session"),
        "acr": "1", "allowed-origins": ["https://shop.example.com"],
        "realm_access": { "roles": roles.iter().take(2 + more).collect::<Vec<_>>() },
        "resource_access": {
            "orders-api": { "roles": ["reader", "writer"] },
            "account": { "roles": ["manage-account", "manage-account-links", "view-profile"] },
        },
        "scope": "openid email profile orders:read orders:write", "email_verified": true,
        "name": "Alice Example", "preferred_username": format!("alice.{number}"),
        "given_name": "Alice", "family_name": "Example".repeat(1 + more),
        "email": format!("alice.{number}@example.com"),
    });
    claims.as_object().cloned().unwrap_or_default()
}

fn shown(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a value");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn authenticate(route: &Authenticator, headers: &HeaderMap, place: &(Authority, NormalPath)) {
    let asked = Asked {
        method: &Method::GET,
        authority: &place.0,
        path: &place.1,
        query: None,
        headers,
        peer: None,
        client: "",
        now: NOW,
    };
    let mut told = Told::default();
    let came = route.authenticate(&asked, &mut told).now_or_never();
    let came = came.expect("no waiting").expect("a good token");
    assert!(matches!(black_box(came), Authenticated::As(_)));
}

/// Nanoseconds of CPU time that this thread has used.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let first = text.split(' ').next().and_then(|text| text.parse().ok());
    first.expect("a number")
}

fn per_call(calls: u64, mut call: impl FnMut(u64)) -> f64 {
    let before = cpu();
    (0..calls).for_each(&mut call);
    let took = u32::try_from(cpu() - before).expect("a few seconds");
    f64::from(took) / f64::from(u32::try_from(calls).expect("not so many"))
}

/// Median, least and most.
fn median(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    [
        at(values.len() / 2),
        at(0),
        at(values.len().saturating_sub(1)),
    ]
}

fn speed(key: &SigningKey) {
    let place = (
        Authority::parse("api.example.com").expect("a host"),
        NormalPath::parse(b"/orders/7").expect("a path"),
    );
    let route = route(key);
    let known: Vec<_> = (0..64).map(|number| shown(&token(key, number))).collect();
    let length = known.first().and_then(|headers| headers.get(AUTHORIZATION));
    let length = length.map_or(0, HeaderValue::len) - "Bearer ".len();
    known
        .iter()
        .for_each(|headers| authenticate(&route, headers, &place));
    let jwk = key.jwk();
    let member = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
    let decoding = DecodingKey::from_ec_components(member("x"), member("y")).expect("a key");
    let (mut remembered, mut bare, mut new, mut ratios) = (vec![], vec![], vec![], vec![]);
    let mut number = 1_000_000;
    for _ in 0..ROUNDS {
        let fresh: Vec<_> = (0..NEW_PER_ROUND)
            .map(|more| token(key, number + more))
            .collect();
        number += NEW_PER_ROUND;
        let taken_apart: Vec<_> = fresh
            .iter()
            .map(|token| {
                let (signed, signature) = token.rsplit_once('.').expect("three parts");
                (
                    signed,
                    URL_SAFE_NO_PAD.decode(signature).expect("base64url"),
                )
            })
            .collect();
        let headers: Vec<_> = fresh.iter().map(|token| shown(token)).collect();
        let mut known = known.iter().cycle();
        remembered.push(per_call(REMEMBERED_PER_ROUND, |_| {
            authenticate(&route, known.next().expect("endless"), &place);
        }));
        let mut each = taken_apart.iter();
        let alone = per_call(NEW_PER_ROUND, |_| {
            let (signed, signature) = each.next().expect("as many");
            let verifier = (DEFAULT_PROVIDER.verifier_factory)(&Algorithm::ES256, &decoding);
            let verified = verifier
                .expect("a verifier")
                .verify(signed.as_bytes(), signature);
            verified.expect("a good signature");
        });
        let mut each = headers.iter();
        let whole = per_call(NEW_PER_ROUND, |_| {
            authenticate(&route, each.next().expect("as many"), &place);
        });
        ratios.push(whole / alone);
        bare.push(alone);
        new.push(whole);
    }
    println!("tokens of {length} bytes; CPU time, median (least to most) of {ROUNDS} rounds");
    let line = |what: &str, values: Vec<f64>, unit: &str, scale: f64| {
        let [middle, least, most] = median(values).map(|value| value / scale);
        println!("  {what:<44} {middle:>7.2} {unit} ({least:.2} to {most:.2})");
    };
    line("remembered", remembered, "us", 1000.0);
    line("new, ES256", new, "us", 1000.0);
    line(
        "one bare verification of the library, ES256",
        bare,
        "us",
        1000.0,
    );
    line("new, by a bare verification", ratios, "x ", 1.0);
}

/// A remembered token that is bound to a key, each time with a proof that was not seen before: what a
/// proof costs beyond the token.
fn proofs(key: &SigningKey) {
    let place = (
        Authority::parse("api.example.com").expect("a host"),
        NormalPath::parse(b"/orders/7").expect("a path"),
    );
    let route = route(key);
    println!("a remembered token with a new proof");
    for (name, algorithm) in [
        ("ES256", JwtAlgorithm::ES256),
        ("EdDSA", JwtAlgorithm::EdDSA),
    ] {
        let client = SigningKey::generate(algorithm).expect("a key");
        let mut jwk = client.jwk();
        let members = jwk.as_object_mut().expect("an object");
        members.retain(|name, _| ["crv", "kty", "x", "y"].contains(&name.as_str()));
        // RFC 7638: the members in the order of their names, which is that of `serde_json`.
        let thumbprint = hash(jwk.to_string().as_bytes());
        let mut claims = claims(0);
        claims.insert("cnf".to_owned(), json!({ "jkt": thumbprint }));
        let token = key.sign(&claims).expect("a token");
        let header = json!({ "typ": "dpop+jwt", "alg": name, "jwk": jwk });
        let header = header.as_object().expect("an object");
        let proof = |number: u64| {
            let claims = json!({
                "jti": format!("{number:032x}"), "htm": "GET", "ath": hash(token.as_bytes()),
                "htu": "https://api.example.com/orders/7", "iat": unix_now(),
            });
            let claims = claims.as_object().expect("an object");
            let proof = client.sign_with_header(header, claims).expect("a proof");
            let value = |text: String| HeaderValue::try_from(text).expect("a value");
            HeaderMap::from_iter([
                (AUTHORIZATION, value(format!("DPoP {token}"))),
                (HeaderName::from_static("dpop"), value(proof)),
            ])
        };
        authenticate(&route, &proof(u64::MAX), &place);
        let rounds = (0..u64::try_from(ROUNDS).expect("a few")).map(|round| {
            let each = (0..NEW_PER_ROUND).map(|more| proof(round * NEW_PER_ROUND + more));
            let each: Vec<_> = each.collect();
            let mut each = each.iter();
            per_call(NEW_PER_ROUND, |_| {
                authenticate(&route, each.next().expect("as many"), &place);
            })
        });
        let [middle, least, most] = median(rounds.collect()).map(|nanos| nanos / 1000.0);
        println!("  {name:<44} {middle:>7.2} us ({least:.2} to {most:.2})");
    }
}

fn hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

/// Proofs are held against the clock of the moment.
fn unix_now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed();
    since.expect("after 1970").as_secs()
}

/// Bytes of memory that belong to this process.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

fn memory(key: &SigningKey) {
    let place = (
        Authority::parse("api.example.com").expect("a host"),
        NormalPath::parse(b"/orders/7").expect("a path"),
    );
    let route = route(key);
    let mut payload = (usize::MAX, 0);
    let before = resident();
    for number in 0..HELD {
        let token = token(key, number);
        let claims = token.split('.').nth(1).map_or(0, str::len) * 3 / 4;
        payload = (payload.0.min(claims), payload.1.max(claims));
        authenticate(&route, &shown(&token), &place);
    }
    let after = resident();
    let kib = (after - before) / 1024;
    println!(
        "{HELD} tokens with {} to {} bytes of claims:",
        payload.0, payload.1
    );
    println!(
        "  {} MiB, {} bytes a token",
        kib / 1024,
        (after - before) / HELD
    );
    black_box(&route);
}
