//! [`Watch`]: tells when something happens in a directory of a file that the configuration names.
//!
//! Directories, not files: a Kubernetes mount swaps its `..data` link, and editors replace files by
//! renaming. What really changed is told by [`digest`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::config::spec::Spec;

/// SHA-256 over the contents of all files.
pub(super) type Digest = Vec<u8>;

/// Watches directories.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    followed: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let only_read = matches!(&event, Ok(event) if event.kind.is_access());
            if !only_read {
                tell.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "changes of files are looked for every 30 s: no watching here");
        }
        Self {
            watcher: watcher.ok(),
            followed: BTreeSet::new(),
            changed,
        }
    }

    /// Watches the directories of the files that this configuration names, and no others.
    pub(super) fn follow(&mut self, file: &Path, spec: &Spec) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted = directories(file, spec);
        for gone in self.followed.difference(&wanted) {
            drop(watcher.unwatch(gone)); // it may be gone from the disk as well
        }
        let mut followed = BTreeSet::new();
        for directory in wanted {
            let known = self.followed.contains(&directory);
            match known
                || watcher
                    .watch(&directory, RecursiveMode::NonRecursive)
                    .is_ok()
            {
                true => drop(followed.insert(directory)),
                false => tracing::warn!(directory = %directory.display(), "cannot be watched"),
            }
        }
        self.followed = followed;
    }

    /// Ends when something has happened since the last call.
    ///
    /// # Cancel safety
    ///
    /// Safe: what happened is kept for the next call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// The contents of all files, as one hash. A file that cannot be read counts as its error.
#[expect(
    clippy::disallowed_methods,
    reason = "runs on a blocking thread, for a reload"
)]
pub(super) fn digest(file: &Path, spec: &Spec) -> Digest {
    let mut context = Context::new(&SHA256);
    for path in files(file, spec) {
        let content = std::fs::read(&path).unwrap_or_else(|error| error.to_string().into_bytes());
        context.update(&content.len().to_le_bytes());
        context.update(&content);
    }
    context.finish().as_ref().to_vec()
}

/// The directories of the files, as they are named and as they are once links are followed.
fn directories(file: &Path, spec: &Spec) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    for path in files(file, spec) {
        let real = path.canonicalize().ok();
        for parent in [Some(path.as_path()), real.as_deref()]
            .into_iter()
            .flatten()
        {
            let parent = parent.parent().filter(|p| !p.as_os_str().is_empty());
            directories.insert(parent.unwrap_or(Path::new(".")).to_owned());
        }
    }
    directories
}

/// The configuration file and every file that it names.
fn files(file: &Path, spec: &Spec) -> BTreeSet<PathBuf> {
    let pairs = spec
        .listeners
        .values()
        .flat_map(|listener| &listener.tls.certificates)
        .chain(spec.identities.values())
        .flat_map(|pair| [&pair.cert, &pair.key]);
    let bundles = spec.trust.values().map(|bundle| &bundle.ca);
    let key_sets = spec.issuers.values().map(|issuer| &issuer.keys);
    pairs
        .chain(bundles)
        .chain(key_sets)
        .cloned()
        .chain([file.to_owned()])
        .collect()
}
