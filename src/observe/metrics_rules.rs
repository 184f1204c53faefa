//! [`RuleMetrics`]: what a rule of a route's policy said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::metrics_page::Page;
use super::metrics_table as table;

/// What a rule said of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleResult {
    /// It holds.
    Allowed,
    /// It does not hold.
    Refused,
    /// It could not be answered: to be refused.
    Failed,
}

const RESULTS: [&str; 3] = ["allowed", "refused", "failed"];
const MODES: [&str; 2] = ["enforced", "report_only"];

/// One rule of one route.
#[derive(Debug)]
pub struct RuleMetrics {
    name: Box<str>,
    report_only: AtomicBool,
    /// By mode, then by result.
    counts: [[AtomicU64; RESULTS.len()]; MODES.len()],
}

impl RuleMetrics {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            report_only: AtomicBool::new(false),
            counts: Default::default(),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        *self.name == *name
    }

    /// Says how the rule stands in the configuration, so that it has these series from the start.
    pub(super) fn set_report_only(&self, report_only: bool) {
        self.report_only.store(report_only, Ordering::Relaxed);
    }

    /// It was asked about a request.
    pub fn add(&self, report_only: bool, result: RuleResult) {
        let mode = self.counts.get(usize::from(report_only));
        if let Some(count) = mode.and_then(|mode| mode.get(result as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn show(&self, page: &mut Page, route: &str) {
        let now = usize::from(self.report_only.load(Ordering::Relaxed));
        for (place, (mode, counts)) in MODES.iter().zip(&self.counts).enumerate() {
            for (result, count) in RESULTS.iter().zip(counts) {
                let count = count.load(Ordering::Relaxed);
                if place == now || count > 0 {
                    let labels = [route, &*self.name, *mode, *result];
                    page.counter(&table::POLICY_RULES, &labels, count);
                }
            }
        }
    }
}

/// The rules of a route with these names, in their order: those of before where they are known.
pub(super) fn renewed<'n>(
    before: &[Arc<RuleMetrics>],
    named: impl Iterator<Item = (&'n str, bool)>,
) -> Vec<Arc<RuleMetrics>> {
    let rule = |(name, report_only): (&str, bool)| {
        let known = before.iter().find(|rule| rule.is(name)).cloned();
        let rule = known.unwrap_or_else(|| Arc::new(RuleMetrics::new(name)));
        rule.set_report_only(report_only);
        rule
    };
    named.map(rule).collect()
}
