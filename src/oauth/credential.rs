//! [`Credential`]: how the gateway proves to an authorization server who it is.
//!
//! It is key material: read at load, and again when its file changes, without the configuration.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::{Map, Value, json};

use super::error::OauthError;
use super::form::{Form, encoded};
use crate::config::oauth_client::{ClientProofSpec, OauthClientSpec, PrivateKeyJwtSpec};
use crate::config::spec::SignatureAlgorithm;
use crate::pki::{JwtAlgorithm, SigningKey};
use crate::trust::{Published, SecretProblem, TrustError, WhyNoSecret, private_key_text, secret};

/// Who we are to an authorization server, with the proof.
pub struct Credential {
    client_id: Box<str>,
    proof: Proof,
    digest: [u8; 32],
    warnings: Vec<String>,
}

enum Proof {
    /// The value of `Authorization`.
    Secret(HeaderValue),
    Key(Box<ClientKey>),
    /// Our certificate, which the connection shows.
    Certificate,
}

struct ClientKey {
    key: SigningKey,
    kid: Option<String>,
    audience: Option<String>,
}

/// Longer than any request is under way, and too short to be worth stealing. The server remembers
/// the `jti` for as long.
const ASSERTION_SECONDS: u64 = 60;

/// RFC 7523, section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Credential {
    /// Reads what the configuration names. Blocks on files.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if the file cannot be read or does not hold what it should.
    pub fn load(spec: &OauthClientSpec) -> Result<Self, TrustError> {
        let (proof, material, warnings) = match &spec.proof {
            ClientProofSpec::Secret(file) => {
                let read = secret(file)?;
                let not_a_secret = |_never| {
                    let (file, why) = (file.clone(), WhyNoSecret::NotASecret);
                    TrustError::Secret(SecretProblem { file, why })
                };
                let value = basic(&spec.client_id, &read.text).map_err(not_a_secret)?;
                (Proof::Secret(value), read.text, read.warnings)
            }
            ClientProofSpec::PrivateKeyJwt(spec) => {
                let read = private_key_text(&spec.key_file)?;
                let key = ClientKey::of(spec, &read.text)?;
                (Proof::Key(Box::new(key)), read.text, read.warnings)
            }
            ClientProofSpec::Tls(_) => (Proof::Certificate, String::new(), Vec::new()),
        };
        let all = format!("{spec:?}\n{material}");
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, all.as_bytes()).as_ref());
        Ok(Self {
            client_id: spec.client_id.as_str().into(),
            proof,
            digest: hash,
            warnings,
        })
    }

    /// Under which name the server knows us.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What should be looked at and does not stop the gateway, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Adds the proof to a form that goes to `audience` at `now` (seconds since 1970). What is
    /// answered belongs into `Authorization`.
    ///
    /// # Errors
    ///
    /// [`OauthError::Unproven`] if nothing can be signed.
    pub(super) fn prove(
        &self,
        form: &mut Form,
        audience: &str,
        now: u64,
    ) -> Result<Option<HeaderValue>, OauthError> {
        match &self.proof {
            Proof::Secret(value) => return Ok(Some(value.clone())),
            Proof::Key(key) => {
                let assertion = key.assertion(&self.client_id, audience, now)?;
                form.add("client_assertion_type", ASSERTION_TYPE);
                form.add("client_assertion", &assertion);
            }
            Proof::Certificate => {}
        }
        // With a certificate it is needed (RFC 8705, section 2); beside an assertion some servers
        // want it, and it must be the same one (RFC 7521, section 4.2).
        form.add("client_id", &self.client_id);
        Ok(None)
    }
}

/// RFC 6749, section 2.3.1: both parts are encoded as in a form first, so that a colon in either
/// is no end of the name.
fn basic(client_id: &str, secret: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let pair = format!("{}:{}", encoded(client_id), encoded(secret));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?;
    value.set_sensitive(true);
    Ok(value)
}

impl ClientKey {
    fn of(spec: &PrivateKeyJwtSpec, pem: &str) -> Result<Self, TrustError> {
        let algorithm = signs(spec.algorithm);
        let key = SigningKey::from_pem(pem, Some(algorithm)).map_err(|_says_no_more| {
            let why = WhyNoSecret::KeyNotFor(algorithm.name());
            let file = spec.key_file.clone();
            TrustError::Secret(SecretProblem { file, why })
        })?;
        Ok(Self {
            key,
            kid: spec.kid.clone(),
            audience: spec.audience.clone(),
        })
    }

