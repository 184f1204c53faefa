//! What is known of the files: of those of the last look, of a reload, and from before the start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::watch::{self, Digest, Stamps};
use crate::config::load;

/// What a reload was made from.
pub(super) struct Tried {
    /// The files that the new configuration names, as far as it could be parsed.
    pub(super) files: BTreeSet<PathBuf>,
    /// What the system said of them and of those of before, and what stood in them.
    pub(super) stamps: Stamps,
    pub(super) seen: Digest,
    /// Whether it came to nothing.
    pub(super) refused: bool,
}

impl Tried {
    /// To be called before the files are read for good: what changes afterwards differs from it.
    pub(super) fn before_reading(file: &Path, mut known: BTreeSet<PathBuf>) -> Self {
        let loaded = load(file).map_or_else(|faulty| faulty.sound, Some);
        let files = loaded.map(|loaded| watch::files(file, &loaded.spec));
        let files = files.unwrap_or_default();
        known.extend(files.iter().cloned());
        let (stamps, seen) = (watch::stamps(&known), watch::digest(&known));
        Self {
            files,
            stamps,
            seen,
            refused: false,
        }
    }
}

/// What stood in the files before the gateway read them: what changed while it started is taken when it
/// runs.
#[derive(Debug)]
pub struct AtStart(pub(super) Digest);

impl AtStart {
    /// To be called before the configuration is compiled. Blocks on files.
    #[must_use]
    pub fn look(file: &Path) -> Self {
        let only = BTreeSet::from([file.to_owned()]);
        let small = std::fs::metadata(file).is_ok_and(|found| found.len() <= READ_TWICE_MAX);
        Self(match small {
            true => Tried::before_reading(file, only).seen,
            false => watch::digest(&only),
        })
    }
}

/// To read a configuration for the names of its files alone, before it is read for good, takes a
/// second where it has 100,000 routes. Of larger ones only the file itself is looked at.
const READ_TWICE_MAX: u64 = 1 << 20;

/// What is known of the files.
pub(super) struct Known {
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) stamps: Stamps,
    pub(super) seen: Digest,
    /// Whether the last configuration was refused.
    pub(super) refused: bool,
    /// Whether the last look at the key material found all of it good. Not known at the start.
    pub(super) whole: bool,
}

impl Known {
    /// Files that were not looked at before count as they are now.
    pub(super) fn seen_at_least(&mut self, now: &Digest) {
        for (file, digest) in now {
            let seen = self.seen.entry(file.clone());
            seen.or_insert_with(|| digest.clone());
        }
    }
}

pub(super) async fn look(files: &BTreeSet<PathBuf>) -> (Stamps, Digest) {
    let files = files.clone();
    let look = move || (watch::stamps(&files), watch::digest(&files));
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}
