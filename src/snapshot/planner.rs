//! [`Planner`]: the plans of listeners, upstreams and routes, built from the configuration and its
//! [`Material`].
//!
//! Every problem is noted at its place, and the work goes on, so that all are shown at once. When
//! only the material is another, listeners are built anew ([`listeners`]) and policies
//! (`policies.rs`), and all else stays.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Snapshot;
use super::external_authorization::ExternalAuthorizationPlan;
use super::logins::Logins;
use super::material::Material;
use super::plan::{LimitPlan, ListenerPlan, PolicyId, PolicyTerms, RoutePlan, UpstreamPlan};
use super::reach::grace_seconds;
use super::stores::Stores;
use crate::assertion::Asserter;
use crate::authenticate::authenticator::{Authenticator, Way};
use crate::authenticate::issuer::Issuer;
use crate::authenticate::jwks;
use crate::authenticate::possession::terms::ProofTerms;
use crate::authenticate::tokens::Tokens;
use crate::authenticate::verifier::JwtVerifier;
use crate::authorize::policy::RoutePolicy;
use crate::authorize::rules::Rules;
use crate::config::Places;
use crate::config::issuer_keys::{IssuerKeysSpec, RemoteKeysSpec};
use crate::config::problem::Problem;
use crate::config::spec::{
    IssuerSpec, JwtSpec, ListenerSpec, RouteSpec, Spec, TokenSpec, UpstreamSpec, UpstreamTlsSpec,
};
use crate::config::token::WantedTokens;
use crate::edge::listener::Listener;
use crate::identity::name::Name;
use crate::identity::pattern::ServerPattern;
use crate::limit::in_flight::InFlight;
use crate::observe::UpstreamMetrics;
use crate::upstream::Protocol;

/// What one compilation has built, and the problems that it met.
pub(super) struct Planner<'c> {
    places: &'c Places,
    pub(super) stores: &'c Stores,
    pub(super) previous: Option<&'c Snapshot>,
    pub(super) issuers: HashMap<Name, Arc<Issuer>>,
    pub(super) proof_terms: HashMap<Name, Arc<ProofTerms>>,
    pub(super) logins: Logins,
    /// Terms by upstream and narrowed `accept`: routes share them.
    terms: Vec<PolicyTerms>,
    known_terms: HashMap<(Name, Vec<ServerPattern>), PolicyId>,
    pub(super) external_authorizations: BTreeMap<Name, ExternalAuthorizationPlan>,
    problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// What comes of a [`Planner`].
pub(super) struct Planned {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) issuers: HashMap<Name, Arc<Issuer>>,
    pub(super) terms: Vec<PolicyTerms>,
    pub(super) external_authorizations: BTreeMap<Name, ExternalAuthorizationPlan>,
}

