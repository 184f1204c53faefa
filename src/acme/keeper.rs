//! [`Keeper`]: sees to it that each certificate is there and in time.
//!
//! One task for each certificate: it waits until two thirds of the certificate's life are over, then
//! orders the next one. One order at a time. What fails is tried again more and more seldom; until
//! then the last good certificate stays in use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::pki_types::UnixTime;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::account;
use super::directory::Directory;
use super::error::{AcmeError, Retry};
use super::folder::{Folder, Lock};
use super::order::order;
use super::schedule::Attempts;
use super::store::{AcmeStore, Managed};
use crate::observe::Metrics;
use crate::trust::{TrustError, roots};

/// Orders and renews certificates for as long as it runs.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<AcmeStore>,
    metrics: Arc<Metrics>,
    /// One order at a time: a directory sees one gateway, not a crowd.
    turn: Semaphore,
    /// Folders that no other process orders into now.
    locks: Mutex<HashMap<PathBuf, Lock>>,
}

/// How often the folder is looked at: another process may have put a certificate there, and clocks
/// may be set.
const LOOK: Duration = Duration::from_secs(10);
/// No certificate is ordered sooner than this after the one before.
const PAUSE: Duration = Duration::from_secs(5);
/// A whole order: the directory polls us, we poll the directory.
const ORDER_TIME_MAX: Duration = Duration::from_secs(300);

