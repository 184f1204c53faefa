//! [`ExternalAuthorizationMetrics`]: questions to one authorization service.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::labels::{CheckResult, Counts, Waived};
use super::metrics_page::{Page, signed};
use super::metrics_seconds::Seconds;
use super::metrics_table as table;

/// Questions to one authorization service.
#[derive(Debug)]
pub struct ExternalAuthorizationMetrics {
    results: Counts<{ CheckResult::ALL.len() }>,
    waived: Counts<{ Waived::ALL.len() }>,
    in_progress: AtomicI64,
    seconds: Seconds,
}

/// Counts one question as under way until it is dropped.
#[must_use = "the question counts as under way only while this guard lives"]
#[derive(Debug)]
pub struct CheckInProgress<'m>(&'m ExternalAuthorizationMetrics);

impl Drop for CheckInProgress<'_> {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ExternalAuthorizationMetrics {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            results: Counts::new(),
            waived: Counts::new(),
            in_progress: AtomicI64::new(0),
            seconds: Seconds::default(),
        })
    }

    /// A question begins.
    pub fn check_started(&self) -> CheckInProgress<'_> {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        CheckInProgress(self)
    }

    /// A question has an answer, or has none.
    pub fn check_ended(&self, result: CheckResult, took: Duration) {
        self.results.add(result as usize);
        self.seconds.observe(took);
    }

    /// A request goes on that a yes would have been needed for.
    pub fn waived(&self, why: Waived) {
        self.waived.add(why as usize);
    }

    pub(super) fn show(&self, page: &mut Page, name: &str) {
        for (result, count) in CheckResult::ALL.iter().zip(self.results.values()) {
            let labels = [name, result.label()];
            page.counter(&table::EXTERNAL_AUTHORIZATION_CHECKS, &labels, count);
        }
        for (why, count) in Waived::ALL.iter().zip(self.waived.values()) {
            let labels = [name, why.label()];
            page.counter(&table::EXTERNAL_AUTHORIZATION_WAIVED, &labels, count);
        }
        let in_progress = signed(self.in_progress.load(Ordering::Relaxed));
        page.gauge(
            &table::EXTERNAL_AUTHORIZATION_IN_PROGRESS,
            &[name],
            in_progress,
        );
        page.histogram(
            &table::EXTERNAL_AUTHORIZATION_SECONDS,
            &[name],
            self.seconds.model(),
        );
    }
}
