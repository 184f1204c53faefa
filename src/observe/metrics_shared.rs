//! What came of asking for the state that several gateways share.

use std::time::Duration;

use prometheus::proto::{Bucket, Histogram};

use super::metrics_page::{Page, number};
use super::metrics_table as table;
use crate::shared_state::{BOUNDS, Counts, Durations, OPERATIONS, SPACES};

/// Shows what was counted.
pub(super) fn show(counts: &Counts, page: &mut Page) {
    for space in SPACES {
        for operation in OPERATIONS {
            for (result, count) in counts.results(space, operation) {
                let values = [space.label(), operation.label(), result];
                page.counter(&table::SHARED_OPERATIONS, &values, count);
            }
        }
        for (handled, count) in counts.away(space) {
            page.counter(&table::SHARED_AWAY, &[space.label(), handled], count);
        }
        let entries = number(counts.entries(space));
        page.gauge(&table::SHARED_ENTRIES, &[space.label()], entries);
    }
    for operation in OPERATIONS {
        let model = model(&counts.durations(operation));
        page.histogram(&table::SHARED_SECONDS, &[operation.label()], model);
    }
    let (nodes, up) = counts.stores();
    page.gauge(&table::SHARED_NODES, &[], number(nodes));
    page.gauge(&table::SHARED_NODES_UP, &[], number(up));
}

fn model(durations: &Durations) -> Histogram {
    let bucket = |(bound, count): (&Duration, &u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(*count);
        bucket
    };
    let mut model = Histogram::default();
    let buckets = BOUNDS.iter().zip(&durations.buckets);
    model.set_bucket(buckets.map(bucket).collect());
    model.set_sample_count(durations.count);
    model.set_sample_sum(number(durations.micros) / 1e6);
    model
}
