//! [`Target`]: one address of an endpoint and whether it answers.
//!
//! Health is passive: what requests meet is all that is known. An address that failed is left alone
//! for a time that doubles with each failure; then one request may try it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The first time for which an address that failed is left alone.
const BACK_OFF_MIN: Duration = Duration::from_millis(500);
/// The longest: a service that came back is found within half a minute.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// One address. Shared between the lists of addresses that follow each other, so that its health
/// outlives a new look-up.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// The endpoint as the operator wrote it.
    pub(super) text: Arc<str>,
    /// What `retry_at` counts from.
    epoch: Instant,
    /// Failures since the last answer. 0: it answers, for all we know.
    failures: AtomicU32,
    /// Milliseconds after `epoch` from which a request may try it again.
    retry_at: AtomicU64,
    /// Whether a request is trying it. Its failure counts; those of stragglers do not, else one
    /// outage under load would double the time a hundred times.
    on_trial: AtomicBool,
}

impl Target {
    pub(super) fn new(address: SocketAddr, text: Arc<str>, epoch: Instant) -> Self {
        Self {
            address,
            text,
            epoch,
            failures: AtomicU32::new(0),
            retry_at: AtomicU64::new(0),
            on_trial: AtomicBool::new(false),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.failures.load(SeqCst) == 0
    }

    /// When it may be tried again, for finding the soonest of several.
    pub(super) fn retry_at(&self) -> u64 {
        self.retry_at.load(SeqCst)
    }

    /// Takes the one trial that an address which is down gets after its time is over. If nothing is
    /// heard of the trial, the next one is possible after the same time again.
    pub(super) fn take_trial(&self, now: Instant) -> bool {
        let (failures, due) = (self.failures.load(SeqCst), self.retry_at.load(SeqCst));
        if failures == 0 || self.millis(now) < due {
            return false;
        }
        let next = self.millis(now + back_off(failures));
        let taken = self
            .retry_at
            .compare_exchange(due, next, SeqCst, SeqCst)
            .is_ok();
        if taken {
            self.on_trial.store(true, SeqCst);
        }
        taken
    }

    /// Notes that no connection could be made. Returns true if it was up until now.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let was_up = self.failures.compare_exchange(0, 1, SeqCst, SeqCst).is_ok();
        if was_up {
            self.retry_at.store(self.millis(now + BACK_OFF_MIN), SeqCst);
        } else if self.on_trial.swap(false, SeqCst) {
            let failures = self.failures.fetch_add(1, SeqCst).saturating_add(1);
            self.retry_at
                .store(self.millis(now + back_off(failures)), SeqCst);
        }
        was_up
    }

    /// Notes that it answered. Returns true if it was down until now.
    pub(super) fn answered(&self) -> bool {
        if self.is_up() {
            return false; // the way of almost every request: one load
        }
        self.on_trial.store(false, SeqCst);
        self.failures.swap(0, SeqCst) > 0
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

/// 0.5 s, 1 s, 2 s and so on up to 30 s.
fn back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    BACK_OFF_MIN
        .saturating_mul(1 << doublings)
        .min(BACK_OFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(epoch: Instant) -> Target {
        Target::new("127.0.0.1:1".parse().unwrap(), "a:1".into(), epoch)
    }

    #[test]
    fn the_time_doubles_with_each_failed_trial_up_to_half_a_minute() {
        let mut now = Instant::now();
        let target = target(now);
        assert!(target.failed(now));
        for wait in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            assert!(!target.take_trial(now + Duration::from_millis(wait - 1)));
            now += Duration::from_millis(wait);
            assert!(target.take_trial(now), "after {wait} ms");
            assert!(!target.failed(now));
        }
    }

    #[test]
    fn failures_of_stragglers_do_not_double_the_time() {
        let now = Instant::now();
        let target = target(now);
        for _ in 0..100 {
            target.failed(now);
        }
        assert!(target.take_trial(now + BACK_OFF_MIN));
    }

    #[test]
    fn one_request_tries_an_address_whose_time_is_over_and_an_unheard_trial_ends() {
        let now = Instant::now();
        let target = target(now);
        target.failed(now);
        let due = now + BACK_OFF_MIN;
        assert!(target.take_trial(due));
        assert!(!target.take_trial(due));
        assert!(target.take_trial(due + BACK_OFF_MIN));
    }

    #[test]
    fn an_answer_ends_it_all() {
        let now = Instant::now();
        let target = target(now);
        assert!(!target.answered());
        target.failed(now);
        assert!(target.answered() && target.is_up());
        assert!(!target.take_trial(now + BACK_OFF_MAX));
        assert!(target.failed(now) && target.take_trial(now + BACK_OFF_MIN));
    }
}