    /// A JWT that says who we are, once (RFC 7523, section 3).
    fn assertion(&self, client_id: &str, audience: &str, now: u64) -> Result<String, OauthError> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_says_no_more| OauthError::Unproven)?;
        let mut header = Map::new();
        let mut set = |name: &str, value: Value| drop(header.insert(name.to_owned(), value));
        set("alg", json!(self.key.algorithm().name()));
        set("typ", json!("JWT"));
        if let Some(kid) = &self.kid {
            set("kid", json!(kid));
        }
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        set("iss", json!(client_id));
        set("sub", json!(client_id));
        // One text and no list: each server must find itself, and nobody else.
        set("aud", json!(self.audience.as_deref().unwrap_or(audience)));
        set("jti", json!(URL_SAFE_NO_PAD.encode(id)));
        set("iat", json!(now));
        set("exp", json!(now.saturating_add(ASSERTION_SECONDS)));
        let signed = self.key.sign_with_header(&header, &claims);
        signed.map_err(|_says_no_more| OauthError::Unproven)
    }
}

const fn signs(algorithm: SignatureAlgorithm) -> JwtAlgorithm {
    match algorithm {
        SignatureAlgorithm::RS256 => JwtAlgorithm::RS256,
        SignatureAlgorithm::RS384 => JwtAlgorithm::RS384,
        SignatureAlgorithm::RS512 => JwtAlgorithm::RS512,
        SignatureAlgorithm::PS256 => JwtAlgorithm::PS256,
        SignatureAlgorithm::PS384 => JwtAlgorithm::PS384,
        SignatureAlgorithm::PS512 => JwtAlgorithm::PS512,
        SignatureAlgorithm::ES256 => JwtAlgorithm::ES256,
        SignatureAlgorithm::ES384 => JwtAlgorithm::ES384,
        SignatureAlgorithm::EdDSA => JwtAlgorithm::EdDSA,
    }
}

impl Published for Credential {
    fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

impl fmt::Debug for Credential {
    /// Who we are; nothing of the proof.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_are_encoded_before_they_are_joined() {
        let cases = [
            // (client_id, secret, what is encoded in base64)
            ("gateway", "s3cret", "gateway:s3cret"),
            (
                "https://gw.example/a b",
                "a:b",
                "https%3A%2F%2Fgw.example%2Fa+b:a%3Ab",
            ),
            ("a:b", "%41+&=", "a%3Ab:%2541%2B%26%3D"),
            ("grün", "ß", "gr%C3%BCn:%C3%9F"),
        ];
        for (client_id, secret, want) in cases {
            let value = basic(client_id, secret).unwrap();
            assert!(value.is_sensitive());
            let value = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
            let pair = String::from_utf8(STANDARD.decode(value).unwrap()).unwrap();
            assert_eq!(pair, want);
        }
    }

    #[test]
    fn no_two_assertions_are_the_same_and_each_is_for_one_server() {
        for algorithm in JwtAlgorithm::ALL {
            let key = ClientKey {
                key: SigningKey::generate(*algorithm).unwrap(),
                kid: Some("k1".to_owned()),
                audience: None,
            };
            let one = key
                .assertion("gateway", "https://id.example", 1_000)
                .unwrap();
            let two = key
                .assertion("gateway", "https://id.example", 1_000)
                .unwrap();
            let parts = |token: &str| {
                let read = |part: &str| -> Value {
                    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
                };
                let mut parts = token.split('.');
                (read(parts.next().unwrap()), read(parts.next().unwrap()))
            };
            let ((header, claims), (_, other)) = (parts(&one), parts(&two));
            let want = json!({"alg": algorithm.name(), "typ": "JWT", "kid": "k1"});
            assert_eq!(header, want);
            assert_eq!(claims["iss"], "gateway");
            assert_eq!(claims["sub"], "gateway");
            assert_eq!(claims["aud"], "https://id.example");
            assert_eq!(
                (&claims["iat"], &claims["exp"]),
                (&json!(1_000), &json!(1_060))
            );
            assert_ne!(claims["jti"], other["jti"]);
            assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
        }
    }
}
