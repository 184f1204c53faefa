//! SPIFFE IDs and their trust domains, after the SPIFFE-ID standard, section 2.

use std::fmt;
use std::str::FromStr;

/// The name of a workload, `spiffe://<trust domain>/<path>`.
///
/// Holding one means that it was parsed; there is no other way to make one. The text is kept as
/// one piece, so that comparing and printing cost nothing extra.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Box<str>,
    /// Where the path begins (its `/`).
    path_at: usize,
}

/// The name of a trust domain, without a scheme (SPIFFE-ID, section 2.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Box<str>);

impl TrustDomain {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        check_trust_domain(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a SPIFFE ID of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpiffeId {
    /// It is longer than 2,048 bytes (SPIFFE-ID, section 2.3).
    #[error("a SPIFFE ID has at most 2048 bytes")]
    TooLong,
    /// It does not begin with `spiffe://`.
    #[error("a SPIFFE ID begins with `spiffe://`")]
    Scheme,
    /// The trust domain is not made of lower-case letters, digits, `.`, `-` and `_`.
    #[error("a trust domain has 1 to 255 lower-case letters, digits, `.`, `-` and `_`")]
    TrustDomain,
    /// There is no path, or it has an empty, `.` or `..` segment, or another character.
    #[error(
        "the path of a SPIFFE ID has segments of letters, digits, `.`, `-` and `_`; \
         none is empty, `.` or `..`"
    )]
    Path,
}

/// SPIFFE-ID, section 2.3.
const BYTES_MAX: usize = 2048;
const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// Whether a text means to be a SPIFFE ID, well formed or not.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
    }

    /// The whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain alone, without the scheme.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.text
            .get(SCHEME.len()..self.path_at)
            .unwrap_or_default()
    }

    /// The path, with its leading `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        if text.len() > BYTES_MAX {
            return Err(InvalidSpiffeId::TooLong);
        }
        let name = text.strip_prefix(SCHEME).ok_or(InvalidSpiffeId::Scheme)?;
        let (domain, path) = name.split_once('/').ok_or(InvalidSpiffeId::Path)?;
        check_trust_domain(domain)?;
        check_path(path)?;
        Ok(Self {
            text: text.into(),
            path_at: SCHEME.len() + domain.len(),
        })
    }
}

/// # Errors
///
/// [`InvalidSpiffeId::TrustDomain`] (SPIFFE-ID, section 2.1).
pub(super) fn check_trust_domain(domain: &str) -> Result<(), InvalidSpiffeId> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    let well_formed = (1..=255).contains(&domain.len()) && domain.bytes().all(plain);
    well_formed
        .then_some(())
        .ok_or(InvalidSpiffeId::TrustDomain)
}

/// `path` without its leading `/`.
///
/// # Errors
///
/// [`InvalidSpiffeId::Path`] (SPIFFE-ID, section 2.2).
pub(super) fn check_path(path: &str) -> Result<(), InvalidSpiffeId> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.bytes().all(plain);
    path.split('/')
        .all(segment)
        .then_some(())
        .ok_or(InvalidSpiffeId::Path)
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_spiffe_ids_parse() {
        let cases = [
            ("spiffe://prod.example/billing", None),
            ("spiffe://prod.example/ns/shop/sa/orders", None),
            ("spiffe://prod_1.example-x/A.b_c-9", None),
            ("spiffe://prod.example", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a/", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a//b", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a/../b", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a/./b", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a%2fb", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a b", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a?q", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/a#f", Some(InvalidSpiffeId::Path)),
            ("spiffe://prod.example/*", Some(InvalidSpiffeId::Path)),
            (
                "spiffe://PROD.example/billing",
                Some(InvalidSpiffeId::TrustDomain),
            ),
            ("spiffe:///billing", Some(InvalidSpiffeId::TrustDomain)),
            (
                "spiffe://user@prod.example/b",
                Some(InvalidSpiffeId::TrustDomain),
            ),
            (
                "spiffe://prod.example:80/b",
                Some(InvalidSpiffeId::TrustDomain),
            ),
            ("SPIFFE://prod.example/b", Some(InvalidSpiffeId::Scheme)),
            ("https://prod.example/b", Some(InvalidSpiffeId::Scheme)),
            ("", Some(InvalidSpiffeId::Scheme)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<SpiffeId>().err(), want, "{text}");
        }
        let long = format!("spiffe://prod.example/{}", "a".repeat(2048));
        assert_eq!(
            long.parse::<SpiffeId>().err(),
            Some(InvalidSpiffeId::TooLong)
        );
    }

    #[test]
    fn an_id_round_trips_and_splits() {
        let id: SpiffeId = "spiffe://prod.example/ns/shop".parse().unwrap();
        assert_eq!(id.to_string(), "spiffe://prod.example/ns/shop");
        assert_eq!((id.trust_domain(), id.path()), ("prod.example", "/ns/shop"));
    }
}
