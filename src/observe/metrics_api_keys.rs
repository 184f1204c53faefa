//! [`ApiKeyMetrics`]: the keys of one list, and what became of those that were shown.
//!
//! Owners are no label: a file may name a hundred thousand, and the access log names the one of each
//! request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::metrics::WITHIN;
use super::metrics_page::{Page, number};
use super::metrics_table as table;
use crate::refusal::Refusal;

/// Why a key is refused.
const WHY: [Refusal; 4] = [
    Refusal::ApiKeyMissing,
    Refusal::ApiKeyUnknown,
    Refusal::ApiKeyExpired,
    Refusal::ApiKeyOfAnotherPeer,
];

/// The keys of one list.
#[derive(Debug, Default)]
pub struct ApiKeyMetrics {
    used: AtomicU64,
    refused: [AtomicU64; WHY.len()],
    /// When the keys end, in order, in seconds since 1970.
    ends: Mutex<Arc<[u64]>>,
}

impl ApiKeyMetrics {
    /// A key was taken.
    pub fn used(&self) {
        self.used.fetch_add(1, Relaxed);
    }

    /// A key was refused, or there was none.
    pub fn refused(&self, why: Refusal) {
        let place = WHY.iter().position(|one| *one == why);
        if let Some(count) = place.and_then(|place| self.refused.get(place)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// When the keys of the list of now end, in order, in seconds since 1970.
    pub fn set_ends(&self, ends: &Arc<[u64]>) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(ends);
    }

    pub(super) fn show(&self, page: &mut Page, list: &str, now: i64) {
        page.counter(&table::API_KEY_USES, &[list, "ok"], self.used.load(Relaxed));
        for (why, count) in WHY.iter().zip(&self.refused) {
            page.counter(
                &table::API_KEY_USES,
                &[list, why.reason()],
                count.load(Relaxed),
            );
        }
        let ends = Arc::clone(&self.ends.lock().unwrap_or_else(PoisonError::into_inner));
        let now = u64::try_from(now).unwrap_or_default();
        let over_by = |time: u64| ends.partition_point(|end| *end <= time);
        let over = over_by(now);
        let count = |keys: usize| number(u64::try_from(keys).unwrap_or(u64::MAX));
        page.gauge(&table::API_KEYS, &[list, "valid"], count(ends.len() - over));
        page.gauge(&table::API_KEYS, &[list, "expired"], count(over));
        for (label, seconds) in WITHIN {
            let until = now.saturating_add(u64::try_from(seconds).unwrap_or_default());
            let soon = over_by(until).saturating_sub(over);
            page.gauge(&table::API_KEYS_EXPIRING, &[list, label], count(soon));
        }
    }
}
