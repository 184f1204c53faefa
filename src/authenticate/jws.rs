//! A signed token in its compact form (RFC 7515): taken apart strictly, then verified with the one
//! key that it may be verified with.
//!
//! Nothing in the token chooses how it is verified: its header can only name a key of the issuer's
//! set, and that key has its algorithm. The key may have to be waited for between the two steps.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde_json::{Map, Value};

use super::algorithm;
use super::claims::is_workload_of;
use super::key::Key;
use crate::config::spec::{IssuerSpec, SignatureAlgorithm};
use crate::config::token::SubjectsSpec;
use crate::identity::claims::Claims;
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

/// A token that was taken apart. Nobody has said yet that any of it is true.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    parts: Parts<'t>,
    algorithm: SignatureAlgorithm,
}

/// A JWS whose parts were read, and nothing of what they say.
#[derive(Debug)]
pub(super) struct Parts<'t> {
    /// The text that was signed.
    signed: &'t str,
    pub(super) header: Map<String, Value>,
    pub(super) payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenMalformed`], [`Refusal::TokenHeader`] or [`Refusal::TokenAlgorithm`].
    pub(super) fn read(token: &'t str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TokenMalformed);
        }
        let parts = take_apart(token)?;
        let algorithm = Header::read(&parts.header)?.algorithm;
        Ok(Self { parts, algorithm })
    }

    /// The key that it wants to be verified with, and how.
    ///
    /// # Errors
    ///
    /// None that [`Self::read`] would not have told.
    pub(super) fn wants(&self) -> Result<(Option<&str>, SignatureAlgorithm), Refusal> {
        Ok((text(&self.parts.header, "kid")?, self.algorithm))
    }

    /// Whether its claims name this issuer, or a workload of its trust domain. It proves nothing, and is
    /// no reason to believe anything.
    pub(super) fn claims_to_be_of(&self, issuer: &IssuerSpec) -> bool {
        let Ok(claims) = json::object(&self.parts.payload) else {
            return false;
        };
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        match &issuer.profile.subjects {
            SubjectsSpec::Workloads { of, iss: false } => is_workload_of(of, text("sub")),
            SubjectsSpec::Workloads { iss: true, .. } | SubjectsSpec::Anybody => {
                text("iss") == Some(&issuer.issuer)
            }
        }
    }

    /// Verifies the signature with the key that it must be verified with.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenAlgorithm`] or [`Refusal::TokenSignature`].
    pub(super) fn verify(self, key: &Key) -> Result<Signed, Refusal> {
        if !key.fits(self.algorithm) {
            return Err(Refusal::TokenAlgorithm);
        }
        verify_signature(&self.parts, key, self.algorithm)?;
        let typ = Header::read(&self.parts.header)?.typ.map(normal_typ);
        Ok(Signed {
            typ,
            payload: self.parts.payload,
        })
    }
}

/// Takes a JWS in compact form apart. The caller bounds its length.
///
/// # Errors
///
/// [`Refusal::TokenMalformed`] unless it has three parts in base64url, the first of them JSON.
pub(super) fn take_apart(text: &str) -> Result<Parts<'_>, Refusal> {
    // Exactly three parts: with more, as in a JWE (RFC 7516), the payload has a dot, which is not
    // base64url.
    let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::TokenMalformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Refusal::TokenMalformed)?;
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    let header = json::object(&header).map_err(|_not_one_object| Refusal::TokenMalformed)?;
    Ok(Parts {
        signed,
        header,
        payload,
        signature,
    })
}

/// Takes a token apart and verifies its signature with a key of the set.
#[cfg(test)]
pub(super) fn verify(token: &str, keys: &super::jwks::KeySet) -> Result<Signed, Refusal> {
    let token = Unverified::read(token)?;
    let (kid, algorithm) = token.wants()?;
    let key = keys.find(kid, algorithm)?;
    token.verify(key)
}

/// The claims of a token that nobody has verified: good for nothing but to choose by whom it must be.
///
/// # Errors
///
/// [`Refusal::TokenMalformed`].
pub(super) fn unverified_claims(token: &str) -> Result<Map<String, Value>, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::TokenMalformed);
    }
    let payload = decode(payload(token.as_bytes()))?;
    json::object(&payload).map_err(|_not_one_object| Refusal::TokenMalformed)
}

