//! [`Source`]: where one piece of key material comes from, whatever it comes from.
//!
//! A source publishes generations: a key pair, a trust bundle, and later the next one. Files are
//! read again when they change; other sources tell by themselves. What a source offers is taken
//! only if it is whole; else the last good generation stays, and the log and a metric say why.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::error::TrustError;
use super::{DenyList, KeyPair, TrustBundle};

/// What a source comes from. The label in metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// Files that the configuration names.
    File,
    /// An ACME directory.
    Acme,
    /// An agent of the SPIFFE Workload API.
    WorkloadApi,
}

impl SourceKind {
    /// Every kind, for what is said of them.
    pub const ALL: [Self; 3] = [Self::File, Self::Acme, Self::WorkloadApi];

    /// The label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Acme => "acme",
            Self::WorkloadApi => "workload_api",
        }
    }
}

/// What came of an offer, or of asking for one. The label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceResult {
    /// A new generation is in use.
    Ok,
    /// What was offered is not usable: the last good generation stays.
    Refused,
    /// The source could not be asked: the last good generation stays.
    Unreachable,
    /// What was in use has ended, and the source has given nothing after it: nothing is in use.
    Ended,
}

impl SourceResult {
    /// Every result, for the metrics' start values.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::Unreachable, Self::Ended];

    /// The label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Ended => "ended",
        }
    }
}

/// What is known of a source, for metrics and logs.
#[derive(Debug)]
pub struct SourceStatus {
    /// What it comes from.
    pub kind: SourceKind,
    /// The place in the configuration that names it: `trust.partners`.
    pub place: Box<str>,
    /// What of it is wanted, where it has several: another wish at the same place is another
    /// source.
    pub wish: Box<str>,
    /// Why nothing was taken the last time.
    problem: Mutex<Option<String>>,
    generation: AtomicU64,
    results: [AtomicU64; SourceResult::ALL.len()],
}

impl SourceStatus {
    /// How many generations were taken.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// How often this came of it.
    #[must_use]
    pub fn count(&self, result: SourceResult) -> u64 {
        self.slot(result).load(Ordering::Relaxed)
    }

    /// Why nothing was taken the last time that it was asked.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let problem = self.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn slot(&self, result: SourceResult) -> &AtomicU64 {
        let [ok, refused, unreachable, ended] = &self.results;
        match result {
            SourceResult::Ok => ok,
            SourceResult::Refused => refused,
            SourceResult::Unreachable => unreachable,
            SourceResult::Ended => ended,
        }
    }
}

/// What a source can publish.
pub trait Published: fmt::Debug {
    /// Equal digests mean the same in every respect.
    fn digest(&self) -> [u8; 32];
}

impl Published for KeyPair {
    fn digest(&self) -> [u8; 32] {
        Self::digest(self)
    }
}

impl Published for TrustBundle {
    fn digest(&self) -> [u8; 32] {
        Self::digest(self)
    }
}

impl Published for DenyList {
    fn digest(&self) -> [u8; 32] {
        Self::digest(self)
    }
}

/// Where one piece of key material comes from.
#[derive(Debug)]
pub struct Source<T> {
    current: ArcSwapOption<T>,
    status: Arc<SourceStatus>,
    changed: Option<Arc<Notify>>,
}

impl<T: Published> Source<T> {
    /// A source that has published nothing. `changed` is told of each new generation; whoever reads
    /// files knows by himself.
    #[must_use]
    pub fn new(kind: SourceKind, place: &str, changed: Option<Arc<Notify>>) -> Self {
        Self::of_several(kind, place, "", changed)
    }

    /// As [`Self::new`], where there are several to wish for.
    #[must_use]
    pub fn of_several(
        kind: SourceKind,
        place: &str,
        wish: &str,
        changed: Option<Arc<Notify>>,
    ) -> Self {
        let status = SourceStatus {
            kind,
            place: place.into(),
            wish: wish.into(),
            problem: Mutex::new(None),
            generation: AtomicU64::new(0),
            results: Default::default(),
        };
        Self {
            current: ArcSwapOption::empty(),
            status: Arc::new(status),
            changed,
        }
    }

    /// The last good generation, if there was one.
    #[must_use]
    pub fn current(&self) -> Option<Arc<T>> {
        self.current.load_full()
    }

    /// What is known of it.
    #[must_use]
    pub fn status(&self) -> Arc<SourceStatus> {
        Arc::clone(&self.status)
    }

    /// `value`, or the generation in use where that is the same: whoever holds it need not be told.
    #[must_use]
    pub fn same_or(&self, value: T) -> Arc<T> {
        match self.current() {
            Some(current) if current.digest() == value.digest() => current,
            Some(_) | None => Arc::new(value),
        }
    }

    /// Takes what the source offers, or keeps what is there. Whether there is a new generation.
    pub fn offer(&self, offered: Result<T, TrustError>) -> bool {
        match offered {
            Ok(value) => self.publish(&self.same_or(value)),
            Err(error) => {
                self.refuse(&error);
                false
            }
        }
    }

    /// Takes a value that was found good. Whether it is another than that in use.
    pub fn publish(&self, value: &Arc<T>) -> bool {
        let before = self.current.swap(Some(Arc::clone(value)));
        self.status.set_problem(None);
        if before.is_some_and(|before| before.digest() == value.digest()) {
            return false;
        }
        let generation = self.status.generation.fetch_add(1, Ordering::Relaxed) + 1;
        if generation == 1 && self.status.kind == SourceKind::File {
            return true; // what the configuration was loaded with
        }
        self.count(SourceResult::Ok);
        tracing::info!(
            place = &*self.status.place,
            source = self.status.kind.label(),
            generation,
            "new key material"
        );
        if let Some(changed) = &self.changed {
            changed.notify_one();
        }
        true
    }

    /// What is in use after a source gave nothing.
    fn left(&self) -> &'static str {
        match self.status.generation() {
            0 => "there is none yet",
            _ => "that of before stays",
        }
    }

    /// Notes that what the source offers is not usable.
    pub fn refuse(&self, error: &TrustError) {
        self.count(SourceResult::Refused);
        self.status.set_problem(Some(error.what()));
        tracing::error!(
            place = &*self.status.place,
            source = self.status.kind.label(),
            generation = self.status.generation(),
            problem = %error.what(),
            hint = error.hint(),
            "new key material refused, {}",
            self.left()
        );
    }

    /// Notes that the source could not be asked.
    pub fn unreachable(&self, why: &dyn fmt::Display) {
        self.count(SourceResult::Unreachable);
        self.status.set_problem(Some(why.to_string()));
        tracing::warn!(
            place = &*self.status.place,
            source = self.status.kind.label(),
            generation = self.status.generation(),
            problem = %why,
            "key material cannot be asked for, {}",
            self.left()
        );
    }

    /// Takes back what is in use: it has ended, and there is nothing after it.
    pub fn withdraw(&self, why: &TrustError) {
        self.current.store(None);
        self.count(SourceResult::Ended);
        tracing::error!(
            place = &*self.status.place,
            source = self.status.kind.label(),
            generation = self.status.generation(),
            problem = %why.what(),
            "key material has ended and nothing came after it: nothing is in use here"
        );
        if let Some(changed) = &self.changed {
            changed.notify_one();
        }
    }

    fn count(&self, result: SourceResult) {
        self.status.slot(result).fetch_add(1, Ordering::Relaxed);
    }
}
