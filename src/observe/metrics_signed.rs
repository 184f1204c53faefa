//! [`SignedIdentityMetrics`]: tokens that tell services who asks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics_page::{Page, number};
use super::metrics_table as table;

/// Tokens that were made, and those that could be used again.
#[derive(Debug, Default)]
pub struct SignedIdentityMetrics {
    signed: AtomicU64,
    reused: AtomicU64,
    failed: AtomicU64,
    /// In seconds since 1970.
    key_began: AtomicU64,
}

impl SignedIdentityMetrics {
    /// A token was made for a request.
    pub fn signed(&self) {
        self.signed.fetch_add(1, Ordering::Relaxed);
    }

    /// A token that was made before was sent again.
    pub fn reused(&self) {
        self.reused.fetch_add(1, Ordering::Relaxed);
    }

    /// A request went on without a token that its route wants.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Another key signs from now on, in seconds since 1970.
    pub fn key_began(&self, now: u64) {
        self.key_began.store(now, Ordering::Relaxed);
    }

    pub(super) fn show(&self, page: &mut Page) {
        for (result, count) in [
            ("signed", &self.signed),
            ("reused", &self.reused),
            ("failed", &self.failed),
        ] {
            let count = count.load(Ordering::Relaxed);
            page.counter(&table::SIGNED_IDENTITIES, &[result], count);
        }
        let began = number(self.key_began.load(Ordering::Relaxed));
        page.gauge(&table::SIGNED_IDENTITY_KEY, &[], began);
    }
}
