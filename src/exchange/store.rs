//! [`ExchangeStore`]: what was given for tokens, so that a token that comes a thousand times is
//! exchanged once. It outlives reloads; what belongs to other terms is never found.
//!
//! A token is found by the SHA-256 of its text and of the terms; itself it is not kept. What was
//! refused is remembered for a moment, so that nobody makes the gateway ask without end.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderValue;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle, PlaceholderGuard};

use super::server::Server;
use crate::refusal::Refusal;

/// What was given for tokens, of all routes, and the servers that are asked.
pub struct ExchangeStore {
    kept: Cache<Key, Kept, TokenWeight, Hasher>,
    /// Those that a route still names.
    servers: Mutex<HashMap<Key, Weak<Server>>>,
}

type Hasher = quick_cache::DefaultHashBuilder;

/// SHA-256 of terms and token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// What is known, and until when: seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) outcome: Result<HeaderValue, Refusal>,
    pub(super) until: u64,
}

/// Whoever has it is the one who asks; others wait until it is dropped or filled.
pub(super) type Turn<'s> =
    PlaceholderGuard<'s, Key, Kept, TokenWeight, Hasher, DefaultLifecycle<Key, Kept>>;

/// What is known of a token.
pub(super) enum Found<'s> {
    Known(Result<HeaderValue, Refusal>),
    Turn(Turn<'s>),
}

/// A token counts once for each KiB that it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenWeight;

/// At most as many tokens, or KiB of tokens.
const WEIGHT_MAX: usize = 32_768;

impl Default for ExchangeStore {
    fn default() -> Self {
        let weight_max = u64::try_from(WEIGHT_MAX).unwrap_or(u64::MAX);
        Self {
            kept: Cache::with_weighter(WEIGHT_MAX, weight_max, TokenWeight),
            servers: Mutex::default(),
        }
    }
}

impl ExchangeStore {
    /// What is known, or the turn to find it out: one has it at a time.
    ///
    /// # Cancel safety
    ///
    /// Safe; a turn that is dropped unfilled goes to the next who waits.
    pub(super) async fn find(&self, key: &Key, now: u64) -> Found<'_> {
        self.kept.remove_if(key, |kept| kept.until <= now);
        match self.kept.get_value_or_guard_async(key).await {
            Ok(kept) => Found::Known(kept.outcome),
            Err(turn) => Found::Turn(turn),
        }
    }

    /// What is known now, without waiting for anybody.
    pub(super) fn known(&self, key: &Key, now: u64) -> Option<Result<HeaderValue, Refusal>> {
        let kept = self.kept.get(key)?;
        (now < kept.until).then_some(kept.outcome)
    }

    /// Remembers what is known, also where somebody has the turn.
    pub(super) fn remember(&self, key: Key, kept: Kept) {
        self.kept.insert(key, kept);
    }

    /// The server that is asked at this address as this client: the same for all routes, also after
    /// a reload.
    pub(super) fn server(&self, url: &str, client_id: &str) -> Arc<Server> {
        let key = digest(&[url.as_bytes(), client_id.as_bytes()]);
        let mut servers = self.servers.lock();
        if let Some(known) = servers.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        servers.retain(|_, server| server.strong_count() > 0);
        let server = Arc::new(Server::new());
        servers.insert(key, Arc::downgrade(&server));
        server
    }
}

impl Key {
    /// Parts are told apart by their lengths.
    pub(super) fn of(terms: &[u8; 32], token: &str) -> Self {
        digest(&[terms, token.as_bytes()])
    }
}

/// SHA-256 over parts, each with its length.
pub(super) fn digest(parts: &[&[u8]]) -> Key {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    }
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    Key(key)
}

impl Key {
    pub(super) const fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl Weighter<Key, Kept> for TokenWeight {
    fn weight(&self, _key: &Key, kept: &Kept) -> u64 {
        let bytes = kept.outcome.as_ref().map_or(0, HeaderValue::len);
        u64::try_from(1 + bytes / 1024).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for ExchangeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExchangeStore({} tokens)", self.kept.len())
    }
}
