//! Keys and tokens for the tests of this folder, good and bad ones. Signs whatever it is given.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA384, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::authenticator::Asked;
use super::issuer::Issuer;
use super::possession::nonces::NonceSecrets;
use super::possession::replays::Replays;
use super::possession::terms::ProofTerms;
use super::possession::{Possession, Scheme};
use super::tokens::Tokens;
use super::told::Told;
use super::verifier::JwtVerifier;
use crate::config::issuer_keys::IssuerKeysSpec;
use crate::config::possession::{Demand, DpopSpec};
use crate::config::spec::{IssuerSpec, JwtSpec, SignatureAlgorithm};
use crate::identity::certificate::PeerIdentity;
use crate::identity::host::Authority;
use crate::identity::path::NormalPath;
use crate::identity::subject::Subject;
use crate::observe::Metrics;
use crate::refusal::Refusal;
use crate::shared_state::SharedState;

pub(super) enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// One key of each kind, made once.
pub(super) struct Keys {
    pub(super) es256: Signer,
    pub(super) es384: Signer,
    pub(super) eddsa: Signer,
    pub(super) rsa: Signer,
    pub(super) stranger: Signer,
}

pub(super) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    es256: Signer::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
    es384: Signer::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
    eddsa: Signer::Ed25519(Ed25519KeyPair::generate().unwrap()),
    rsa: Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
    stranger: Signer::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
});

/// The time of all tests, in seconds since 1970.
pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const LEEWAY: u64 = 30;

