//! [`Name`]: what an operator calls a thing in the configuration.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a listener, route, upstream, issuer, trust bundle or key pair.
///
/// 1 to 63 ASCII letters, digits, `-`, `_` or `.`, so that it is safe as a metric label and in a
/// log line. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// The text is longer than 63 characters.
    #[error("a name has at most {LENGTH_MAX} characters")]
    TooLong,
    /// The text has a character that names do not have.
    #[error("a name is made of letters, digits, `-`, `_` and `.`")]
    Character,
}

/// As long as a DNS label; labels of metrics stay short.
const LENGTH_MAX: usize = 63;

impl Name {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(InvalidName::TooLong);
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        {
            return Err(InvalidName::Character);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_plain_names_parse() {
        let cases = [
            ("orders-read", None),
            ("Orders_2.v1", None),
            ("", Some(InvalidName::Empty)),
            ("a b", Some(InvalidName::Character)),
            ("a\"}", Some(InvalidName::Character)),
            ("naïve", Some(InvalidName::Character)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Name>().err(), want, "{text}");
        }
        assert_eq!(
            "a".repeat(64).parse::<Name>().err(),
            Some(InvalidName::TooLong)
        );
    }
}
