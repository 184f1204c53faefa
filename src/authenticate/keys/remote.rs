//! [`RemoteKeys`]: the keys of one issuer that are fetched, as requests see them.
//!
//! The keys of now are behind one pointer: who has a key there waits for nothing, whatever is being
//! fetched. Who has none asks the `Schedule`, and waits for the one fetch that all wait for, never
//! longer than that may take, and at most `WAITING_MAX` requests at a time. So it is while the very
//! first fetch is under way, at a start or after a reload that names another origin.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::fetcher::{Failure, Fetched, Fetcher};
use super::schedule::{Cause, Schedule, Terms, Unknown};
use super::telling;
use crate::authenticate::jwks::{IgnoredKey, KeySet};
use crate::authenticate::key::Key;
use crate::config::issuer_keys::KeyTermsSpec;
use crate::config::spec::SignatureAlgorithm;
use crate::identity::name::Name;
use crate::observe::{IssuerKeysMetrics, KeysFetchCause, KeysFetchResult, KeysShown};
use crate::refusal::Refusal;

/// The keys of one issuer, and what is needed to fetch them.
pub struct RemoteKeys {
    name: Name,
    fetcher: Fetcher,
    published: ArcSwap<Published>,
    schedule: Mutex<Schedule>,
    /// Told when a fetch is wanted before its time.
    wanted: Notify,
    /// Told when a fetch has ended, well or not.
    ended: watch::Sender<()>,
    waiting: Semaphore,
    /// Hashes `kid`s under a secret of this process: strangers choose them.
    hasher: RandomState,
    generation: AtomicU64,
    metrics: Arc<IssuerKeysMetrics>,
}

/// What requests look at.
#[derive(Clone, Debug)]
struct Published {
    keys: Arc<KeySet>,
    /// `None`: they were never fetched, or were taken away.
    usable_until: Option<Instant>,
}

/// Why there is no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::authenticate) enum KeyNotFound {
    /// It is the token's fault.
    Refused(Refusal),
    /// It may not be.
    Unavailable(Unavailable),
}

/// The keys cannot be had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authenticate) struct Unavailable {
    /// When it is worth while to ask again.
    pub(in crate::authenticate) retry_after: Duration,
}

/// Requests that wait for one issuer at a time. An issuer that is slow must not pile them up.
const WAITING_MAX: usize = 1_000;

impl RemoteKeys {
    pub(super) fn new(
        name: &Name,
        fetcher: Fetcher,
        terms: &KeyTermsSpec,
        metrics: Arc<IssuerKeysMetrics>,
        before: Option<&Self>,
    ) -> Self {
        let terms = Terms {
            refresh_min: terms.refresh_min,
            cool_down: terms.cool_down,
            max_stale: terms.max_stale,
        };
        let mut schedule = Schedule::new(terms, Instant::now());
        let mut published = Published {
            keys: Arc::new(KeySet::none()),
            usable_until: None,
        };
        let mut generation = 0;
        if let Some(before) = before {
            generation = before.generation.load(Ordering::Relaxed);
            published.keys = Arc::clone(&before.published.load().keys);
            if let Some(good) = before.schedule.lock().good() {
                schedule.resume(good);
                published.usable_until = schedule.usable_until();
            }
        }
        Self {
            name: name.clone(),
            fetcher,
            published: ArcSwap::from_pointee(published),
            schedule: Mutex::new(schedule),
            wanted: Notify::new(),
            ended: watch::Sender::new(()),
            waiting: Semaphore::new(WAITING_MAX),
            hasher: RandomState::new(),
            generation: AtomicU64::new(generation),
            metrics,
        }
    }

    /// The issuer's name in the configuration.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Whether there are keys that may be used at `now`.
    ///
    /// # Errors
    ///
    /// When it is worth while to ask again.
    pub(in crate::authenticate) fn check_usable(&self, now: Instant) -> Result<(), Unavailable> {
        let until = self.published.load().usable_until;
        if until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let retry_after = self.schedule.lock().pause(now);
        Err(unavailable(retry_after))
    }

