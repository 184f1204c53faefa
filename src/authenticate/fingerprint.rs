//! [`Fingerprint`]: by what a verified token is found again.
//!
//! Whatever has the fingerprint of a remembered token is taken for that token, without looking at a
//! signature. So nobody may be able to make a text that has the fingerprint of another one. SHA-256
//! would do, at 1 ns for each byte or two; this costs a fifth of that.
//!
//! It is GMAC (NIST SP 800-38D): AES-GCM over nothing, with the token as additional data, under a key
//! that is random in each process. Its heart, GHASH, is a universal hash: for any two texts of at most
//! 16 KiB, chosen in any way without knowing the key, the chance that their fingerprints are the same is
//! below 2^-117. Without the key there is nothing to compute, offline or online; and fingerprints never
//! leave the process, so all that a stranger can learn is whether one text was a remembered token. (GMAC
//! as a signature needs a new nonce for each message, since a reader of two tags under one nonce can
//! solve for the key. Nobody reads these.)

use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

/// 128 bits that stand for the text of a token, in this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 16]);

/// Without randomness there is no key; then no token is remembered.
static KEY: LazyLock<Option<LessSafeKey>> = LazyLock::new(|| {
    let mut key = [0; 16];
    rand::fill(&mut key).ok()?;
    let key = UnboundKey::new(&AES_128_GCM, &key).ok()?;
    Some(LessSafeKey::new(key))
});

impl Fingerprint {
    /// The fingerprint of a token's text. `None` if none can be had.
    pub(super) fn of(token: &[u8]) -> Option<Self> {
        // One nonce for all: see the head of this file.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let sealed = KEY
            .as_ref()?
            .seal_in_place_separate_tag(nonce, Aad::from(token), &mut []);
        let mut fingerprint = [0; 16];
        let tag = sealed.ok()?;
        fingerprint
            .iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        (tag.as_ref().len() == fingerprint.len()).then_some(Self(fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_that_differ_in_one_bit_or_in_their_length_have_other_fingerprints() {
        let text: Vec<u8> = (1..=300_u32)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let mut seen = HashSet::new();
        for bit in 0..text.len() * 8 {
            let mut other = text.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(Fingerprint::of(&other).unwrap()), "bit {bit}");
        }
        for length in 0..=text.len() {
            let of_part = Fingerprint::of(&text[..length]).unwrap();
            assert!(seen.insert(of_part), "the first {length} bytes");
        }
        let zeros = [0; 64];
        for length in 1..zeros.len() {
            assert!(
                seen.insert(Fingerprint::of(&zeros[..length]).unwrap()),
                "{length} zeros"
            );
        }
        assert!(Fingerprint::of(&text) == Fingerprint::of(&text.clone()));
    }
}
