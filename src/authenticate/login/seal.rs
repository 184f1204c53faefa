//! [`Seals`]: how what a cookie holds is kept from whoever carries it.
//!
//! AES-256-GCM-SIV with a random nonce: two cookies under one nonce would tell that they are alike,
//! and no more. What a text was sealed for (which cookie, login and host) is authenticated with it:
//! a cookie is good nowhere else.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::trust::{TrustError, secret};

/// The keys of one login: the first seals, all open.
pub struct Seals(Vec<RandomizedNonceKey>);

/// Why a file is no key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSealKey {
    /// It cannot be read, or is not one line.
    #[error("{}", .0.what())]
    File(TrustError),
    /// It is not 32 bytes in base64.
    #[error("it is not 32 bytes in base64")]
    Key,
}

const KEY_BYTES: usize = 32;

impl Seals {
    /// Reads the key of one file, and what should be looked at about it. Blocks.
    ///
    /// # Errors
    ///
    /// [`InvalidSealKey`].
    pub fn read(file: &Path) -> Result<(SealKey, Vec<String>), InvalidSealKey> {
        let read = secret(file).map_err(InvalidSealKey::File)?;
        let bytes = STANDARD.decode(read.text.trim()).ok();
        let bytes = bytes.filter(|bytes| bytes.len() == KEY_BYTES);
        let bytes = bytes.ok_or(InvalidSealKey::Key)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes);
        let key = key.map_err(|_says_no_more| InvalidSealKey::Key)?;
        Ok((SealKey(key), read.warnings))
    }

    /// The first of these seals, all open.
    #[must_use]
    pub fn new(keys: Vec<SealKey>) -> Self {
        Self(keys.into_iter().map(|key| key.0).collect())
    }

    /// Seals a text. `None` if the system has no randomness.
    pub(super) fn seal(&self, purpose: &str, text: &str) -> Option<String> {
        let mut sealed = text.as_bytes().to_vec();
        let key = self.0.first()?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed)
            .ok()?;
        let mut all = nonce.as_ref().to_vec();
        all.append(&mut sealed);
        Some(URL_SAFE_NO_PAD.encode(all))
    }

    /// Opens what was sealed for the same purpose by any of the keys.
    pub(super) fn open(&self, purpose: &str, sealed: &str) -> Option<String> {
        let all = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = all.split_at_checked(NONCE_LEN)?;
        let open = |key: &RandomizedNonceKey| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut sealed = sealed.to_vec();
            let opened = key.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut sealed);
            String::from_utf8(opened.ok()?.to_vec()).ok()
        };
        self.0.iter().find_map(open)
    }
}

/// One key.
pub struct SealKey(RandomizedNonceKey);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seals({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealKey {
        SealKey(RandomizedNonceKey::new(&AES_256_GCM_SIV, &[byte; KEY_BYTES]).unwrap())
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let before = Seals::new(vec![key(1)]);
        let during = Seals::new(vec![key(2), key(1)]);
        let after = Seals::new(vec![key(2)]);
        let old = before.seal("a", "text").unwrap();
        let new = during.seal("a", "text").unwrap();
        assert_eq!(during.open("a", &old).as_deref(), Some("text"));
        assert_eq!(after.open("a", &new).as_deref(), Some("text"));
        assert_eq!(after.open("a", &old), None);
        assert_eq!(before.open("a", &new), None);
    }

    #[test]
    fn what_was_changed_cut_or_sealed_for_something_else_does_not_open() {
        let seals = Seals::new(vec![key(1)]);
        let sealed = seals.seal("session staff a.example", "text").unwrap();
        assert_ne!(
            Some(&sealed),
            seals.seal("session staff a.example", "text").as_ref()
        );
        assert_eq!(seals.open("session staff b.example", &sealed), None);
        assert_eq!(seals.open("login staff a.example", &sealed), None);
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(
                seals.open("session staff a.example", &changed),
                None,
                "{at}"
            );
            let cut = sealed.get(..at).unwrap();
            assert_eq!(seals.open("session staff a.example", cut), None, "{at}");
        }
        for odd in [
            "",
            "=",
            "a",
            "\u{e9}",
            " ",
            &format!("{sealed}="),
            &format!("{sealed}AA"),
        ] {
            assert_eq!(seals.open("session staff a.example", odd), None, "{odd}");
        }
    }
}
