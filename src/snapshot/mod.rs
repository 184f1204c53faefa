//! [`Snapshot`]: everything that a request needs, compiled; [`Live`]: the one pointer to it.
//!
//! A request sees one snapshot from start to end. What must outlive a reload (counters of limits,
//! pooled connections, resolved names, token caches) lives in [`stores::Stores`] or is handed from
//! one snapshot to the next where nothing about it changed; the snapshot holds an `Arc` to it.

mod accepted;
mod agent_material;
mod acme_material;
mod agents;
mod asserter;
mod bundle_files;
mod clients;
pub mod logins;
pub mod compile;
mod coverage;
mod exchange;
pub mod external_authorization;
mod introspection;
pub mod material;
mod key_lists;
mod oauth;
pub mod plan;
mod planner;
mod possession;
mod policies;
mod reach;
mod shared;
pub mod refresh;
pub mod rehearse;
pub mod sources;
pub mod stores;
mod trust_store;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method};
use rustls::pki_types::UnixTime;
use tokio::sync::watch;

use crate::assertion::Asserter;
use crate::authenticate::issuer::Issuer;
use crate::config::spec::Spec;
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::identity::path::NormalPath;
use crate::refusal::Refusal;
use crate::route::table::RouteTable;
use crate::upstream::Policy;
use external_authorization::ExternalAuthorizationPlan;
use logins::Logins;
use material::Material;
use plan::{ListenerPlan, PolicyTerms, RoutePlan, UpstreamPlan};
use shared::Sharing;
use stores::Stores;

/// One compiled configuration. Never changed after it is built.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the configurations that were swapped in, from 1.
    pub generation: u64,
    /// The configuration that it was compiled from, without `routes`: they are many, and what is
    /// needed of them is in the plans.
    pub spec: Arc<Spec>,
    /// Our key pairs and whom we believe.
    pub material: Material,
    listeners: HashMap<Name, Arc<ListenerPlan>>,
    issuers: HashMap<Name, Arc<Issuer>>,
    asserter: Option<Arc<Asserter>>,
    external_authorizations: BTreeMap<Name, ExternalAuthorizationPlan>,
    logins: Logins,
    sharing: Option<Sharing>,
    upstreams: BTreeMap<Name, Arc<UpstreamPlan>>,
    routes: Arc<RouteTable>,
    plans: Arc<[Arc<RoutePlan>]>,
    terms: Arc<[PolicyTerms]>,
    /// In the order of `terms`.
    policies: Box<[Option<Arc<Policy>>]>,
}

impl Snapshot {
    /// The listener of this name. A running listener always has one: listeners do not change in a
    /// reload.
    #[must_use]
    pub fn listener(&self, name: &Name) -> Option<&Arc<ListenerPlan>> {
        self.listeners.get(name)
    }

