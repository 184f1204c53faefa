//! [`ClientPattern`]: whom a route means by an entry of `clients`.

use std::fmt;
use std::str::FromStr;

use super::certificate::{Fingerprint, PeerIdentity, PublicKeyPin};
use super::pattern::{IdentityPattern, InvalidPattern};
use super::subject_name::SubjectName;
use super::subject_text::InvalidSubjectName;

/// One entry of a route's `clients`: an [`IdentityPattern`], or one certificate, key or subject, for
/// clients whose certificates state no such name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientPattern {
    /// A name that the certificate must state.
    Identity(IdentityPattern),
    /// `fingerprint:sha256/HEX`: this one certificate.
    Fingerprint(Fingerprint),
    /// `pin:sha256/BASE64`: whoever holds this key.
    Pin(PublicKeyPin),
    /// `subject:RFC4514`: exactly this subject.
    Subject {
        /// In the form that is compared.
        name: SubjectName,
        /// As it was written.
        text: Box<str>,
    },
}

/// Why a text is no entry of `clients`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClient {
    /// It begins with none of the words that we know.
    #[error(
        "a client is `spiffe://DOMAIN/PATH`, `spiffe://DOMAIN/PATH/*`, `dns:NAME`, \
         `fingerprint:sha256/HEX`, `pin:sha256/BASE64` or `subject:CN=NAME,..`"
    )]
    Kind,
    /// The name or the pin in it is not one.
    #[error(transparent)]
    Pattern(InvalidPattern),
    /// The fingerprint in it is not one.
    #[error(
        "`fingerprint:sha256/` is followed by the SHA-256 hash of a certificate in hexadecimal: 64 \
         digits, or 32 pairs with `:` between them"
    )]
    Fingerprint,
    /// The subject in it is not one.
    #[error(transparent)]
    Subject(#[from] InvalidSubjectName),
}

impl ClientPattern {
    /// Whether the certificate is one that this pattern means.
    #[must_use]
    pub fn matches(&self, peer: &PeerIdentity) -> bool {
        match self {
            Self::Identity(pattern) => pattern.matches(peer),
            Self::Fingerprint(fingerprint) => peer.fingerprint == *fingerprint,
            Self::Pin(pin) => peer.public_key == *pin,
            Self::Subject { name, .. } => peer.subject.as_ref() == Some(name),
        }
    }
}

impl FromStr for ClientPattern {
    type Err = InvalidClient;

    fn from_str(text: &str) -> Result<Self, InvalidClient> {
        if let Some(hash) = text.strip_prefix("fingerprint:") {
            let hash = hash.strip_prefix("sha256/").map(str::parse);
            return match hash {
                Some(Ok(fingerprint)) => Ok(Self::Fingerprint(fingerprint)),
                Some(Err(_)) | None => Err(InvalidClient::Fingerprint),
            };
        }
        if let Some(hash) = text.strip_prefix("pin:") {
            let hash = hash.strip_prefix("sha256/").map(str::parse);
            return match hash {
                Some(Ok(pin)) => Ok(Self::Pin(pin)),
                Some(Err(_)) | None => Err(InvalidClient::Pattern(InvalidPattern::Pin)),
            };
        }
        if let Some(text) = text.strip_prefix("subject:") {
            let name = text.parse()?;
            let text = text.into();
            return Ok(Self::Subject { name, text });
        }
        text.parse()
            .map(Self::Identity)
            .map_err(|error| match error {
                InvalidPattern::Kind => InvalidClient::Kind,
                other @ (InvalidPattern::SpiffeId(_)
                | InvalidPattern::Dns
                | InvalidPattern::Pin) => InvalidClient::Pattern(other),
            })
    }
}

impl fmt::Display for ClientPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(pattern) => pattern.fmt(f),
            Self::Fingerprint(fingerprint) => write!(f, "fingerprint:sha256/{fingerprint}"),
            Self::Pin(pin) => write!(f, "pin:sha256/{pin}"),
            Self::Subject { text, .. } => write!(f, "subject:{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_parse_strictly_and_round_trip() {
        let hex = "0123456789abcdef".repeat(4);
        let colons = vec!["ab"; 32].join(":");
        let good = [
            ("spiffe://a.example/x/*".to_owned(), None),
            ("dns:shop.example".to_owned(), None),
            (
                "pin:sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
                None,
            ),
            (format!("fingerprint:sha256/{hex}"), None),
            (
                format!("fingerprint:sha256/{}", hex.to_uppercase()),
                Some(format!("fingerprint:sha256/{hex}")),
            ),
            (
                format!("fingerprint:sha256/{colons}"),
                Some(format!("fingerprint:sha256/{}", "ab".repeat(32))),
            ),
            ("subject:CN=a\\,b+OU=x,O=Ä".to_owned(), None),
        ];
        for (text, shown) in good {
            let pattern: ClientPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), shown.unwrap_or(text));
        }
        let bad = [
            String::new(),
            "any".to_owned(),
            "CN=a".to_owned(),
            "cn:a".to_owned(),
            "subject:".to_owned(),
            "subject:a".to_owned(),
            "subject: CN=a".to_owned(),
            "Subject:CN=a".to_owned(),
            "fingerprint:".to_owned(),
            format!("fingerprint:{hex}"),
            format!("fingerprint:sha1/{hex}"),
            format!("fingerprint:sha256/{hex}00"),
            format!("fingerprint:sha256/{}", hex.split_at(2).1),
            format!("fingerprint:sha256/{}", hex.split_at(1).1),
            format!("fingerprint:sha256/{}:", colons),
            format!("fingerprint:sha256/:{}", colons),
            format!("fingerprint:sha256/{}", colons.replacen(':', "", 1)),
            format!("fingerprint:sha256/{}", colons.replacen(':', "::", 1)),
            format!("fingerprint:sha256/{}", colons.replacen('a', "g", 1)),
            format!("fingerprint:sha256/{}", colons.replacen('a', "+", 1)),
            format!("fingerprint:sha256/ {hex}"),
            "pin:sha256/AAAA".to_owned(),
            format!("pin:{hex}"),
        ];
        for text in bad {
            assert!(text.parse::<ClientPattern>().is_err(), "{text}");
        }
    }
}
