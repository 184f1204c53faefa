//! [`Materials`]: the files that a configuration names, read; and the plans, built from them.
//!
//! Every problem is noted at its place, and the work goes on, so that all are shown at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::Snapshot;
use super::plan::{Authenticator, LimitPlan, ListenerPlan, RoutePlan, UpstreamPlan};
use super::reach::{grace_seconds, largest_grace};
use super::stores::Stores;
use crate::authenticate::issuer::Issuer;
use crate::authenticate::jwks;
use crate::authenticate::verifier::JwtVerifier;
use crate::authorize::Rules;
use crate::config::Places;
use crate::config::problem::Problem;
use crate::config::spec::{KeyPairSpec, ListenerSpec, RouteSpec, Spec, TokenSpec, UpstreamSpec};
use crate::edge::listener::Listener;
use crate::identity::name::Name;
use crate::identity::pattern::ServerPattern;
use crate::limit::in_flight::InFlight;
use crate::observe::{CertificateSeries, UpstreamMetrics};
use crate::trust::{CertificateInfo, KeyPair, TrustBundle, TrustError, TrustStore};
use crate::upstream::{Policy, PolicyParts};

/// What one compilation has read, and the problems that it met.
pub(super) struct Materials<'c> {
    places: &'c Places,
    stores: &'c Stores,
    previous: Option<&'c Snapshot>,
    now: UnixTime,
    trust: HashMap<Name, Arc<TrustBundle>>,
    identities: HashMap<Name, Arc<KeyPair>>,
    issuers: HashMap<Name, Arc<Issuer>>,
    /// Policies by upstream and narrowed `accept`: routes share them.
    policies: HashMap<(Name, Vec<ServerPattern>), Arc<Policy>>,
    problems: Vec<Problem>,
    certificates: Vec<CertificateSeries>,
    warnings: Vec<String>,
}

type Parts = (
    Vec<Problem>,
    Vec<CertificateSeries>,
    Vec<String>,
    HashMap<Name, Arc<Issuer>>,
);

