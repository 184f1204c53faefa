//! [`RouteMetrics`] and [`IssuerMetrics`]: requests of one route, and the token cache of one issuer.
//!
//! A configuration may have 100,000 routes: what a route counts is made at its first request, and
//! the counters of its refusals at its first refusal.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::labels::Counts;
use super::metrics_page::Page;
use super::metrics_possession::{
    PossessionAsked, PossessionCounts, PossessionMethod, PossessionResult,
};
use super::metrics_rules::{self, RuleMetrics};
use super::metrics_seconds::Seconds;
use super::metrics_table as table;
use crate::refusal::Refusal;

/// Every label of a status class. `other` cannot be sent by HTTP and is here to be exhaustive.
pub(super) const STATUS_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Limits of one route that are counted each; those behind count as the last.
const LIMITS_MAX: usize = 8;
const LIMITS: [&str; LIMITS_MAX] = ["0", "1", "2", "3", "4", "5", "6", "7"];

const REFUSALS: usize = Refusal::ALL.len();

/// Refusals of all routes together: the series that are there from the start.
pub(super) type RefusalTotals = Counts<REFUSALS>;

/// Requests of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    /// Of this handle alone in this process; never 0.
    number: u32,
    totals: Arc<RefusalTotals>,
    limits: AtomicUsize,
    grace: AtomicBool,
    possession: PossessionAsked,
    /// Of the policy, if the route has one.
    rules: OnceLock<Box<Mutex<Vec<Arc<RuleMetrics>>>>>,
    used: OnceLock<Box<Used>>,
}

/// What a route counts once it was asked for.
#[derive(Debug)]
struct Used {
    passed: Counts<{ STATUS_CLASSES.len() }>,
    took: Seconds,
    upstream_took: Seconds,
    limits_refused: Counts<LIMITS_MAX>,
    in_grace: AtomicU64,
    possession: PossessionCounts,
    /// Refusals that were answered with the class of their own status.
    refused: OnceLock<Box<Counts<REFUSALS>>>,
    /// Refusals that came after the head of another answer was sent, by refusal and class.
    cut_short: OnceLock<Box<Counts<{ REFUSALS * STATUS_CLASSES.len() }>>>,
}

impl RouteMetrics {
    pub(super) fn new(totals: Arc<RefusalTotals>) -> Arc<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        Arc::new(Self {
            number: number.max(1),
            totals,
            limits: AtomicUsize::new(0),
            grace: AtomicBool::new(false),
            possession: PossessionAsked::default(),
            rules: OnceLock::new(),
            used: OnceLock::new(),
        })
    }

    /// A number by which this handle is told from all others.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Says how many limits the route has, so that each has its series from the start.
    pub fn set_limits(&self, count: usize) {
        self.limits.store(count.min(LIMITS_MAX), Ordering::Relaxed);
    }

    /// Says whether the route has a grace for certificates that ended, so that it has its series
    /// from the start.
    pub fn set_grace(&self, has: bool) {
        self.grace.store(has, Ordering::Relaxed);
    }

    /// Says that the route looks at what tokens are bound to in this way, so that it has its series
    /// from the start.
    pub fn set_possession(&self, method: PossessionMethod, asks: bool) {
        self.possession.set(method, asks);
    }

    /// A token was held against what it is bound to.
    pub fn possession(&self, method: PossessionMethod, result: PossessionResult) {
        self.used().possession.add(method, result);
    }

    /// Says which rules the policy of the route has and which of them only report, and gives back
    /// the counters of each, in their order.
    pub fn set_rules<'n>(
        &self,
        named: impl Iterator<Item = (&'n str, bool)>,
    ) -> Vec<Arc<RuleMetrics>> {
        let mut named = named.peekable();
        if named.peek().is_none() && self.rules.get().is_none() {
            return Vec::new();
        }
        let mut rules = self.rules.get_or_init(Box::default).lock();
        *rules = metrics_rules::renewed(&rules, named);
        rules.clone()
    }

    /// A request got past the check of its certificate by the grace of the route.
    pub fn request_in_grace(&self) {
        self.used().in_grace.fetch_add(1, Ordering::Relaxed);
    }

    /// A request ended. `status` is that of the answer whose head the client got (or would have
    /// got); `refusal` says why it was refused or cut short.
    pub fn request(&self, status: u16, refusal: Option<Refusal>, took: Duration) {
        let used = self.used();
        used.took.observe(took);
        let class = class_of(status);
        let Some(refusal) = refusal else {
            used.passed.add(class);
            return;
        };
        let place = refusal as usize;
        self.totals.add(place);
        if class == own_class(refusal) {
            used.refused
                .get_or_init(|| Box::new(Counts::new()))
                .add(place);
        } else {
            let counts = used.cut_short.get_or_init(|| Box::new(Counts::new()));
            counts.add(place * STATUS_CLASSES.len() + class);
        }
    }

    /// The service took this long for a request, connecting included.
    pub fn upstream_took(&self, took: Duration) {
        self.used().upstream_took.observe(took);
    }

    /// The limit at this place (0 is the first) of the route's `limits` refused a request.
    pub fn limit_refused(&self, index: usize) {
        self.used().limits_refused.add(index.min(LIMITS_MAX - 1));
    }

    fn used(&self) -> &Used {
        self.used.get_or_init(|| {
            Box::new(Used {
                passed: Counts::new(),
                took: Seconds::default(),
                upstream_took: Seconds::default(),
                limits_refused: Counts::new(),
                in_grace: AtomicU64::new(0),
                possession: PossessionCounts::default(),
                refused: OnceLock::new(),
                cut_short: OnceLock::new(),
            })
        })
    }

    /// Shows the route. One that was never asked for is shown with zeros if `unused` says so.
    pub(super) fn show(&self, page: &mut Page, name: &str, unused: bool) {
        let used = match self.used.get() {
            Some(used) => &**used,
            None if unused => self.used(),
            None => return,
        };
        for (class, count) in STATUS_CLASSES.iter().zip(used.passed.values()) {
            if *class != "other" || count > 0 {
                page.counter(&table::REQUESTS, &[name, *class, "none"], count);
            }
        }
        used.show_refusals(page, name);
        page.histogram(&table::REQUEST_SECONDS, &[name], used.took.model());
        page.histogram(
            &table::ROUTE_UPSTREAM_SECONDS,
            &[name],
            used.upstream_took.model(),
        );
        let in_grace = used.in_grace.load(Ordering::Relaxed);
        if self.grace.load(Ordering::Relaxed) || in_grace > 0 {
            page.counter(&table::GRACE_REQUESTS, &[name], in_grace);
        }
        used.possession.show(page, name, &self.possession);
        for rule in self
            .rules
            .get()
            .iter()
            .flat_map(|rules| rules.lock().clone())
        {
            rule.show(page, name);
        }
        let limits = self.limits.load(Ordering::Relaxed);
        for (place, (limit, count)) in LIMITS.iter().zip(used.limits_refused.values()).enumerate() {
            if place < limits || count > 0 {
                page.counter(&table::LIMITS_REFUSED, &[name, *limit], count);
            }
        }
    }
}

