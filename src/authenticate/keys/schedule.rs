//! [`Schedule`]: when the keys of one issuer are fetched, and what is said to a token whose key is
//! not among them. Times and counts alone: nothing here waits, fetches or looks at a clock.
//!
//! - A fetch that went well is followed by the next one when the answer's time is over, and one that
//!   did not by another after a pause that grows.
//! - A token with a key that nobody knows asks for a fetch of its own, for issuers rotate their keys.
//!   Such fetches are [`Terms::cool_down`] apart: a stranger can write any `kid`.
//! - Whoever comes before the first fetch of all has ended waits for it.
//! - That a key is not the issuer's is said only where a good fetch that began after somebody asked
//!   for it did not bring it. Until then nobody knows, and that is not the client's fault.

use std::time::{Duration, Instant};

use quick_cache::unsync::Cache;

/// What the operator wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The least time between two fetches that nothing but the time causes.
    pub(super) refresh_min: Duration,
    /// The least time between two fetches that unknown keys cause.
    pub(super) cool_down: Duration,
    /// For how long keys are used after they were last fetched.
    pub(super) max_stale: Duration,
}

/// Why a fetch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its time has come.
    Due,
    /// A token names a key that is not there.
    UnknownKey,
}

/// What is known about a key that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The issuer does not have it: it was asked.
    Absent,
    /// A fetch will tell; it is under way or begins at once.
    Awaited,
    /// Nobody can tell before this time is over.
    NotNow(Duration),
}

/// A key that a token names, as a hash under a secret of this process.
pub(super) type Kid = u64;

/// The state of fetching.
#[derive(Debug)]
pub(super) struct Schedule {
    terms: Terms,
    /// The last fetch that went well began.
    good: Option<Instant>,
    /// Fetches in a row that did not go well.
    failures: u32,
    /// The next one begins at the latest.
    due: Instant,
    /// One is under way.
    fetching: bool,
    /// Somebody waits for one that has not begun.
    wanted: bool,
    /// The last fetch on account of an unknown key began.
    refetched: Option<Instant>,
    /// When a key that is not there was first asked for.
    asked: Cache<Kid, Instant>,
}

/// Names of keys that are remembered. More only make a fetch for each cool-down more likely.
const KIDS_MAX: usize = 1_000;
/// After so many cool-downs a key that was absent may be asked for again: an issuer may sign with it
/// before all of its own caches have it.
const ABSENT_COOL_DOWNS: u32 = 10;
/// The pause after the first failure; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest pause while there are no keys that may be used: every token is refused until then.
const PAUSE_WITHOUT_KEYS_MAX: Duration = Duration::from_secs(10);
/// Fetches come by up to this part of their time earlier, so that gateways which started together
/// do not come together.
const SPREAD: f64 = 0.1;

impl Schedule {
    /// Nothing was fetched yet: the first fetch is due.
    pub(super) fn new(terms: Terms, now: Instant) -> Self {
        Self {
            terms,
            good: None,
            failures: 0,
            due: now,
            fetching: false,
            wanted: false,
            refetched: None,
            asked: Cache::new(KIDS_MAX),
        }
    }

    /// Keys of before are used, that were fetched at `good`; the next fetch is due.
    pub(super) const fn resume(&mut self, good: Instant) {
        self.good = Some(good);
    }

    /// Whether the first fetch of all has not ended yet: it is due, or under way.
    pub(super) const fn is_beginning(&self) -> bool {
        self.good.is_none() && self.failures == 0
    }

    /// No fetch is under way: whoever did it is gone.
    pub(super) const fn stand_still(&mut self) {
        self.fetching = false;
    }

    /// When the keys that are there were fetched.
    pub(super) const fn good(&self) -> Option<Instant> {
        self.good
    }

    /// Until when keys may be used that were fetched at `good`.
    pub(super) fn until(&self, good: Instant) -> Instant {
        good + self.terms.max_stale
    }

    /// How long it is until the next fetch.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        match self.wanted {
            true => Duration::ZERO,
            false => self.due.saturating_duration_since(now),
        }
    }

    /// A fetch begins.
    pub(super) const fn begin(&mut self, now: Instant) -> Cause {
        self.fetching = true;
        if !self.wanted {
            return Cause::Due;
        }
        self.wanted = false;
        self.refetched = Some(now);
        Cause::UnknownKey
    }

    /// The fetch that began at `began` went well, and its answer may be kept for `lifetime`.
    /// `random` is from 0 to 1.
    pub(super) fn succeeded(&mut self, began: Instant, lifetime: Duration, random: f64) {
        self.fetching = false;
        self.good = Some(began);
        self.failures = 0;
        let early = lifetime.mul_f64(SPREAD * random.clamp(0.0, 1.0));
        let pause = lifetime.saturating_sub(early).max(self.terms.refresh_min);
        self.due = began + pause;
    }

    /// The fetch that began at `began` has shown that this key is not one that may be used: nobody
    /// need be asked for it.
    pub(super) fn is_absent(&mut self, kid: Kid, began: Instant) {
        self.asked.insert(kid, began);
    }

    /// A fetch did not go well. `taken_away`: the issuer has no key any more, so that nothing stays. `random` as
    /// above.
    pub(super) fn failed(&mut self, now: Instant, taken_away: bool, random: f64) {
        self.fetching = false;
        if taken_away {
            self.good = None;
        }
        let doubled = PAUSE.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let usable = self.usable_until().is_some_and(|until| now < until);
        let longest = if usable {
            PAUSE_MAX
        } else {
            PAUSE_WITHOUT_KEYS_MAX
        };
        let pause = doubled
            .min(longest)
            .mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
        self.due = now + pause;
    }

    /// Fetches in a row that did not go well.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Until when the keys that are there may be used. `None` without any.
    pub(super) fn usable_until(&self) -> Option<Instant> {
        self.good.map(|good| self.until(good))
    }

    /// A token names a key that is not there. What can be said about it?
    pub(super) fn unknown(&mut self, kid: Kid, now: Instant) -> Unknown {
        let usable = self.usable_until().is_some_and(|until| now < until);
        if self.is_beginning() {
            return Unknown::Awaited;
        }
        let Some(good) = self.good.filter(|_| usable) else {
            return Unknown::NotNow(self.pause(now));
        };
        let forgotten = self.terms.cool_down.saturating_mul(ABSENT_COOL_DOWNS);
        let asked = self.asked.get(&kid).copied();
        let asked = asked.filter(|asked| now.saturating_duration_since(*asked) < forgotten);
        if asked.is_none() {
            self.asked.insert(kid, now);
        }
        if asked.is_some_and(|asked| asked <= good) {
            return Unknown::Absent;
        }
        if self.fetching || self.wanted {
            return Unknown::Awaited;
        }
        let again = self.refetched.map(|last| last + self.terms.cool_down);
        let left = again.map_or(Duration::ZERO, |again| again.saturating_duration_since(now));
        if !left.is_zero() {
            // What is due may come sooner.
            return Unknown::NotNow(left.min(self.pause(now)));
        }
        self.wanted = true;
        Unknown::Awaited
    }
}
