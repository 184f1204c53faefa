//! [`Lines`]: how many lines a second a stranger can make us write.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Lets so many lines a second through, and as many at once; counts the others.
#[derive(Debug)]
pub(super) struct Lines<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    suppressed: AtomicU64,
}

impl Lines {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self::with_clock(per_second, DefaultClock::default())
    }
}

impl<C: Clock> Lines<C> {
    fn with_clock(per_second: NonZeroU32, clock: C) -> Self {
        Self {
            limiter: RateLimiter::direct_with_clock(Quota::per_second(per_second), clock),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether a line may be written now: how many were suppressed since the last one.
    pub(super) fn pass(&self) -> Option<u64> {
        if self.limiter.check().is_ok() {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::time::Duration;

    #[test]
    fn a_flood_is_suppressed_and_counted() {
        let clock = FakeRelativeClock::default();
        let lines = Lines::with_clock(NonZeroU32::new(5).unwrap(), clock.clone());
        let written: Vec<_> = (0..100).filter_map(|_| lines.pass()).collect();
        assert_eq!(written, [0; 5]);
        clock.advance(Duration::from_secs(1));
        let written: Vec<_> = (0..100).filter_map(|_| lines.pass()).collect();
        assert_eq!(written, [95, 0, 0, 0, 0]);
    }
}
