//! What was loaded and when: certificates, reloads, generation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::escape::{CHARS_MAX, clean};
use super::labels::{Counts, ReloadFailure};
use super::metrics_page::{Page, number, signed};
use super::metrics_table as table;

/// More certificates than this are not shown; those that end first are.
///
/// A bundle of all public CAs has about 150.
const CERTIFICATES_MAX: usize = 1_000;

/// One loaded certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSeries {
    /// The place in the configuration that names its file: `trust.partners`.
    pub place: String,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The subject; cut and without control characters when it is shown.
    pub subject: String,
    /// Whether it is a CA's.
    pub is_ca: bool,
    /// When its validity begins, in seconds since 1970.
    pub not_before: i64,
    /// When its validity ends, in seconds since 1970.
    pub not_after: i64,
}

/// The state of the configuration.
#[derive(Debug)]
pub(super) struct ConfigurationMetrics {
    certificates: Mutex<Vec<CertificateSeries>>,
    reloaded: AtomicU64,
    reload_failed: Counts<{ ReloadFailure::ALL.len() }>,
    generation: AtomicU64,
    /// Seconds since 1970, as the bits of a float.
    last_success: AtomicU64,
}

impl ConfigurationMetrics {
    pub(super) fn new() -> Self {
        Self {
            certificates: Mutex::new(Vec::new()),
            reloaded: AtomicU64::new(0),
            reload_failed: Counts::new(),
            generation: AtomicU64::new(0),
            last_success: AtomicU64::new(0.0_f64.to_bits()),
        }
    }

    pub(super) fn set_certificates(&self, list: &[CertificateSeries]) {
        // One series for each set of labels: a file may be named twice, and a bundle may hold a
        // certificate twice. Prometheus refuses a page with a series twice.
        let unique: BTreeMap<_, _> = list
            .iter()
            .map(|one| CertificateSeries {
                place: clean(&one.place, CHARS_MAX),
                serial: clean(&one.serial, CHARS_MAX),
                subject: clean(&one.subject, CHARS_MAX),
                ..one.clone()
            })
            .map(|one| {
                let key = (
                    one.place.clone(),
                    one.serial.clone(),
                    one.subject.clone(),
                    one.is_ca,
                );
                (key, one)
            })
            .collect();
        let mut shown: Vec<_> = unique.into_values().collect();
        if shown.len() > CERTIFICATES_MAX {
            shown.sort_by_key(|one| one.not_after);
            shown.truncate(CERTIFICATES_MAX);
            shown.sort_by(|a, b| (&a.place, &a.serial).cmp(&(&b.place, &b.serial)));
        }
        *self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = shown;
    }

    pub(super) fn loaded(&self, generation: u64, unix_seconds: f64) {
        self.set_generation(generation);
        self.last_success
            .store(unix_seconds.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    pub(super) fn reloaded(&self) {
        self.reloaded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, why: ReloadFailure) {
        self.reload_failed.add(why as usize);
    }

    pub(super) fn show(&self, page: &mut Page) {
        let certificates = self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for one in &*certificates {
            let ca = if one.is_ca { "true" } else { "false" };
            let values = [one.place.as_str(), &one.serial, &one.subject, ca];
            page.gauge(
                &table::CERTIFICATE_NOT_BEFORE,
                &values,
                signed(one.not_before),
            );
            page.gauge(
                &table::CERTIFICATE_NOT_AFTER,
                &values,
                signed(one.not_after),
            );
        }
        page.counter(
            &table::RELOADS,
            &["ok"],
            self.reloaded.load(Ordering::Relaxed),
        );
        for (why, count) in ReloadFailure::ALL.iter().zip(self.reload_failed.values()) {
            page.counter(&table::RELOADS, &[why.label()], count);
        }
        let generation = number(self.generation.load(Ordering::Relaxed));
        page.gauge(&table::GENERATION, &[], generation);
        let last = f64::from_bits(self.last_success.load(Ordering::Relaxed));
        page.gauge(&table::LAST_SUCCESS, &[], last);
    }
}
