//! [`IssuerKeyStore`]: the keys of issuers that are fetched, by what the configuration says of them.
//!
//! Compiling a configuration asks here for each and speaks with nobody. [`IssuerKeyStore::fetch`],
//! which runs in a gateway that serves, has one task for each issuer of the configuration in use.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::fetcher::Fetcher;
use super::remote::RemoteKeys;
use crate::config::fetch::FetchTlsSpec;
use crate::config::issuer_keys::{KeyTermsSpec, KeysFrom, RemoteKeysSpec};
use crate::config::spec::{IssuerSpec, SignatureAlgorithm};
use crate::fetch::Client;
use crate::identity::name::Name;
use crate::observe::IssuerKeysMetrics;

/// Every issuer's keys that somebody holds: a snapshot, or a configuration that is being compiled.
#[derive(Debug)]
pub struct IssuerKeyStore {
    known: Mutex<HashMap<Origin, Vec<Known>>>,
    wanted: watch::Sender<Vec<Arc<RemoteKeys>>>,
}

/// Whose keys, from where, for what, and on whose word. What differs in none of it has the same keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    name: Name,
    issuer: String,
    algorithms: Vec<SignatureAlgorithm>,
    from: KeysFrom,
    tls: FetchTlsSpec,
}

#[derive(Debug)]
struct Known {
    terms: KeyTermsSpec,
    keys: Weak<RemoteKeys>,
}

/// How long a gateway that starts waits for its issuers before it says that it is ready. One that is
/// down keeps it from nothing else.
const AWAITED_MAX: Duration = Duration::from_secs(5);

impl Default for IssuerKeyStore {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            wanted: watch::Sender::new(Vec::new()),
        }
    }
}

impl IssuerKeyStore {
    /// The keys of an issuer. Where only the times are others than before, the keys of before go on.
    #[must_use]
    pub fn keys(
        &self,
        name: &Name,
        issuer: &IssuerSpec,
        remote: &RemoteKeysSpec,
        client: Arc<Client>,
        metrics: Arc<IssuerKeysMetrics>,
    ) -> Arc<RemoteKeys> {
        let origin = Origin {
            name: name.clone(),
            issuer: issuer.issuer.clone(),
            algorithms: issuer.algorithms.clone(),
            from: remote.from.clone(),
            tls: remote.tls.clone(),
        };
        let mut known = self.known.lock();
        known.retain(|_, list| {
            list.retain(|one| one.keys.strong_count() > 0);
            !list.is_empty()
        });
        let list = known.entry(origin).or_default();
        let before = list.iter().rev().find_map(|one| one.keys.upgrade());
        let same = list.iter().find(|one| one.terms == remote.terms);
        if let Some(keys) = same.and_then(|one| one.keys.upgrade()) {
            return keys;
        }
        let fetcher = Fetcher::new(issuer, remote, client);
        let keys = RemoteKeys::new(name, fetcher, &remote.terms, metrics, before.as_deref());
        let keys = Arc::new(keys);
        list.push(Known {
            terms: remote.terms,
            keys: Arc::downgrade(&keys),
        });
        keys
    }

    /// From now on the keys of these issuers are fetched, and no others.
    pub fn keep(&self, wanted: Vec<Arc<RemoteKeys>>) {
        self.wanted.send_replace(wanted);
    }

    /// Fetches what is [kept](Self::keep), each in a task of its own that ends when its issuer leaves
    /// the configuration.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the fetches that are under way.
    pub async fn fetch(self: Arc<Self>) {
        let mut wanted = self.wanted.subscribe();
        let mut tasks = JoinSet::new();
        let mut running: Vec<(Arc<RemoteKeys>, AbortHandle)> = Vec::new();
        loop {
            let now = wanted.borrow_and_update().clone();
            running.retain(|(keys, task)| {
                let stays = now.iter().any(|other| Arc::ptr_eq(keys, other));
                if !stays {
                    task.abort();
                }
                stays
            });
            for keys in now {
                if running.iter().any(|(one, _)| Arc::ptr_eq(one, &keys)) {
                    continue;
                }
                let kept = Arc::clone(&keys);
                let task = tasks.spawn(async move { kept.keep().await });
                running.push((keys, task));
            }
            while tasks.try_join_next().is_some() {}
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends when every issuer's keys are there, or after a while.
    pub async fn awaited(&self) {
        let wanted = self.wanted.borrow().clone();
        let all = async {
            for keys in &wanted {
                keys.there().await;
            }
        };
        if timeout(AWAITED_MAX, all).await.is_err() {
            tracing::warn!(
                waited = ?AWAITED_MAX,
                "issuers have not given their keys yet: their tokens are answered with 503 issuer_keys_unavailable"
            );
        }
    }
}
