//! A signed token in its compact form (RFC 7515): taken apart strictly, then verified with the one
//! key that it may be verified with.
//!
//! Nothing in the token chooses how it is verified: its header can only name a key of the issuer's
//! set, and that key has its algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde_json::{Map, Value};

use super::algorithm;
use super::jwks::KeySet;
use super::key::Key;
use crate::config::spec::SignatureAlgorithm;
use crate::json;
use crate::refusal::Refusal;

/// What a token says, after its signature was found right.
#[derive(Debug)]
pub(super) struct Signed {
    /// `typ` in lower case and without `application/`.
    pub(super) typ: Option<Box<str>>,
    /// The bytes that were signed.
    pub(super) payload: Vec<u8>,
}

/// The longest token that is read. Half of what servers take for all header fields together.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Takes a token apart and verifies its signature.
///
/// # Errors
///
/// [`Refusal::TokenMalformed`], [`Refusal::TokenHeader`], [`Refusal::TokenAlgorithm`],
/// [`Refusal::TokenKeyUnknown`] or [`Refusal::TokenSignature`].
pub(super) fn verify(token: &str, keys: &KeySet) -> Result<Signed, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::TokenMalformed);
    }
    // Exactly three parts: with more, as in a JWE (RFC 7516), the payload has a dot, which is not
    // base64url.
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::TokenMalformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Refusal::TokenMalformed)?;
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    let header = json::object(&header).map_err(|_not_one_object| Refusal::TokenMalformed)?;
    let header = Header::read(&header)?;
    let key = keys.find(header.kid, header.algorithm)?;
    verify_signature(signed, &signature, key, header.algorithm)?;
    Ok(Signed {
        typ: header.typ.map(normal_typ),
        payload,
    })
}

/// How types are compared: in lower case and without `application/` (RFC 7515, section 4.1.9).
pub(super) fn normal_typ(typ: &str) -> Box<str> {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).into()
}

struct Header<'a> {
    algorithm: SignatureAlgorithm,
    kid: Option<&'a str>,
    typ: Option<&'a str>,
}

impl<'a> Header<'a> {
    fn read(header: &'a Map<String, Value>) -> Result<Self, Refusal> {
        // Extensions that must be understood (RFC 7515, section 4.1.11), unencoded payloads (RFC
        // 7797), and keys that the token brings: who may sign is the operator's word.
        const REFUSED: [&str; 6] = ["crit", "b64", "jwk", "jku", "x5c", "x5u"];
        // Only encrypted tokens have these (RFC 7516, section 4.1).
        const OF_JWE: [&str; 2] = ["enc", "zip"];
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return Err(Refusal::TokenHeader);
        }
        if OF_JWE.iter().any(|name| header.contains_key(*name)) {
            return Err(Refusal::TokenMalformed);
        }
        let algorithm = text(header, "alg")?.and_then(algorithm::by_name);
        Ok(Self {
            algorithm: algorithm.ok_or(Refusal::TokenAlgorithm)?,
            kid: text(header, "kid")?,
            typ: text(header, "typ")?,
        })
    }
}

fn text<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::TokenMalformed),
    }
}

/// base64url without padding, in its one spelling: unused bits must be zero (RFC 4648, section
/// 3.5).
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_not_base64url| Refusal::TokenMalformed)
}

fn verify_signature(
    signed: &str,
    signature: &Vec<u8>,
    key: &Key,
    algorithm: SignatureAlgorithm,
) -> Result<(), Refusal> {
    // The provider is named, not looked up: the crate's default one is chosen by its features, and
    // it panics when another crate of the build turns on a second.
    let of_crate = algorithm::of_crate(algorithm);
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&of_crate, key.decoding())
        .map_err(|_other_kind_of_key| Refusal::TokenAlgorithm)?;
    verifier
        .verify(signed.as_bytes(), signature)
        .map_err(|_wrong| Refusal::TokenSignature)
}
