//! [`Reloader`]: loads the configuration again when a file that it names changes, or on SIGHUP.
//!
//! All or nothing: the new snapshot is swapped in as a whole, or the old one stays and the log and
//! a metric say why.

mod fixed;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::watch::{Digest, Watch};
use crate::config::load;
use crate::config::problem::Problems;
use crate::observe::ReloadFailure;
use crate::snapshot::compile::{Compiled, Refused, build};
use crate::snapshot::stores::Stores;
use crate::snapshot::{Live, Snapshot};

/// Quiet time after the last change: an editor, `kubectl` or a certificate tool writes several
/// files one after the other.
const QUIET: Duration = Duration::from_millis(200);
/// A directory that never comes to rest does not put a reload off for longer than this.
const QUIET_MAX: Duration = Duration::from_secs(3);
/// How often files are looked at without being told: some file systems tell nothing.
const POLL: Duration = Duration::from_secs(30);

/// Problems that get a line of their own; all of them stand in the first.
const PROBLEM_LINES_MAX: usize = 20;

/// Keeps the live snapshot up to date with the files.
#[derive(Debug)]
pub struct Reloader {
    file: PathBuf,
    live: Arc<Live>,
    stores: Stores,
    forced: Arc<Notify>,
}

impl Reloader {
    /// Reloads `file` into `live`. `forced` is SIGHUP: it reloads also where no file has changed.
    #[must_use]
    pub fn new(file: &Path, live: Arc<Live>, stores: Stores, forced: Arc<Notify>) -> Self {
        Self {
            file: file.to_owned(),
            live,
            stores,
            forced,
        }
    }

    /// Watches and reloads until it is dropped.
    pub async fn run(self) {
        let mut watch = Watch::new();
        let mut files = self.live_files();
        watch.follow(&files);
        let mut seen = digest(&files).await;
        loop {
            let forced = tokio::select! {
                () = self.forced.notified() => true,
                () = watch.changed() => false,
                () = sleep_until(Instant::now() + POLL) => false,
            };
            if !forced {
                quiet(&watch).await;
            }
            // Before the files are read: what changes from here on is heard of.
            watch.follow(&files);
            let now = digest(&files).await;
            if !forced && now == seen {
                continue;
            }
            seen = now;
            let Some(tried) = self.reload(&files).await else {
                continue;
            };
            // A configuration that was refused is waited for as well: a file that it misses may
            // come.
            files = self.live_files();
            files.extend(tried.files);
            watch.follow(&files);
            seen = tried.seen;
            seen.retain(|file, _| files.contains(file));
        }
    }

    fn live_files(&self) -> BTreeSet<PathBuf> {
        watch::files(&self.file, &self.live.now().spec)
    }

    /// Loads, compiles, rehearses and swaps; or keeps what is there. `None` if it broke off.
    async fn reload(&self, files: &BTreeSet<PathBuf>) -> Option<Tried> {
        let (file, stores, before) = (self.file.clone(), self.stores.clone(), self.live.now());
        let known = files.clone();
        let work = tokio::task::spawn_blocking(move || {
            let tried = Tried::before_reading(&file, known);
            (tried, attempt(&file, &stores, &before))
        });
        let (tried, attempted) = match work.await {
            Ok(done) => done,
            Err(panicked) => {
                self.stores.metrics.reload_failed(ReloadFailure::Problems);
                tracing::error!(error = %panicked, "reload broke off, the configuration of before stays");
                return None;
            }
        };
        match attempted {
            Ok(compiled) => self.swap(compiled),
            Err(Refused { why, problems }) => {
                self.stores.metrics.reload_failed(why);
                tracing::error!(
                    result = why.label(),
                    generation = self.live.now().generation,
                    "reload refused, the configuration of before stays: {problems}"
                );
                for problem in problems.list().iter().take(PROBLEM_LINES_MAX) {
                    tracing::error!(
                        place = problem.at(),
                        line = problem.mark().map(|mark| mark.line),
                        column = problem.mark().map(|mark| mark.column),
                        problem = problem.what(),
                        hint = problem.hint(),
                        "a problem of the configuration that was refused"
                    );
                }
            }
        }
        Some(tried)
    }

    fn swap(&self, compiled: Compiled) {
        let Compiled {
            snapshot,
            certificates,
            warnings,
            places,
        } = compiled;
        drop(places); // the whole file
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let generation = snapshot.generation;
        let names = snapshot.names();
        snapshot.publish();
        self.live.replace(snapshot);
        let metrics = &self.stores.metrics;
        metrics.keep_only(
            &names.listeners,
            &names.upstreams,
            &names.routes,
            &names.issuers,
        );
        metrics.set_certificates(&certificates);
        metrics.reload_succeeded(generation, unix_seconds());
        tracing::info!(generation, "configuration reloaded");
    }
}

/// What a reload was made from.
struct Tried {
    /// The files that the new configuration names, as far as it could be parsed.
    files: BTreeSet<PathBuf>,
    /// What stood in them, and in those of before.
    seen: Digest,
}

impl Tried {
    /// To be called before the files are read for good: what changes afterwards differs from it.
    fn before_reading(file: &Path, mut known: BTreeSet<PathBuf>) -> Self {
        let loaded = load(file).map_or_else(|faulty| faulty.sound, Some);
        let files = loaded.map(|loaded| watch::files(file, &loaded.spec));
        let files = files.unwrap_or_default();
        known.extend(files.iter().cloned());
        let seen = watch::digest(&known);
        Self { files, seen }
    }
}

async fn digest(files: &BTreeSet<PathBuf>) -> Digest {
    let files = files.clone();
    let read = tokio::task::spawn_blocking(move || watch::digest(&files));
    read.await.unwrap_or_default()
}

fn attempt(file: &Path, stores: &Stores, before: &Snapshot) -> Result<Compiled, Refused> {
    let compiled = build(
        file,
        stores,
        Some(before),
        before.generation + 1,
        UnixTime::now(),
    )?;
    let problems = fixed::changed(&before.spec, &compiled.snapshot.spec, &compiled.places);
    if problems.is_empty() {
        return Ok(compiled);
    }
    Err(Refused {
        why: ReloadFailure::Problems,
        problems: Problems::new(file, problems),
    })
}

/// Waits until nothing has changed for a moment.
async fn quiet(watch: &Watch) {
    let latest = Instant::now() + QUIET_MAX;
    while timeout_at(latest.min(Instant::now() + QUIET), watch.changed())
        .await
        .is_ok()
    {
        if Instant::now() >= latest {
            return;
        }
    }
}

/// Seconds since 1970, for the metric of the last success.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a time stamp for people")]
pub fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
