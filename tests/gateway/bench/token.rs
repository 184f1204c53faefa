//! Tokens: keys of an issuer, their JWKS, good tokens, and every way to make a bad one.
//!
//! They are signed with the primitives of aws-lc-rs, not with the crate that verifies them, so
//! that one mistake cannot hide another.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::pki::Identity;

/// The issuer of the standard configuration.
pub const ISSUER: &str = "https://id.example.com";
/// The audience of the standard configuration.
pub const AUDIENCE: &str = "orders-api";

/// The algorithms that the bench signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    Es384,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key of an issuer.
#[derive(Debug)]
pub struct IssuerKey {
    pub kid: String,
    pub algorithm: Algorithm,
    key: KeyPair,
}

impl IssuerKey {
    pub fn new(kid: &str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::Es384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::EdDsa => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        };
        let key = KeyPair::generate_for(kind).expect("a key");
        Self {
            kid: kid.to_owned(),
            algorithm,
            key,
        }
    }

    pub fn es256(kid: &str) -> Self {
        Self::new(kid, Algorithm::Es256)
    }

    /// The public key as a member of a JWKS, with `kid`, `use` and `alg`.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm.name());
        jwk
    }

    /// The public key without `kid`, `use` and `alg`.
    pub fn bare_jwk(&self) -> Value {
        let raw = self.key.public_key_raw();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.algorithm {
            Algorithm::Es256 => {
                json!({"kty": "EC", "crv": "P-256", "x": encode(&raw[1..33]), "y": encode(&raw[33..])})
            }
            Algorithm::Es384 => {
                json!({"kty": "EC", "crv": "P-384", "x": encode(&raw[1..49]), "y": encode(&raw[49..])})
            }
            Algorithm::EdDsa => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(raw)}),
            _ => {
                let (modulus, exponent) = rsa_numbers(&self.rsa());
                json!({"kty": "RSA", "n": encode(&modulus), "e": encode(&exponent)})
            }
        }
    }

    /// The private key in PEM (PKCS #8).
    pub fn private_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The public key in PEM: the secret of the HS256 confusion attack.
    pub fn public_pem(&self) -> String {
        self.key.public_key_pem()
    }

    /// The raw signature over `message`, in the form that JWS wants (RFC 7518, section 3).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let pkcs8 = self.key.serialize_der();
        let random = SystemRandom::new();
        match self.algorithm {
            Algorithm::Es256 | Algorithm::Es384 => {
                let kind = match self.algorithm {
                    Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                    _ => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                };
                let key = EcdsaKeyPair::from_pkcs8(kind, &pkcs8).expect("an EC key");
                key.sign(&random, message)
                    .expect("a signature")
                    .as_ref()
                    .to_vec()
            }
            Algorithm::EdDsa => {
                let key = Ed25519KeyPair::from_pkcs8(&pkcs8).expect("an Ed25519 key");
                key.sign(message).as_ref().to_vec()
            }
            _ => {
                let key = self.rsa();
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signed)
                    .expect("a signature");
                signed
            }
        }
    }

    fn rsa(&self) -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(&self.key.serialize_der()).expect("an RSA key")
    }
}

/// Modulus and exponent of `RSAPublicKey` (RFC 8017, appendix A.1.1), without leading zeros.
fn rsa_numbers(key: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    fn header(bytes: &[u8]) -> (usize, &[u8]) {
        let short = usize::from(bytes[1]);
        if short < 0x80 {
            return (short, &bytes[2..]);
        }
        let count = short & 0x7f;
        let length = bytes[2..2 + count]
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (length, &bytes[2 + count..])
    }
    fn number(bytes: &[u8]) -> Vec<u8> {
        bytes
            .iter()
            .copied()
            .skip_while(|byte| *byte == 0)
            .collect()
    }
    let der = key.public_key().as_ref();
    let (_, inside) = header(der);
    let (length, rest) = header(inside);
    let (modulus, rest) = rest.split_at(length);
    let (length, rest) = header(rest);
    (number(modulus), number(&rest[..length]))
}

/// The text of a JWKS with these keys.
pub fn jwks(keys: &[&IssuerKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// A token that is not signed yet. [`Token::new`] is one that the standard configuration takes.
#[derive(Clone, Debug)]
pub struct Token {
    pub header: Value,
    pub claims: Value,
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

impl Token {
    /// For subject `alice`, scope `orders:read orders:write`, five minutes long.
    pub fn new() -> Self {
        let now = unix_now();
        Self {
            header: json!({}),
            claims: json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "scope": "orders:read orders:write",
                "iat": now, "nbf": now - 5, "exp": now + 300,
            }),
        }
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().expect("an object").remove(name);
        self
    }

    /// Sets a member of the JOSE header, also `alg` and `kid` (they win over the key's).
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// Valid from `from` until `until`, both as offsets from now in seconds.
    pub fn valid(self, from: i64, until: i64) -> Self {
        self.claim("nbf", unix_now() + from)
            .claim("exp", unix_now() + until)
    }

    /// Over for ten minutes: past every leeway that one would allow by default.
    pub fn expired(self) -> Self {
        self.valid(-1200, -600)
    }

    /// Bound to this certificate (RFC 8705, section 3.1).
    pub fn bound_to(self, identity: &Identity) -> Self {
        let thumbprint = identity.thumbprint();
        self.claim("cnf", json!({ "x5t#S256": thumbprint }))
    }

    /// Signed by a key, with its `alg` and `kid` unless the header has others.
    pub fn sign(&self, key: &IssuerKey) -> String {
        let header = self.complete_header(key.algorithm.name(), Some(&key.kid));
        let message = signing_input(&header, &self.claims);
        let signature = key.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// `alg: none` with an empty signature.
    pub fn unsigned(&self) -> String {
        let header = self.complete_header("none", None);
        format!("{}.", signing_input(&header, &self.claims))
    }

    /// HS256 with any secret, under any `kid`.
    pub fn sign_hs256(&self, secret: &[u8], kid: &str) -> String {
        let header = self.complete_header("HS256", Some(kid));
        let message = signing_input(&header, &self.claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    fn complete_header(&self, algorithm: &str, kid: Option<&str>) -> Value {
        let mut header = json!({ "alg": algorithm });
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        for (name, value) in self.header.as_object().expect("an object") {
            if value.is_null() {
                header.as_object_mut().expect("an object").remove(name);
            } else {
                header[name] = value.clone();
            }
        }
        header
    }
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// The same header and signature with another claim set.
pub fn with_claims(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let bytes = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url");
    let mut claims: Value = serde_json::from_slice(&bytes).expect("JSON");
    change(&mut claims);
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("{}.{claims}.{}", parts[0], parts[2])
}

/// The same header and claims with one bit of the signature turned over.
pub fn with_broken_signature(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let middle = signature.len() / 2;
    signature[middle] ^= 1;
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}
