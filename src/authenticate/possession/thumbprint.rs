//! The thumbprint of a public key (RFC 7638): by it a token says whose proof it wants
//! (`cnf.jkt`, RFC 9449, section 6.1).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

/// The SHA-256 thumbprint of a JWK.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    pub(super) const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The thumbprint of a JWK as it is written. `None` if it is no EC, RSA or OKP key, or one of
    /// the members that count is not there or not base64url.
    ///
    /// It costs one hash: whether the key is on its curve is asked later, of the few whose
    /// thumbprint is the right one.
    pub(super) fn of(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| {
            jwk.get(name)
                .and_then(Value::as_str)
                .filter(|t| is_plain(t))
        };
        // The required members alone, in the order of their names (sections 3.2 and 3.3). None of
        // their values needs an escape, for `text` lets none pass that would.
        let canonical = match text("kty")? {
            "EC" => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                text("crv")?,
                text("x")?,
                text("y")?
            ),
            "RSA" => format!(
                r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                text("e")?,
                text("n")?
            ),
            // RFC 8037, section 2.
            "OKP" => format!(
                r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#,
                text("crv")?,
                text("x")?
            ),
            _ => return None,
        };
        Some(Self::of_text(&canonical))
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of_text(canonical: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, canonical.as_bytes()).as_ref());
        Self(hash)
    }
}

/// Letters of base64url, and of the names of curves and kinds.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.0.iter().take(4);
        start
            .into_iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    fn of(jwk: &Value) -> Option<String> {
        let thumbprint = Thumbprint::of(jwk.as_object().unwrap())?;
        Some(URL_SAFE_NO_PAD.encode(thumbprint.0))
    }

    #[test]
    fn the_examples_of_the_rfcs_have_their_thumbprints() {
        let rsa = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6t\
                  Soc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65\
                  YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrd\
                  kt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnq\
                  DKgw",
        });
        // RFC 7638, section 3.1; RFC 8037, appendix A.3; RFC 9449, sections 4.1 and 6.1.
        let okp = json!({"kty": "OKP", "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let ec = json!({"kty": "EC", "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
        let cases = [
            (rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (okp, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            (ec, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        ];
        for (jwk, want) in cases {
            assert_eq!(of(&jwk).as_deref(), Some(want), "{jwk}");
        }
    }

    #[test]
    fn what_is_no_public_key_has_no_thumbprint() {
        let x = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
        let cases = [
            json!({}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "ec", "crv": "P-256", "x": x, "y": x}),
            json!({"kty": "EC", "crv": "P-256", "x": x}),
            json!({"kty": "EC", "crv": "P-256", "x": 1, "y": x}),
            json!({"kty": "EC", "crv": "P-256\",\"kty\":\"EC", "x": x, "y": x}),
            json!({"kty": "RSA", "n": "AQ\\u0041", "e": "AQAB"}),
            json!({"kty": ["EC"], "crv": "P-256", "x": x, "y": x}),
        ];
        for jwk in cases {
            assert_eq!(of(&jwk), None, "{jwk}");
        }
    }
}
