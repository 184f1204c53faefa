//! [`ListenerMetrics`]: connections and handshakes of one listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::labels::{ConnectionAbuse, ConnectionRefused, Counts, Side};
use super::metrics_handshake::{HandshakeInProgress, HandshakeMetrics};
use super::metrics_page::{Page, signed};
use super::metrics_table as table;
use super::next_trust::NextTrusts;
use super::tls_facts::TlsFacts;
use crate::handshake_failure::HandshakeFailure;

/// Connections and handshakes of one listener.
#[derive(Debug)]
pub struct ListenerMetrics {
    handshakes: Arc<HandshakeMetrics>,
    /// For what is rehearsed in the shadow of its handshakes.
    pub next_trusts: Arc<NextTrusts>,
    open: AtomicI64,
    opened: AtomicU64,
    refused: Counts<{ ConnectionRefused::ALL.len() }>,
    closed: Counts<{ ConnectionAbuse::ALL.len() }>,
    revoked: Counts<{ HandshakeFailure::OF_STANDING.len() }>,
    /// Without post-quantum key exchange, and with.
    hellos: Counts<2>,
}

/// Counts one connection as open until it is dropped.
#[must_use = "the connection counts as open only while this guard lives"]
#[derive(Debug)]
pub struct OpenConnection(Arc<ListenerMetrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ListenerMetrics {
    pub(super) fn new(next_trusts: Arc<NextTrusts>) -> Arc<Self> {
        Arc::new(Self {
            handshakes: HandshakeMetrics::new(),
            next_trusts,
            open: AtomicI64::new(0),
            opened: AtomicU64::new(0),
            refused: Counts::new(),
            closed: Counts::new(),
            revoked: Counts::new(),
            hellos: Counts::new(),
        })
    }

    /// A connection was accepted and let in.
    pub fn connection_opened(self: &Arc<Self>) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// A connection was closed before its handshake began. It was not [opened](Self::connection_opened).
    pub fn connection_refused(&self, why: ConnectionRefused) {
        self.refused.add(why as usize);
    }

    /// A connection was closed because its client ran into a bound.
    pub fn connection_closed_for(&self, why: ConnectionAbuse) {
        self.closed.add(why as usize);
    }

    /// A connection is closed because its client lost its standing.
    pub fn connection_revoked(&self, why: HandshakeFailure) {
        let set = HandshakeFailure::OF_STANDING;
        let place = set.iter().position(|known| *known == why);
        self.revoked.add(place.unwrap_or(set.len() - 1)); // `other`
    }

    /// A handshake begins.
    pub fn handshake_started(&self) -> HandshakeInProgress {
        self.handshakes.started()
    }

    /// A ClientHello came, which offers a post-quantum key exchange or does not.
    pub fn client_hello(&self, post_quantum: bool) {
        self.hellos.add(usize::from(post_quantum));
    }

    /// A handshake is complete.
    pub fn handshake_succeeded(&self, tls: &TlsFacts, took: Duration) {
        self.handshakes.succeeded(tls, took);
    }

    /// A handshake failed.
    pub fn handshake_failed(&self, reason: HandshakeFailure, took: Duration) {
        self.handshakes.failed(reason, took);
    }

    /// The chain of a client was verified, well or not, and that took so long.
    pub fn chain_verified(&self, took: Duration) {
        self.handshakes.verified(took);
    }

    pub(super) fn show(&self, page: &mut Page, name: &str) {
        self.handshakes.show(page, Side::Downstream, name);
        page.gauge(
            &table::CONNECTIONS,
            &[name],
            signed(self.open.load(Ordering::Relaxed)),
        );
        let opened = self.opened.load(Ordering::Relaxed);
        page.counter(&table::CONNECTIONS_OPENED, &[name], opened);
        for (post_quantum, count) in ["false", "true"].iter().zip(self.hellos.values()) {
            page.counter(&table::HELLOS, &[name, *post_quantum], count);
        }
        for (why, count) in ConnectionRefused::ALL.iter().zip(self.refused.values()) {
            page.counter(&table::CONNECTIONS_REFUSED, &[name, why.label()], count);
        }
        for (why, count) in ConnectionAbuse::ALL.iter().zip(self.closed.values()) {
            page.counter(&table::CONNECTIONS_CLOSED, &[name, why.label()], count);
        }
        let revoked = HandshakeFailure::OF_STANDING.iter();
        for (why, count) in revoked.zip(self.revoked.values()) {
            page.counter(&table::CONNECTIONS_REVOKED, &[name, why.reason()], count);
        }
    }
}