impl Signer {
    /// The public key as a JWK without `alg`.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let ec = |curve: &str, pair: &EcdsaKeyPair| {
            let (x, y) = pair.public_key().as_ref()[1..]
                .split_at((pair.public_key().as_ref().len() - 1) / 2);
            json!({"kty": "EC", "crv": curve, "kid": kid, "x": base64url(x), "y": base64url(y)})
        };
        match self {
            Self::P256(pair) => ec("P-256", pair),
            Self::P384(pair) => ec("P-384", pair),
            Self::Ed25519(pair) => {
                let x = base64url(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
            Self::Rsa(pair) => {
                let n = base64url(
                    pair.public_key()
                        .modulus()
                        .big_endian_without_leading_zero(),
                );
                let e = base64url(
                    pair.public_key()
                        .exponent()
                        .big_endian_without_leading_zero(),
                );
                json!({"kty": "RSA", "kid": kid, "n": n, "e": e})
            }
        }
    }

    /// The public key as DER `SubjectPublicKeyInfo`, as everybody may know it.
    pub(super) fn public_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::P256(pair) | Self::P384(pair) => pair.public_key().as_der().unwrap(),
            Self::Ed25519(pair) => pair.public_key().as_der().unwrap(),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    /// Signs a text; RSA as RS256.
    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => pair
                .sign(&random, text.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Ed25519(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// Signs as PS384; only with an RSA key.
    pub(super) fn sign_ps384(&self, text: &str) -> Vec<u8> {
        let Self::Rsa(pair) = self else {
            panic!("not an RSA key")
        };
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PSS_SHA384, &random, text.as_bytes(), &mut signature)
            .unwrap();
        signature
    }

    /// A token with this header and payload, whatever they say.
    pub(super) fn token(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(payload));
        let signature = base64url(self.sign(&signed));
        format!("{signed}.{signature}")
    }
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims of a good token.
pub(super) fn claims() -> Value {
    json!({
        "iss": "https://id.example.com",
        "aud": "orders-api",
        "sub": "alice",
        "exp": NOW + 300,
        "nbf": NOW - 10,
        "iat": NOW - 10,
        "scope": "orders:read orders:list",
        "client_id": "shop",
        "jti": "1",
    })
}

/// Claims of a good token with one of them replaced, or removed where `value` is `None`.
pub(super) fn claims_with(name: &str, value: Option<Value>) -> String {
    let mut claims = claims();
    let map = claims.as_object_mut().unwrap();
    match value {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    };
    claims.to_string()
}

/// A good token, signed with the key `ec` of [`set`].
pub(super) fn good_token() -> String {
    KEYS.es256.token(
        r#"{"alg":"ES256","kid":"ec","typ":"at+jwt"}"#,
        &claims().to_string(),
    )
}

/// A key set with a key of each kind: `ec`, `ec384`, `ed`, `rsa`.
pub(super) fn set() -> Value {
    let keys = &*KEYS;
    let list = [
        keys.es256.jwk("ec"),
        keys.es384.jwk("ec384"),
        keys.eddsa.jwk("ed"),
        keys.rsa.jwk("rsa"),
    ];
    json!({ "keys": list })
}

pub(super) fn issuer_spec() -> IssuerSpec {
    IssuerSpec {
        issuer: "https://id.example.com".into(),
        audiences: vec!["other-api".into(), "orders-api".into()],
        algorithms: vec![
            SignatureAlgorithm::ES256,
            SignatureAlgorithm::ES384,
            SignatureAlgorithm::EdDSA,
            SignatureAlgorithm::RS256,
            SignatureAlgorithm::PS384,
        ],
        keys: IssuerKeysSpec::File("jwks.json".into()),
        introspection: None,
        leeway: Duration::from_secs(LEEWAY),
        dpop: DpopSpec::default(),
        profile: crate::config::token::TokenProfile::default(),
    }
}

pub(super) fn issuer_of(set: &Value, previous: Option<&Arc<Issuer>>) -> Arc<Issuer> {
    let name = "corp".parse().unwrap();
    let set = set.to_string();
    let metrics = previous
        .map(|issuer| Arc::clone(issuer.metrics()))
        .unwrap_or_default();
    Arc::new(Issuer::new(&name, &issuer_spec(), set.as_bytes(), metrics, previous).unwrap())
}

/// An issuer with the usual keys and other rules.
pub(super) fn issuer_with(change: impl FnOnce(&mut IssuerSpec)) -> Arc<Issuer> {
    let mut spec = issuer_spec();
    change(&mut spec);
    let (name, set) = ("corp".parse().unwrap(), set().to_string());
    Arc::new(Issuer::new(&name, &spec, set.as_bytes(), Arc::default(), None).unwrap())
}

pub(super) fn verifier(issuer: &Arc<Issuer>, typ: Option<&str>, bound: bool) -> JwtVerifier {
    let certificate = if bound { Demand::Required } else { Demand::No };
    let spec = JwtSpec {
        issuer: issuer.name().clone(),
        scopes: vec![],
        claims: std::collections::BTreeMap::new(),
        typ: typ.map(str::to_owned),
        bound_to_certificate: certificate,
        dpop: Demand::No,
    };
    let possession = possession(certificate, Demand::No);
    JwtVerifier::new(Arc::clone(issuer), &spec, possession)
}

/// What a route of the issuer asks beside a token; proofs are remembered in a memory of its own.
pub(super) fn possession(certificate: Demand, key: Demand) -> Possession {
    let name = "corp".parse().unwrap();
    let secrets = NonceSecrets::OfProcess(Arc::default());
    let replays = Replays::new(Arc::new(SharedState::in_memory()));
    let terms = ProofTerms::new(&name, &issuer_spec(), secrets, replays).by(|| NOW);
    let metrics = Metrics::new().route(&"orders".parse().unwrap());
    Possession::new(certificate, key, Arc::new(terms), metrics)
}

/// What comes of a bearer token that is shown at `now`, with keys that are there at once.
pub(super) fn show(
    tokens: &Tokens,
    token: &str,
    peer: Option<&PeerIdentity>,
    now: u64,
) -> Result<Arc<Subject>, Refusal> {
    let asked = Asked {
        method: &Method::GET,
        authority: &Authority::parse("api.example.com").unwrap(),
        path: &NormalPath::parse(b"/orders/7").unwrap(),
        query: None,
        headers: &HeaderMap::new(),
        peer,
        client: "",
        now,
    };
    let mut told = Told::default();
    let shown = tokens.verify_shown((Scheme::Bearer, token.as_bytes()), &asked, &mut told);
    shown.now_or_never().unwrap()
}

pub(super) fn issuer() -> Arc<Issuer> {
    issuer_of(&set(), None)
}

/// What a route without wishes says to a token from a client without a certificate.
pub(super) fn outcome(token: &str) -> Result<(), Refusal> {
    verifier(&issuer(), None, false)
        .check(token, None, NOW)
        .map(drop)
}

pub(super) fn es256(header: &str, payload: &str) -> Result<(), Refusal> {
    outcome(&KEYS.es256.token(header, payload))
}
