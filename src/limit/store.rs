//! [`LimitStore`]: the rate limits of the whole gateway, and the memory that they may take.
//!
//! A limit is a bucket for each key, which `governor` fills and empties (the generic cell rate
//! algorithm: 8 bytes a key). All buckets of all limits share one cache of [`KEYS_MAX`] entries, so
//! that memory is bounded however many limits and clients there are.
//!
//! A client whose bucket is thrown out starts with a full one. So it must not pay to push entries
//! out. The cache is scan-resistant (Clock-PRO, a relative of S3-FIFO): a new key is on probation,
//! and makes room by pushing out others on probation; a key that comes again while it is there
//! moves to the part that is not given up for keys that come once. Who comes often enough to need a
//! limit stays. To lose its own bucket on purpose, a client would have to be silent while it sends
//! hundreds of thousands of other keys, more than once each. Those keys have buckets of their own,
//! and the requests pass the limit for each peer in front of this one: it gains less than it could
//! have had.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, UnitWeighter};

use super::key::{AlreadyHashed, KeyHash, KeyHasher};
use crate::config::spec::Rate;

/// Buckets that are kept. Each takes about 130 bytes with its share of the cache: at most 65 MB
/// under an attack with ever new keys, and next to nothing without.
pub const KEYS_MAX: usize = 500_000;

/// How much of the cache is for keys that came again. Caches like nearly all of it; here the other
/// half lets a key that came once wait long for its second request, as limits by the hour need it.
const HOT_SHARE: f64 = 0.5;

/// All rate limits. Lives as long as the process; the clock is another one in tests only.
pub struct LimitStore<C: Clock = DefaultClock> {
    buckets: Buckets,
    limiters: Mutex<Limiters<C>>,
    hasher: KeyHasher,
    next_id: AtomicU64,
    clock: C,
}

/// Those that some snapshot uses. Others are forgotten when the map has doubled.
struct Limiters<C: Clock> {
    by_scope: HashMap<(Box<str>, Rate), Weak<Limiter<C>>>,
    sweep_at: usize,
}

/// One rate limit, with a bucket for each key.
pub struct Limiter<C: Clock = DefaultClock> {
    /// Keeps its keys apart from those of other limiters, also of former ones.
    id: u64,
    rate: Rate,
    hasher: KeyHasher,
    governor: RateLimiter<KeyHash, Buckets, C, StateInformationMiddleware>,
}

/// What came of taking one request out of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a request that was not allowed must be refused"]
pub struct Taken {
    /// Whether the request may go on.
    pub allowed: bool,
    /// How many requests the limit lets through in `window`: the burst, or the rate if that is more.
    pub limit: u32,
    /// How many may come right now, after this one.
    pub remaining: u32,
    /// Until the bucket is full again; if this request was refused, until the next one may come.
    pub reset: Duration,
    /// Until the next request may come. Zero if this one was allowed.
    pub retry_after: Duration,
    /// The time that `limit` speaks of.
    pub window: Duration,
}

#[derive(Clone, Debug)]
struct Buckets(Arc<Cache<KeyHash, Arc<InMemoryState>, UnitWeighter, AlreadyHashed>>);

impl LimitStore {
    /// An empty store with room for [`KEYS_MAX`] buckets.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_clock(KEYS_MAX, DefaultClock::default())
    }
}

impl<C: Clock + Clone> LimitStore<C> {
    /// An empty store with room for `keys_max` buckets, in which time passes as `clock` says.
    #[must_use]
    pub fn with_clock(keys_max: usize, clock: C) -> Arc<Self> {
        let capacity = u64::try_from(keys_max).unwrap_or(u64::MAX);
        let mut options = OptionsBuilder::new();
        // The first is for the number of shards; memory is taken as it is used.
        options
            .estimated_items_capacity(keys_max)
            .weight_capacity(capacity);
        options.hot_allocation(HOT_SHARE);
        let cache = match options.build() {
            Ok(options) => Cache::with_options(
                options,
                UnitWeighter,
                AlreadyHashed,
                DefaultLifecycle::default(),
            ),
            Err(_missing) => Cache::with(
                keys_max,
                capacity,
                UnitWeighter,
                AlreadyHashed,
                DefaultLifecycle::default(),
            ),
        };
        Arc::new(Self {
            buckets: Buckets(Arc::new(cache)),
            limiters: Mutex::new(Limiters {
                by_scope: HashMap::new(),
                sweep_at: SWEEP_AT_LEAST,
            }),
            hasher: KeyHasher::default(),
            next_id: AtomicU64::new(0),
            clock,
        })
    }

