//! Which identities a rule means: one name, or everything below a path.

use std::fmt;
use std::str::FromStr;

use super::certificate::{PeerIdentity, PublicKeyPin};
use super::host::Host;
use super::spiffe::{InvalidSpiffeId, SpiffeId, check_path, check_trust_domain};

/// One entry of a route's `clients`.
///
/// Written as `spiffe://domain/path` (that ID), `spiffe://domain/path/*` (every ID below that
/// path), `spiffe://domain/*` (every ID of that trust domain) or `dns:name` (that DNS name).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IdentityPattern {
    /// Exactly this DNS name among the names of the certificate. No wildcards.
    Dns(Host),
    /// Exactly this SPIFFE ID.
    Spiffe(SpiffeId),
    /// Every SPIFFE ID that begins with this text, which ends in `/`.
    SpiffeBelow(Box<str>),
}

/// One entry of an upstream's `accept`: an [`IdentityPattern`], or `pin:sha256/BASE64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerPattern {
    /// A name that the server's certificate must state.
    Identity(IdentityPattern),
    /// The public key that the server must hold.
    Pin(PublicKeyPin),
}

/// Why a text is neither an identity nor a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It begins with none of the words that we know.
    #[error("an identity is `spiffe://DOMAIN/PATH`, `spiffe://DOMAIN/PATH/*` or `dns:NAME`")]
    Kind,
    /// The SPIFFE ID in it is not one.
    #[error(transparent)]
    SpiffeId(#[from] InvalidSpiffeId),
    /// The DNS name in it is not one (wildcards are not allowed).
    #[error("`dns:` is followed by one DNS name, without a wildcard or a port")]
    Dns,
    /// The pin in it is not the base64 of 32 bytes.
    #[error(
        "`pin:sha256/` is followed by the base64 of a SHA-256 hash of a public key (44 characters)"
    )]
    Pin,
}

impl IdentityPattern {
    /// Whether the certificate states an identity that this pattern means.
    #[must_use]
    pub fn matches(&self, peer: &PeerIdentity) -> bool {
        match self {
            Self::Dns(name) => peer.dns.contains(name),
            Self::Spiffe(id) => peer.spiffe.as_ref() == Some(id),
            Self::SpiffeBelow(prefix) => peer
                .spiffe
                .as_ref()
                .is_some_and(|id| id.as_str().starts_with(&**prefix)),
        }
    }

    /// Whether everything that `other` means is also meant by `self`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::SpiffeBelow(prefix), Self::Spiffe(id)) => id.as_str().starts_with(&**prefix),
            (Self::SpiffeBelow(prefix), Self::SpiffeBelow(narrower)) => {
                narrower.starts_with(&**prefix)
            }
            (Self::Dns(_) | Self::Spiffe(_) | Self::SpiffeBelow(_), _) => self == other,
        }
    }
}

impl ServerPattern {
    /// Whether the server's certificate is one that this pattern means.
    #[must_use]
    pub fn matches(&self, peer: &PeerIdentity) -> bool {
        match self {
            Self::Identity(pattern) => pattern.matches(peer),
            Self::Pin(pin) => peer.public_key == *pin,
        }
    }

    /// Whether everything that `other` means is also meant by `self`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Identity(wide), Self::Identity(narrow)) => wide.covers(narrow),
            (Self::Pin(ours), Self::Pin(theirs)) => ours == theirs,
            (Self::Identity(_), Self::Pin(_)) | (Self::Pin(_), Self::Identity(_)) => false,
        }
    }
}

impl FromStr for IdentityPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if let Some(name) = text.strip_prefix("dns:") {
            return name
                .parse()
                .map(Self::Dns)
                .map_err(|_not_a_name| InvalidPattern::Dns);
        }
        let Some(name) = text.strip_prefix("spiffe://") else {
            return Err(InvalidPattern::Kind);
        };
        let Some(above) = name.strip_suffix("/*") else {
            return Ok(Self::Spiffe(text.parse()?));
        };
        match above.split_once('/') {
            Some((domain, path)) => {
                check_trust_domain(domain)?;
                check_path(path)?;
            }
            None => check_trust_domain(above)?,
        }
        Ok(Self::SpiffeBelow(text.trim_end_matches('*').into()))
    }
}

impl FromStr for ServerPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        match text.strip_prefix("pin:sha256/") {
            Some(hash) => hash
                .parse()
                .map(Self::Pin)
                .map_err(|_not_a_hash| InvalidPattern::Pin),
            None => text.parse().map(Self::Identity),
        }
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Spiffe(id) => write!(f, "{id}"),
            Self::SpiffeBelow(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl fmt::Display for ServerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(pattern) => pattern.fmt(f),
            Self::Pin(pin) => write!(f, "pin:sha256/{pin}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_parse_strictly_and_round_trip() {
        let good = [
            "spiffe://a.example/x",
            "spiffe://a.example/x/*",
            "spiffe://a.example/*",
            "dns:orders.internal",
            "pin:sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ];
        for text in good {
            assert_eq!(text.parse::<ServerPattern>().unwrap().to_string(), text);
        }
        let bad = [
            "",
            "*",
            "any",
            "orders.internal",
            "dns:",
            "dns:*.internal",
            "dns:a:80",
            "spiffe://*",
            "spiffe://*/x",
            "spiffe://a.example/x*",
            "spiffe://a.example/*/x",
            "spiffe://a.example/x/**",
            "spiffe://a.example//*",
            "pin:sha256/AAAA",
            "pin:md5/AAAA",
            "spiffe://A.example/*",
        ];
        for text in bad {
            assert!(text.parse::<ServerPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn below_a_path_is_by_segment_and_inside_one_trust_domain() {
        let below: IdentityPattern = "spiffe://a.example/web/*".parse().unwrap();
        let covers = |text: &str| below.covers(&text.parse().unwrap());
        assert!(covers("spiffe://a.example/web/x"));
        assert!(covers("spiffe://a.example/web/x/*"));
        assert!(!covers("spiffe://a.example/web"));
        assert!(!covers("spiffe://a.example/website"));
        assert!(!covers("spiffe://a.example.evil/web/x"));
        assert!(!covers("spiffe://a.example/*"));
    }
}
