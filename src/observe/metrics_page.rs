//! [`Page`]: the metrics page while it is written, in the model of the prometheus crate.
//!
//! Families stand in the order of their names, series in the order in which they were added (names
//! ascending): the same state gives the same page.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::metrics_table::{Family, Kind};

/// One page of metrics.
#[derive(Debug, Default)]
pub(super) struct Page(BTreeMap<&'static str, (&'static Family, Vec<Metric>)>);

impl Page {
    /// Adds a series. `values` are those of the family's labels, in their order.
    pub(super) fn counter(&mut self, family: &'static Family, values: &[&str], count: u64) {
        let mut counter = Counter::default();
        counter.set_value(number(count));
        let mut metric = Metric::default();
        metric.set_counter(counter);
        self.add(family, values, metric);
    }

    /// Adds a series whose value is not a whole number.
    pub(super) fn counter_of(&mut self, family: &'static Family, values: &[&str], value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        self.add(family, values, metric);
    }

    pub(super) fn gauge(&mut self, family: &'static Family, values: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::default();
        metric.set_gauge(gauge);
        self.add(family, values, metric);
    }

    pub(super) fn histogram(&mut self, family: &'static Family, values: &[&str], of: Histogram) {
        let mut metric = Metric::default();
        metric.set_histogram(of);
        self.add(family, values, metric);
    }

    fn add(&mut self, family: &'static Family, values: &[&str], mut metric: Metric) {
        let labels = family.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        metric.set_label(labels.collect());
        self.0
            .entry(family.name)
            .or_insert_with(|| (family, Vec::new()))
            .1
            .push(metric);
    }

    /// The page in the crate's model.
    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        let families = self.0.into_values().map(|(family, metrics)| {
            let mut out = MetricFamily::default();
            out.set_name(family.name.to_owned());
            out.set_help(family.help.to_owned());
            out.set_field_type(match family.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            out.set_metric(metrics);
            out
        });
        families.collect()
    }

    /// The page as text.
    pub(super) fn into_text(self) -> String {
        let mut text = String::new();
        // The encoder fails on a family without a name or a series only, and there is none.
        if let Err(error) = TextEncoder::new().encode_utf8(&self.into_families(), &mut text) {
            tracing::error!(%error, "the metrics page is not complete");
        }
        text
    }
}

/// A count as the page writes it. Above 2^53 it is rounded.
pub(super) fn number(count: u64) -> f64 {
    let [a, b, c, d, e, f, g, h] = count.to_be_bytes();
    let high = f64::from(u32::from_be_bytes([a, b, c, d]));
    let low = f64::from(u32::from_be_bytes([e, f, g, h]));
    high * 4_294_967_296.0 + low
}

/// A point in time or a difference as the page writes it.
pub(super) fn signed(value: i64) -> f64 {
    let size = number(value.unsigned_abs());
    if value < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_value() {
        for (count, want) in [
            (0, 0.0),
            (4_294_967_295, 4_294_967_295.0),
            (4_294_967_296, 4_294_967_296.0),
            (9_007_199_254_740_991, 9_007_199_254_740_991.0),
        ] {
            assert!((number(count) - want).abs() < f64::EPSILON, "{count}");
        }
        assert!((signed(-5) + 5.0).abs() < f64::EPSILON);
    }
}
