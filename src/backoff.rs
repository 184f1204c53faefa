//! [`Backoff`]: how long to wait before somebody who failed is asked again.

use std::time::Duration;

/// Waits that double, from a first one to a longest one.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with `first`.
    #[must_use]
    pub const fn between(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The next wait: between half of it and the whole, so that gateways which lost one server do
    /// not all come back at once.
    pub fn wait(&mut self) -> Duration {
        let longest = self.next;
        self.next = longest.saturating_mul(2).min(self.longest);
        longest.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// Begins again with the shortest wait.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_again() {
        const FIRST: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(30);
        let mut backoff = Backoff::between(FIRST, LONGEST);
        let mut longest = FIRST;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(
                wait >= longest / 2 && wait <= longest,
                "{wait:?} of {longest:?}"
            );
            longest = (longest * 2).min(LONGEST);
        }
        assert_eq!(longest, LONGEST);
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
