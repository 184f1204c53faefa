//! [`AnswerCache`]: what an issuer said of tokens, each for a while.
//!
//! A token is found by its SHA-256; the token itself is not kept. Good and bad ones are kept apart:
//! anybody can make up bad ones, and they must not push out the good.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::authenticate::claims::Facts;
use crate::config::introspection::{IntrospectionSpec, WhenAway};
use crate::identity::claims::Claims;
use crate::json;
use crate::refusal::Refusal;

/// SHA-256 of a token's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

/// What is known of a good token.
#[derive(Debug)]
pub(super) struct Known {
    /// What was read of it.
    pub(super) facts: Arc<Facts>,
    /// What the issuer said of it: JSON that was read once.
    pub(super) claims: Box<[u8]>,
}

/// What is known of a token.
#[derive(Debug)]
pub(super) enum Found {
    /// It is good, and the issuer need not be asked.
    Fresh(Arc<Known>),
    /// It was good; the issuer is to be asked, and if it does not answer this may count.
    Stale(Arc<Known>),
    /// It is not good, and the issuer need not be asked.
    Bad(Refusal),
    Nothing,
}

/// The answers that are remembered. Grows as they come.
pub(super) struct AnswerCache {
    good: Cache<TokenDigest, Good, AnswerWeight>,
    bad: Cache<TokenDigest, Bad>,
    fresh: Duration,
    kept: Duration,
    bad_kept: Duration,
}

#[derive(Clone)]
struct Good {
    known: Arc<Known>,
    answered: Instant,
}

#[derive(Clone)]
struct Bad {
    why: Refusal,
    answered: Instant,
}

/// An answer counts once for each KiB that it begins.
#[derive(Clone, Copy, Debug)]
struct AnswerWeight;

/// At most as many answers, or KiB of them.
const WEIGHT_MAX: usize = 50_000;
/// At most as many tokens that are not good; each takes some 100 bytes.
const BAD_MAX: usize = 20_000;

impl AnswerCache {
    pub(super) fn new(spec: &IntrospectionSpec) -> Self {
        let weight_max = u64::try_from(WEIGHT_MAX).unwrap_or(u64::MAX);
        let stale = match spec.when_away {
            WhenAway::Refuse => Duration::ZERO,
            WhenAway::Cached { max_stale } => max_stale,
        };
        Self {
            good: Cache::with_weighter(WEIGHT_MAX, weight_max, AnswerWeight),
            bad: Cache::new(BAD_MAX),
            fresh: spec.cache,
            kept: spec.cache.max(stale),
            bad_kept: spec.negative_cache,
        }
    }

    /// What is known of a token at `at`, which is `now` in seconds since 1970.
    pub(super) fn get(&self, token: &TokenDigest, at: Instant, now: u64) -> Found {
        if let Some(good) = self.good.get(token) {
            let age = at.saturating_duration_since(good.answered);
            if now >= good.known.facts.expires || age >= self.kept {
                self.good.remove(token);
            } else if age < self.fresh {
                return Found::Fresh(good.known);
            } else {
                return Found::Stale(good.known);
            }
        }
        match self.bad.get(token) {
            Some(bad) if at.saturating_duration_since(bad.answered) < self.bad_kept => {
                Found::Bad(bad.why)
            }
            Some(_over) => {
                self.bad.remove(token);
                Found::Nothing
            }
            None => Found::Nothing,
        }
    }

    /// Remembers that a token is good, as was answered at `answered`.
    pub(super) fn put_good(&self, token: TokenDigest, known: &Arc<Known>, answered: Instant) {
        self.bad.remove(&token);
        if self.kept.is_zero() {
            return;
        }
        let known = Arc::clone(known);
        self.good.insert(token, Good { known, answered });
    }

    /// Remembers that a token is not good. What was known before is over: not even an issuer that is
    /// away brings it back.
    pub(super) fn put_bad(&self, token: TokenDigest, why: Refusal, answered: Instant) {
        self.good.remove(&token);
        if !self.bad_kept.is_zero() {
            self.bad.insert(token, Bad { why, answered });
        }
    }
}

impl Known {
    /// The claims, read when somebody asks for one.
    pub(super) fn claims(&self) -> Claims {
        Claims::later(&self.claims, |claims| {
            json::object(claims).unwrap_or_default() // never: they were written here
        })
    }
}

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Weighter<TokenDigest, Good> for AnswerWeight {
    fn weight(&self, _token: &TokenDigest, good: &Good) -> u64 {
        let bytes = good.known.claims.len() + good.known.facts.text_bytes();
        u64::try_from(1 + bytes / 1024).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for AnswerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (good, bad) = (self.good.len(), self.bad.len());
        write!(f, "AnswerCache({good} good, {bad} bad)")
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}
