//! [`Reloader`]: loads the configuration again when a file that it names changes, or on SIGHUP.
//!
//! All or nothing: the new snapshot is swapped in as a whole, or the old one stays and the log and
//! a metric say why.
//!
//! Where only key material has changed, the configuration is not read: each source is taken for
//! itself ([`refresh`]). So it is, too, when a configuration was refused: somebody's half-edited
//! route must not hold up a revocation.

mod fixed;
mod known;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::known::AtStart;
use self::known::{Known, Tried, look};
use self::watch::{Stamps, Watch};
use crate::config::problem::{Problem, Problems};
use crate::observe::ReloadFailure;
use crate::snapshot::compile::{Compiled, Refused, build};
use crate::snapshot::refresh::refresh;
use crate::snapshot::stores::Stores;
use crate::snapshot::{Live, Snapshot};

/// Quiet time after the last change: an editor, `kubectl` or a certificate tool writes several
/// files one after the other.
const QUIET: Duration = Duration::from_millis(200);
/// A directory that never comes to rest does not put a reload off for longer than this: what is
/// revoked is to be gone within 5 s, and a second or two of these belong to requests under way.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How often files are looked at without being told: some file systems tell nothing.
const POLL: Duration = Duration::from_secs(2);

/// How long a source that a new configuration names may take to give something. No other source is
/// looked at meanwhile: it is shorter than the 5 s after which what is revoked is gone.
const SOURCE_PATIENCE: Duration = Duration::from_secs(3);

/// Problems that get a line of their own; all of them stand in the first.
const PROBLEM_LINES_MAX: usize = 20;

/// Keeps the live snapshot up to date with the files.
#[derive(Debug)]
pub struct Reloader {
    file: PathBuf,
    live: Arc<Live>,
    stores: Stores,
    forced: Arc<Notify>,
    at_start: AtStart,
}

impl Reloader {
    /// Reloads `file` into `live`. `forced` is SIGHUP: it reloads also where no file has changed.
    #[must_use]
    pub fn new(
        file: &Path,
        live: Arc<Live>,
        stores: Stores,
        forced: Arc<Notify>,
        at_start: AtStart,
    ) -> Self {
        Self {
            file: file.to_owned(),
            live,
            stores,
            forced,
            at_start,
        }
    }

    /// Watches and reloads until it is dropped.
    pub async fn run(self) {
        let mut watch = Watch::new();
        let mut known = Known {
            files: self.live_files(),
            stamps: Stamps::default(),
            seen: self.at_start.0.clone(),
            refused: false,
            whole: false,
        };
        known.seen.retain(|file, _| known.files.contains(file));
        watch.follow(&known.files);
        let mut started = false;
        loop {
            let cause = tokio::select! {
                biased;
                () = std::future::ready(()), if !std::mem::replace(&mut started, true) => Cause::Start,
                () = self.forced.notified() => Cause::Forced,
                () = self.stores.sources.changed() => Cause::Source,
                () = watch.changed() => Cause::Watched,
                () = sleep_until(Instant::now() + POLL) => Cause::Poll,
            };
            if cause == Cause::Poll && watch::stamps(&known.files) == known.stamps {
                // What was refused may be good by now: a certificate whose time had not come, a
                // file that could not be opened for want of descriptors.
                if !known.whole {
                    known.whole = self.refresh_material(true).await;
                }
                continue;
            }
            if matches!(cause, Cause::Watched | Cause::Poll) {
                quiet(&watch).await;
            }
            // Before the files are read: what changes from here on is heard of.
            watch.follow(&known.files);
            let (stamps, now) = look(&known.files).await;
            if cause == Cause::Start {
                known.seen_at_least(&now);
            }
            let changed = watch::difference(&known.seen, &now);
            (known.stamps, known.seen) = (stamps, now);
            let material = self.material_files();
            let configured = changed.iter().any(|file| !material.contains(file));
            if cause == Cause::Forced || configured || (known.refused && !changed.is_empty()) {
                self.reload_all(&mut known).await;
                watch.follow(&known.files);
            } else if cause == Cause::Source || !changed.is_empty() {
                known.whole = self.refresh_material(false).await;
            }
        }
    }

    /// Reads the configuration. A configuration that was refused is waited for as well: a file that
    /// it misses may come.
    async fn reload_all(&self, known: &mut Known) {
        let Some(tried) = self.reload(&known.files).await else {
            return;
        };
        known.refused = tried.refused;
        known.files = self.live_files();
        known.files.extend(tried.files);
        known.seen = tried.seen;
        known.seen.retain(|file, _| known.files.contains(file));
        known.stamps = tried.stamps;
        known.stamps.retain(|file, _| known.files.contains(file));
        known.whole = !tried.refused || self.refresh_material(true).await;
    }

