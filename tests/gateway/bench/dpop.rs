//! Proofs of possession (RFC 9449), good ones and whatever else one can put into the field `DPoP`;
//! thumbprints; and nonces as a gateway makes them that has the same key file.
//!
//! Made with primitives, not with the code that checks them.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::client::HOST;
use super::http1::Request;
use super::token::{IssuerKey, Token, unix_now};

/// A proof that is not signed yet. [`Proof::new`] is one that the gateway takes once.
#[derive(Clone, Debug)]
pub struct Proof(Token);

impl Proof {
    /// For `GET` of a path on the standard host with this token.
    pub fn get(path: &str, token: &str) -> Self {
        Self::new("GET", &format!("https://{HOST}{path}"), token)
    }

    pub fn new(method: &str, url: &str, token: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let jti = format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let claims = json!({
            "jti": jti, "htm": method, "htu": url, "iat": unix_now(), "ath": hash(token),
        });
        let header = json!({ "typ": "dpop+jwt", "kid": null });
        Self(Token { header, claims })
    }

    pub fn claim(self, name: &str, value: impl Into<Value>) -> Self {
        Self(self.0.claim(name, value))
    }

    pub fn without(self, name: &str) -> Self {
        Self(self.0.without(name))
    }

    /// Sets a member of the header; also `jwk`, `alg` and `typ`. `Value::Null` leaves it out.
    pub fn header(self, name: &str, value: impl Into<Value>) -> Self {
        Self(self.0.header(name, value))
    }

    /// Signed, with the key in the header unless another one stands there.
    pub fn sign(&self, key: &IssuerKey) -> String {
        self.with_key(key).sign(key)
    }

    /// The same, as nobody should: `none`, or with the public key as a secret.
    pub fn unsigned(&self, key: &IssuerKey) -> String {
        self.with_key(key).unsigned()
    }

    pub fn sign_hs256(&self, key: &IssuerKey) -> String {
        self.with_key(key)
            .sign_hs256(key.public_pem().as_bytes(), "x")
    }

    fn with_key(&self, key: &IssuerKey) -> Token {
        let token = self.0.clone();
        if token.header.get("jwk").is_some() {
            return token;
        }
        token.header("jwk", key.bare_jwk())
    }
}

/// `ath` of a token.
pub fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// RFC 7638: the required members in the order of their names, which is that of `serde_json`.
pub fn thumbprint(jwk: &Value) -> String {
    let required = ["crv", "e", "kty", "n", "x", "y"];
    let members = jwk.as_object().expect("a JWK").iter();
    let members = members.filter(|(name, _)| required.contains(&name.as_str()));
    let sorted: std::collections::BTreeMap<_, _> = members.collect();
    hash(&serde_json::to_string(&sorted).expect("JSON"))
}

/// The claim `cnf` of a token that is bound to this key.
pub fn bound_to(key: &IssuerKey) -> Value {
    json!({ "jkt": thumbprint(&key.bare_jwk()) })
}

/// A nonce of a gateway that has this text in its key file, made `seconds` from now.
pub fn nonce(secret: &str, issuer: &str, seconds: i64) -> String {
    let mac = |secret: &[u8], parts: &[&[u8]]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::sign(&key, &parts.concat()).as_ref().to_vec()
    };
    let purpose: &[u8] = b"portcullis DPoP nonce 1";
    let key = mac(secret.as_bytes(), &[purpose, issuer.as_bytes()]);
    let time = (unix_now() + seconds).to_be_bytes();
    let tag = mac(&key, &[&time]);
    URL_SAFE_NO_PAD.encode([&time[..], &tag[..16]].concat())
}

impl Request {
    /// With a token under the scheme `DPoP`, and its proof.
    pub fn dpop(self, token: &str, proof: &str) -> Self {
        self.header("Authorization", &format!("DPoP {token}"))
            .header("DPoP", proof)
    }
}
