//! [`SourceStore`]: the sources of key material, by the place that names them. They outlive reloads,
//! so that the last good generation of each stays.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::agents::AgentStore;
use crate::acme::store::AcmeStore;
use crate::authenticate::api_keys::KeyList;
use crate::oauth::credential::Credential;
use crate::trust::{DenyList, KeyPair, Published, Source, SourceKind, SourceStatus, TrustBundle};

/// The sources of the process.
#[derive(Debug)]
pub struct SourceStore {
    key_pairs: Sources<KeyPair>,
    bundles: Sources<TrustBundle>,
    acme: Arc<AcmeStore>,
    deny: Sources<DenyList>,
    key_lists: Sources<KeyList>,
    credentials: Sources<Credential>,
    changed: Arc<Notify>,
    /// Agents of the SPIFFE Workload API, that tell some of these sources.
    pub agents: AgentStore,
}

impl Default for SourceStore {
    fn default() -> Self {
        let changed = Arc::new(Notify::new());
        Self {
            key_pairs: Sources::default(),
            bundles: Sources::default(),
            acme: AcmeStore::new(Arc::clone(&changed)),
            deny: Sources::default(),
            key_lists: Sources::default(),
            credentials: Sources::default(),
            changed,
            agents: AgentStore::default(),
        }
    }
}

#[derive(Debug)]
struct Sources<T>(Mutex<HashMap<Key, Arc<Source<T>>>>);

/// Another kind of source at the same place is another source, and so is another wish.
type Key = (SourceKind, Box<str>, Box<str>);

impl SourceStore {
    /// The source of the key pair that this place names.
    #[must_use]
    pub fn key_pair(&self, kind: SourceKind, place: &str) -> Arc<Source<KeyPair>> {
        self.key_pairs.get((kind, place, ""), &self.changed)
    }

    /// The source of the trust bundle that this place names.
    #[must_use]
    pub fn bundle(&self, kind: SourceKind, place: &str) -> Arc<Source<TrustBundle>> {
        self.bundles.get((kind, place, ""), &self.changed)
    }

    /// The certificates that ACME directories issue.
    #[must_use]
    pub const fn acme(&self) -> &Arc<AcmeStore> {
        &self.acme
    }

    /// The source of the deny list.
    #[must_use]
    pub fn deny(&self, place: &str) -> Arc<Source<DenyList>> {
        self.deny.get((SourceKind::File, place, ""), &self.changed)
    }

    /// The source of what proves to an authorization server who we are.
    #[must_use]
    pub fn credential(&self, place: &str, wish: &str) -> Arc<Source<Credential>> {
        self.credentials
            .get((SourceKind::File, place, wish), &self.changed)
    }

    /// The source of the list of API keys that this place names.
    #[must_use]
    pub fn key_list(&self, place: &str) -> Arc<Source<KeyList>> {
        let key = (SourceKind::File, place, "");
        self.key_lists.get(key, &self.changed)
    }

    /// The source of the key pair of an agent that this place wishes for.
    pub(super) fn svid(&self, place: &str, wish: &str) -> Arc<Source<KeyPair>> {
        let kind = SourceKind::WorkloadApi;
        self.key_pairs.get((kind, place, wish), &self.changed)
    }

    /// The source of the trust bundle of an agent that this place wishes for.
    pub(super) fn agent_bundle(&self, place: &str, wish: &str) -> Arc<Source<TrustBundle>> {
        let kind = SourceKind::WorkloadApi;
        self.bundles.get((kind, place, wish), &self.changed)
    }

    /// Forgets all sources but those of the configuration in use, and agents that nobody asks.
    pub fn keep_only(&self, used: &[Arc<SourceStatus>]) {
        let used: HashSet<Key> = used
            .iter()
            .map(|status| (status.kind, status.place.clone(), status.wish.clone()))
            .collect();
        self.key_pairs.keep_only(&used);
        self.bundles.keep_only(&used);
        self.deny.keep_only(&used);
        self.key_lists.keep_only(&used);
        self.credentials.keep_only(&used);
        self.agents.keep_wanted();
    }

    /// Ends when a source that tells by itself has published something since the last call.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was published is kept for the next call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl<T: Published> Sources<T> {
    fn get(
        &self,
        (kind, place, wish): (SourceKind, &str, &str),
        changed: &Arc<Notify>,
    ) -> Arc<Source<T>> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, place.into(), wish.into());
        let source = sources.entry(key).or_insert_with(|| {
            let tells = kind != SourceKind::File;
            let changed = tells.then(|| Arc::clone(changed));
            Arc::new(Source::of_several(kind, place, wish, changed))
        });
        Arc::clone(source)
    }

    fn keep_only(&self, used: &HashSet<Key>) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|key, _| used.contains(key));
    }
}

impl<T: fmt::Debug> Default for Sources<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
