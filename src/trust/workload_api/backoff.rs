//! [`Backoff`]: how long to wait before an agent is asked again.

use std::time::Duration;

/// An agent that restarts is back within a second.
const FIRST: Duration = Duration::from_millis(100);
/// An agent that is away for long is asked twice a minute.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double, from [`FIRST`] to [`LONGEST`].
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait: between half of it and the whole, so that gateways which lost one agent do
    /// not all come back at once.
    pub(super) fn next(&mut self) -> Duration {
        let longest = self.next;
        self.next = longest.saturating_mul(2).min(LONGEST);
        longest.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// Begins again with the shortest wait.
    pub(super) const fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_again() {
        let mut backoff = Backoff::new();
        let mut longest = FIRST;
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(
                wait >= longest / 2 && wait <= longest,
                "{wait:?} of {longest:?}"
            );
            longest = (longest * 2).min(LONGEST);
        }
        assert_eq!(longest, LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
