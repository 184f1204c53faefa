//! [`IssuerKeysMetrics`]: the keys of one issuer that are fetched.

use std::sync::atomic::{AtomicU64, Ordering};

use super::labels::Counts;
use super::metrics_page::{Page, number};
use super::metrics_table as table;

/// Why keys were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysFetchCause {
    /// Their time had come.
    Due,
    /// A token named a key that was not there.
    UnknownKey,
}

/// What came of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysFetchResult {
    /// The keys of now are in use.
    Ok,
    /// What came is not usable: the keys of before stay.
    Refused,
    /// The issuer could not be asked: the keys of before stay.
    Unreachable,
    /// The issuer has no key that is usable: none is used.
    NoKeys,
}

const CAUSES: [&str; 2] = ["due", "unknown_key"];
const RESULTS: [&str; 4] = ["ok", "refused", "unreachable", "no_keys"];

impl KeysFetchResult {
    /// The label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        let [ok, refused, unreachable, no_keys] = RESULTS;
        match self {
            Self::Ok => ok,
            Self::Refused => refused,
            Self::Unreachable => unreachable,
            Self::NoKeys => no_keys,
        }
    }
}

/// What is shown of keys. Times in seconds since 1970, 0 where there is none.
#[derive(Clone, Copy, Debug)]
pub struct KeysShown {
    /// How many there are.
    pub count: usize,
    /// How often they were others than before.
    pub generation: u64,
    /// When they were last fetched.
    pub fetched: u64,
    /// Until when they may be used.
    pub usable_until: u64,
    /// When they are fetched next.
    pub next: u64,
}

/// The keys of one issuer that are fetched.
#[derive(Debug)]
pub struct IssuerKeysMetrics {
    fetches: Counts<{ CAUSES.len() * RESULTS.len() }>,
    count: AtomicU64,
    generation: AtomicU64,
    fetched: AtomicU64,
    usable_until: AtomicU64,
    next: AtomicU64,
}

impl Default for IssuerKeysMetrics {
    fn default() -> Self {
        Self {
            fetches: Counts::new(),
            count: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            usable_until: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }
}

impl IssuerKeysMetrics {
    /// A fetch ended.
    pub fn fetched(&self, cause: KeysFetchCause, result: KeysFetchResult) {
        let (cause, result) = (cause as usize, result as usize);
        self.fetches.add(cause * RESULTS.len() + result);
    }

    /// From now on this is so.
    pub fn set(&self, shown: KeysShown) {
        let set = |to: &AtomicU64, value| to.store(value, Ordering::Relaxed);
        set(&self.count, u64::try_from(shown.count).unwrap_or(u64::MAX));
        set(&self.generation, shown.generation);
        set(&self.fetched, shown.fetched);
        set(&self.usable_until, shown.usable_until);
        set(&self.next, shown.next);
    }

    /// `now` in seconds since 1970.
    pub(super) fn show(&self, page: &mut Page, name: &str, now: i64) {
        let now = u64::try_from(now).unwrap_or(0);
        let get = |from: &AtomicU64| from.load(Ordering::Relaxed);
        let usable = now < get(&self.usable_until);
        let count = if usable { get(&self.count) } else { 0 };
        page.gauge(&table::ISSUER_KEYS, &[name], number(count));
        let (fetched, next) = (get(&self.fetched), get(&self.next));
        if fetched > 0 {
            let age = number(now.saturating_sub(fetched));
            page.gauge(&table::ISSUER_KEYS_AGE, &[name], age);
        }
        if next > 0 {
            page.gauge(&table::ISSUER_KEYS_NEXT, &[name], number(next));
        }
        let generation = number(get(&self.generation));
        page.gauge(&table::ISSUER_KEYS_GENERATION, &[name], generation);
        let places = CAUSES
            .iter()
            .flat_map(|cause| RESULTS.map(|result| (*cause, result)));
        for ((cause, result), count) in places.zip(self.fetches.values()) {
            page.counter(&table::ISSUER_KEYS_FETCHES, &[name, cause, result], count);
        }
    }
}