    /// The one key that a token with this header must be verified with. Asks the issuer if it is not
    /// there and `worth_asking` says so.
    ///
    /// # Errors
    ///
    /// [`KeyNotFound`].
    ///
    /// # Cancel safety
    ///
    /// Safe: a fetch goes on for others.
    pub(in crate::authenticate) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
        worth_asking: impl FnOnce() -> bool,
    ) -> Result<Arc<Key>, KeyNotFound> {
        if let Some(found) = self.look(kid, algorithm) {
            return found;
        }
        if !worth_asking() {
            return Err(KeyNotFound::Refused(Refusal::TokenKeyUnknown));
        }
        let asked = self.ask(kid, algorithm);
        match timeout(self.fetcher.timeout(), asked).await {
            Ok(asked) => asked,
            // The fetch that was waited for ends about now.
            Err(_elapsed) => Err(KeyNotFound::Unavailable(unavailable(Duration::ZERO))),
        }
    }

    /// Looks without waiting. `None` if nothing is known of such a key, or of any yet.
    fn look(
        &self,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Option<Result<Arc<Key>, KeyNotFound>> {
        if let Err(why) = self.check_usable(Instant::now()) {
            let beginning = self.schedule.lock().is_beginning();
            return (!beginning).then_some(Err(KeyNotFound::Unavailable(why)));
        }
        match self.published.load().keys.find(kid, algorithm) {
            Ok(key) => Some(Ok(Arc::clone(key))),
            Err(Refusal::TokenKeyUnknown) => None,
            Err(refusal) => Some(Err(KeyNotFound::Refused(refusal))),
        }
    }

    async fn ask(
        &self,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Arc<Key>, KeyNotFound> {
        let hash = self.hasher.hash_one(kid);
        let came = Instant::now();
        let mut turn = None;
        let mut ended = self.ended.subscribe();
        loop {
            let unknown = self.schedule.lock().unknown(hash, came, Instant::now());
            // Again, after the schedule: a fetch that has ended meanwhile may have brought it.
            if let Some(found) = self.look(kid, algorithm) {
                return found;
            }
            match unknown {
                Unknown::Absent => return Err(KeyNotFound::Refused(Refusal::TokenKeyUnknown)),
                Unknown::NotNow(wait) => return Err(KeyNotFound::Unavailable(unavailable(wait))),
                Unknown::Awaited => {}
            }
            if turn.is_none() {
                turn = self.waiting.try_acquire().ok();
            }
            if turn.is_none() || !self.awaited(&mut ended).await {
                return Err(KeyNotFound::Unavailable(unavailable(Duration::ZERO)));
            }
            // What has come is taken before anybody is asked for more.
            if let Some(found) = self.look(kid, algorithm) {
                return found;
            }
        }
    }

    /// Waits for the end of the fetch that is wanted.
    async fn awaited(&self, ended: &mut watch::Receiver<()>) -> bool {
        self.wanted.notify_one();
        ended.changed().await.is_ok()
    }

    /// Waits until there are keys.
    pub(super) async fn there(&self) {
        let mut ended = self.ended.subscribe();
        while self.check_usable(Instant::now()).is_err() {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Fetches the keys in time, without end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the fetch that is under way. May be called again after that.
    pub(super) async fn keep(&self) {
        let mut form = 0;
        self.schedule.lock().stand_still();
        self.show(); // those of another origin are none
        loop {
            let pause = self.schedule.lock().pause(Instant::now());
            if !pause.is_zero() {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = self.wanted.notified() => {}
                }
                continue;
            }
            let began = Instant::now();
            let cause = self.schedule.lock().begin(began);
            let fetched = self.fetcher.fetch(&mut form).await;
            let result = match fetched {
                Ok(fetched) => self.take(began, fetched),
                Err(failure) => self.go_without(&failure),
            };
            self.metrics.fetched(shown_cause(cause), result);
            self.ended.send_replace(());
        }
    }

    fn take(&self, began: Instant, fetched: Fetched) -> KeysFetchResult {
        let before = self.published.load_full();
        let keys = Arc::new(fetched.keys.following(&before.keys));
        let until = self.schedule.lock().until(began);
        // First the keys, then what is said of those that are not there: see `ask`.
        self.publish(Arc::clone(&keys), Some(until));
        let gone = before.keys.retire_all_but(&keys);
        let random = fastrand::f64();
        let mut schedule = self.schedule.lock();
        schedule.succeeded(began, fetched.lifetime, random);
        let passed_over = keys.ignored().iter().map(IgnoredKey::kid);
        for kid in gone.iter().map(|key| key.kid()).chain(passed_over) {
            schedule.is_absent(self.hasher.hash_one(kid), began);
        }
        drop(schedule);
        if before.usable_until.is_none() || *before.keys != *keys {
            let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
            telling::taken(&self.name, &keys, generation);
        }
        self.show();
        KeysFetchResult::Ok
    }

    fn go_without(&self, failure: &Failure) -> KeysFetchResult {
        let taken_away = failure.result == KeysFetchResult::NoKeys;
        if taken_away {
            let before = self.published.load_full();
            let none = KeySet::none();
            drop(before.keys.retire_all_but(&none));
            self.publish(Arc::new(none), None);
        }
        let now = Instant::now();
        let random = fastrand::f64();
        let (failures, pause, until) = {
            let mut schedule = self.schedule.lock();
            schedule.failed(now, taken_away, random);
            (
                schedule.failures(),
                schedule.pause(now),
                schedule.usable_until(),
            )
        };
        let left = until.map(|until| until.saturating_duration_since(now));
        telling::failed(&self.name, failure, failures, pause, left);
        self.show();
        failure.result
    }

    fn publish(&self, keys: Arc<KeySet>, usable_until: Option<Instant>) {
        let published = Published { keys, usable_until };
        self.published.store(Arc::new(published));
    }

    /// Shows in the metrics how it is.
    fn show(&self) {
        let (now, unix) = (Instant::now(), telling::unix_now());
        let at = |moment: Instant| match moment.checked_duration_since(now) {
            Some(ahead) => unix.saturating_add(ahead.as_secs()),
            None => unix.saturating_sub(now.saturating_duration_since(moment).as_secs()),
        };
        let published = self.published.load();
        let schedule = self.schedule.lock();
        self.metrics.set(KeysShown {
            count: published.keys.len(),
            generation: self.generation.load(Ordering::Relaxed),
            fetched: schedule.good().map_or(0, at),
            usable_until: published.usable_until.map_or(0, at),
            next: at(now + schedule.pause(now)),
        });
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.published.load().keys.len();
        let mut debug = f.debug_struct("RemoteKeys");
        debug.field("name", &self.name).field("keys", &keys);
        debug.finish_non_exhaustive()
    }
}

/// In whole seconds, and not at once.
fn unavailable(pause: Duration) -> Unavailable {
    let whole = u64::from(pause.subsec_nanos() > 0);
    let seconds = pause.as_secs().saturating_add(whole).max(1);
    Unavailable {
        retry_after: Duration::from_secs(seconds),
    }
}

const fn shown_cause(cause: Cause) -> KeysFetchCause {
    match cause {
        Cause::Due => KeysFetchCause::Due,
        Cause::UnknownKey => KeysFetchCause::UnknownKey,
    }
}
