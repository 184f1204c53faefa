//! [`SigningKey`]: signs JWTs (RFC 7515, compact form) for development, and where the gateway proves
//! to an authorization server who it is; says its public half as a JWK.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use super::error::PkiError;

/// What a token is signed with (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 7518")]
pub enum JwtAlgorithm {
    ES256,
    ES384,
    EdDSA,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
}

/// Why a text is no [`JwtAlgorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an algorithm is one of ES256, ES384, EdDSA, RS256, RS384, RS512, PS256, PS384, PS512")]
pub struct UnknownAlgorithm;

/// A private key with the algorithm that it signs with.
pub struct SigningKey {
    algorithm: JwtAlgorithm,
    pem: String,
    kind: Kind,
    public: Map<String, Value>,
    kid: String,
}

enum Kind {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
}

impl JwtAlgorithm {
    /// Every algorithm; of those that one key can sign with, the one to prefer first.
    pub const ALL: &[Self] = &[
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
    ];

    /// The value of `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
        }
    }
}

impl FromStr for JwtAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let named = |algorithm: &&Self| algorithm.name() == text;
        Self::ALL
            .iter()
            .find(named)
            .copied()
            .ok_or(UnknownAlgorithm)
    }
}

impl SigningKey {
    /// Makes a new key. RSA keys have 2048 bits.
    ///
    /// # Errors
    ///
    /// [`PkiError::Make`].
    pub fn generate(algorithm: JwtAlgorithm) -> Result<Self, PkiError> {
        let made = rcgen::KeyPair::generate_for(match algorithm {
            JwtAlgorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            JwtAlgorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            JwtAlgorithm::EdDSA => &rcgen::PKCS_ED25519,
            JwtAlgorithm::RS256
            | JwtAlgorithm::RS384
            | JwtAlgorithm::RS512
            | JwtAlgorithm::PS256
            | JwtAlgorithm::PS384
            | JwtAlgorithm::PS512 => &rcgen::PKCS_RSA_SHA256,
        })?;
        Self::from_pem(&made.serialize_pem(), Some(algorithm))
    }

    /// Reads a key (PKCS #8). Without an algorithm, the key's own is taken, for RSA RS256.
    ///
    /// # Errors
    ///
    /// [`PkiError::KeyUnusable`] or [`PkiError::KeyOfAnotherKind`].
    pub fn from_pem(pem: &str, algorithm: Option<JwtAlgorithm>) -> Result<Self, PkiError> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_text_is_a_key| PkiError::KeyUnusable)?;
        let fits = |algorithm: JwtAlgorithm| {
            kind(&der, algorithm).map(|(kind, public)| Self {
                algorithm,
                pem: pem.to_owned(),
                kid: thumbprint(&public),
                kind,
                public,
            })
        };
        match algorithm {
            Some(algorithm) => fits(algorithm).ok_or(PkiError::KeyOfAnotherKind {
                algorithm: algorithm.name(),
            }),
            None => JwtAlgorithm::ALL
                .iter()
                .find_map(|algorithm| fits(*algorithm))
                .ok_or(PkiError::KeyUnusable),
        }
    }

    /// What it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }

    /// The private key (PKCS #8, PEM).
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The key's name in a key set: its thumbprint (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as a JWK (RFC 7517, section 4).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk.insert("kid".to_owned(), json!(self.kid));
        jwk.insert("use".to_owned(), json!("sig"));
        jwk.insert("alg".to_owned(), json!(self.algorithm.name()));
        Value::Object(jwk)
    }

    /// Signs a JWT with these claims, and nothing but `alg`, `typ` and `kid` in its header.
    ///
    /// # Errors
    ///
    /// [`PkiError::Sign`].
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, PkiError> {
        let header = json!({"alg": self.algorithm.name(), "typ": "JWT", "kid": self.kid});
        let Value::Object(header) = header else {
            return Err(PkiError::Sign);
        };
        self.sign_with_header(&header, claims)
    }

    /// Signs claims under any header: also one that must be refused.
    ///
    /// # Errors
    ///
    /// [`PkiError::Sign`].
    pub fn sign_with_header(
        &self,
        header: &Map<String, Value>,
        claims: &Map<String, Value>,
    ) -> Result<String, PkiError> {
        let part = |object: &Map<String, Value>| {
            serde_json::to_vec(object)
                .map(|text| URL_SAFE_NO_PAD.encode(text))
                .map_err(|_never| PkiError::Sign)
        };
        let signed = format!("{}.{}", part(header)?, part(claims)?);
        let signature = self.signature(signed.as_bytes()).ok_or(PkiError::Sign)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, text: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Ecdsa(key) => Some(key.sign(&random, text).ok()?.as_ref().to_vec()),
            Kind::Ed25519(key) => Some(key.sign(text).as_ref().to_vec()),
            Kind::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, text, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

/// A JWKS (RFC 7517, section 5) with the public halves of these keys.
#[must_use]
pub fn key_set(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}

/// The key for this algorithm with the members of its JWK, if it is a key of that kind.
fn kind(der: &PrivateKeyDer<'_>, algorithm: JwtAlgorithm) -> Option<(Kind, Map<String, Value>)> {
    let rsa = |encoding| {
        let key = RsaKeyPair::from_pkcs8(der.secret_der())
            .or_else(|_pkcs1| RsaKeyPair::from_der(der.secret_der()))
            .ok()?;
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
        let jwk = jwk(&[
            ("kty", "RSA"),
            ("n", &base64(&public.n)),
            ("e", &base64(&public.e)),
        ]);
        Some((Kind::Rsa(Box::new(key), encoding), jwk))
    };
    let ecdsa = |algorithm, curve| {
        let key = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der()).ok()?;
        // The uncompressed point: 4, then x and y (SEC 1, section 2.3.3).
        let point = key.public_key().as_ref().get(1..)?;
        let (x, y) = point.split_at_checked(point.len() / 2)?;
        let jwk = jwk(&[
            ("kty", "EC"),
            ("crv", curve),
            ("x", &base64(x)),
            ("y", &base64(y)),
        ]);
        Some((Kind::Ecdsa(key), jwk))
    };
    match algorithm {
        JwtAlgorithm::ES256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
        JwtAlgorithm::ES384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
        JwtAlgorithm::EdDSA => {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der()).ok()?;
            let x = base64(key.public_key().as_ref());
            let jwk = jwk(&[("kty", "OKP"), ("crv", "Ed25519"), ("x", &x)]);
            Some((Kind::Ed25519(key), jwk))
        }
        JwtAlgorithm::RS256 => rsa(&RSA_PKCS1_SHA256),
        JwtAlgorithm::RS384 => rsa(&RSA_PKCS1_SHA384),
        JwtAlgorithm::RS512 => rsa(&RSA_PKCS1_SHA512),
        JwtAlgorithm::PS256 => rsa(&RSA_PSS_SHA256),
        JwtAlgorithm::PS384 => rsa(&RSA_PSS_SHA384),
        JwtAlgorithm::PS512 => rsa(&RSA_PSS_SHA512),
    }
}

