//! [`Watch`]: tells when something happens on the way to a file that the configuration names.
//!
//! Directories, not files: a Kubernetes mount swaps its `..data` link, and editors replace files by
//! renaming. What really changed is told by [`digest`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest as sha256};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::config::issuer_keys::IssuerKeysSpec;
use crate::config::oauth_client::OauthClientSpec;
use crate::config::spec::{CertificateSpec, ServedSpec, SigningKeysSpec, Spec};
use crate::trust::open;

/// SHA-256 of the content of each file; of one that cannot be read, of its error.
pub(super) type Digest = BTreeMap<PathBuf, Vec<u8>>;

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
            tracing::warn!(%error, "changes of files are looked for every 2 s: no watching here");
        }
        Self {
            watcher: watcher.ok(),
            followed: BTreeSet::new(),
            changed,
        }
    }

    /// Watches the ways to these files, and nothing else.
    ///
    /// Also what is watched already is watched anew: a directory that was removed and made again
    /// is another one under the same name.
    pub(super) fn follow(&mut self, files: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted: BTreeSet<_> = files.iter().flat_map(|file| directories(file)).collect();
        for gone in self.followed.difference(&wanted) {
            drop(watcher.unwatch(gone)); // it may be gone from the disk as well
        }
        for directory in &wanted {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %directory.display(), %error, "cannot be watched");
            }
        }
        self.followed = wanted;
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

/// What stands in the files now. Blocks.
pub(super) fn digest(files: &BTreeSet<PathBuf>) -> Digest {
    let of = |path: &PathBuf| {
        let mut content = Vec::new();
        let read = open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content));
        if let Err(error) = read {
            content = error.to_string().into_bytes();
        }
        (path.clone(), sha256(&SHA256, &content).as_ref().to_vec())
    };
    files.iter().map(of).collect()
}

/// More of a file is not looked at: none that the gateway reads is larger.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The directories in which a change can make `file` another one: its own, that of every link on
/// the way to it, and, where the way ends early, the one in which the rest is missing.
fn directories(file: &Path) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    let mut way = file.to_owned();
    for _ in 0..LINKS_MAX {
        match first_turn(&way) {
            Turn::Link {
                directory,
                leads_to,
            } => {
                directories.insert(directory);
                way = leads_to;
            }
            Turn::Missing { directory } => {
                directories.insert(directory);
                return directories;
            }
            Turn::None => break,
        }
    }
    directories.insert(directory_of(&way));
    directories
}

/// As many as Linux follows.
const LINKS_MAX: usize = 40;

/// What stands first on the way to a file that is not a plain directory or the file itself.
enum Turn {
    Link {
        directory: PathBuf,
        /// The whole way, with what the link says in place of the link.
        leads_to: PathBuf,
    },
    Missing {
        directory: PathBuf,
    },
    None,
}

fn first_turn(way: &Path) -> Turn {
    let mut gone = PathBuf::new();
    let mut components = way.components();
    while let Some(component) = components.next() {
        let directory = if gone.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            gone.clone()
        };
        gone.push(component);
        if !matches!(component, Component::Normal(_)) {
            continue;
        }
        let Ok(kind) = gone.symlink_metadata().map(|found| found.file_type()) else {
            return Turn::Missing { directory };
        };
        if !kind.is_symlink() {
            continue;
        }
        let Ok(target) = gone.read_link() else {
            return Turn::Missing { directory };
        };
        let leads_to = directory.join(target).join(components.as_path());
        return Turn::Link {
            directory,
            leads_to,
        };
    }
    Turn::None
}

fn directory_of(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// Cheap signs of a change: what the system says of each file.
pub(super) type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// Inode, length, and the times of the last change of content and of the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, (i64, i64), (i64, i64));

/// What the system says of the files now, links followed.
pub(super) fn stamps(files: &BTreeSet<PathBuf>) -> Stamps {
    let of = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok();
        let stamp = found.map(|found| {
            let content = (found.mtime(), found.mtime_nsec());
            let inode = (found.ctime(), found.ctime_nsec());
            Stamp(found.ino(), found.len(), content, inode)
        });
        (path.clone(), stamp)
    };
    files.iter().map(of).collect()
}

/// The files that differ, those that are only in one included.
pub(super) fn difference(before: &Digest, now: &Digest) -> BTreeSet<PathBuf> {
    let files = before.keys().chain(now.keys());
    let differs = |file: &&PathBuf| before.get(*file) != now.get(*file);
    files.filter(differs).cloned().collect()
}

/// The configuration file and every file that it names.
pub(super) fn files(file: &Path, spec: &Spec) -> BTreeSet<PathBuf> {
    let key_sets = spec.issuers.values();
    let key_sets = key_sets.filter_map(|issuer| match &issuer.keys {
        IssuerKeysSpec::File(file) => Some(file),
        IssuerKeysSpec::Remote(remote) => remote.tls.ca(),
        IssuerKeysSpec::None => None,
    });
    let nonce_keys = spec
        .issuers
        .values()
        .flat_map(|issuer| &issuer.dpop.nonce_keys);
    let introspections = spec.issuers.values();
    let introspections = introspections.filter_map(|issuer| issuer.introspection.as_ref());
    let introspections =
        introspections.flat_map(|asked| [asked.tls.ca(), asked.share_key.as_ref()]);
    let signing_keys = spec
        .signed_identity
        .iter()
        .flat_map(|signed| match &signed.keys {
            SigningKeysSpec::Made { .. } => &[],
            SigningKeysSpec::Files(files) => files.as_slice(),
        });
    let cookie_keys = spec.logins.values().flat_map(|login| &login.keys);
    let store = spec.shared_state.iter();
    let password = store.filter_map(|store| store.password_file.as_ref());
    material(spec)
        .chain(key_sets)
        .chain(introspections.flatten())
        .chain(password)
        .chain(signing_keys)
        .chain(nonce_keys)
        .chain(cookie_keys)
        .cloned()
        .chain([file.to_owned()])
        .collect()
}

/// The files with key pairs and with what is believed: they are read again without the
/// configuration.
pub(super) fn material(spec: &Spec) -> impl Iterator<Item = &PathBuf> {
    let pairs = spec
        .listeners
        .values()
        .flat_map(|listener| &listener.tls.certificates)
        .filter_map(ServedSpec::files)
        .chain(spec.identities.values().filter_map(CertificateSpec::files))
        .flat_map(|pair| [&pair.cert, &pair.key]);
    let bundles = spec.trust.values();
    let with_next = bundles.flat_map(|bundle| [Some(bundle), bundle.next.as_deref()]);
    let bundles = with_next.flatten().flat_map(|bundle| {
        let intermediates = bundle.intermediates.iter();
        bundle
            .ca
            .files()
            .iter()
            .chain(intermediates)
            .chain(&bundle.crl)
    });
    let credentials = spec.oauth_clients.values();
    let credentials = credentials.filter_map(OauthClientSpec::file);
    let key_lists = spec.api_keys.values().map(|list| &list.file);
    pairs
        .chain(bundles)
        .chain(key_lists)
        .chain(&spec.deny)
        .chain(credentials)
}
