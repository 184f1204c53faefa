//! [`IntrospectionMetrics`]: questions to an issuer about tokens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::metrics_page::Page;
use super::metrics_seconds::Seconds;
use super::metrics_table as table;

/// What came of a question about a token. The label in metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntrospectionResult {
    /// The token is good.
    Active,
    /// It is not, or not for us.
    Inactive,
    /// The issuer did not answer in time.
    TooSlow,
    /// There was no exchange: no connection, no TLS, no HTTP, or nothing to prove who we are with.
    Unreachable,
    /// The issuer refuses to answer us: 4xx.
    Refused,
    /// The issuer cannot answer: any other status.
    Failed,
    /// The answer is none that can be believed.
    Unusable,
    /// Nobody was asked: too many questions were under way.
    Busy,
    /// Nobody was asked: the issuer has just not answered.
    Away,
}

/// Where what is known of a token was found. The label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntrospectionLookup {
    /// In this process: the token is good.
    Hit,
    /// In this process: it is not.
    Negative,
    /// In this process, from before: the issuer does not answer now.
    Stale,
    /// In what several gateways share.
    Shared,
    /// Nowhere: the issuer is asked.
    Miss,
}

impl IntrospectionResult {
    /// Every result, for the metrics' start values.
    pub const ALL: [Self; 9] = [
        Self::Active,
        Self::Inactive,
        Self::TooSlow,
        Self::Unreachable,
        Self::Refused,
        Self::Failed,
        Self::Unusable,
        Self::Busy,
        Self::Away,
    ];

    /// The label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::TooSlow => "too_slow",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unusable => "unusable",
            Self::Busy => "busy",
            Self::Away => "away",
        }
    }
}

impl IntrospectionLookup {
    pub(super) const ALL: [Self; 5] = [
        Self::Hit,
        Self::Negative,
        Self::Stale,
        Self::Shared,
        Self::Miss,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Negative => "negative",
            Self::Stale => "stale",
            Self::Shared => "shared",
            Self::Miss => "miss",
        }
    }
}

/// Questions to one issuer about tokens.
#[derive(Debug, Default)]
pub struct IntrospectionMetrics {
    results: [AtomicU64; IntrospectionResult::ALL.len()],
    lookups: [AtomicU64; IntrospectionLookup::ALL.len()],
    took: Seconds,
}

impl IntrospectionMetrics {
    /// A question came to this end.
    pub fn result(&self, result: IntrospectionResult) {
        let slots = IntrospectionResult::ALL.iter().zip(&self.results);
        count(slots, result);
    }

    /// A question that reached the issuer took so long, whatever came of it.
    pub fn took(&self, time: Duration) {
        self.took.observe(time);
    }

    /// Something was found here, or nothing.
    pub fn lookup(&self, found: IntrospectionLookup) {
        let slots = IntrospectionLookup::ALL.iter().zip(&self.lookups);
        count(slots, found);
    }

    pub(super) fn show(&self, page: &mut Page, name: &str) {
        for (result, count) in IntrospectionResult::ALL.iter().zip(&self.results) {
            let count = count.load(Ordering::Relaxed);
            page.counter(&table::INTROSPECTIONS, &[name, result.label()], count);
        }
        for (found, count) in IntrospectionLookup::ALL.iter().zip(&self.lookups) {
            let count = count.load(Ordering::Relaxed);
            page.counter(&table::INTROSPECTION_LOOKUPS, &[name, found.label()], count);
        }
        page.histogram(&table::INTROSPECTION_SECONDS, &[name], self.took.model());
    }
}

fn count<'m, T: Copy + PartialEq + 'm>(
    mut slots: impl Iterator<Item = (&'m T, &'m AtomicU64)>,
    what: T,
) {
    if let Some((_, slot)) = slots.find(|(one, _)| **one == what) {
        slot.fetch_add(1, Ordering::Relaxed);
    }
}
