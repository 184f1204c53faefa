//! One proof: the JWT in the field `DPoP` (RFC 9449, sections 4.2 and 4.3).
//!
//! What costs little is asked first: a proof whose key is not the one that the token names costs a
//! hash, and only of one that says all the right things the signature is verified. Whether it was
//! seen before is asked last, of the replay store, so that nobody can use up the proof of another.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Map, Value};

use super::super::{algorithm, claims, jws, key};
use super::target;
use super::thumbprint::Thumbprint;
use crate::config::spec::SignatureAlgorithm;
use crate::identity::host::Authority;
use crate::identity::path::NormalPath;
use crate::json;
use crate::refusal::Refusal;

/// A proof that says what it must; that its signature is right is still to be asked.
#[derive(Debug)]
pub(super) struct Proof<'p> {
    parts: jws::Parts<'p>,
    algorithm: SignatureAlgorithm,
    thumbprint: Thumbprint,
    claims: Map<String, Value>,
    issued: u64,
    /// `nbf` and `exp`, which no proof needs, and which count where they are (RFC 7519, section 4.1).
    not_before: Option<u64>,
    expires: Option<u64>,
}

/// The request and the token that a proof must be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) method: &'a Method,
    pub(super) authority: &'a Authority,
    pub(super) path: &'a NormalPath,
    pub(super) token: &'a [u8],
    /// The key that the token is bound to.
    pub(super) key: &'a Thumbprint,
    /// The algorithms that it may be signed with.
    pub(super) algorithms: &'a [SignatureAlgorithm],
}

/// A proof has a key and a signature (RSA with 8192 bits: 1,366 letters each) and some texts.
pub(super) const PROOF_BYTES_MAX: usize = 8 * 1024;
/// A `jti` is a UUID or some random bytes (RFC 9449, section 4.2).
const JTI_BYTES_MAX: usize = 256;

/// The one `DPoP` field of a request.
///
/// # Errors
///
/// [`Refusal::ProofMissing`]; [`Refusal::ProofSeveral`], also where the second is the same.
pub(super) fn field(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(DPOP).iter();
    let value = values.next().ok_or(Refusal::ProofMissing)?;
    if values.next().is_some() {
        return Err(Refusal::ProofSeveral);
    }
    value.to_str().map_err(|_not_ascii| Refusal::ProofMalformed)
}

/// RFC 9449, section 4.1.
const DPOP: HeaderName = HeaderName::from_static("dpop");

impl<'p> Proof<'p> {
    /// Reads a proof and holds it against what is wanted of it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: a refusal whose name begins with `Proof`.
    pub(super) fn read(text: &'p str, wanted: &Wanted<'_>) -> Result<Self, Refusal> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(Refusal::ProofMalformed);
        }
        let parts = jws::take_apart(text).map_err(|_malformed| Refusal::ProofMalformed)?;
        let algorithm = check_header(&parts.header, wanted.algorithms)?;
        let thumbprint = Thumbprint::of(public_key(&parts.header)?).ok_or(Refusal::ProofKey)?;
        verify_slices_are_equal(thumbprint.as_bytes(), wanted.key.as_bytes())
            .map_err(|_differ| Refusal::ProofOfAnotherKey)?;
        let claims =
            json::object(&parts.payload).map_err(|_not_one_object| Refusal::ProofMalformed)?;
        check_claims(&claims, wanted)?;
        let time = |name: &str, whole: fn(f64) -> f64| {
            claims::time(&claims, name, whole).map_err(|_no_time| Refusal::ProofMalformed)
        };
        let issued = time("iat", f64::floor)?.ok_or(Refusal::ProofMalformed)?;
        let (not_before, expires) = (time("nbf", f64::ceil)?, time("exp", f64::floor)?);
        Ok(Self {
            parts,
            algorithm,
            thumbprint,
            claims,
            issued,
            not_before,
            expires,
        })
    }

    /// Whether it was made at most `window` seconds before `now`, by a clock that is at most
    /// `leeway` seconds ahead, and by its own words counts at that time.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProofExpired`], [`Refusal::ProofNotYetValid`].
    pub(super) fn check_time(&self, now: u64, window: u64, leeway: u64) -> Result<(), Refusal> {
        let over = |end: u64| now >= end.saturating_add(leeway);
        if now > self.issued.saturating_add(window) || self.expires.is_some_and(over) {
            return Err(Refusal::ProofExpired);
        }
        if self.issued.max(self.not_before.unwrap_or(0)) > now.saturating_add(leeway) {
            return Err(Refusal::ProofNotYetValid);
        }
        Ok(())
    }

    /// When it was made, in seconds since 1970.
    pub(super) const fn issued(&self) -> u64 {
        self.issued
    }

    /// The nonce in it (RFC 9449, section 9).
    ///
    /// # Errors
    ///
    /// [`Refusal::ProofMalformed`] if it is no text.
    pub(super) fn nonce(&self) -> Result<Option<&str>, Refusal> {
        text(&self.claims, "nonce")
    }

    /// Whether its own key signed it.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProofKey`] if the key is none of its algorithm, or too weak;
    /// [`Refusal::ProofSignature`].
    pub(super) fn verify_signature(&self) -> Result<(), Refusal> {
        let key = public_key(&self.parts.header)?;
        let key = key::Key::read(key, &[self.algorithm]).map_err(|why| {
            tracing::debug!(error = &*why, "the key of a proof cannot be used");
            Refusal::ProofKey
        })?;
        jws::verify_signature(&self.parts, &key, self.algorithm)
            .map_err(|_wrong| Refusal::ProofSignature)
    }

    /// By what it is known again: the hash of its key and its `jti`. A `jti` is used once, whatever
    /// for: a proof that is signed anew for another URL needs one of its own (section 4.2).
    pub(super) fn replay_key(&self) -> [u8; 32] {
        let jti = self.claims.get("jti").and_then(Value::as_str);
        let named = [
            self.thumbprint.as_bytes(),
            jti.unwrap_or_default().as_bytes(),
        ]
        .concat();
        sha256(&named)
    }
}

