//! [`Counts`]: what came of asking for shared state, for the metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Away, SPACES, Space};

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A key is noted, if it is new.
    PutNew,
    /// A value is asked for.
    Get,
    /// A value is put.
    Put,
    /// A value is removed.
    Remove,
}

/// Every operation, for the metrics' start values.
pub const OPERATIONS: [Operation; 4] = [
    Operation::PutNew,
    Operation::Get,
    Operation::Put,
    Operation::Remove,
];

/// What was done where the store could not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Whoever asked was refused.
    Refused,
    /// The memory of this process decided.
    Local,
}

/// The upper bounds of the buckets: from a store in the same rack to the longest timeout that
/// anybody gives one.
pub const BOUNDS: [Duration; 10] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

const RESULTS: usize = Away::ALL.len() + 1;

/// What came of asking for shared state. Outlives reloads.
#[derive(Debug, Default)]
pub struct Counts {
    /// By space, operation, and result: that it was answered, or why it was not.
    results: [[[AtomicU64; RESULTS]; OPERATIONS.len()]; SPACES.len()],
    handled: [[AtomicU64; 2]; SPACES.len()],
    seconds: [Took; OPERATIONS.len()],
    entries: [AtomicI64; SPACES.len()],
    nodes: AtomicI64,
    nodes_up: AtomicI64,
}

#[derive(Debug, Default)]
struct Took {
    buckets: [AtomicU64; BOUNDS.len()],
    above: AtomicU64,
    micros: AtomicU64,
}

/// How long one operation took, so far.
#[derive(Debug)]
pub struct Durations {
    /// How many took so long, or less, in the order of [`BOUNDS`].
    pub buckets: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// Of all together.
    pub micros: u64,
}

impl Operation {
    /// The label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::PutNew => "put_new",
            Self::Get => "get",
            Self::Put => "put",
            Self::Remove => "remove",
        }
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the places of an enum's variants in an array of as many"
)]
impl Counts {
    pub(super) fn asked(
        &self,
        space: Space,
        operation: Operation,
        result: Result<(), Away>,
        took: Duration,
    ) {
        let place = result.map_or_else(|away| away as usize + 1, |()| 0);
        self.results[space as usize][operation as usize][place].fetch_add(1, Relaxed);
        let seconds = &self.seconds[operation as usize];
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        let bucket = seconds.buckets.get(bucket).unwrap_or(&seconds.above);
        bucket.fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        seconds.micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn handled(&self, space: Space, how: Handled) {
        self.handled[space as usize][how as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn kept(&self, space: Space, before: usize, now: usize) {
        let more = i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(0);
        self.entries[space as usize].fetch_add(more, Relaxed);
    }

    pub(super) fn nodes(&self, more: i64) {
        self.nodes.fetch_add(more, Relaxed);
    }

    pub(super) fn nodes_up(&self, more: i64) {
        self.nodes_up.fetch_add(more, Relaxed);
    }

    /// How often a store was asked, by what came of it: `ok`, or the label of an [`Away`].
    #[must_use]
    pub fn results(&self, space: Space, operation: Operation) -> [(&'static str, u64); RESULTS] {
        let counts = &self.results[space as usize][operation as usize];
        std::array::from_fn(|place| {
            let away = place.checked_sub(1).and_then(|place| Away::ALL.get(place));
            let label = away.map_or("ok", |away| away.label());
            (label, counts[place].load(Relaxed))
        })
    }

    /// How often the store could not say, by what was done then.
    #[must_use]
    pub fn away(&self, space: Space) -> [(&'static str, u64); 2] {
        let [refused, local] = &self.handled[space as usize];
        let count = |count: &AtomicU64| count.load(Relaxed);
        [("refused", count(refused)), ("local", count(local))]
    }

    /// How long an operation took.
    #[must_use]
    pub fn durations(&self, operation: Operation) -> Durations {
        let took = &self.seconds[operation as usize];
        let mut below = 0;
        let buckets = std::array::from_fn(|place| {
            below += took.buckets[place].load(Relaxed);
            below
        });
        Durations {
            buckets,
            count: below + took.above.load(Relaxed),
            micros: took.micros.load(Relaxed),
        }
    }

    /// How many entries of a space the memory of this process has.
    #[must_use]
    pub fn entries(&self, space: Space) -> u64 {
        u64::try_from(self.entries[space as usize].load(Relaxed)).unwrap_or_default()
    }

    /// How many nodes of stores there are, and to how many there is a connection.
    #[must_use]
    pub fn stores(&self) -> (u64, u64) {
        let count = |count: &AtomicI64| u64::try_from(count.load(Relaxed)).unwrap_or_default();
        (count(&self.nodes), count(&self.nodes_up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_counted_under_its_own_label() {
        let counts = Counts::default();
        let took = Duration::from_millis(1);
        for (times, away) in Away::ALL.into_iter().enumerate() {
            for _ in 0..=times {
                counts.asked(Space::Session, Operation::Put, Err(away), took);
            }
        }
        let results = counts.results(Space::Session, Operation::Put);
        for (times, away) in (1..).zip(Away::ALL) {
            assert!(results.contains(&(away.label(), times)), "{results:?}");
        }
        let durations = counts.durations(Operation::Put);
        assert_eq!((durations.buckets[2], durations.buckets[3]), (0, 36));
        assert_eq!((durations.count, durations.micros), (36, 36_000));
    }
}
