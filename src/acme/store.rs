//! [`AcmeStore`]: the certificates that are issued for us, by their place in the configuration.
//!
//! Compiling a configuration asks here for each; what the folder holds is used at once. Only the
//! [`Keeper`](super::keeper::Keeper), which runs in a gateway that serves, orders new ones.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::pki_types::UnixTime;
use tokio::sync::{Notify, watch};

use super::challenge::Challenges;
use super::error::{AcmeError, Retry};
use super::folder::Folder;
use super::schedule::renewal;
use crate::config::acme::AcmeSpec;
use crate::identity::host::Host;
use crate::trust::{KeyPair, Source, SourceKind, TrustError};

/// Every certificate that an ACME directory issues for us.
#[derive(Debug)]
pub struct AcmeStore {
    /// What somebody holds: a snapshot, or a configuration that is being compiled.
    known: Mutex<HashMap<Key, Weak<Managed>>>,
    challenges: Arc<Challenges>,
    wanted: watch::Sender<Vec<Arc<Managed>>>,
    changed: Arc<Notify>,
}

/// The place in the configuration, the directory, and the names.
type Key = (String, AcmeSpec, Vec<Host>);

/// One certificate that an ACME directory issues.
#[derive(Debug)]
pub struct Managed {
    pub(super) spec: AcmeSpec,
    pub(super) names: Vec<Host>,
    pub(super) folder: Folder,
    place: Box<str>,
    source: Source<KeyPair>,
    /// What the directory had issued for some of the names when this was first asked for.
    meanwhile: Option<Arc<KeyPair>>,
    file: PathBuf,
    /// The file as it was when it was last read.
    seen: Mutex<Option<Stamp>>,
    /// What was wrong with the file when it was first read.
    found: Result<(), String>,
}

/// What changes when a file is replaced.
type Stamp = (u64, u64, i64, i64);

impl AcmeStore {
    /// Knows nothing yet. `changed` is told of each new certificate.
    #[must_use]
    pub fn new(changed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            challenges: Arc::default(),
            wanted: watch::Sender::new(Vec::new()),
            changed,
        })
    }

    /// The certificate that `place` in the configuration asks for. Reads the folder when it is asked
    /// for the first time; speaks with nobody.
    #[must_use]
    pub fn certificate(&self, place: &str, spec: &AcmeSpec, names: &[Host]) -> Arc<Managed> {
        let mut known = self.known.lock();
        known.retain(|_, managed| managed.strong_count() > 0);
        let key = (place.to_owned(), spec.clone(), names.to_vec());
        if let Some(managed) = known.get(&key).and_then(Weak::upgrade) {
            return managed;
        }
        let folder = Folder::of(spec);
        let others = known.values().filter_map(Weak::upgrade);
        let others = others.filter(|other| other.spec == *spec);
        let current = others.filter_map(|other| other.source.current());
        let meanwhile = current
            .map(|pair| (names.iter().filter(|name| pair.serves(name)).count(), pair))
            .filter(|(count, _)| *count > 0)
            .max_by_key(|(count, _)| *count);
        let changed = Some(Arc::clone(&self.changed));
        let mut managed = Managed {
            spec: spec.clone(),
            names: names.to_vec(),
            place: place.into(),
            meanwhile: meanwhile.map(|(_, pair)| pair),
            source: Source::new(SourceKind::Acme, place, changed),
            file: folder.certificate(names),
            folder,
            seen: Mutex::new(None),
            found: Ok(()),
        };
        managed.found = managed.look();
        let managed = Arc::new(managed);
        known.insert(key, Arc::downgrade(&managed));
        managed
    }

    /// From now on these certificates are kept in time, and no others.
    pub fn keep(&self, wanted: Vec<Arc<Managed>>) {
        self.wanted.send_replace(wanted);
    }

    pub(super) fn wanted(&self) -> watch::Receiver<Vec<Arc<Managed>>> {
        self.wanted.subscribe()
    }

    /// The challenges of this moment.
    #[must_use]
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }
}

impl Managed {
    /// Where the certificates come out.
    #[must_use]
    pub const fn source(&self) -> &Source<KeyPair> {
        &self.source
    }

    /// The place in the configuration that asks for it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// An older certificate of the same directory for some of the names. Until the first one is
    /// issued it goes on for those: names that are added take nothing from the others.
    #[must_use]
    pub const fn meanwhile(&self) -> Option<&Arc<KeyPair>> {
        self.meanwhile.as_ref()
    }

    /// When it is to be renewed, in seconds since 1970; at once, if there is none or it is over.
    pub(super) fn renewal(&self, now: i64) -> i64 {
        let Some(current) = self.source.current() else {
            return now;
        };
        let certificates = current.certificates();
        let Some(leaf) = certificates.first().filter(|leaf| leaf.not_after >= now) else {
            return now;
        };
        renewal(leaf.not_before, leaf.not_after, &current.digest())
    }

    /// Looks into the folder, if the file has changed: this process has put it there, or another.
    /// Blocks.
    pub(super) fn read_again(&self) {
        drop(self.look()); // the source has told it
    }

