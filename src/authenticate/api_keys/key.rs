//! [`ApiKey`]: a key, as its owner has it.
//!
//! `pcak_` + id (16 digits) + `_` + secret (64) + checksum (8), all in hexadecimal and lower case: 94
//! characters, of which there is one spelling. The secret has 256 random bits, so that one SHA-256
//! of the whole key is all that a file needs to hold: there is nothing to guess, and nothing that a
//! slow hash would slow down. The id finds the entry. The checksum is the beginning of the SHA-256
//! of what stands before it: whoever looks for keys in texts can tell one from what merely looks
//! like one.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

/// A key that is well formed. Whether there is such a key is said by a [`super::KeyList`].
pub struct ApiKey {
    text: [u8; LENGTH],
    id: [u8; ID_BYTES],
}

const PREFIX: &[u8] = b"pcak_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// Where the checksum begins.
const BODY: usize = PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES;
const LENGTH: usize = BODY + 2 * CHECKSUM_BYTES;

impl ApiKey {
    /// Whether a text is one of these, sound or not, and so nobody's token.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.as_bytes().starts_with(PREFIX)
    }

    /// A new one. `None` if the system gives no random numbers.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        rand::fill(&mut id).ok()?;
        rand::fill(&mut secret).ok()?;
        let mut text = PREFIX.to_vec();
        text.extend(hex(&id).bytes());
        text.push(b'_');
        text.extend(hex(&secret).bytes());
        text.extend(checksum(&text));
        Self::parse(&text)
    }

    /// Reads a key. Says nothing about whether there is one like it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; LENGTH] = text.try_into().ok()?;
        let (body, sum) = text.split_at_checked(BODY)?;
        let (id, secret) = body.strip_prefix(PREFIX)?.split_at_checked(2 * ID_BYTES)?;
        let secret = secret.strip_prefix(b"_")?;
        if !secret.iter().all(|byte| digit(*byte).is_some()) || checksum(body) != sum {
            return None;
        }
        let mut bytes = [0; ID_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(id.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self { text, id: bytes })
    }

    /// By which it is found. No secret.
    #[must_use]
    pub const fn id(&self) -> [u8; ID_BYTES] {
        self.id
    }

    /// What a file holds of it: SHA-256 of the whole key.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.text).as_ref());
        hash
    }

    /// The key itself, to be given to its owner, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", hex(&self.id))
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from_digit(u32::from(digit), 16).unwrap_or('0');
    let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    bytes.iter().flat_map(digits).collect()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn checksum(body: &[u8]) -> Vec<u8> {
    let sum = digest(&SHA256, body);
    let first = sum.as_ref().get(..CHECKSUM_BYTES).unwrap_or_default();
    hex(first).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_spelling() {
        let key = ApiKey::generate().unwrap();
        let text = key.expose().to_owned();
        assert_eq!(text.len(), 94);
        let read = ApiKey::parse(text.as_bytes()).unwrap();
        assert_eq!((read.id(), read.sha256()), (key.id(), key.sha256()));
        let other = |at: usize, byte: u8| {
            let mut text = text.clone().into_bytes();
            text[at] = byte;
            text
        };
        for at in 0..text.len() {
            let byte = if text.as_bytes()[at] == b'0' {
                b'1'
            } else {
                b'0'
            };
            assert!(ApiKey::parse(&other(at, byte)).is_none(), "a digit at {at}");
            assert!(ApiKey::parse(&other(at, 0xff)).is_none(), "a byte at {at}");
        }
        let hostile = [
            String::new(),
            "pcak_".to_owned(),
            text.get(1..).unwrap().to_owned(),
            text.get(..93).unwrap().to_owned(),
            format!("{text} "),
            format!(" {text}"),
            text.to_uppercase(),
            text.replace("pcak_", "PCAK_"),
            format!("Bearer {text}"),
            "pcak_".repeat(20),
            "a".repeat(100_000),
        ];
        for text in hostile {
            assert!(ApiKey::parse(text.as_bytes()).is_none(), "{text:.40}");
        }
        assert!(!format!("{key:?}").contains(text.get(30..).unwrap()));
    }

    #[test]
    fn whoever_looks_for_keys_finds_this_one() {
        // The example of docs/tokens.md.
        let body = format!("pcak_{}_{}", "0123456789abcdef", "0".repeat(64));
        let sum = String::from_utf8(checksum(body.as_bytes())).unwrap();
        assert!(ApiKey::parse(format!("{body}{sum}").as_bytes()).is_some());
    }
}
