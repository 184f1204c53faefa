//! What sources of key material gave, and how often it was taken without the configuration.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::escape::{CHARS_MAX, clean};
use super::metrics_page::{Page, number};
use super::metrics_table as table;
use crate::trust::{SourceResult, SourceStatus};

/// More sources than this are not shown: one for each place that names key material.
const SOURCES_MAX: usize = 1_000;

/// The sources of the configuration in use.
#[derive(Debug, Default)]
pub(super) struct SourcesMetrics {
    sources: Mutex<Vec<Arc<SourceStatus>>>,
    taken: AtomicU64,
    refused: AtomicU64,
}

impl SourcesMetrics {
    pub(super) fn set(&self, sources: &[Arc<SourceStatus>]) {
        let shown = sources.iter().take(SOURCES_MAX).cloned().collect();
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    pub(super) fn refreshed(&self, whole: bool) {
        let count = if whole { &self.taken } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn show(&self, page: &mut Page) {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        for source in &*sources {
            let (kind, place) = (source.kind.label(), clean(&source.place, CHARS_MAX));
            let generation = number(source.generation());
            page.gauge(&table::SOURCE_GENERATION, &[kind, &place], generation);
            for result in SourceResult::ALL {
                let values = [kind, &place, result.label()];
                page.counter(&table::SOURCE_RELOADS, &values, source.count(result));
            }
        }
        let counts = [("ok", &self.taken), ("refused", &self.refused)];
        for (result, count) in counts {
            page.counter(&table::REFRESHES, &[result], count.load(Ordering::Relaxed));
        }
    }
}
