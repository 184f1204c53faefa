//! The CRLs that were loaded: until when they are good.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::escape::{CHARS_MAX, clean};
use super::metrics_page::{Page, number, signed};
use super::metrics_table as table;

/// More CRLs than this are not shown; those that end first are.
const CRLS_MAX: usize = 1_000;

/// One loaded CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSeries {
    /// The trust bundle.
    pub trust: String,
    /// Who issued it; cut and without control characters when it is shown.
    pub issuer: String,
    /// When it was made, in seconds since 1970.
    pub this_update: i64,
    /// Until when it is good, in seconds since 1970.
    pub next_update: i64,
    /// How many certificates it lists.
    pub entries: usize,
}

/// The CRLs in use.
#[derive(Debug, Default)]
pub(super) struct CrlMetrics(Mutex<Vec<CrlSeries>>);

impl CrlMetrics {
    /// Several CRLs of one issuer (an old and a new key, parts) are one series: of their times the
    /// earliest, of their entries the sum.
    pub(super) fn set(&self, list: &[CrlSeries]) {
        let mut unique: BTreeMap<(String, String), CrlSeries> = BTreeMap::new();
        for one in list {
            let trust = clean(&one.trust, CHARS_MAX);
            let issuer = clean(&one.issuer, CHARS_MAX);
            unique
                .entry((trust.clone(), issuer.clone()))
                .and_modify(|all| {
                    all.this_update = all.this_update.min(one.this_update);
                    all.next_update = all.next_update.min(one.next_update);
                    all.entries = all.entries.saturating_add(one.entries);
                })
                .or_insert_with(|| CrlSeries {
                    trust,
                    issuer,
                    ..one.clone()
                });
        }
        let mut shown: Vec<_> = unique.into_values().collect();
        if shown.len() > CRLS_MAX {
            shown.sort_by_key(|one| one.next_update);
            shown.truncate(CRLS_MAX);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    pub(super) fn show(&self, page: &mut Page) {
        for one in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let values = [one.trust.as_str(), &one.issuer];
            page.gauge(&table::CRL_THIS_UPDATE, &values, signed(one.this_update));
            page.gauge(&table::CRL_NEXT_UPDATE, &values, signed(one.next_update));
            let entries = number(u64::try_from(one.entries).unwrap_or(u64::MAX));
            page.gauge(&table::CRL_ENTRIES, &values, entries);
        }
    }
}