impl Used {
    fn show_refusals(&self, page: &mut Page, name: &str) {
        let refused = self
            .refused
            .get()
            .into_iter()
            .flat_map(|counts| counts.values());
        for (refusal, count) in Refusal::ALL
            .iter()
            .zip(refused)
            .filter(|(_, count)| *count > 0)
        {
            let class = STATUS_CLASSES.get(own_class(*refusal)).unwrap_or(&"other");
            page.counter(&table::REQUESTS, &[name, *class, refusal.reason()], count);
        }
        let places = Refusal::ALL
            .iter()
            .flat_map(|refusal| STATUS_CLASSES.iter().map(move |class| (refusal, class)));
        let cut_short = self
            .cut_short
            .get()
            .into_iter()
            .flat_map(|counts| counts.values());
        for ((refusal, class), count) in places.zip(cut_short).filter(|(_, count)| *count > 0) {
            page.counter(&table::REQUESTS, &[name, *class, refusal.reason()], count);
        }
    }
}

/// The place of a refusal's own status in [`STATUS_CLASSES`].
const fn own_class(refusal: Refusal) -> usize {
    class_of(refusal.status().as_u16())
}

/// The place of a status in [`STATUS_CLASSES`].
const fn class_of(status: u16) -> usize {
    match status {
        100..=199 => 0,
        200..=299 => 1,
        300..=399 => 2,
        400..=499 => 3,
        500..=599 => 4,
        _ => 5,
    }
}

/// The cache of verified tokens of one issuer.
#[derive(Debug, Default)]
pub struct IssuerMetrics {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl IssuerMetrics {
    /// A token was in the cache: its signature was not checked again.
    pub fn cache_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Tokens that were in the cache.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Tokens that were not in the cache.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// A token was not in the cache: its signature is checked.
    pub fn cache_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn show(&self, page: &mut Page, name: &str) {
        for (result, count) in [("hit", &self.hits), ("miss", &self.misses)] {
            let count = count.load(Ordering::Relaxed);
            page.counter(&table::TOKEN_CACHE, &[name, result], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_at_its_own_place_in_all() {
        assert!(
            Refusal::ALL
                .iter()
                .enumerate()
                .all(|(i, v)| *v as usize == i)
        );
    }

    #[test]
    fn a_route_that_was_never_asked_for_is_small() {
        let route = RouteMetrics::new(Arc::new(RefusalTotals::new()));
        route.set_limits(3);
        assert!(size_of::<RouteMetrics>() <= 64);
        assert!(route.used.get().is_none());
        route.request(200, None, Duration::ZERO);
        assert!(route.used().refused.get().is_none());
        route.request(404, Some(Refusal::RouteUnknown), Duration::ZERO);
        assert!(route.used().refused.get().is_some() && route.used().cut_short.get().is_none());
    }
}
