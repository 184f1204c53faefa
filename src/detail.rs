//! [`Detail`]: what the access log alone is told of a refusal, beside its reason: which claim, which
//! key, by how many seconds.
//!
//! It is for whoever looks for the fault at night, never for the client. A token, a signature, a
//! secret or a cookie has no place in it. What a stranger wrote gets into it as [`Quoted`] only, so
//! that it is short and cannot be taken for our own words.

use std::fmt;

/// One line about a refusal, in lower case, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(Box<str>);

/// A text from outside, or from the configuration, between quotes: cut, and escaped as in code.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'t>(pub &'t str);

/// Texts between quotes, with commas between: the first few.
#[derive(Clone, Copy, Debug)]
pub struct QuotedList<'t, T>(pub &'t [T]);

/// Two URLs that were cut, and some words.
const CHARS_MAX: usize = 400;
const QUOTED_CHARS_MAX: usize = 128;
/// Whoever has more has them in the configuration, or is no client of ours.
const LISTED_MAX: usize = 3;

impl Detail {
    /// Takes a text of ours.
    #[must_use]
    pub fn new(text: impl fmt::Display) -> Self {
        let mut text = text.to_string();
        if let Some((end, _)) = text.char_indices().nth(CHARS_MAX) {
            text.truncate(end);
            text.push('…');
        }
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED_CHARS_MAX) {
            Some((end, _)) => write!(f, "{:?}…", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

impl<T: AsRef<str>> fmt::Display for QuotedList<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, text) in self.0.iter().take(LISTED_MAX).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Quoted(text.as_ref()))?;
        }
        match self.0.len().saturating_sub(LISTED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_is_short_and_stays_between_its_quotes() {
        let cases = [
            ("plain", "\"plain\""),
            ("a\" is none of \"b", "\"a\\\" is none of \\\"b\""),
            ("back\\", "\"back\\\\\""),
            ("a\r\nb\u{1b}[2J\0", "\"a\\r\\nb\\u{1b}[2J\\0\""),
            ("\u{202e}turned", "\"\\u{202e}turned\""),
            ("grün", "\"grün\""),
        ];
        for (text, want) in cases {
            assert_eq!(Quoted(text).to_string(), want);
        }
        let long = Quoted(&"ä".repeat(1_000)).to_string();
        assert_eq!(long, format!("\"{}\"…", "ä".repeat(QUOTED_CHARS_MAX)));
        let detail = Detail::new("ä".repeat(1_000));
        assert_eq!(detail.as_str(), format!("{}…", "ä".repeat(CHARS_MAX)));
    }

    #[test]
    fn a_list_shows_its_beginning() {
        let list = |texts: &[&str]| QuotedList(texts).to_string();
        assert_eq!(list(&["a"]), "\"a\"");
        assert_eq!(list(&["a", "b", "c"]), "\"a\", \"b\", \"c\"");
        assert_eq!(
            list(&["a", "b", "c", "d"]),
            "\"a\", \"b\", \"c\" and 1 more"
        );
    }
}
