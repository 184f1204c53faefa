//! Texts from outside, made safe for a log line or a label: cut, and nothing in them that a
//! terminal obeys or that a reader takes for the end of a line.

use std::fmt::{self, Write};

use crate::identity::certificate::Shown;

/// Texts from outside are cut to this many characters.
pub(super) const CHARS_MAX: usize = Shown::CHARS_MAX;

/// What stands where a text was cut.
const CUT: char = '…';

/// Displays at most [`CHARS_MAX`] characters of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut<'a>(pub(super) &'a str);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => {
                f.write_str(self.0.get(..end).unwrap_or_default())?;
                f.write_char(CUT)
            }
            None => f.write_str(self.0),
        }
    }
}

/// Writes on, with everything escaped that could end the text or move a terminal's cursor, until
/// `left` characters have gone through. As inside a JSON string.
#[derive(Debug)]
pub(super) struct Escaping<'a> {
    out: &'a mut String,
    left: usize,
    quote: bool,
}

impl<'a> Escaping<'a> {
    /// For a text between quotes.
    pub(super) const fn quoted(out: &'a mut String, chars_max: usize) -> Self {
        Self {
            out,
            left: chars_max,
            quote: true,
        }
    }

    /// For a text without quotes around it: quotes and backslashes stay as they are.
    pub(super) const fn bare(out: &'a mut String, chars_max: usize) -> Self {
        Self {
            out,
            left: chars_max,
            quote: false,
        }
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left && text.bytes().all(|byte| self.is_plain(byte)) {
            self.left -= text.len();
            self.out.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            match self.left {
                0 => break,
                1 => self.out.push(CUT),
                _ => self.push(character)?,
            }
            self.left -= 1;
        }
        Ok(())
    }
}

impl Escaping<'_> {
    /// Whether the byte needs no escape: so it is with nearly all.
    const fn is_plain(&self, byte: u8) -> bool {
        matches!(byte, b' '..=b'~') && !(self.quote && matches!(byte, b'"' | b'\\'))
    }

    fn push(&mut self, character: char) -> fmt::Result {
        match character {
            '"' | '\\' if self.quote => {
                self.out.push('\\');
                self.out.push(character);
                Ok(())
            }
            '\n' => self.out.write_str("\\n"),
            '\r' => self.out.write_str("\\r"),
            '\t' => self.out.write_str("\\t"),
            _ if deceives(character) => write!(self.out, "\\u{:04x}", u32::from(character)),
            _ => {
                self.out.push(character);
                Ok(())
            }
        }
    }
}

/// Control characters (C0, DEL, C1), line separators, and what changes the direction of writing.
/// All are below U+10000.
fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

/// The text as a label shows it: at most `chars_max` characters, nothing that deceives.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars_max * 4));
    // Writing to a String cannot fail.
    Escaping::bare(&mut out, chars_max)
        .write_str(text)
        .unwrap_or_default();
    out
}

/// Bytes of a text that is kept, whatever its characters.
const KEPT_BYTES_MAX: usize = 240;

/// A text from outside as a record keeps it: nothing in it that deceives, and short.
pub(super) fn kept(text: &str) -> Box<str> {
    let mut text = clean(text, CHARS_MAX);
    if text.len() > KEPT_BYTES_MAX {
        let end = text.floor_char_boundary(KEPT_BYTES_MAX);
        text.truncate(end);
        text.push(CUT);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_its_line_or_its_quotes() {
        let cases = [
            ("plain /path", "plain /path"),
            ("a\nb", "a\\nb"),
            ("a\r\nGET", "a\\r\\nGET"),
            ("\u{1b}[31m", "\\u001b[31m"),
            ("\u{9b}31m", "\\u009b31m"),
            ("\0", "\\u0000"),
            ("\u{7f}", "\\u007f"),
            ("a\u{2028}b", "a\\u2028b"),
            ("\u{202e}gpj", "\\u202egpj"),
            ("\"}", "\\\"}"),
            ("\\", "\\\\"),
            ("grün 日本", "grün 日本"),
        ];
        for (text, want) in cases {
            let mut out = String::new();
            Escaping::quoted(&mut out, 100).write_str(text).unwrap();
            assert_eq!(out, want, "{text:?}");
            let back: String = serde_json::from_str(&format!("\"{out}\"")).unwrap();
            assert_eq!(back, text);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "ä".repeat(CHARS_MAX + 1);
        assert_eq!(Cut(&long).to_string().chars().count(), CHARS_MAX + 1);
        assert!(Cut(&long).to_string().ends_with(CUT));
        let fits = "ä".repeat(CHARS_MAX);
        assert_eq!(Cut(&fits).to_string(), fits);
        assert_eq!(clean(&"x".repeat(50), 10), "xxxxxxxxx…");
        assert_eq!(clean(&"\n".repeat(50), 3), "\\n\\n…");
    }
}
