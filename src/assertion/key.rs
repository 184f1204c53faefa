//! [`AssertionKey`]: signs tokens with ES256, and says its public half as a JWK.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::claims::TYPE;

/// A private key on P-256 with its name.
pub struct AssertionKey {
    pair: EcdsaKeyPair,
    kid: Box<str>,
    jwk: Value,
    /// The header of its tokens, encoded.
    header: Box<str>,
}

impl AssertionKey {
    /// Makes a new key, from the system's randomness.
    ///
    /// # Errors
    ///
    /// aws-lc's, which says nothing: there is no randomness.
    pub fn generate() -> Result<Self, Unspecified> {
        Self::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?)
    }

    /// Takes a key that must be on P-256.
    ///
    /// # Errors
    ///
    /// [`Unspecified`] if it is not.
    pub fn new(pair: EcdsaKeyPair) -> Result<Self, Unspecified> {
        // The uncompressed point: 4, then x and y (SEC 1, section 2.3.3).
        let Some((4, point)) = pair.public_key().as_ref().split_first() else {
            return Err(Unspecified);
        };
        let (x, y) = point.split_at_checked(32).ok_or(Unspecified)?;
        if y.len() != 32 {
            return Err(Unspecified);
        }
        let (x, y) = (base64url(x), base64url(y));
        // RFC 7638, section 3: these members, in this order, without white space.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = base64url(digest(&SHA256, canonical.as_bytes()));
        let header = json!({ "alg": "ES256", "typ": TYPE, "kid": kid });
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256",
        });
        Ok(Self {
            pair,
            jwk,
            header: base64url(header.to_string()).into(),
            kid: kid.into(),
        })
    }

    /// Its name in the key set: its thumbprint (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public half (RFC 7517, section 4).
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// A token with these claims (RFC 7515, compact form).
    pub(super) fn sign(&self, claims: &Value) -> Result<String, Unspecified> {
        let signed = format!("{}.{}", self.header, base64url(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64url(signature)))
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl fmt::Debug for AssertionKey {
    /// Which key it is; nothing of its private half.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionKey({})", self.kid)
    }
}
