//! [`AcmeMetrics`]: when certificates are ordered next.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::metrics_page::{Page, signed};
use super::metrics_table as table;

/// By place in the configuration: seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct AcmeMetrics(Mutex<BTreeMap<String, i64>>);

impl AcmeMetrics {
    pub(super) fn next_order(&self, place: &str, at: i64) {
        self.0.lock().insert(place.to_owned(), at);
    }

    pub(super) fn keep_only(&self, places: &BTreeSet<String>) {
        self.0.lock().retain(|place, _| places.contains(place));
    }

    pub(super) fn show(&self, page: &mut Page) {
        for (place, at) in &*self.0.lock() {
            page.gauge(&table::ACME_NEXT_ORDER, &[place.as_str()], signed(*at));
        }
    }
}
