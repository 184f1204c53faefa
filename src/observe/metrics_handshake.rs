//! [`HandshakeMetrics`]: handshakes of one listener or one upstream, by how they ended and what
//! they agreed on. Both sides count alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::labels::{Counts, Side};
use super::metrics_page::{Page, signed};
use super::metrics_seconds::{Seconds, ShortSeconds};
use super::metrics_table as table;
use super::tls_facts::TlsFacts;
use crate::handshake_failure::HandshakeFailure;

/// The handshakes of one listener or upstream.
#[derive(Debug)]
pub(super) struct HandshakeMetrics {
    in_progress: AtomicI64,
    /// By version, then full and resumed.
    succeeded: Counts<{ TlsFacts::VERSIONS.len() * 2 }>,
    failed: Counts<{ HandshakeFailure::ALL.len() }>,
    suites: Counts<{ TlsFacts::CIPHER_SUITES.len() }>,
    groups: Counts<{ TlsFacts::GROUPS.len() }>,
    alpns: Counts<{ TlsFacts::ALPNS.len() }>,
    succeeded_seconds: Seconds,
    failed_seconds: Seconds,
    verification_seconds: ShortSeconds,
}

/// Counts one handshake as under way until it is dropped.
#[must_use = "the handshake counts as under way only while this guard lives"]
#[derive(Debug)]
pub struct HandshakeInProgress(Arc<HandshakeMetrics>);

impl Drop for HandshakeInProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HandshakeMetrics {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            in_progress: AtomicI64::new(0),
            succeeded: Counts::new(),
            failed: Counts::new(),
            suites: Counts::new(),
            groups: Counts::new(),
            alpns: Counts::new(),
            succeeded_seconds: Seconds::default(),
            failed_seconds: Seconds::default(),
            verification_seconds: ShortSeconds::default(),
        })
    }

    pub(super) fn started(self: &Arc<Self>) -> HandshakeInProgress {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        HandshakeInProgress(Arc::clone(self))
    }

    pub(super) fn succeeded(&self, tls: &TlsFacts, took: Duration) {
        let version = place(&TlsFacts::VERSIONS, tls.version);
        self.succeeded.add(version * 2 + usize::from(tls.resumed));
        self.suites
            .add(place(&TlsFacts::CIPHER_SUITES, tls.cipher_suite));
        self.groups.add(place(&TlsFacts::GROUPS, tls.group));
        self.alpns.add(place(&TlsFacts::ALPNS, tls.alpn));
        self.succeeded_seconds.observe(took);
    }

    pub(super) fn failed(&self, reason: HandshakeFailure, took: Duration) {
        self.failed.add(reason as usize);
        self.failed_seconds.observe(took);
    }

    pub(super) fn verified(&self, took: Duration) {
        self.verification_seconds.observe(took);
    }

    pub(super) fn show(&self, page: &mut Page, side: Side, name: &str) {
        let side = side.label();
        let kinds = TlsFacts::VERSIONS
            .iter()
            .flat_map(|version| [(version, "false"), (version, "true")]);
        for ((version, resumed), count) in kinds.zip(self.succeeded.values()) {
            let values = [side, name, "ok", "none", *version, resumed];
            page.counter(&table::HANDSHAKES, &values, count);
        }
        for (reason, count) in HandshakeFailure::ALL.iter().zip(self.failed.values()) {
            let values = [side, name, "failed", reason.reason(), "none", "none"];
            page.counter(&table::HANDSHAKES, &values, count);
        }
        for (suite, count) in TlsFacts::CIPHER_SUITES.iter().zip(self.suites.values()) {
            page.counter(&table::CIPHER_SUITES, &[side, name, *suite], count);
        }
        for (group, count) in TlsFacts::GROUPS.iter().zip(self.groups.values()) {
            page.counter(&table::GROUPS, &[side, name, *group], count);
        }
        for (alpn, count) in TlsFacts::ALPNS.iter().zip(self.alpns.values()) {
            page.counter(&table::ALPNS, &[side, name, *alpn], count);
        }
        for (result, seconds) in [
            ("ok", &self.succeeded_seconds),
            ("failed", &self.failed_seconds),
        ] {
            page.histogram(
                &table::HANDSHAKE_SECONDS,
                &[side, name, result],
                seconds.model(),
            );
        }
        let verification = self.verification_seconds.model();
        page.histogram(&table::VERIFICATION_SECONDS, &[side, name], verification);
        let in_progress = signed(self.in_progress.load(Ordering::Relaxed));
        page.gauge(&table::HANDSHAKES_IN_PROGRESS, &[side, name], in_progress);
    }
}

/// Where a label stands in its set. What is not there counts as the last, `other`.
fn place(set: &[&'static str], label: &str) -> usize {
    set.iter()
        .position(|known| *known == label)
        .unwrap_or(set.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stands_at_its_own_place_in_all() {
        assert!(
            HandshakeFailure::ALL
                .iter()
                .enumerate()
                .all(|(i, v)| *v as usize == i)
        );
    }

    #[test]
    fn a_label_outside_the_set_counts_as_other() {
        let set = TlsFacts::GROUPS;
        assert_eq!(place(&set, "no such group"), set.len() - 1);
        assert_eq!(place(&set, "X25519MLKEM768"), 0);
    }
}
