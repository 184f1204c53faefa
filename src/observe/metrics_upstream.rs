//! [`UpstreamMetrics`]: connections, handshakes and requests of one upstream.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::labels::{ConnectFailed, Counts, Side};
use super::metrics_handshake::{HandshakeInProgress, HandshakeMetrics};
use super::metrics_page::{Page, signed};
use super::metrics_seconds::Seconds;
use super::metrics_table as table;
use super::next_trust::NextTrusts;
use super::tls_facts::TlsFacts;
use crate::handshake_failure::HandshakeFailure;

/// Connections, handshakes and requests of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    handshakes: Arc<HandshakeMetrics>,
    /// For what is rehearsed in the shadow of its handshakes.
    pub next_trusts: Arc<NextTrusts>,
    connections: AtomicI64,
    connect_failed: Counts<{ ConnectFailed::ALL.len() }>,
    in_progress: AtomicI64,
    unexpected_data: AtomicU64,
    seconds: Seconds,
    /// By the endpoint's text in the configuration, which bounds the map. Locked when an endpoint
    /// changes its state, not for each request.
    endpoints: RwLock<BTreeMap<Arc<str>, AtomicBool>>,
}

/// Counts one connection to a service as open until it is dropped.
#[must_use = "the connection counts as open only while this guard lives"]
#[derive(Debug)]
pub struct OpenUpstreamConnection(Arc<UpstreamMetrics>);

impl Drop for OpenUpstreamConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one request to a service as under way until it is dropped.
#[must_use = "the request counts as under way only while this guard lives"]
#[derive(Debug)]
pub struct UpstreamRequest(Arc<UpstreamMetrics>);

impl Drop for UpstreamRequest {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

impl UpstreamMetrics {
    pub(super) fn new(next_trusts: Arc<NextTrusts>) -> Arc<Self> {
        Arc::new(Self {
            handshakes: HandshakeMetrics::new(),
            next_trusts,
            connections: AtomicI64::new(0),
            connect_failed: Counts::new(),
            in_progress: AtomicI64::new(0),
            unexpected_data: AtomicU64::new(0),
            seconds: Seconds::default(),
            endpoints: RwLock::new(BTreeMap::new()),
        })
    }

    /// A handshake with the service begins.
    pub fn handshake_started(&self) -> HandshakeInProgress {
        self.handshakes.started()
    }

    /// A handshake is complete and the service proved an accepted identity.
    pub fn handshake_succeeded(&self, tls: &TlsFacts, took: Duration) {
        self.handshakes.succeeded(tls, took);
    }

    /// A handshake failed, or the service proved another identity.
    pub fn handshake_failed(&self, reason: HandshakeFailure, took: Duration) {
        self.handshakes.failed(reason, took);
    }

    /// The chain of a service was verified, well or not, and that took so long.
    pub fn chain_verified(&self, took: Duration) {
        self.handshakes.verified(took);
    }

    /// A connection is ready for requests.
    pub fn connection_opened(self: &Arc<Self>) -> OpenUpstreamConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        OpenUpstreamConnection(Arc::clone(self))
    }

    /// No connection came about, and no handshake began.
    pub fn connect_failed(&self, why: ConnectFailed) {
        self.connect_failed.add(why as usize);
    }

    /// A request goes to the service.
    pub fn request_started(self: &Arc<Self>) -> UpstreamRequest {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        UpstreamRequest(Arc::clone(self))
    }

    /// A request to the service ended, well or not, after this time.
    pub fn request_seconds(&self, took: Duration) {
        self.seconds.observe(took);
    }

    /// A connection was dropped because the service sent bytes before it was asked.
    pub fn unexpected_data(&self) {
        self.unexpected_data.fetch_add(1, Ordering::Relaxed);
    }

    /// Says which endpoints there are, as the configuration writes them. They count as up; others
    /// are forgotten. Those that stay keep their state.
    pub fn set_endpoints<'a>(&self, texts: impl IntoIterator<Item = &'a str>) {
        let mut endpoints = self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *endpoints);
        for text in texts {
            let state = old.remove_entry(text);
            let (text, up) = state.unwrap_or_else(|| (text.into(), AtomicBool::new(true)));
            endpoints.insert(text, up);
        }
    }

    /// An endpoint is in use again (`up`), or is left out. One that is not among the
    /// [endpoints](Self::set_endpoints) is ignored.
    pub fn endpoint_up(&self, text: &str, up: bool) {
        let endpoints = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = endpoints.get(text) {
            state.store(up, Ordering::Relaxed);
        }
    }

    pub(super) fn show(&self, page: &mut Page, name: &str) {
        self.handshakes.show(page, Side::Upstream, name);
        let open = signed(self.connections.load(Ordering::Relaxed));
        page.gauge(&table::UPSTREAM_CONNECTIONS, &[name], open);
        for (why, count) in ConnectFailed::ALL.iter().zip(self.connect_failed.values()) {
            page.counter(
                &table::UPSTREAM_CONNECT_FAILURES,
                &[name, why.label()],
                count,
            );
        }
        let in_progress = signed(self.in_progress.load(Ordering::Relaxed));
        page.gauge(&table::UPSTREAM_REQUESTS_IN_PROGRESS, &[name], in_progress);
        page.histogram(
            &table::UPSTREAM_REQUEST_SECONDS,
            &[name],
            self.seconds.model(),
        );
        let unexpected = self.unexpected_data.load(Ordering::Relaxed);
        page.counter(&table::UPSTREAM_UNEXPECTED_DATA, &[name], unexpected);
        let endpoints = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for (text, up) in &*endpoints {
            let up = f64::from(u8::from(up.load(Ordering::Relaxed)));
            page.gauge(&table::UPSTREAM_ENDPOINT_UP, &[name, text], up);
        }
    }
}