    /// The limiter with this rate for `scope`, a text that says which limit of the configuration is
    /// meant.
    ///
    /// As long as anybody holds it, the same scope and rate give the same limiter with the same
    /// counts, so they go on when a reload builds a new snapshot beside the old one. Another rate
    /// is another limiter, whose buckets are full.
    #[must_use]
    pub fn limiter(&self, scope: &str, rate: Rate) -> Arc<Limiter<C>> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Box::from(scope), rate);
        if let Some(known) = limiters.by_scope.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if limiters.by_scope.len() >= limiters.sweep_at {
            limiters
                .by_scope
                .retain(|_, limiter| limiter.strong_count() > 0);
            limiters.sweep_at = (2 * limiters.by_scope.len()).max(SWEEP_AT_LEAST);
        }
        let limiter = Arc::new(Limiter {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            rate,
            hasher: self.hasher.clone(),
            governor: RateLimiter::new(quota(rate), self.buckets.clone(), self.clock.clone()),
        });
        limiters.by_scope.insert(key, Arc::downgrade(&limiter));
        limiter
    }
}

impl<C: Clock> LimitStore<C> {
    /// How many buckets there are now, of all limiters together.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.buckets.0.len()
    }
}

/// Below this many limiters nothing is swept out.
const SWEEP_AT_LEAST: usize = 64;

impl<C: Clock> Limiter<C> {
    /// Takes one request out of the bucket of `key`.
    ///
    /// Keys are equal if they hash alike; use one type of key with one limiter.
    pub fn take(&self, key: &(impl Hash + ?Sized)) -> Taken {
        let key = self.hasher.hash(&(self.id, key));
        let limit = self.rate.count.max(self.rate.burst).get();
        let taken = Taken {
            allowed: true,
            limit,
            remaining: 0,
            reset: Duration::ZERO,
            retry_after: Duration::ZERO,
            window: window(self.rate),
        };
        match self.governor.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let quota = state.quota();
                let used = quota.burst_size().get().saturating_sub(remaining);
                Taken {
                    remaining,
                    reset: quota.replenish_interval().saturating_mul(used),
                    ..taken
                }
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.governor.clock().now());
                Taken {
                    allowed: false,
                    reset: wait,
                    retry_after: wait,
                    ..taken
                }
            }
        }
    }

    /// The rate that it was made with.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }
}

impl StateStore for Buckets {
    type Key = KeyHash;

    fn measure_and_replace<T, F, E>(&self, key: &KeyHash, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let bucket = self.0.get(key).unwrap_or_else(|| {
            // Of two threads that bring the same new key, one makes the bucket.
            let made = self
                .0
                .get_or_insert_with(key, || Ok::<_, Never>(Arc::default()));
            made.unwrap_or_else(|never| match never {})
        });
        bucket.measure_and_replace(&NotKeyed::NonKey, f)
    }
}

/// No bucket fails to be made.
enum Never {}

/// The window in which a rate lets through the greater of its count and its burst.
fn window(rate: Rate) -> Duration {
    if rate.burst <= rate.count {
        return rate.per;
    }
    let parts = u64::from(rate.burst.get()).saturating_mul(rate.per.as_secs().max(1));
    Duration::from_secs(parts.div_ceil(u64::from(rate.count.get())))
}

/// A rate as `governor` has it. Times it counts in nanoseconds, in 64 bits, without looking: what
/// would take more than ten years to come again is cut to what fits.
fn quota(rate: Rate) -> Quota {
    let interval = rate.per.checked_div(rate.count.get()).unwrap_or_default();
    let interval = interval.clamp(Duration::from_nanos(1), BURST_TIME_MAX);
    let fits = BURST_TIME_MAX.as_nanos() / interval.as_nanos();
    let fits = u32::try_from(fits).unwrap_or(u32::MAX);
    let burst = NonZeroU32::new(fits.min(rate.burst.get()));
    match Quota::with_period(interval) {
        Some(quota) => quota.allow_burst(burst.unwrap_or(NonZeroU32::MIN)),
        None => Quota::per_second(rate.count), // an interval of zero, which it is not
    }
}

/// Ten years.
const BURST_TIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl<C: Clock> fmt::Debug for LimitStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitStore")
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

impl<C: Clock> fmt::Debug for Limiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
