//! Verified tokens of one issuer, so that a token that comes a thousand times is verified once.
//!
//! Only good tokens are kept, so a stranger cannot fill it. A token is found by the SHA-256 of all
//! its text; the token itself is not kept. What was found is a fact about the token alone: time,
//! `typ` and binding are checked again for each request. Each goes with the key that it was verified
//! with: where the issuer takes the key away, its tokens are not remembered any more.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::claims::Facts;
use super::key::Key;

/// The tokens that are remembered. Grows as they come.
pub(super) struct TokenCache(Cache<TokenHash, Verified, PayloadWeight>);

/// What is known of a token, and by which key.
#[derive(Clone)]
struct Verified {
    facts: Arc<Facts>,
    key: Arc<Key>,
}

/// SHA-256 of a token's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

/// A token counts once for each KiB of its payload that it begins.
#[derive(Clone, Copy, Debug)]
struct PayloadWeight;

/// At most as many tokens, or KiB of payload. A token of 300 bytes takes some 2 KiB.
const WEIGHT_MAX: usize = 100_000;

impl TokenCache {
    pub(super) fn new() -> Self {
        let weight_max = u64::try_from(WEIGHT_MAX).unwrap_or(u64::MAX);
        Self(Cache::with_weighter(WEIGHT_MAX, weight_max, PayloadWeight))
    }

    /// What is known of a token, unless its time is over at `now`, or its key is gone.
    pub(super) fn get(&self, hash: &TokenHash, now: u64) -> Option<Arc<Facts>> {
        let known = self.0.get(hash)?;
        if now < known.facts.subject.expires && !known.key.is_gone() {
            return Some(known.facts);
        }
        self.0.remove(hash);
        None
    }

    /// Remembers a token that was verified with `key`, unless its time is over at `now`.
    pub(super) fn insert(&self, hash: TokenHash, facts: &Arc<Facts>, key: Arc<Key>, now: u64) {
        if now < facts.subject.expires {
            let facts = Arc::clone(facts);
            self.0.insert(hash, Verified { facts, key });
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenCache({} tokens)", self.0.len())
    }
}

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

impl Weighter<TokenHash, Verified> for PayloadWeight {
    fn weight(&self, _hash: &TokenHash, known: &Verified) -> u64 {
        u64::try_from(1 + known.facts.payload_bytes / 1024).unwrap_or(u64::MAX)
    }
}
