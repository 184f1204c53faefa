//! One public key of an issuer: read from a JWK (RFC 7517), tied to its algorithm, refused where
//! it is not made for verifying signatures or is too weak.
//!
//! The algorithm is the key's own: the member `alg`, else the one that its curve leaves. Only an
//! RSA key without `alg` fits several; it may be used with those RSA algorithms that the operator
//! wrote for the issuer, which is decided when the set is loaded and never by a token.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::algorithm;
use super::rsa;
use crate::config::spec::SignatureAlgorithm;

/// A key that may verify tokens.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<Box<str>>,
    algorithms: Box<[SignatureAlgorithm]>,
    public: PublicKey,
    decoding: DecodingKey,
    /// Read for good, where there is one algorithm for it: to read it anew for each token costs.
    parsed: Option<ParsedPublicKey>,
    gone: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PublicKey {
    Rsa {
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
    /// An uncompressed point: 4, x, y (SEC 1, section 2.3.3).
    P256(Box<[u8]>),
    /// As [`Self::P256`].
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

impl Key {
    /// Reads one entry of `keys`, for an issuer that may use the algorithms `allowed`.
    ///
    /// # Errors
    ///
    /// Why the key cannot be used, for the operator: a clause about "it", in lower case.
    pub(super) fn read(
        jwk: &Map<String, Value>,
        allowed: &[SignatureAlgorithm],
    ) -> Result<Self, Cow<'static, str>> {
        let kid = text(jwk, "kid")?.map(Into::into);
        check_purpose(jwk)?;
        let public = PublicKey::read(jwk)?;
        let algorithms = public.algorithms(text(jwk, "alg")?, allowed)?;
        let decoding = public.decoding();
        let parsed = public.parsed();
        Ok(Self {
            kid,
            algorithms,
            public,
            decoding,
            parsed,
            gone: AtomicBool::new(false),
        })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether tokens of this algorithm may be verified with this key.
    pub(super) fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// The issuer has taken it away: what was verified with it counts no more.
    pub(super) fn retire(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether the issuer has taken it away.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The key as the verifying crate wants it.
    pub(super) const fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// The key of a curve, which has one algorithm.
    pub(super) const fn parsed(&self) -> Option<&ParsedPublicKey> {
        self.parsed.as_ref()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithms == other.algorithms && self.public == other.public
    }
}

impl PublicKey {
    fn read(jwk: &Map<String, Value>) -> Result<Self, Cow<'static, str>> {
        match text(jwk, "kty")? {
            Some("RSA") => Self::read_rsa(jwk),
            Some("EC") => Self::read_ec(jwk),
            Some("OKP") => Self::read_okp(jwk),
            Some("oct") => Err("it is symmetric: who can verify with it can also sign".into()),
            Some(_) | None => Err("its `kty` is not RSA, EC or OKP".into()),
        }
    }

    fn read_rsa(jwk: &Map<String, Value>) -> Result<Self, Cow<'static, str>> {
        let modulus = without_leading_zeros(bytes(jwk, "n")?);
        let exponent = without_leading_zeros(bytes(jwk, "e")?);
        if let Some(weakness) = rsa::weakness(&modulus, &exponent) {
            return Err(weakness.into());
        }
        RsaPublicKeyComponents {
            n: &*modulus,
            e: &*exponent,
        }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_rejected| "its RSA numbers are not a public key")?;
        Ok(Self::Rsa { modulus, exponent })
    }

    fn read_ec(jwk: &Map<String, Value>) -> Result<Self, Cow<'static, str>> {
        match text(jwk, "crv")? {
            Some("P-256") => point(jwk, 32, &ECDSA_P256_SHA256_FIXED).map(Self::P256),
            Some("P-384") => point(jwk, 48, &ECDSA_P384_SHA384_FIXED).map(Self::P384),
            Some(_) | None => Err("its `crv` is not P-256 or P-384".into()),
        }
    }

    /// A key that is no point of the curve is not noticed here; it verifies nothing.
    fn read_okp(jwk: &Map<String, Value>) -> Result<Self, Cow<'static, str>> {
        if text(jwk, "crv")? != Some("Ed25519") {
            return Err("its `crv` is not Ed25519".into());
        }
        let key = bytes(jwk, "x")?;
        if key.len() != 32 {
            return Err("its `x` is not 32 bytes long".into());
        }
        if is_small_order(&key) {
            return Err("it is a point of small order: anybody can sign for it".into());
        }
        Ok(Self::Ed25519(key.into()))
    }

    fn algorithms(
        &self,
        own: Option<&str>,
        allowed: &[SignatureAlgorithm],
    ) -> Result<Box<[SignatureAlgorithm]>, Cow<'static, str>> {
        let own = match own {
            None => None,
            Some(name) => {
                let known = algorithm::by_name(name).filter(|&known| self.can(known));
                Some(known.ok_or("its `alg` is none of ours, or not one of its kind of key")?)
            }
        };
        let fits = |it: &SignatureAlgorithm| self.can(*it) && own.is_none_or(|own| own == *it);
        let mut algorithms: Vec<_> = allowed.iter().copied().filter(fits).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        if algorithms.is_empty() {
            return Err("its algorithm is not among the issuer's `algorithms`".into());
        }
        Ok(algorithms.into())
    }

    /// Whether this kind of key can verify that kind of signature.
    const fn can(&self, algorithm: SignatureAlgorithm) -> bool {
        match algorithm {
            SignatureAlgorithm::RS256
            | SignatureAlgorithm::RS384
            | SignatureAlgorithm::RS512
            | SignatureAlgorithm::PS256
            | SignatureAlgorithm::PS384
            | SignatureAlgorithm::PS512 => matches!(self, Self::Rsa { .. }),
            SignatureAlgorithm::ES256 => matches!(self, Self::P256(_)),
            SignatureAlgorithm::ES384 => matches!(self, Self::P384(_)),
            SignatureAlgorithm::EdDSA => matches!(self, Self::Ed25519(_)),
        }
    }

    fn parsed(&self) -> Option<ParsedPublicKey> {
        match self {
            Self::P256(point) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok(),
            Self::P384(point) => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).ok(),
            Self::Rsa { .. } | Self::Ed25519(_) => None,
        }
    }

    fn decoding(&self) -> DecodingKey {
        match self {
            Self::Rsa { modulus, exponent } => {
                DecodingKey::from_rsa_raw_components(modulus, exponent)
            }
            Self::P256(point) | Self::P384(point) => DecodingKey::from_ec_der(point),
            Self::Ed25519(key) => DecodingKey::from_ed_der(key),
        }
    }
}