impl<'c> Materials<'c> {
    pub(super) fn new(
        places: &'c Places,
        stores: &'c Stores,
        previous: Option<&'c Snapshot>,
        now: UnixTime,
    ) -> Self {
        Self {
            places,
            stores,
            previous,
            now,
            trust: HashMap::new(),
            identities: HashMap::new(),
            issuers: HashMap::new(),
            policies: HashMap::new(),
            problems: Vec::new(),
            certificates: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn into_parts(self) -> Parts {
        (
            self.problems,
            self.certificates,
            self.warnings,
            self.issuers,
        )
    }

    /// Reads trust bundles, our key pairs and key sets.
    pub(super) fn read(&mut self, spec: &Spec) {
        for (name, bundle) in &spec.trust {
            let place = format!("trust.{name}");
            let read = TrustBundle::load(&bundle.ca);
            if let Some(bundle) = self.trusted(&place, read) {
                self.note(&place, bundle.certificates());
                self.trust.insert(name.clone(), Arc::new(bundle));
            }
        }
        for (name, pair) in &spec.identities {
            let place = format!("identities.{name}");
            if let Some(pair) = self.key_pair(&place, pair) {
                self.identities.insert(name.clone(), pair);
            }
        }
        for (name, issuer) in &spec.issuers {
            let place = format!("issuers.{name}.keys.file");
            let Some(jwks) = self.file(&place, &issuer.keys) else {
                continue;
            };
            let before = self.previous.and_then(|before| before.issuers.get(name));
            let shown = issuer.keys.display();
            let metrics = self.stores.metrics.issuer(name);
            match Issuer::new(name, issuer, &jwks, metrics, before) {
                Ok(read) => {
                    let ignored = read.ignored_keys().iter();
                    self.warnings
                        .extend(ignored.map(|key| format!("{place}: {shown}: {key}")));
                    self.issuers.insert(name.clone(), Arc::new(read));
                }
                Err(error) => {
                    let what = format!("{shown}: {}", error.what());
                    self.problem(&place, &what, Some(&error.hint()));
                }
            }
        }
    }

    pub(super) fn listeners(&mut self, spec: &Spec) -> HashMap<Name, Arc<ListenerPlan>> {
        let mut plans = HashMap::new();
        for (name, listener) in &spec.listeners {
            let grace = largest_grace(name, &spec.routes);
            if let Some(plan) = self.listener(name, listener, grace) {
                plans.insert(name.clone(), Arc::new(plan));
            }
        }
        plans
    }

    fn listener(&mut self, name: &Name, spec: &ListenerSpec, grace: u32) -> Option<ListenerPlan> {
        let certificates = spec.tls.certificates.iter().enumerate();
        let key_pairs: Vec<_> = certificates
            .filter_map(|(index, pair)| {
                self.key_pair(&format!("listeners.{name}.tls.certificates[{index}]"), pair)
            })
            .collect();
        let trust = self.trust_store(std::slice::from_ref(&spec.tls.clients.trust))?;
        let metrics = self.stores.metrics.listener(name);
        let before = self.previous.and_then(|before| before.listeners.get(name));
        let edge = before.map(|before| &*before.edge);
        let edge = match Listener::new(name, spec, key_pairs, trust, metrics, grace, edge) {
            Ok(edge) => Arc::new(edge),
            Err(error) => {
                self.problem(&format!("listeners.{name}.tls"), &error, None);
                return None;
            }
        };
        let peers = self
            .stores
            .limits
            .limiter(&format!("listener/{name}"), spec.limits.requests_per_peer);
        let max = spec.limits.in_flight_per_peer;
        let in_flight = before.map_or_else(
            || InFlight::new(max),
            |before| before.in_flight.with_max(max),
        );
        Some(ListenerPlan {
            edge,
            peers,
            in_flight,
        })
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
    ) -> Vec<Arc<RoutePlan>> {
        let mut plans = Vec::with_capacity(spec.routes.len());
        for (name, route) in &spec.routes {
            let Some(upstream) = upstreams.get(&route.upstream) else {
                continue;
            };
            let Some(settings) = spec.upstreams.get(&route.upstream) else {
                continue;
            };
            let policy = self.policy(name, route, settings, upstream);
            let authenticator = self.authenticator(route);
            if let (Some(policy), Some(authenticator)) = (policy, authenticator) {
                let upstream = Arc::clone(upstream);
                plans.push(Arc::new(self.route(
                    name,
                    route,
                    upstream,
                    policy,
                    authenticator,
                )));
            }
        }
        plans
    }

    fn route(
        &self,
        name: &Name,
        route: &RouteSpec,
        upstream: Arc<UpstreamPlan>,
        policy: Arc<Policy>,
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
            grace_seconds: grace_seconds(route),
            limits,
            upstream,
            policy,
            forward: route.forward,
            max_body: route.max_body,
            websocket: route.websocket,
            metrics,
        }
    }

    fn authenticator(&self, route: &RouteSpec) -> Option<Authenticator> {
        match &route.token {
            TokenSpec::None => Some(Authenticator::CertificateOnly),
            TokenSpec::Jwt(jwt) => {
                let issuer = Arc::clone(self.issuers.get(&jwt.issuer)?);
                Some(Authenticator::Jwt(JwtVerifier::new(issuer, jwt)))
            }
        }
    }

    /// The upstream's policy, or a narrower one if the route says so. What is missing for it was
    /// noted as a problem before.
    fn policy(
        &mut self,
        route_name: &Name,
        route: &RouteSpec,
        upstream: &UpstreamSpec,
        plan: &UpstreamPlan,
    ) -> Option<Arc<Policy>> {
        let narrowed = !route.accept.is_empty();
        let accept = if narrowed {
            &route.accept
        } else {
            &upstream.tls.accept
        };
        let key = (plan.name.clone(), accept.clone());
        if let Some(policy) = self.policies.get(&key) {
            return Some(Arc::clone(policy));
        }
        let parts = PolicyParts {
            upstream: plan.name.clone(),
            key_pair: Arc::clone(self.identities.get(&upstream.tls.identity)?),
            trust: self.trust_store(std::slice::from_ref(&upstream.tls.trust))?,
            server_name: upstream.tls.server_name.clone(),
            accept: accept.clone(),
            metrics: Arc::clone(&plan.metrics),
        };
        match self.stores.policies.policy(&parts) {
            Ok(policy) => {
                self.policies.insert(key, Arc::clone(&policy));
                Some(policy)
            }
            Err(error) => {
                let place = match narrowed {
                    true => format!("routes.{route_name}.accept"),
                    false => format!("upstreams.{}.tls", plan.name),
                };
                self.problem(&place, &error, None);
                None
            }
        }
    }

    /// What these bundles vouch for. What is missing for it was noted as a problem before.
    fn trust_store(&self, bundles: &[Name]) -> Option<Arc<TrustStore>> {
        let bundles = bundles.iter().map(|name| self.trust.get(name).cloned());
        Some(Arc::new(TrustStore::new(bundles.collect::<Option<_>>()?)))
    }

    fn key_pair(&mut self, place: &str, spec: &KeyPairSpec) -> Option<Arc<KeyPair>> {
        let read = KeyPair::load(&spec.cert, &spec.key, self.now);
        let pair = self.trusted(place, read)?;
        let warnings = pair.warnings().iter();
        self.warnings
            .extend(warnings.map(|warning| format!("{place}: {warning}")));
        self.note(place, pair.certificates());
        Some(Arc::new(pair))
    }

    fn trusted<T>(&mut self, place: &str, read: Result<T, TrustError>) -> Option<T> {
        read.map_err(|error| self.problem(place, &error.what(), Some(error.hint())))
            .ok()
    }

    /// Reads a key set, no larger than `authenticate` takes.
    fn file(&mut self, place: &str, path: &Path) -> Option<Vec<u8>> {
        use std::io::Read as _;
        let limit = u64::try_from(jwks::FILE_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        match read {
            Ok(_length) => Some(bytes),
            Err(error) => {
                let what = format!("{} cannot be read: {error}", path.display());
                self.problem(place, &what, Some("check the path, which is relative to the configuration, and who may read it"));
                None
            }
        }
    }

    fn note(&mut self, place: &str, certificates: Vec<CertificateInfo>) {
        self.certificates
            .extend(certificates.into_iter().map(|info| CertificateSeries {
                place: place.to_owned(),
                serial: info.serial,
                subject: info.subject,
                is_ca: info.is_ca,
                not_before: info.not_before,
                not_after: info.not_after,
            }));
    }

    fn problem(&mut self, place: &str, what: &dyn Display, hint: Option<&str>) {
        let problem = self.places.problem(place, what.to_string());
        self.problems.push(match hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        });
    }
}

/// By what name clients know a limit: not that of the route, which is none of their business.
fn limit_name(index: usize) -> String {
    format!("limit-{index}")
}
