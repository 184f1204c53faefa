//! Telling services who called: the signed identity, its keys, and certificates in header fields.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::service::Received;

mod certificates;
mod claims;
mod keys;
mod rotation;

/// Whom services trust in these tests.
const ISSUER: &str = "https://gateway.example.com";
/// Where the token is.
const FIELD: &str = "x-client-identity-token";
/// Where the keys are.
const KEYS: &str = "/.well-known/jwks.json";
/// The counter of tokens.
const SIGNED: &str = "portcullis_signed_identities_total";

/// Has identities signed, and told on every route.
fn signed(config: &mut Config, how: Value) {
    config.set("signed_identity", how);
    config.set("signed_identity.issuer", ISSUER);
    for route in ["orders-read", "orders-write", "open"] {
        config.set(
            &format!("routes.{route}.forward"),
            json!({ "signed_identity": true }),
        );
    }
}

/// The token that came with a request.
fn token(request: &Received) -> &str {
    let all = request.headers.all(FIELD);
    assert_eq!(all.len(), 1, "{:?}", request.headers);
    all[0]
}

/// The names of the keys that are published, in their order.
async fn kids(gateway: &Gateway) -> Vec<String> {
    let set = gateway.admin(KEYS).await.json();
    let keys = set["keys"].as_array().expect("keys");
    let kid = |key: &Value| key["kid"].as_str().expect("a kid").to_owned();
    keys.iter().map(kid).collect()
}

fn kid(token: &str) -> String {
    let header = decode_header(token).expect("a header");
    header.kid.expect("a kid")
}

/// What a service does: fetches the keys, takes the one that the token names, and verifies
/// signature, type, issuer, audience and end, without leeway. With a library that the gateway does
/// not sign with.
async fn verify(gateway: &Gateway, token: &str, audience: &str) -> Result<Value, String> {
    let header = decode_header(token).map_err(|error| error.to_string())?;
    if header.typ.as_deref() != Some("client-identity+jwt") || header.alg != Algorithm::ES256 {
        return Err(format!("{header:?}"));
    }
    let set: JwkSet = serde_json::from_value(gateway.admin(KEYS).await.json()).expect("a JWKS");
    let kid = header.kid.expect("a kid");
    let jwk = set.find(&kid).ok_or_else(|| format!("no key {kid}"))?;
    let key = DecodingKey::from_jwk(jwk).expect("a key");
    let mut rules = Validation::new(Algorithm::ES256);
    rules.leeway = 0;
    rules.set_audience(&[audience]);
    rules.set_issuer(&[ISSUER]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    let read = decode::<Value>(token, &key, &rules);
    read.map(|read| read.claims)
        .map_err(|error| error.to_string())
}
