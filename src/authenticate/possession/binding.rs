//! [`Binding`]: what a token says about who may use it (the claim `cnf`, RFC 7800). A JWT and the
//! answer of an introspection (RFC 7662) say it in the same words.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::thumbprint::Thumbprint;
use crate::refusal::Refusal;

/// Whose token it is. Where both are there, both must be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// `x5t#S256`: the SHA-256 of the certificate (RFC 8705, section 3.1).
    pub(super) certificate: Option<[u8; 32]>,
    /// `jkt`: the thumbprint of the key that signs proofs (RFC 9449, section 6.1).
    pub(super) key: Option<Thumbprint>,
}

impl Binding {
    /// Reads `cnf`. Without it the token is whoever's who holds it.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenBindingUnknown`] if it names a method that we cannot check, or none: its
    /// issuer counts on a proof, so the token is no plain bearer token.
    /// [`Refusal::TokenMalformed`] if it is not an object, or a hash is none.
    pub fn read(claims: &Map<String, Value>) -> Result<Self, Refusal> {
        let methods = match claims.get("cnf") {
            None => return Ok(Self::default()),
            Some(Value::Object(methods)) => methods,
            Some(_) => return Err(Refusal::TokenMalformed),
        };
        let mut binding = Self::default();
        for (method, value) in methods {
            match method.as_str() {
                CERTIFICATE => binding.certificate = Some(hash(value)?),
                KEY => binding.key = Some(Thumbprint::new(hash(value)?)),
                _ => return Err(Refusal::TokenBindingUnknown),
            }
        }
        if methods.is_empty() {
            return Err(Refusal::TokenBindingUnknown);
        }
        Ok(binding)
    }

    /// Bound to what either says. `None`: they differ, and nobody can show both.
    pub(in crate::authenticate) fn and(&self, other: &Self) -> Option<Self> {
        Some(Self {
            certificate: both(self.certificate, other.certificate)?,
            key: both(self.key, other.key)?,
        })
    }
}

fn both<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<Option<T>> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => None,
        (one, other) => Some(one.or(other)),
    }
}

/// The members of `cnf` that we can check.
pub(super) const CERTIFICATE: &str = "x5t#S256";
pub(super) const KEY: &str = "jkt";

/// A SHA-256 in base64url, in its one spelling.
fn hash(value: &Value) -> Result<[u8; 32], Refusal> {
    let bytes = value
        .as_str()
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Refusal::TokenMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_two_say_is_bound_to_both_or_to_nobody() {
        let hash = |byte| URL_SAFE_NO_PAD.encode([byte; 32]);
        let read = |cnf: Value| Binding::read(json!({ "cnf": cnf }).as_object().unwrap()).unwrap();
        let (certificate, other) = (
            json!({ "x5t#S256": hash(1) }),
            json!({ "x5t#S256": hash(2) }),
        );
        let key = json!({ "jkt": hash(3) });
        let all = json!({ "x5t#S256": hash(1), "jkt": hash(3) });
        let nothing = Binding::default();
        let cases = [
            (
                nothing,
                read(certificate.clone()),
                Some(read(certificate.clone())),
            ),
            (
                read(certificate.clone()),
                read(key),
                Some(read(all.clone())),
            ),
            (
                read(all.clone()),
                read(certificate.clone()),
                Some(read(all)),
            ),
            (read(certificate), read(other), None),
            (nothing, nothing, Some(nothing)),
        ];
        for (one, two, want) in cases {
            assert_eq!(
                (one.and(&two), two.and(&one)),
                (want, want),
                "{one:?} {two:?}"
            );
        }
    }

    #[test]
    fn a_token_is_bound_to_what_we_can_check_or_refused() {
        let hash = URL_SAFE_NO_PAD.encode([7; 32]);
        let read = |cnf: Value| Binding::read(json!({ "cnf": cnf }).as_object().unwrap());
        let certificate = Some([7; 32]);
        let key = Some(Thumbprint::new([7; 32]));
        let bound = |certificate, key| Ok(Binding { certificate, key });
        let unknown = Err(Refusal::TokenBindingUnknown);
        let malformed = Err(Refusal::TokenMalformed);
        assert_eq!(Binding::read(&Map::new()), bound(None, None));
        let cases = [
            (json!({ "x5t#S256": hash }), bound(certificate, None)),
            (json!({ "jkt": hash }), bound(None, key)),
            (
                json!({ "jkt": hash, "x5t#S256": hash }),
                bound(certificate, key),
            ),
            (json!({}), unknown),
            (json!({ "kid": "k" }), unknown),
            (json!({ "jwk": { "kty": "EC" } }), unknown),
            (json!({ "jku": "https://a.example" }), unknown),
            (json!({ "x5t": hash }), unknown),
            (json!({ "JKT": hash }), unknown),
            (json!({ "jkt": hash, "kid": "k" }), unknown),
            (json!({ "x5t#S256": hash, "jwk": {} }), unknown),
            (json!({ "jkt": "AAAA" }), malformed),
            (json!({ "jkt": format!("{hash}=") }), malformed),
            (json!({ "jkt": null }), malformed),
            (json!({ "x5t#S256": 7 }), malformed),
            (json!({ "x5t#S256": "" }), malformed),
            (json!(null), malformed),
            (json!([]), malformed),
            (json!("x"), malformed),
        ];
        for (cnf, want) in cases {
            assert_eq!(read(cnf.clone()), want, "{cnf}");
        }
    }
}