impl<'c> Planner<'c> {
    pub(super) fn new(
        places: &'c Places,
        stores: &'c Stores,
        previous: Option<&'c Snapshot>,
    ) -> Self {
        Self {
            places,
            stores,
            previous,
            issuers: HashMap::new(),
            proof_terms: HashMap::new(),
            logins: Logins::default(),
            terms: Vec::new(),
            known_terms: HashMap::new(),
            external_authorizations: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Planned {
        Planned {
            problems: self.problems,
            warnings: self.warnings,
            issuers: self.issuers,
            terms: self.terms,
            external_authorizations: self.external_authorizations,
        }
    }

    /// Reads the key sets of issuers. Those that are fetched are not asked for here.
    pub(super) fn issuers(&mut self, spec: &Spec) {
        for (name, issuer) in &spec.issuers {
            let made = match &issuer.keys {
                IssuerKeysSpec::None => Some(self.issuer_without_keys(name, issuer)),
                IssuerKeysSpec::File(file) => self.issuer_with_file(name, issuer, file),
                IssuerKeysSpec::Remote(remote) => self.remote_issuer(name, issuer, remote),
            };
            let introspector = self.introspector(spec, name, issuer);
            if let (Some(made), Some(introspector)) = (made, introspector) {
                let before = self.previous.and_then(|before| before.issuers.get(name));
                let made = made.asked_by(introspector, before);
                self.issuers.insert(name.clone(), Arc::new(made));
            }
        }
    }

    fn issuer_with_file(&mut self, name: &Name, spec: &IssuerSpec, file: &Path) -> Option<Issuer> {
        let place = format!("issuers.{name}.keys.file");
        let jwks = self.file(&place, file)?;
        let before = self.previous.and_then(|before| before.issuers.get(name));
        let shown = file.display();
        let metrics = self.stores.metrics.issuer(name);
        match Issuer::new(name, spec, &jwks, metrics, before) {
            Ok(read) => {
                let ignored = read.ignored_keys().iter();
                self.warnings
                    .extend(ignored.map(|key| format!("{place}: {shown}: {key}")));
                Some(read)
            }
            Err(error) => {
                let what = format!("{shown}: {}", error.what());
                self.problem(&place, &what, Some(&error.hint()));
                None
            }
        }
    }

    fn remote_issuer(
        &mut self,
        name: &Name,
        spec: &IssuerSpec,
        remote: &RemoteKeysSpec,
    ) -> Option<Issuer> {
        let client = self.client(&format!("issuers.{name}.keys.tls"), &remote.tls)?;
        let metrics = self.stores.metrics.issuer_keys(name);
        let keys = self
            .stores
            .issuer_keys
            .keys(name, spec, remote, client, metrics);
        let before = self.previous.and_then(|before| before.issuers.get(name));
        let metrics = self.stores.metrics.issuer(name);
        Some(Issuer::remote(name, spec, keys, metrics, before))
    }

    pub(super) fn upstreams(&mut self, spec: &Spec) -> BTreeMap<Name, Arc<UpstreamPlan>> {
        let plan = |(name, upstream): (&Name, &UpstreamSpec)| {
            let metrics: Arc<UpstreamMetrics> = self.stores.metrics.upstream(name);
            let endpoints = self
                .stores
                .endpoints
                .endpoints(name, &upstream.endpoints, &metrics);
            let before = self.previous.and_then(|before| before.upstreams.get(name));
            let max = upstream.in_flight;
            let in_flight = before.map_or_else(
                || InFlight::new(max),
                |before| before.in_flight.with_max(max),
            );
            let name = name.clone();
            let timeouts = upstream.timeouts;
            (
                name.clone(),
                Arc::new(UpstreamPlan {
                    name,
                    endpoints,
                    timeouts,
                    in_flight,
                    metrics,
                }),
            )
        };
        spec.upstreams.iter().map(plan).collect()
    }

    pub(super) fn routes(
        &mut self,
        spec: &Spec,
        upstreams: &BTreeMap<Name, Arc<UpstreamPlan>>,
        asserter: Option<&Arc<Asserter>>,
    ) -> Vec<Arc<RoutePlan>> {
        let mut plans = Vec::with_capacity(spec.routes.len());
        for (name, route) in &spec.routes {
            let Some(upstream) = upstreams.get(&route.upstream) else {
                continue;
            };
            let Some(settings) = spec.upstreams.get(&route.upstream) else {
                continue;
            };
            let policy = self.policy(name, route, settings);
            self.check_asked(name, route);
            if let Some(authenticator) = self.authenticator(name, route) {
                let upstream = Arc::clone(upstream);
                let mut plan = self.route(name, route, upstream, policy, authenticator);
                let wanted = route.forward.signed_identity;
                plan.asserter = asserter.filter(|_| wanted).map(Arc::clone);
                plan.external_authorization = self.external_authorization(route);
                plan.exchange = self.exchange(spec, name, route);
                plans.push(Arc::new(plan));
            }
        }
        plans
    }

    fn route(
        &self,
        name: &Name,
        route: &RouteSpec,
        upstream: Arc<UpstreamPlan>,
        policy: PolicyId,
        authenticator: Authenticator,
    ) -> RoutePlan {
        let limits = route
            .limits
            .iter()
            .enumerate()
            .map(|(index, limit)| LimitPlan {
                name: limit_name(index).into(),
                limiter: self
                    .stores
                    .limits
                    .limiter(&format!("route/{name}/{index}"), limit.rate),
                key: limit.per.clone(),
            });
        let limits: Box<[_]> = limits.collect();
        let metrics = self.stores.metrics.route(name);
        metrics.set_limits(limits.len());
        metrics.set_grace(route.grace_after_expiry.is_some());
        RoutePlan {
            name: name.clone(),
            authenticator,
            listeners: (!route.listeners.is_empty()).then(|| route.listeners.as_slice().into()),
            rules: Rules::new(route),
            route_policy: RoutePolicy::new(&route.policy, &metrics),
            grace_seconds: grace_seconds(route),
            limits,
            upstream,
            policy,
            forward: route.forward,
            asserter: None,
            external_authorization: None,
            exchange: None,
            max_body: route.max_body,
            websocket: route.websocket,
            metrics,
        }
    }

    fn authenticator(&self, name: &Name, route: &RouteSpec) -> Option<Authenticator> {
        let mut ways = Vec::new();
        match &route.token {
            TokenSpec::None => {}
            TokenSpec::Wanted(wanted) => ways.push(Way::Tokens(self.tokens(name, wanted)?)),
        }
        ways.extend(self.logins.way(route)?);
        if let Some(wanted) = &route.api_key {
            ways.push(Way::ApiKeys(self.api_keys(wanted)));
        }
        Some(Authenticator::new(ways))
    }

    fn tokens(&self, name: &Name, wanted: &WantedTokens) -> Option<Tokens> {
        self.begin_possession(name);
        let verifier = |jwt: &JwtSpec| {
            let issuer = Arc::clone(self.issuers.get(&jwt.issuer)?);
            Some(JwtVerifier::new(issuer, jwt, self.possession(name, jwt)?))
        };
        let any: Option<Vec<_>> = wanted.any.iter().map(verifier).collect();
        Some(Tokens::new(any?, &wanted.from))
    }

    /// The terms of the upstream, or narrower ones if the route says so.
    fn policy(&mut self, name: &Name, route: &RouteSpec, upstream: &UpstreamSpec) -> PolicyId {
        let narrowed = !route.accept.is_empty();
        let accept = if narrowed {
            &route.accept
        } else {
            &upstream.tls.accept
        };
        let key = (route.upstream.clone(), accept.clone());
        if let Some(known) = self.known_terms.get(&key) {
            return *known;
        }
        let id = self.add_terms(PolicyTerms {
            upstream: route.upstream.clone(),
            tls: UpstreamTlsSpec {
                accept: accept.clone(),
                ..upstream.tls.clone()
            },
            protocol: Protocol::Http1,
            metrics: self.stores.metrics.upstream(&route.upstream),
            place: match narrowed {
                true => format!("routes.{name}.accept"),
                false => format!("upstreams.{}.tls", route.upstream),
            },
        });
        self.known_terms.insert(key, id);
        id
    }

    pub(super) fn add_terms(&mut self, terms: PolicyTerms) -> PolicyId {
        let id = PolicyId(self.terms.len());
        self.terms.push(terms);
        id
    }

    /// Reads a key set, no larger than `authenticate` takes.
    fn file(&mut self, place: &str, path: &Path) -> Option<Vec<u8>> {
        use std::io::Read as _;
        let limit = u64::try_from(jwks::FILE_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut bytes = Vec::new();
        let read =
            crate::trust::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        match read {
            Ok(_length) => Some(bytes),
            Err(error) => {
                let what = format!("{} cannot be read: {error}", path.display());
                self.problem(place, &what, Some("check the path, which is relative to the configuration, and who may read it"));
                None
            }
        }
    }

    pub(super) fn problem(&mut self, place: &str, what: &dyn Display, hint: Option<&str>) {
        let problem = self.places.problem(place, what.to_string());
        self.problems.push(match hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        });
    }
}

/// Builds the listeners. What could not be built is told to `failed`, by its place.
pub(super) fn listeners(
    spec: &Spec,
    material: &Material,
    stores: &Stores,
    previous: Option<&Snapshot>,
    grace: impl Fn(&Name) -> Duration,
    mut failed: impl FnMut(String, &dyn Display),
) -> HashMap<Name, Arc<ListenerPlan>> {
    let mut plans = HashMap::new();
    for (name, listener) in &spec.listeners {
        let before = previous.and_then(|before| before.listeners.get(name));
        let before = before.map(AsRef::as_ref);
        let grace = grace(name);
        match listener_plan(name, listener, material, stores, grace, before) {
            Some(Ok(plan)) => drop(plans.insert(name.clone(), Arc::new(plan))),
            Some(Err(error)) => failed(format!("listeners.{name}.tls"), &*error),
            None => {} // what is missing for it was noted before
        }
    }
    plans
}

fn listener_plan(
    name: &Name,
    spec: &ListenerSpec,
    material: &Material,
    stores: &Stores,
    grace: Duration,
    before: Option<&ListenerPlan>,
) -> Option<Result<ListenerPlan, Box<dyn Display>>> {
    let certificates = material.served(name, spec);
    let trust = material.trust_store(&spec.tls.clients.trust)?;
    let metrics = stores.metrics.listener(name);
    let edge = before.map(|before| &*before.edge);
    let edge = match Listener::new(name, spec, certificates, trust, metrics, grace, edge) {
        Ok(edge) => Arc::new(edge),
        Err(error) => return Some(Err(Box::new(error))),
    };
    let peers = stores
        .limits
        .limiter(&format!("listener/{name}"), spec.limits.requests_per_peer);
    let max = spec.limits.in_flight_per_peer;
    let in_flight = before.map_or_else(
        || InFlight::new(max),
        |before| before.in_flight.with_max(max),
    );
    Some(Ok(ListenerPlan {
        edge,
        peers,
        in_flight,
    }))
}

/// By what name clients know a limit: not that of the route, which is none of their business.
fn limit_name(index: usize) -> String {
    format!("limit-{index}")
}