/// Whether a token is to be judged as a JOSE object, signed or encrypted, sound or not: it has parts,
/// the first of which is a header. Whoever makes one look otherwise has it asked about, and the issuer
/// does not know it.
pub(super) fn looks_like_jose(token: &str) -> bool {
    header(token).is_some()
}

/// Whether what looks like a JWT names another issuer than this one: in its claims or, as an encrypted
/// one may (RFC 7519, section 5.3), in its header. However it is signed, and whatever else is wrong with it.
pub(super) fn names_another_issuer(token: &str, issuer: &str) -> bool {
    let Some(header) = header(token) else {
        return false;
    };
    let claims = unverified_claims(token).unwrap_or_default();
    let iss = [header.get("iss"), claims.get("iss")];
    let mut iss = iss.into_iter().flatten();
    iss.any(|iss| iss.as_str() != Some(issuer))
}

fn header(token: &str) -> Option<Map<String, Value>> {
    let (header, _rest) = token.split_once('.')?;
    if header.len() > TOKEN_BYTES_MAX {
        return None;
    }
    json::object(&decode(header).ok()?).ok()
}

/// The claims of a token that was verified before, to be read when somebody asks for one.
pub(super) fn verified_claims(token: &[u8]) -> Claims {
    Claims::later(payload(token), |payload| {
        let claims = decode(payload).ok();
        let claims = claims.and_then(|payload| json::object(&payload).ok());
        claims.unwrap_or_default() // never: this payload was read when the token was verified
    })
}

/// The second part.
fn payload(token: &[u8]) -> &[u8] {
    token.split(|byte| *byte == b'.').nth(1).unwrap_or_default()
}

/// How types are compared: in lower case and without `application/` (RFC 7515, section 4.1.9).
pub(super) fn normal_typ(typ: &str) -> Box<str> {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).into()
}

/// Extensions that must be understood (RFC 7515, section 4.1.11), unencoded payloads (RFC 7797), and
/// keys that the token brings: who may sign is the operator's word.
pub(super) const REFUSED: [&str; 6] = ["crit", "b64", "jwk", "jku", "x5c", "x5u"];

struct Header<'a> {
    algorithm: SignatureAlgorithm,
    typ: Option<&'a str>,
}

impl<'a> Header<'a> {
    fn read(header: &'a Map<String, Value>) -> Result<Self, Refusal> {
        // Only encrypted tokens have these (RFC 7516, section 4.1).
        const OF_JWE: [&str; 2] = ["enc", "zip"];
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return Err(Refusal::TokenHeader);
        }
        if OF_JWE.iter().any(|name| header.contains_key(*name)) {
            return Err(Refusal::TokenMalformed);
        }
        let algorithm = text(header, "alg")?.and_then(algorithm::by_name);
        let algorithm = algorithm.ok_or(Refusal::TokenAlgorithm)?;
        text(header, "kid")?;
        Ok(Self {
            algorithm,
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
fn decode(part: impl AsRef<[u8]>) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_not_base64url| Refusal::TokenMalformed)
}

/// Whether a key signed it, with this algorithm.
///
/// # Errors
///
/// [`Refusal::TokenAlgorithm`] if the key is none of this algorithm; [`Refusal::TokenSignature`].
pub(super) fn verify_signature(
    parts: &Parts<'_>,
    key: &Key,
    algorithm: SignatureAlgorithm,
) -> Result<(), Refusal> {
    if !key.fits(algorithm) {
        return Err(Refusal::TokenAlgorithm);
    }
    if let Some(parsed) = key.parsed() {
        // What the crate does as well, but for reading the key anew.
        let verified = parsed.verify_sig(parts.signed.as_bytes(), &parts.signature);
        return verified.map_err(|_wrong| Refusal::TokenSignature);
    }
    // The provider is named, not looked up: the crate's default one is chosen by its features, and
    // it panics when another crate of the build turns on a second.
    let of_crate = algorithm::of_crate(algorithm);
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&of_crate, key.decoding())
        .map_err(|_other_kind_of_key| Refusal::TokenAlgorithm)?;
    verifier
        .verify(parts.signed.as_bytes(), &parts.signature)
        .map_err(|_wrong| Refusal::TokenSignature)
}