/// What must be understood, and other keys beside `jwk` (RFC 7515, section 4.1).
pub(super) const REFUSED: [&str; 5] = ["crit", "b64", "jku", "x5c", "x5u"];

fn check_header(
    header: &Map<String, Value>,
    algorithms: &[SignatureAlgorithm],
) -> Result<SignatureAlgorithm, Refusal> {
    if REFUSED.iter().any(|name| header.contains_key(*name)) {
        return Err(Refusal::ProofHeader);
    }
    let typ = text(header, "typ")?.map(jws::normal_typ);
    if typ.as_deref() != Some("dpop+jwt") {
        return Err(Refusal::ProofType);
    }
    let name = text(header, "alg")?;
    name.and_then(algorithm_by_name)
        .filter(|known| algorithms.contains(known))
        .ok_or(Refusal::ProofAlgorithm)
}

/// RFC 9864 gives `EdDSA` with Ed25519 a name of its own, which newer clients write.
pub(super) fn algorithm_by_name(name: &str) -> Option<SignatureAlgorithm> {
    algorithm::by_name(if name == "Ed25519" { "EdDSA" } else { name })
}

/// `jwk`, if it is there and has nothing secret in it. What else may be wrong with it is
/// [`key::Key::read`]'s to say.
fn public_key(header: &Map<String, Value>) -> Result<&Map<String, Value>, Refusal> {
    let key = header.get("jwk").and_then(Value::as_object);
    key.filter(|key| !is_secret(key)).ok_or(Refusal::ProofKey)
}

/// Whether the client gave its key away.
pub(super) fn is_secret(key: &Map<String, Value>) -> bool {
    // RFC 7518, sections 6.2.2, 6.3.2 and 6.4.
    const SECRET: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    SECRET.iter().any(|member| key.contains_key(*member))
}

fn check_claims(claims: &Map<String, Value>, wanted: &Wanted<'_>) -> Result<(), Refusal> {
    let needed = |name: &str| text(claims, name)?.ok_or(Refusal::ProofMalformed);
    let jti = needed("jti")?;
    if jti.is_empty() || jti.len() > JTI_BYTES_MAX {
        return Err(Refusal::ProofMalformed);
    }
    if needed("htm")? != wanted.method.as_str() {
        return Err(Refusal::ProofMethod);
    }
    if !target::is_for(needed("htu")?, wanted.authority, wanted.path) {
        return Err(Refusal::ProofTarget);
    }
    let token = URL_SAFE_NO_PAD.encode(sha256(wanted.token));
    let same = text(claims, "ath")?.is_some_and(|ath| ath == token);
    same.then_some(()).ok_or(Refusal::ProofToken)
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::ProofMalformed),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