    /// The route for a request, if there is one.
    #[must_use]
    pub fn route(
        &self,
        host: &Host,
        path: &NormalPath,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<&Arc<RoutePlan>> {
        self.plans
            .get(self.routes.find(host, path, method, headers)?)
    }

    /// Whether each field that decides about the request, by choosing a route or on this route, is there
    /// in no other spelling than ours.
    ///
    /// # Errors
    ///
    /// [`Refusal::HeaderAmbiguous`]: the service may take another field for it.
    pub fn check_fields(
        &self,
        host: &Host,
        path: &NormalPath,
        headers: &HeaderMap,
        route: &RoutePlan,
    ) -> Result<(), Refusal> {
        let twin = self.routes.has_twin(host, path, headers) || route.has_twin(headers);
        (!twin).then_some(()).ok_or(Refusal::HeaderAmbiguous)
    }

    /// Who signs what services are told, if the configuration has it.
    #[must_use]
    pub fn asserter(&self) -> Option<&Asserter> {
        self.asserter.as_deref()
    }

    /// How browsers log in.
    #[must_use]
    pub const fn logins(&self) -> &Logins {
        &self.logins
    }

    /// On what terms a route's service is spoken to. `None` while the source of our key pair has
    /// given none.
    #[must_use]
    pub fn policy(&self, route: &RoutePlan) -> Option<&Arc<Policy>> {
        self.policies.get(route.policy.0)?.as_ref()
    }

    /// Tells the sources which material is in use, shows it and the endpoints in the metrics, and
    /// has the key ready that signs identities; connections to services on other terms end. To be
    /// called when it goes live.
    pub fn publish(&self, stores: &Stores) {
        if let Some(asserter) = &self.asserter {
            asserter.begin(UnixTime::now().as_secs(), Instant::now());
        }
        self.material.publish(&stores.sources);
        stores.clients.renew(|terms| self.material.fetch_tls(terms));
        stores
            .shared
            .follow(self.sharing.as_ref().map(Sharing::terms));
        let fetched = self
            .issuers
            .values()
            .filter_map(|issuer| issuer.remote_keys());
        let fetched: Vec<_> = fetched.map(Arc::clone).collect();
        stores
            .metrics
            .issuer_keys_keep_only(fetched.iter().map(|keys| keys.name()));
        stores.issuer_keys.keep(fetched);
        self.material.show_key_lists(stores);
        stores.metrics.set_sources(self.material.sources());
        stores
            .metrics
            .set_certificates(self.material.certificates());
        let logins: Vec<Name> = self.spec.logins.keys().cloned().collect();
        stores.metrics.keep_only_logins(&logins);
        let rehearsed = self.material.rehearsed();
        stores.metrics.next_trusts().keep_only(rehearsed);
        let rehearsed = self.listeners.iter().filter_map(|(name, listener)| {
            let digest = listener.edge.trust.rehearsed()?;
            Some((name.clone(), digest))
        });
        stores.metrics.clients().rehearsing(rehearsed.collect());
        stores.metrics.set_crls(self.material.crls());
        self.upstreams
            .values()
            .for_each(|upstream| upstream.endpoints.publish());
        self.external_authorizations
            .values()
            .for_each(|plan| plan.authorizer.endpoints().publish());
        stores.policies.keep_only(self.policies.iter().flatten());
    }

    /// What the configuration has, by name: for the metrics that a reload keeps.
    #[must_use]
    pub fn names(&self) -> Names {
        Names {
            listeners: self.spec.listeners.keys().cloned().collect(),
            upstreams: {
                let asked = self.spec.external_authorization.keys();
                self.spec.upstreams.keys().chain(asked).cloned().collect()
            },
            external_authorizations: self.spec.external_authorization.keys().cloned().collect(),
            oauth_clients: self.spec.oauth_clients.keys().cloned().collect(),
            routes: self.plans.iter().map(|plan| plan.name.clone()).collect(),
            issuers: self.spec.issuers.keys().cloned().collect(),
        }
    }
}

/// The names of a configuration.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the sections of the file")]
pub struct Names {
    pub listeners: Vec<Name>,
    /// Those who are asked whether requests may pass among them: they are connected to as upstreams
    /// are.
    pub upstreams: Vec<Name>,
    pub routes: Vec<Name>,
    pub issuers: Vec<Name>,
    pub external_authorizations: Vec<Name>,
    pub oauth_clients: Vec<Name>,
}

/// The one pointer that a reload swaps.
#[derive(Debug)]
pub struct Live {
    now: ArcSwap<Snapshot>,
    swapped: watch::Sender<()>,
}

impl Live {
    /// Begins with this snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self {
            now: ArcSwap::from_pointee(first),
            swapped: watch::Sender::new(()),
        }
    }

    /// The snapshot for one whole request: take it once, when the request arrives, and pass it on.
    #[must_use]
    pub fn now(&self) -> Arc<Snapshot> {
        self.now.load_full() // an Arc and not a guard: it is held across awaits
    }

    /// Requests under way keep theirs; the last of them frees the old one.
    pub fn replace(&self, next: Snapshot) {
        self.now.store(Arc::new(next));
        self.swapped.send_replace(());
    }

    /// Hears of each swap from now on.
    #[must_use]
    pub fn swaps(&self) -> watch::Receiver<()> {
        self.swapped.subscribe()
    }
}