/// Refuses keys that are not public, or not for verifying signatures (RFC 7517, sections 4.2 and
/// 4.3).
fn check_purpose(jwk: &Map<String, Value>) -> Result<(), Cow<'static, str>> {
    const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];
    if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
        return Err(
            "it is a private key: keep it with the issuer, and write its public part".into(),
        );
    }
    // The second is what bundles of SPIFFE say of keys for tokens (JWT-SVID, section 5.1).
    let for_tokens = ["sig", "jwt-svid"];
    if text(jwk, "use")?.is_some_and(|purpose| !for_tokens.contains(&purpose)) {
        return Err("its `use` is not \"sig\"".into());
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.contains(&Value::from("verify")) => Ok(()),
        Some(_) => Err("its `key_ops` do not have \"verify\"".into()),
    }
}

fn point(
    jwk: &Map<String, Value>,
    coordinate_bytes: usize,
    curve: &'static dyn VerificationAlgorithm,
) -> Result<Box<[u8]>, Cow<'static, str>> {
    let x = bytes(jwk, "x")?;
    let y = bytes(jwk, "y")?;
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err("its `x` or `y` has not the length of its curve".into());
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    match ParsedPublicKey::new(curve, &point) {
        Ok(_on_the_curve) => Ok(point.into()),
        Err(_rejected) => Err("its `x` and `y` are no point of its curve".into()),
    }
}

/// Whether an Ed25519 key is one of the points for which signatures can be made without a private
/// key: those of order 1, 2, 4 and 8, also in their non-canonical spellings.
fn is_small_order(key: &[u8]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let Some((&last, low)) = key.split_last() else {
        return false;
    };
    let high = last & 0x7F; // The top bit is the sign of x.
    let Some((&first, middle)) = low.split_first() else {
        return false;
    };
    let near_zero = first <= 1 && high == 0 && middle.iter().all(|&byte| byte == 0);
    let near_prime =
        (0xEC..=0xEE).contains(&first) && high == 0x7F && middle.iter().all(|&byte| byte == 0xFF);
    let of_order_8 = ORDER_8.iter().any(|point| {
        point
            .split_last()
            .is_some_and(|(&its_last, its_low)| its_last == high && its_low == low)
    });
    near_zero || near_prime || of_order_8
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Cow<'static, str>> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("its `{name}` is not a text").into()),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Cow<'static, str>> {
    let text = text(jwk, name)?.ok_or_else(|| format!("it has no `{name}`"))?;
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) => Ok(bytes),
        Err(_not_base64url) => Err(format!("its `{name}` is not base64url without padding").into()),
    }
}

/// Some issuers write one (RFC 7518, section 6.3.1.1, says not to); the number is the same.
fn without_leading_zeros(number: Vec<u8>) -> Box<[u8]> {
    number.into_iter().skip_while(|&byte| byte == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_small_order_are_known_in_every_spelling() {
        let mut prime = [0xFF; 32];
        prime[31] = 0x7F;
        for first in [0xEC, 0xED, 0xEE] {
            prime[0] = first;
            assert!(is_small_order(&prime));
        }
        prime[0] = 0xEB;
        assert!(!is_small_order(&prime));
        let mut key = [0; 32];
        assert!(is_small_order(&key));
        key[31] = 0x80;
        assert!(is_small_order(&key));
        key[0] = 1;
        assert!(is_small_order(&key));
        key[0] = 2;
        assert!(!is_small_order(&key));
    }
}
