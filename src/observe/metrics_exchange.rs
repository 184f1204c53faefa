//! [`ExchangeMetrics`]: tokens of clients that were exchanged as one OAuth client.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::labels::{Counts, ExchangeResult};
use super::metrics::{Metrics, handle, keep};
use super::metrics_external_authorization::ExternalAuthorizationMetrics;
use super::metrics_page::{Page, signed};
use super::metrics_seconds::Seconds;
use super::metrics_table as table;
use crate::identity::name::Name;

/// Tokens of clients that were exchanged as one OAuth client.
#[derive(Debug)]
pub struct ExchangeMetrics {
    results: Counts<{ ExchangeResult::ALL.len() }>,
    found: AtomicU64,
    not_found: AtomicU64,
    in_progress: AtomicI64,
    seconds: Seconds,
}

/// Counts one exchange as under way until it is dropped.
#[must_use = "the exchange counts as under way only while this guard lives"]
#[derive(Debug)]
pub struct ExchangeInProgress<'m>(&'m ExchangeMetrics);

impl Drop for ExchangeInProgress<'_> {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ExchangeMetrics {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            results: Counts::new(),
            found: AtomicU64::new(0),
            not_found: AtomicU64::new(0),
            in_progress: AtomicI64::new(0),
            seconds: Seconds::default(),
        })
    }

    /// What was given for a token was known.
    pub fn found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    /// It was not: the server is asked.
    pub fn not_found(&self) {
        self.not_found.fetch_add(1, Ordering::Relaxed);
    }

    /// The server is asked.
    pub fn exchange_started(&self) -> ExchangeInProgress<'_> {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        ExchangeInProgress(self)
    }

    /// It answered, or did not.
    pub fn exchange_ended(&self, result: ExchangeResult, took: Duration) {
        self.results.add(result as usize);
        self.seconds.observe(took);
    }

    /// It was not asked: too many exchanges were under way.
    pub fn exchange_refused(&self) {
        self.results.add(ExchangeResult::Busy as usize);
    }

    pub(super) fn show(&self, page: &mut Page, client: &str) {
        for (result, count) in ExchangeResult::ALL.iter().zip(self.results.values()) {
            page.counter(&table::TOKEN_EXCHANGES, &[client, result.label()], count);
        }
        for (result, count) in [("hit", &self.found), ("miss", &self.not_found)] {
            let count = count.load(Ordering::Relaxed);
            page.counter(&table::TOKEN_EXCHANGE_CACHE, &[client, result], count);
        }
        let in_progress = signed(self.in_progress.load(Ordering::Relaxed));
        page.gauge(&table::TOKEN_EXCHANGES_IN_PROGRESS, &[client], in_progress);
        page.histogram(
            &table::TOKEN_EXCHANGE_SECONDS,
            &[client],
            self.seconds.model(),
        );
    }
}

impl Metrics {
    /// The handle of an authorization service.
    #[must_use]
    pub fn external_authorization(&self, name: &Name) -> Arc<ExternalAuthorizationMetrics> {
        handle(
            &self.external_authorizations,
            name,
            ExternalAuthorizationMetrics::new,
        )
    }

    /// The handle of the tokens that are exchanged as an OAuth client.
    #[must_use]
    pub fn exchange(&self, client: &Name) -> Arc<ExchangeMetrics> {
        handle(&self.exchanges, client, ExchangeMetrics::new)
    }

    /// Forgets the series of all authorization services, and of all OAuth clients, but these.
    pub fn keep_asked(&self, external_authorizations: &[Name], oauth_clients: &[Name]) {
        keep(&self.external_authorizations, external_authorizations);
        keep(&self.exchanges, oauth_clients);
    }
}
