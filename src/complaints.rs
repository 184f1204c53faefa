//! [`Complaints`]: what goes wrong again and again, told in the log now and then. The metrics count it
//! all.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// When each kind of complaint about one server was last told. There are a few kinds: an enum's.
#[derive(Debug)]
pub struct Complaints<K>(Mutex<Vec<(K, Instant)>>);

/// For so long a kind is not told again.
const QUIET: Duration = Duration::from_secs(10);

impl<K: Copy + PartialEq> Complaints<K> {
    /// Whether this is to be told at `now`: it was not a moment ago.
    #[must_use]
    pub fn is_due(&self, kind: K, now: Instant) -> bool {
        let mut told = self.0.lock();
        told.retain(|(_, at)| now.saturating_duration_since(*at) < QUIET);
        if told.iter().any(|(known, _)| *known == kind) {
            return false;
        }
        told.push((kind, now));
        true
    }
}

impl<K> Default for Complaints<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_in_a_while() {
        let complaints = Complaints::default();
        let now = Instant::now();
        let later = now + QUIET;
        let cases = [
            ("slow", now, true),
            ("slow", now, false),
            ("broken", now, true),
            ("slow", later - Duration::from_millis(1), false),
            ("slow", later, true),
            ("slow", later, false),
        ];
        for (kind, at, due) in cases {
            assert_eq!(complaints.is_due(kind, at), due, "{kind}");
        }
    }
}