    fn look(&self) -> Result<(), String> {
        let stamp = std::fs::metadata(&self.file).ok().as_ref().map(stamp);
        if std::mem::replace(&mut *self.seen.lock(), stamp) == stamp || stamp.is_none() {
            return Ok(());
        }
        match load(&self.file, &self.names) {
            Ok(pair) => drop(self.source.publish(&self.source.same_or(pair))),
            Err(error) => {
                self.source.refuse(&error);
                return Err(error.what());
            }
        }
        Ok(())
    }

    /// What is missing, for who compiles a configuration.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        match (self.source.current(), &self.found) {
            (Some(_), _) => None,
            (None, Err(problem)) => Some(format!("{problem}: it is ordered anew")),
            (None, Ok(())) => Some("no certificate is there yet: it is ordered".to_owned()),
        }
    }

    /// Keeps what was issued, and uses it. PEM: key, certificate, chain. Blocks.
    ///
    /// # Errors
    ///
    /// If it cannot be used or not be kept. That of before stays.
    pub(super) fn take(&self, issued: &str) -> Result<(), AcmeError> {
        let mut seen = self.seen.lock();
        let mut taken = None;
        self.folder
            .replace(&self.file, issued.as_bytes(), |draft| {
                let pair = load(draft, &self.names).map_err(|error| {
                    let what = format!("what the directory issued is not taken: {}", error.what());
                    AcmeError::new(Retry::Later, what)
                })?;
                taken = Some(pair);
                Ok::<_, AcmeError>(())
            })?;
        *seen = std::fs::metadata(&self.file).ok().as_ref().map(stamp);
        drop(seen);
        if let Some(pair) = taken {
            self.source.offer(Ok(pair));
        }
        Ok(())
    }
}

fn stamp(found: &Metadata) -> Stamp {
    (found.ino(), found.len(), found.mtime(), found.mtime_nsec())
}

/// A key pair that is for all of these names.
fn load(file: &Path, names: &[Host]) -> Result<KeyPair, TrustError> {
    let pair = KeyPair::load(file, file, UnixTime::now())?;
    match names.iter().find(|name| !pair.serves(name)) {
        None => Ok(pair),
        Some(name) => Err(TrustError::NameMissing {
            file: file.to_owned(),
            name: name.to_string(),
        }),
    }
}

impl From<std::io::Error> for AcmeError {
    fn from(error: std::io::Error) -> Self {
        Self::new(
            Retry::Later,
            format!("the folder cannot be written: {error}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pki::{Authority, Request, Usage};

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_is_issued_is_taken_only_if_it_fits_and_else_that_of_before_stays() {
        let folder = std::env::temp_dir().join(format!("portcullis-acme-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        let spec = AcmeSpec {
            directory: http::Uri::from_static("https://acme.example/dir"),
            ca: PathBuf::new(),
            contact: Vec::new(),
            folder: folder.clone(),
            challenge: crate::config::acme::AcmeChallenge::TlsAlpn01,
            eab: None,
        };
        let names: Vec<Host> = ["a.example", "b.example"]
            .map(|n| n.parse().unwrap())
            .into();
        let ca = Authority::new("ca", DAY).unwrap();
        let issue = |dns: &[&str], change: fn(&mut Request)| {
            let mut request = Request::new("", Usage::Server, DAY);
            request.dns = dns.iter().map(|name| (*name).to_owned()).collect();
            change(&mut request);
            ca.issue(request).unwrap()
        };
        let both = ["a.example", "b.example"];
        let good = issue(&both, |_| {});
        let other = issue(&both, |_| {});
        let over = issue(&both, |request| request.not_after = request.not_before);
        let later = issue(&both, |request| {
            request.not_before += 2 * DAY;
            request.not_after += 2 * DAY;
        });
        let one = issue(&["a.example"], |_| {});
        let store = AcmeStore::new(Arc::default());
        let managed = store.certificate("place", &spec, &names);
        assert_eq!(managed.renewal(7), 7, "at once");
        managed.take(&format!("{}{}", good.key, good.cert)).unwrap();
        let taken = managed.source().current().unwrap().digest();
        assert!(managed.renewal(0) > 0);
        let cases = [
            (format!("{}{}", other.key, good.cert), "is not that of"),
            (format!("{}{}", over.key, over.cert), "expired"),
            (format!("{}{}", later.key, later.cert), "not yet"),
            (format!("{}{}", one.key, one.cert), "not for b.example"),
            (format!("{}{}", good.key, ca.cert()), "is that of a CA"),
            (good.cert.clone(), "no private key"),
            (good.key.clone(), "no certificate"),
            ("<html>".to_owned(), "no certificate"),
        ];
        for (issued, problem) in cases {
            let refused = managed.take(&issued).unwrap_err();
            assert!(refused.to_string().contains(problem), "{refused}");
            assert_eq!(refused.retry(), Retry::Later);
            assert_eq!(managed.source().current().unwrap().digest(), taken);
        }
        // What stands in the folder is whole, and is what the next process finds.
        let again = AcmeStore::new(Arc::default()).certificate("place", &spec, &names);
        assert_eq!(again.source().current().unwrap().digest(), taken);
        let files = std::fs::read_dir(managed.file.parent().unwrap()).unwrap();
        assert_eq!(files.count(), 1, "no drafts are left");
        managed
            .take(&format!("{}{}", other.key, other.cert))
            .unwrap();
        assert_ne!(managed.source().current().unwrap().digest(), taken);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
