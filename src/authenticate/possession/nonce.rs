//! Nonces that the gateway gives out (RFC 9449, sections 8 and 9): a proof that holds one was made
//! after it, whatever the client's clock says, and not long ago.
//!
//! Nothing is remembered of them. A nonce is the second in which it was made and a MAC over it, so
//! that every gateway that has the key takes the nonces of the others. Who has a nonce has nothing:
//! it is no secret, and worth something only inside of a proof.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::refusal::Refusal;

/// A key that nonces are made with.
#[derive(Clone)]
pub(super) struct NonceKey(hmac::Key);

/// How old the nonce of a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// The client may go on with it.
    Young,
    /// It counts, but the client should have another one for its next proof.
    Old,
}

const TIME_BYTES: usize = size_of::<u64>();
/// Half of the MAC: to guess one takes 2^128 requests (RFC 2104, section 5).
const MAC_BYTES: usize = 16;
/// Parts these nonces from whatever else somebody might use a key for.
const PURPOSE: &[u8] = b"portcullis DPoP nonce 1";

impl NonceKey {
    /// From a secret of at least 32 bytes. Nonces of one issuer are none of another's.
    pub(super) fn new(secret: &[u8], issuer: &str) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut context = hmac::Context::with_key(&root);
        context.update(PURPOSE);
        context.update(issuer.as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref()))
    }

    /// A nonce that is made at `now`, in seconds since 1970.
    pub(super) fn nonce(&self, now: u64) -> String {
        let time = now.to_be_bytes();
        let tag = hmac::sign(&self.0, &time);
        let mac = tag.as_ref().iter().copied().take(MAC_BYTES);
        let bytes: Vec<u8> = time.into_iter().chain(mac).collect();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// When it made this nonce. `None` if it did not.
    fn made(&self, nonce: &str) -> Option<u64> {
        if nonce.len() != LETTERS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (time, mac) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let tag = hmac::sign(&self.0, time);
        let (wanted, _rest) = tag.as_ref().split_at_checked(MAC_BYTES)?;
        verify_slices_are_equal(mac, wanted).ok()?;
        Some(u64::from_be_bytes(*time))
    }
}

/// Of a nonce in base64url.
const LETTERS: usize = (TIME_BYTES + MAC_BYTES) / 3 * 4;

/// Whether a nonce was made with one of these keys at most `lifetime` seconds before `now`.
///
/// `ahead` seconds in the future are let pass: another gateway made it, by its clock.
///
/// # Errors
///
/// [`Refusal::ProofNonceUnknown`] if none of the keys made it; [`Refusal::ProofNonceExpired`].
pub(super) fn check(
    nonce: &str,
    keys: &[NonceKey],
    now: u64,
    lifetime: u64,
    ahead: u64,
) -> Result<Age, Refusal> {
    let made = keys.iter().find_map(|key| key.made(nonce));
    let made = made.ok_or(Refusal::ProofNonceUnknown)?;
    if now > made.saturating_add(lifetime) || made > now.saturating_add(ahead) {
        return Err(Refusal::ProofNonceExpired);
    }
    if now > made.saturating_add(lifetime / 2) {
        return Ok(Age::Old);
    }
    Ok(Age::Young)
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(secret: u8, issuer: &str) -> NonceKey {
        NonceKey::new(&[secret; 32], issuer)
    }

    #[test]
    fn a_nonce_counts_for_its_time_and_only_with_its_key() {
        let ours = [key(1, "corp"), key(2, "corp")];
        let check = |nonce: &str, now| check(nonce, &ours, now, 300, 30);
        let nonce = ours[1].nonce(NOW);
        assert_eq!(nonce.len(), LETTERS);
        assert_eq!(check(&nonce, NOW), Ok(Age::Young));
        assert_eq!(check(&nonce, NOW - 30), Ok(Age::Young));
        assert_eq!(check(&nonce, NOW - 31), Err(Refusal::ProofNonceExpired));
        assert_eq!(check(&nonce, NOW + 150), Ok(Age::Young));
        assert_eq!(check(&nonce, NOW + 151), Ok(Age::Old));
        assert_eq!(check(&nonce, NOW + 300), Ok(Age::Old));
        assert_eq!(check(&nonce, NOW + 301), Err(Refusal::ProofNonceExpired));
        for foreign in [key(3, "corp"), key(1, "other")] {
            let nonce = foreign.nonce(NOW);
            assert_eq!(check(&nonce, NOW), Err(Refusal::ProofNonceUnknown));
        }
    }

    #[test]
    fn what_is_no_nonce_of_ours_is_unknown() {
        let ours = [key(1, "corp")];
        let nonce = ours[0].nonce(NOW);
        let mut turned = nonce.clone().into_bytes();
        let of_another = ours[0].nonce(NOW + 1);
        turned[0] = if turned[0] == b'A' { b'B' } else { b'A' };
        let (time, _) = of_another.split_at(11);
        let (_, mac) = nonce.split_at(11);
        let spliced = format!("{time}{mac}");
        let (_, cut) = nonce.split_at(1);
        let texts = [
            String::new(),
            "A".into(),
            "A".repeat(LETTERS),
            "A".repeat(100_000),
            format!("{nonce}="),
            cut.to_owned(),
            String::from_utf8(turned).unwrap(),
            spliced,
        ];
        for text in texts {
            let came = check(&text, &ours, NOW, 300, 30);
            assert_eq!(came, Err(Refusal::ProofNonceUnknown), "{text:.40}");
        }
    }
}
