//! Verified tokens of one issuer, so that a token that comes a thousand times is verified once.
//!
//! Only good tokens are kept, so a stranger cannot fill it. What is kept of a token are facts about it
//! alone, in some 300 bytes ([`Facts`]); neither its text nor its claims are, for they come with each
//! request. Time, `typ` and binding are checked again for each request. Each goes with the key that it
//! was verified with: where the issuer takes the key away, its tokens are not remembered any more.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::claims::Facts;
use super::fingerprint::Fingerprint;
use super::key::Key;

/// The tokens that are remembered. Grows as they come.
pub(super) struct TokenCache(Cache<Fingerprint, Verified, TextWeight, RandomState>);

/// What is known of a token, and by which key.
#[derive(Clone)]
struct Verified {
    facts: Arc<Facts>,
    key: Arc<Key>,
}

/// A token counts once, and once more for each 256 bytes of its texts.
#[derive(Clone, Copy, Debug)]
struct TextWeight;

/// At most as many tokens, fewer if their texts are long: some 40 MiB, by `benches/authenticate.rs`.
const WEIGHT_MAX: usize = 100_000;
const WEIGHT_BYTES: usize = 256;

impl TokenCache {
    pub(super) fn new() -> Self {
        let weight_max = u64::try_from(WEIGHT_MAX).unwrap_or(u64::MAX);
        // Places in the table are chosen by a keyed hash of the fingerprint: by how long a search takes
        // nobody learns anything of fingerprints.
        let table = RandomState::new();
        let options = OptionsBuilder::new()
            .estimated_items_capacity(WEIGHT_MAX)
            .weight_capacity(weight_max)
            .build();
        let lifecycle = DefaultLifecycle::default();
        Self(match options {
            Ok(options) => Cache::with_options(options, TextWeight, table, lifecycle),
            Err(_capacity_missing) => {
                Cache::with(WEIGHT_MAX, weight_max, TextWeight, table, lifecycle)
            }
        })
    }

    /// What is known of a token, unless its time is over at `now`, or its key is gone.
    pub(super) fn get(&self, token: &Fingerprint, now: u64) -> Option<Arc<Facts>> {
        let known = self.0.get(token)?;
        if now < known.facts.expires && !known.key.is_gone() {
            return Some(known.facts);
        }
        self.0.remove(token);
        None
    }

    /// Remembers a token that was verified with `key`, unless its time is over at `now`.
    pub(super) fn insert(&self, token: Fingerprint, facts: &Arc<Facts>, key: Arc<Key>, now: u64) {
        if now < facts.expires {
            let facts = Arc::clone(facts);
            self.0.insert(token, Verified { facts, key });
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

impl Weighter<Fingerprint, Verified> for TextWeight {
    fn weight(&self, _token: &Fingerprint, known: &Verified) -> u64 {
        u64::try_from(1 + known.facts.text_bytes() / WEIGHT_BYTES).unwrap_or(u64::MAX)
    }
}