    /// Takes what the sources have now, without reading the configuration. Whether all was good.
    async fn refresh_material(&self, again: bool) -> bool {
        let (stores, before) = (self.stores.clone(), self.live.now());
        let work = move || refresh(&before, &stores, again, UnixTime::now());
        let work = tokio::task::spawn_blocking(work);
        let metrics = &self.stores.metrics;
        match work.await {
            Ok(refreshed) => {
                let taken = refreshed.snapshot.is_some();
                if let Some(snapshot) = refreshed.snapshot {
                    let generation = snapshot.generation;
                    snapshot.publish(&self.stores);
                    self.live.replace(snapshot);
                    metrics.set_generation(generation);
                    tracing::info!(generation, "key material taken");
                }
                if !again || taken {
                    metrics.refreshed(refreshed.whole);
                }
                refreshed.whole
            }
            Err(panicked) => {
                metrics.refreshed(false);
                tracing::error!(error = %panicked, "taking key material broke off, that of before stays");
                false
            }
        }
    }

    /// The files that a refresh reads.
    fn material_files(&self) -> BTreeSet<PathBuf> {
        watch::material(&self.live.now().spec).cloned().collect()
    }

    fn live_files(&self) -> BTreeSet<PathBuf> {
        watch::files(&self.file, &self.live.now().spec)
    }

    /// Loads, compiles, rehearses and swaps; or keeps what is there. `None` if it broke off.
    async fn reload(&self, files: &BTreeSet<PathBuf>) -> Option<Tried> {
        let patience = Instant::now() + SOURCE_PATIENCE;
        let mut waits = false;
        let (tried, attempted) = loop {
            let (tried, attempted) = self.attempt(files).await?;
            let absent = match &attempted {
                Ok(compiled) => self.absent(compiled),
                Err(_refused) => Vec::new(),
            };
            if absent.is_empty() {
                break (tried, attempted);
            }
            // A revocation does not wait with it.
            if !std::mem::replace(&mut waits, true) {
                self.refresh_material(true).await;
            }
            let heard = timeout_at(patience, self.stores.sources.changed()).await;
            // Another source may tell without end.
            let over = heard.is_err() || Instant::now() >= patience;
            if let (true, Ok(compiled)) = (over, &attempted) {
                let why = ReloadFailure::Problems;
                let absent = self.absent(compiled); // by now they say why
                let problems = Problems::new(&self.file, absent);
                break (tried, Err(Refused { why, problems }));
            }
        };
        let refused = attempted.is_err();
        match attempted {
            Ok(compiled) => self.swap(compiled),
            Err(Refused { why, problems }) => {
                self.stores.metrics.reload_failed(why);
                let live = self.live.now();
                self.stores.sources.keep_only(live.material.sources());
                tracing::error!(
                    result = why.label(),
                    generation = live.generation,
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
        Some(Tried { refused, ..tried })
    }

    /// Loads and compiles. `None` if it broke off.
    async fn attempt(
        &self,
        files: &BTreeSet<PathBuf>,
    ) -> Option<(Tried, Result<Compiled, Refused>)> {
        let (file, stores, before) = (self.file.clone(), self.stores.clone(), self.live.now());
        let known = files.clone();
        let work = tokio::task::spawn_blocking(move || {
            let tried = Tried::before_reading(&file, known);
            (tried, attempt(&file, &stores, &before))
        });
        match work.await {
            Ok(done) => Some(done),
            Err(panicked) => {
                self.stores.metrics.reload_failed(ReloadFailure::Problems);
                tracing::error!(error = %panicked, "reload broke off, the configuration of before stays");
                None
            }
        }
    }

    /// What has given no key material yet and is no such thing now: what works is not swapped for
    /// what does not.
    fn absent(&self, compiled: &Compiled) -> Vec<Problem> {
        let now = self.live.now();
        let was = now.material.absent();
        let absent = compiled.snapshot.material.absent().iter();
        absent
            .filter(|source| !was.iter().any(|was| was.place == source.place))
            .map(|source| {
                let why = source.problem();
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                let what = format!("its source has given nothing within {SOURCE_PATIENCE:?}{why}");
                let problem = compiled.places.problem(&source.place, what);
                problem.with_hint(
                    "see to the source; the configuration is tried again when it changes",
                )
            })
            .collect()
    }

    fn swap(&self, compiled: Compiled) {
        let Compiled {
            snapshot,
            warnings,
            places,
        } = compiled;
        drop(places); // the whole file
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let generation = snapshot.generation;
        let names = snapshot.names();
        snapshot.publish(&self.stores);
        self.live.replace(snapshot);
        let metrics = &self.stores.metrics;
        metrics.keep_only(
            &names.listeners,
            &names.upstreams,
            &names.routes,
            &names.issuers,
        );
        metrics.keep_asked(&names.external_authorizations, &names.oauth_clients);
        metrics.reload_succeeded(generation, unix_seconds());
        tracing::info!(generation, "configuration reloaded");
    }
}

/// Why the files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Start,
    Forced,
    Source,
    Watched,
    Poll,
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
