//! [`Backoff`]: how long to wait before a node of a store is tried again.

use std::time::Duration;

/// A store that restarts is back within a second.
const FIRST: Duration = Duration::from_millis(50);
/// Requests are refused, or decided by this gateway alone, until somebody tries again.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits that double, from [`FIRST`] to [`LONGEST`].
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait: between half of it and the whole, so that gateways which lost one store do
    /// not all come back at once.
    pub(super) fn next(&mut self) -> Duration {
        let longest = self.next;
        self.next = longest.saturating_mul(2).min(LONGEST);
        longest.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}
