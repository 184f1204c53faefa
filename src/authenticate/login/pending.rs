//! [`Pending`]: a login under way, which only the browser that began it holds, sealed.
//!
//! A code that comes without it is another browser's: somebody has logged in as himself and sends
//! his victim to the end of it, or has stolen a code.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::identity::certificate::Fingerprint;
use crate::identity::path::{NormalPath, query_is_plain};

/// A login under way.
pub(super) struct Pending {
    /// What comes back with the code, and is told to nobody else.
    pub(super) state: String,
    /// What must stand in the ID token.
    pub(super) nonce: String,
    /// What the code is exchanged with (RFC 7636).
    pub(super) verifier: String,
    /// Where the browser was going: a path, with a query.
    pub(super) return_to: String,
    /// When it began, in seconds since 1970.
    pub(super) begun: u64,
    /// The certificate that it began with, as `x5t#S256` has it.
    pub(super) certificate: Option<String>,
}

/// 32 random bytes in base64url.
pub(super) const RANDOM_CHARS: usize = 43;

/// Longer targets are not come back to: the cookie, and the address of the server, stay short.
const RETURN_BYTES_MAX: usize = 1_024;

/// 256 bits from the system, in base64url. `None` if it has none.
pub(super) fn random() -> Option<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a text can be one of ours.
pub(super) fn is_random(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() == RANDOM_CHARS && text.bytes().all(plain)
}

/// Compares texts in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

/// How a certificate is written down.
pub(super) fn thumbprint(fingerprint: Option<&Fingerprint>) -> Option<String> {
    fingerprint.map(|fingerprint| fingerprint.to_base64url())
}

impl Pending {
    /// A new one. `None` if the system has no randomness.
    pub(super) fn begin(
        path: &NormalPath,
        query: Option<&str>,
        certificate: Option<String>,
        now: u64,
    ) -> Option<Self> {
        Some(Self {
            state: random()?,
            nonce: random()?,
            verifier: random()?,
            return_to: return_to(path, query),
            begun: now,
            certificate,
        })
    }

    /// What the server is told of the verifier: `S256` (RFC 7636, section 4.2).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }

    pub(super) fn to_text(&self) -> String {
        json!({
            "s": self.state, "n": self.nonce, "v": self.verifier, "r": self.return_to,
            "b": self.begun, "c": self.certificate,
        })
        .to_string()
    }

    pub(super) fn of_text(text: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| all.get(name)?.as_str().map(str::to_owned);
        let pending = Self {
            state: text("s")?,
            nonce: text("n")?,
            verifier: text("v")?,
            return_to: text("r")?,
            begun: all.get("b")?.as_u64()?,
            certificate: text("c"),
        };
        stays_here(&pending.return_to).then_some(pending)
    }
}

/// The path and query that a browser asked for, if they are short enough.
fn return_to(path: &NormalPath, query: Option<&str>) -> String {
    let path = path.as_str();
    match query {
        Some(query) if path.len() + query.len() < RETURN_BYTES_MAX => format!("{path}?{query}"),
        _ if path.len() <= RETURN_BYTES_MAX => path.to_owned(),
        _ => "/".to_owned(),
    }
}

/// Whether a target leads nowhere but to this host: a normal path (which never begins with `//` or
/// `/\`), and a query of visible ASCII. Looked at again where it is used, although it was sealed.
pub(super) fn stays_here(target: &str) -> bool {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let normal = NormalPath::parse(path.as_bytes()).is_ok_and(|normal| normal.as_str() == path);
    normal && query.is_none_or(|query| query_is_plain(query.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_as_it_began() {
        let path = NormalPath::parse(b"/orders/7").unwrap();
        let begun = Pending::begin(&path, Some("a=b"), Some("cert".to_owned()), 7).unwrap();
        let back = Pending::of_text(&begun.to_text()).unwrap();
        assert_eq!(back.return_to, "/orders/7?a=b");
        assert_eq!((back.state.clone(), back.begun), (begun.state, 7));
        assert_eq!(back.certificate.as_deref(), Some("cert"));
        assert!(is_random(&back.state) && is_random(&back.nonce) && is_random(&back.verifier));
        assert_ne!(back.state, back.nonce);
    }

    #[test]
    fn what_leads_elsewhere_is_no_place_to_come_back_to() {
        let elsewhere = [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%2f%2fevil.example",
            "/%2F/evil.example",
            "/%5cevil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "evil.example",
            "",
            "?a",
            "#a",
            "/a#b",
            "/a//b",
            "/../a",
            "/a\r\nSet-Cookie: x",
            "/a?b\r\nc",
            "/a b",
            "/\tevil",
            "/;evil",
            "/a?b c",
            "/a?b#c",
            "/\u{e9}",
            "/a?\u{e9}",
            " /a",
        ];
        for target in elsewhere {
            assert!(!stays_here(target), "{target}");
        }
        for target in [
            "/",
            "/a",
            "/a/b?c=//evil.example&d=https://x",
            "/a?",
            "/caf%C3%A9",
        ] {
            assert!(stays_here(target), "{target}");
        }
    }

    #[test]
    fn long_targets_are_cut_to_what_is_short() {
        let path = NormalPath::parse(b"/a").unwrap();
        let long = "x".repeat(RETURN_BYTES_MAX);
        assert_eq!(return_to(&path, Some(&long)), "/a");
        let path = NormalPath::parse(format!("/{long}").as_bytes()).unwrap();
        assert_eq!(return_to(&path, Some("a")), "/");
    }
}
