//! [`AssertionStore`]: what outlives a reload: the keys that the process made, and tokens that may
//! go out again.
//!
//! A token is found by the SHA-256 of all that it says and of the key that signs now: one that was
//! signed by another key, for another service or under another configuration is never found.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::key::AssertionKey;
use super::ring::Ring;
use crate::observe::SignedIdentityMetrics;

/// One for the whole process.
pub struct AssertionStore {
    pub(super) ring: Ring,
    pub(super) metrics: Arc<SignedIdentityMetrics>,
    tokens: Cache<[u8; 32], Arc<Signed>, SizeWeight>,
    /// The key that signed last, for the log and the metric.
    last: Mutex<Box<str>>,
}

/// A token, and how long it may be used.
#[derive(Debug)]
pub(super) struct Signed {
    /// As it goes into the header field.
    pub(super) value: HeaderValue,
    /// In seconds since 1970, as the two below.
    pub(super) issued: u64,
    /// From here on another one is made.
    pub(super) renew: u64,
    pub(super) expires: u64,
}

/// A token counts once for each KiB that it begins.
#[derive(Clone, Copy, Debug)]
struct SizeWeight;

/// At most as many tokens, or KiB of them: 32 MiB with all that belongs to them. With more clients
/// than this at a time, some requests cost a signature more.
const WEIGHT_MAX: usize = 20_000;

impl AssertionStore {
    /// No key and no token yet.
    #[must_use]
    pub fn new(metrics: Arc<SignedIdentityMetrics>) -> Arc<Self> {
        let weight_max = u64::try_from(WEIGHT_MAX).unwrap_or(u64::MAX);
        Arc::new(Self {
            ring: Ring::default(),
            metrics,
            tokens: Cache::with_weighter(WEIGHT_MAX, weight_max, SizeWeight),
            last: Mutex::default(),
        })
    }

    /// A token for this statement that is young enough at `now`, and ends by `latest`.
    pub(super) fn get(&self, statement: &[u8; 32], now: u64, latest: u64) -> Option<Arc<Signed>> {
        let known = self.tokens.get(statement)?;
        let young = (known.issued..known.renew).contains(&now);
        (young && known.expires <= latest).then_some(known)
    }

    pub(super) fn insert(&self, statement: [u8; 32], signed: &Arc<Signed>) {
        self.tokens.insert(statement, Arc::clone(signed));
    }

    /// Notes which key signs at `now`, in seconds since 1970.
    pub(super) fn signs(&self, key: &AssertionKey, now: u64) {
        let mut last = self.last.lock();
        if **last != *key.kid() {
            *last = key.kid().into();
            self.metrics.key_began(now);
            tracing::info!(kid = key.kid(), "identities are signed with this key");
        }
    }
}

impl fmt::Debug for AssertionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertionStore({} tokens)", self.tokens.len())
    }
}

impl Weighter<[u8; 32], Arc<Signed>> for SizeWeight {
    fn weight(&self, _statement: &[u8; 32], signed: &Arc<Signed>) -> u64 {
        u64::try_from(1 + signed.value.len() / 1024).unwrap_or(u64::MAX)
    }
}
