//! [`Seconds`]: a histogram of durations that costs two relaxed additions and 136 bytes.
//!
//! The crate's own histogram carries its description and two shards, about a kilobyte in many
//! pieces, and two of them belong to each route. This one is read into the crate's model when the
//! page is rendered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::proto::{Bucket, Histogram};

use super::metrics_page::number;

/// The upper bounds of the buckets.
///
/// From 1 ms, which a kept-alive request or a handshake in the same rack stays under, to 30 s, the
/// default response timeout; 10 s is the default handshake timeout. Three steps a decade below a
/// second, where services differ.
static BOUNDS: [Duration; 14] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// The upper bounds for work of the processor alone: from 10 µs, less than any signature takes, over
/// some 100 µs for a chain of two with P-256, to 10 ms, which a chain made to be slow stays under.
static SHORT_BOUNDS: [Duration; 10] = [
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
];

/// Microseconds, not nanoseconds: ten thousand requests under way for 50 years fit into 64 bits.
#[derive(Debug)]
pub(super) struct Seconds<const N: usize = 14> {
    bounds: &'static [Duration; N],
    buckets: [AtomicU64; N],
    above: AtomicU64,
    micros: AtomicU64,
}

/// A histogram with bounds for work of the processor alone.
pub(super) type ShortSeconds = Seconds<10>;

impl Default for Seconds {
    fn default() -> Self {
        Self::with(&BOUNDS)
    }
}

impl Default for ShortSeconds {
    fn default() -> Self {
        Self::with(&SHORT_BOUNDS)
    }
}

impl<const N: usize> Seconds<N> {
    fn with(bounds: &'static [Duration; N]) -> Self {
        Self {
            bounds,
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            above: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, took: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < took);
        let bucket = self.buckets.get(place).unwrap_or(&self.above);
        bucket.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The crate's model of what was observed. The count is that of the buckets, so that both agree
    /// while others count on.
    pub(super) fn model(&self) -> Histogram {
        let mut model = Histogram::default();
        let mut below = 0;
        let mut buckets = Vec::with_capacity(N);
        for (bound, count) in self.bounds.iter().zip(&self.buckets) {
            below += count.load(Ordering::Relaxed);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        model.set_bucket(buckets);
        model.set_sample_count(below + self.above.load(Ordering::Relaxed));
        model.set_sample_sum(number(self.micros.load(Ordering::Relaxed)) / 1e6);
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_its_bucket_and_in_all_above() {
        let seconds = <Seconds>::default();
        for took in [0, 1_000, 1_001, 30_000_000, 31_000_000] {
            seconds.observe(Duration::from_micros(took));
        }
        let model = seconds.model();
        let counts: Vec<u64> = model
            .get_bucket()
            .iter()
            .map(Bucket::cumulative_count)
            .collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!(model.get_sample_count(), 5);
        assert!((model.get_sample_sum() - 61.002_001).abs() < 1e-9);
    }

    #[test]
    fn bounds_ascend() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
        assert!(SHORT_BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