fn jwk(members: &[(&str, &str)]) -> Map<String, Value> {
    let member = |(name, value): &(&str, &str)| ((*name).to_owned(), json!(value));
    members.iter().map(member).collect()
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7638, section 3: the members in the order of their names, without white space. `Map` keeps
/// them in that order.
fn thumbprint(public: &Map<String, Value>) -> String {
    let mut sorted: Vec<_> = public.iter().collect();
    sorted.sort_by_key(|(name, _value)| name.as_str());
    let members: Vec<_> = sorted
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    let text = format!("{{{}}}", members.join(","));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    base64(hash.as_ref())
}

impl fmt::Debug for SigningKey {
    /// Which key it is; nothing of its private half.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, decode};

    fn claims() -> Map<String, Value> {
        let claims = json!({"sub": "a", "exp": 4_102_444_800_u64});
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn another_library_verifies_every_algorithm_by_the_jwk() {
        for algorithm in JwtAlgorithm::ALL {
            let key = SigningKey::generate(*algorithm).unwrap();
            let token = key.sign(&claims()).unwrap();
            let jwk = serde_json::from_value(key.jwk()).unwrap();
            let public = DecodingKey::from_jwk(&jwk).unwrap();
            let rules = Validation::new(algorithm.name().parse().unwrap());
            let read = decode::<Map<String, Value>>(&token, &public, &rules).unwrap();
            assert_eq!(read.claims, claims(), "{}", algorithm.name());
            assert_eq!(read.header.kid.as_deref(), Some(key.kid()));
            assert_eq!(algorithm.name().parse(), Ok(*algorithm));
        }
    }

    #[test]
    fn a_key_signs_only_with_what_it_is_made_for() {
        let key = SigningKey::generate(JwtAlgorithm::ES384).unwrap();
        let own = SigningKey::from_pem(key.pem(), None).unwrap();
        assert_eq!(
            (own.algorithm(), own.kid()),
            (JwtAlgorithm::ES384, key.kid())
        );
        for other in [
            JwtAlgorithm::ES256,
            JwtAlgorithm::EdDSA,
            JwtAlgorithm::RS256,
        ] {
            let error = SigningKey::from_pem(key.pem(), Some(other)).unwrap_err();
            assert!(error.to_string().ends_with(other.name()), "{error}");
        }
        assert!(SigningKey::from_pem("hello", None).is_err());
        assert!("HS256".parse::<JwtAlgorithm>().is_err());
        assert!("none".parse::<JwtAlgorithm>().is_err());
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let public = jwk(&[("kty", "RSA"), ("n", n), ("e", "AQAB")]);
        assert_eq!(
            thumbprint(&public),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn debug_says_nothing_of_the_private_key() {
        let key = SigningKey::generate(JwtAlgorithm::EdDSA).unwrap();
        let secret = key.pem().lines().nth(1).unwrap();
        assert!(!format!("{key:?}").contains(secret));
        assert!(!key_set(&[&key]).to_string().contains("\"d\""));
    }
}