impl Keeper {
    /// Keeps what `store` says.
    #[must_use]
    pub fn new(store: Arc<AcmeStore>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            store,
            metrics,
            turn: Semaphore::new(1),
            locks: Mutex::default(),
        })
    }

    /// Runs until it is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the order that is under way.
    pub async fn run(self: Arc<Self>) {
        let mut wanted = self.store.wanted();
        let mut tasks = JoinSet::new();
        let mut running: Vec<(Arc<Managed>, AbortHandle)> = Vec::new();
        loop {
            let now = wanted.borrow_and_update().clone();
            let is_wanted = |one: &Arc<Managed>| now.iter().any(|other| Arc::ptr_eq(one, other));
            running.retain(|(managed, task)| {
                let stays = is_wanted(managed);
                if !stays {
                    task.abort();
                }
                stays
            });
            let places = now.iter().map(|managed| managed.place().to_owned());
            self.metrics.acme_keep_only(&places.collect());
            for managed in now {
                if running.iter().any(|(one, _)| Arc::ptr_eq(one, &managed)) {
                    continue;
                }
                let task = tasks.spawn(Arc::clone(&self).keep(Arc::clone(&managed)));
                running.push((managed, task));
            }
            while tasks.try_join_next().is_some() {}
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    /// Keeps one certificate in time, without end.
    async fn keep(self: Arc<Self>, managed: Arc<Managed>) {
        let mut attempts = Attempts::default();
        // Not by the clock of the day: one that was ahead when an attempt failed would hold the next
        // one up until that day comes.
        let mut earliest = Instant::now();
        loop {
            let pause = earliest.saturating_duration_since(Instant::now());
            let pause = i64::try_from(pause.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
            let due = managed.renewal(now()).max(now().saturating_add(pause));
            self.metrics.acme_next_order(managed.place(), due);
            let left = u64::try_from(due.saturating_sub(now())).unwrap_or(0);
            if left > 0 {
                sleep(LOOK.min(Duration::from_secs(left))).await;
                read_again(&managed).await;
                continue;
            }
            let wait = match self.attempt(&managed).await {
                Ok(Done::Ordered) => {
                    attempts.succeeded();
                    PAUSE
                }
                Ok(Done::ByOther) => LOOK,
                Ok(Done::InTime) => Duration::ZERO,
                Err(error) => {
                    let wait = attempts.failed(error.retry(), error.not_before, fastrand::f64());
                    tell(&managed, &error, wait);
                    wait
                }
            };
            earliest = Instant::now() + wait;
        }
    }

    /// Orders a certificate, if that is ours to do. A fault of our own is an error like others.
    async fn attempt(self: &Arc<Self>, managed: &Arc<Managed>) -> Result<Done, AcmeError> {
        let (keeper, managed) = (Arc::clone(self), Arc::clone(managed));
        let mut task = JoinSet::new(); // ends with this future
        task.spawn(async move { keeper.ordered(&managed).await });
        match task.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(panicked)) => Err(AcmeError::new(Retry::Later, panicked.to_string())),
            None => Ok(Done::InTime),
        }
    }

    async fn ordered(&self, managed: &Arc<Managed>) -> Result<Done, AcmeError> {
        let Ok(_turn) = self.turn.acquire().await else {
            return Ok(Done::InTime);
        };
        if !self.may_order(&managed.folder).await? {
            read_again(managed).await;
            return Ok(Done::ByOther);
        }
        // While we waited, the same certificate may have been issued for another listener.
        read_again(managed).await;
        if managed.renewal(now()) > now() {
            return Ok(Done::InTime);
        }
        let issued = timeout(ORDER_TIME_MAX, self.issued(managed))
            .await
            .map_err(|_elapsed| {
                let what = format!("not complete within {} s", ORDER_TIME_MAX.as_secs());
                AcmeError::new(Retry::Soon, what)
            })??;
        let taking = Arc::clone(managed);
        blocking(move || taking.take(&issued)).await??;
        Ok(Done::Ordered)
    }

    /// Whether no other process orders into this folder.
    async fn may_order(&self, folder: &Folder) -> Result<bool, AcmeError> {
        if self.locks.lock().contains_key(folder.root()) {
            return Ok(true);
        }
        let wanted = folder.clone();
        let locked = blocking(move || wanted.lock()).await?;
        let Some(lock) = locked? else {
            let folder = folder.root().display();
            tracing::debug!(%folder, "another process orders certificates into this folder");
            return Ok(false);
        };
        self.locks.lock().insert(folder.root().to_owned(), lock);
        Ok(true)
    }

    /// Speaks with the directory.
    async fn issued(&self, managed: &Managed) -> Result<String, AcmeError> {
        let Managed {
            spec,
            names,
            folder,
            ..
        } = managed;
        let ca = spec.ca.clone();
        let roots = blocking(move || roots(&ca)).await?;
        let roots = roots.map_err(|error| AcmeError::new(Retry::Soon, error.what()))?;
        let probed = folder.clone();
        blocking(move || probed.probe()).await??;
        let directory = Directory::new(&spec.directory, roots)
            .map_err(|error| AcmeError::new(Retry::Later, error.to_string()))?;
        let ordering = async {
            let account = match account::known(folder, &directory).await? {
                Some(account) => account,
                None => account::register(spec, folder, &directory).await?,
            };
            let challenges = self.store.challenges();
            match order(&account, names, spec.challenge, challenges).await {
                Err(error) if error.unknown_account => {
                    tracing::warn!(%error, "the directory has forgotten our account, a new one is made");
                    let account = account::register(spec, folder, &directory).await?;
                    order(&account, names, spec.challenge, challenges).await
                }
                done => done,
            }
        };
        ordering
            .await
            .map_err(|error| error.not_sooner_than(directory.retry_after()))
    }
}

/// What came of an attempt that did not fail.
enum Done {
    /// A new certificate is in use.
    Ordered,
    /// Another process orders into the folder.
    ByOther,
    /// There was nothing to order.
    InTime,
}

fn tell(managed: &Managed, error: &AcmeError, wait: Duration) {
    let source = managed.source();
    let again = format!("{error}; tried again in {} s", wait.as_secs());
    match error.retry() {
        Retry::Soon => source.unreachable(&again),
        Retry::Later => source.refuse(&TrustError::NotIssued { why: again }),
    }
}

async fn read_again(managed: &Arc<Managed>) {
    let managed = Arc::clone(managed);
    // If the runtime is ending, there is nobody to tell.
    drop(spawn_blocking(move || managed.read_again()).await);
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AcmeError> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| AcmeError::new(Retry::Soon, error.to_string()))
}

/// Seconds since 1970.
fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}
