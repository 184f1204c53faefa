//! What came of holding tokens against what they are bound to, for each route: in numbers that tell
//! an operator whether `report_only` can become `true`.

use std::sync::atomic::{AtomicU8, Ordering};

use super::labels::Counts;
use super::metrics_page::Page;
use super::metrics_table as table;

/// What a token is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PossessionMethod {
    /// The certificate of the connection (RFC 8705).
    Certificate,
    /// The key of a proof (RFC 9449).
    Dpop,
    /// The nonce in a proof (RFC 9449, section 8).
    Nonce,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PossessionResult {
    /// It was shown.
    Proved,
    /// It was not, and the route only reports that.
    Reported,
    /// It was not.
    Refused,
}

const RESULTS: [PossessionResult; 3] = [
    PossessionResult::Proved,
    PossessionResult::Reported,
    PossessionResult::Refused,
];

impl PossessionMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::Certificate, Self::Dpop, Self::Nonce];

    /// The label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Dpop => "dpop",
            Self::Nonce => "nonce",
        }
    }
}

impl PossessionResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Reported => "reported",
            Self::Refused => "refused",
        }
    }
}

/// Which methods a route asks for: a bit each.
#[derive(Debug, Default)]
pub(super) struct PossessionAsked(AtomicU8);

impl PossessionAsked {
    pub(super) fn set(&self, method: PossessionMethod, asks: bool) {
        let bit = 1 << (method as u8);
        if asks {
            self.0.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    fn has(&self, method: PossessionMethod) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << (method as u8)) != 0
    }
}

/// The counts of one route.
#[derive(Debug)]
pub(super) struct PossessionCounts(Counts<{ PossessionMethod::ALL.len() * RESULTS.len() }>);

impl PossessionCounts {
    pub(super) fn add(&self, method: PossessionMethod, result: PossessionResult) {
        self.0.add(place(method, result));
    }

    /// Shows the methods that the route asks for, and those that were used without.
    pub(super) fn show(&self, page: &mut Page, route: &str, asked: &PossessionAsked) {
        let series = PossessionMethod::ALL
            .iter()
            .flat_map(|method| RESULTS.iter().map(move |result| (*method, *result)));
        for ((method, result), count) in series.zip(self.0.values()) {
            if asked.has(method) || count > 0 {
                let labels = [route, method.label(), result.label()];
                page.counter(&table::POSSESSION, &labels, count);
            }
        }
    }
}

impl Default for PossessionCounts {
    fn default() -> Self {
        Self(Counts::new())
    }
}

const fn place(method: PossessionMethod, result: PossessionResult) -> usize {
    method as usize * RESULTS.len() + result as usize
}
