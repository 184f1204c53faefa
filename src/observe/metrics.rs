//! [`Metrics`]: everything that is counted, and the page that shows it.
//!
//! One for each process. Handles are made here by name when a configuration is compiled and
//! outlive reloads: the same name gives the same handle, so that counters go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::client_record::ClientRecord;
use super::clock::unix_now;
use super::failure_record::FailureRecord;
use super::labels::ReloadFailure;
use super::logging::{LogCounts, Logging};
use super::metrics_acme::AcmeMetrics;
use super::metrics_api_keys::ApiKeyMetrics;
use super::metrics_configuration::{CertificateSeries, ConfigurationMetrics};
use super::metrics_crls::{CrlMetrics, CrlSeries};
use super::metrics_exchange::ExchangeMetrics;
use super::metrics_external_authorization::ExternalAuthorizationMetrics;
use super::metrics_introspection::IntrospectionMetrics;
use super::metrics_issuer_keys::IssuerKeysMetrics;
use super::metrics_listener::ListenerMetrics;
use super::metrics_login::LoginMetrics;
use super::metrics_page::{Page, number};
use super::metrics_process as process;
use super::metrics_route::{IssuerMetrics, RefusalTotals, RouteMetrics};
use super::metrics_shared as shared;
use super::metrics_signed::SignedIdentityMetrics;
use super::metrics_sources::SourcesMetrics;
use super::metrics_table as table;
use super::metrics_upstream::UpstreamMetrics;
use super::next_trust::NextTrusts;
use crate::identity::name::Name;
use crate::refusal::Refusal;
use crate::shared_state::Counts;
use crate::trust::SourceStatus;

/// The content type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// With more routes than this, a route that was never asked for is not shown: 100,000 idle routes
/// would make a page of 270 MB. All series of a route begin together with its first request then.
const IDLE_ROUTES_MAX: usize = 2_000;

/// The label `route` of requests that were refused before a route was found. No [`Name`] has
/// brackets.
const UNROUTED: &str = "(none)";

/// The times within which certificates of clients end, as labels and in seconds.
pub(super) const WITHIN: [(&str, i64); 4] = [
    ("1h", 3_600),
    ("24h", 24 * 3_600),
    ("7d", 7 * 24 * 3_600),
    ("30d", 30 * 24 * 3_600),
];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    listeners: Handles<ListenerMetrics>,
    upstreams: Handles<UpstreamMetrics>,
    routes: Handles<RouteMetrics>,
    issuers: Handles<IssuerMetrics>,
    pub(super) external_authorizations: Handles<ExternalAuthorizationMetrics>,
    pub(super) exchanges: Handles<ExchangeMetrics>,
    logins: Handles<LoginMetrics>,
    issuer_keys: Handles<IssuerKeysMetrics>,
    introspections: Handles<IntrospectionMetrics>,
    unrouted: Arc<RouteMetrics>,
    refusals: Arc<RefusalTotals>,
    signed_identities: Arc<SignedIdentityMetrics>,
    configuration: ConfigurationMetrics,
    acme: AcmeMetrics,
    sources: SourcesMetrics,
    crls: CrlMetrics,
    log: OnceLock<Arc<LogCounts>>,
    failures: Arc<FailureRecord>,
    clients: Arc<ClientRecord>,
    next_trusts: Arc<NextTrusts>,
    shared_state: Arc<Counts>,
    api_keys: Handles<ApiKeyMetrics>,
}

/// Handles by the names of the configuration in use, which bounds them.
pub(super) type Handles<T> = RwLock<BTreeMap<Name, Arc<T>>>;

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let refusals = Arc::new(RefusalTotals::new());
        Arc::new(Self {
            listeners: Handles::default(),
            upstreams: Handles::default(),
            routes: Handles::default(),
            issuers: Handles::default(),
            external_authorizations: Handles::default(),
            exchanges: Handles::default(),
            logins: Handles::default(),
            issuer_keys: Handles::default(),
            introspections: Handles::default(),
            unrouted: RouteMetrics::new(Arc::clone(&refusals)),
            refusals,
            signed_identities: Arc::default(),
            configuration: ConfigurationMetrics::new(),
            acme: AcmeMetrics::default(),
            sources: SourcesMetrics::default(),
            crls: CrlMetrics::default(),
            log: OnceLock::new(),
            failures: FailureRecord::new(unix_now()),
            clients: ClientRecord::new(),
            next_trusts: Arc::default(),
            shared_state: Arc::default(),
            api_keys: Handles::default(),
        })
    }

    /// Who fails in the handshake.
    #[must_use]
    pub const fn failures(&self) -> &Arc<FailureRecord> {
        &self.failures
    }

    /// Which clients are here.
    #[must_use]
    pub const fn clients(&self) -> &Arc<ClientRecord> {
        &self.clients
    }

    /// How today's peers fare under the bundles that are to come.
    #[must_use]
    pub const fn next_trusts(&self) -> &Arc<NextTrusts> {
        &self.next_trusts
    }

    /// The handle of a list of API keys.
    #[must_use]
    pub fn api_keys(&self, list: &Name) -> Arc<ApiKeyMetrics> {
        handle(&self.api_keys, list, Arc::default)
    }

    /// Forgets all lists of API keys but these.
    pub fn api_keys_keep_only<'n>(&self, lists: impl Iterator<Item = &'n Name>) {
        keep(&self.api_keys, &lists.cloned().collect::<Vec<_>>());
    }

    /// What comes of asking for shared state.
    #[must_use]
    pub const fn shared_state(&self) -> &Arc<Counts> {
        &self.shared_state
    }

    /// The handle of a listener.
    #[must_use]
    pub fn listener(&self, name: &Name) -> Arc<ListenerMetrics> {
        handle(&self.listeners, name, || {
            ListenerMetrics::new(Arc::clone(&self.next_trusts))
        })
    }

    /// The handle of an upstream.
    #[must_use]
    pub fn upstream(&self, name: &Name) -> Arc<UpstreamMetrics> {
        handle(&self.upstreams, name, || {
            UpstreamMetrics::new(Arc::clone(&self.next_trusts))
        })
    }

    /// The handle of a route.
    #[must_use]
    pub fn route(&self, name: &Name) -> Arc<RouteMetrics> {
        handle(&self.routes, name, || {
            RouteMetrics::new(Arc::clone(&self.refusals))
        })
    }

    /// The handle for requests that are refused before a route is found.
    #[must_use]
    pub fn unrouted(&self) -> Arc<RouteMetrics> {
        Arc::clone(&self.unrouted)
    }

    /// The handle of an issuer.
    #[must_use]
    pub fn issuer(&self, name: &Name) -> Arc<IssuerMetrics> {
        handle(&self.issuers, name, Arc::default)
    }

    /// The handle of a login.
    #[must_use]
    pub fn login(&self, name: &Name) -> Arc<LoginMetrics> {
        handle(&self.logins, name, Arc::default)
    }

    /// The handle of an issuer's keys, if they are fetched.
    #[must_use]
    pub fn issuer_keys(&self, name: &Name) -> Arc<IssuerKeysMetrics> {
        handle(&self.issuer_keys, name, Arc::default)
    }

    /// Forgets the fetched keys of all issuers but these.
    pub fn issuer_keys_keep_only<'n>(&self, names: impl Iterator<Item = &'n Name>) {
        let names: Vec<Name> = names.cloned().collect();
        keep(&self.issuer_keys, &names);
    }

    /// The handle of the questions to an issuer about tokens.
    #[must_use]
    pub fn introspection(&self, name: &Name) -> Arc<IntrospectionMetrics> {
        handle(&self.introspections, name, Arc::default)
    }

    /// The handle of the tokens that tell services who asks.
    #[must_use]
    pub fn signed_identities(&self) -> Arc<SignedIdentityMetrics> {
        Arc::clone(&self.signed_identities)
    }

    /// Forgets the series of all names but these: those that the configuration in use has. What is
    /// still under way with a forgotten handle counts nowhere.
    pub fn keep_only(
        &self,
        listeners: &[Name],
        upstreams: &[Name],
        routes: &[Name],
        issuers: &[Name],
    ) {
        keep(&self.listeners, listeners);
        keep(&self.upstreams, upstreams);
        keep(&self.routes, routes);
        keep(&self.issuers, issuers);
        keep(&self.introspections, issuers);
    }

    /// Forgets the series of all logins but these.
    pub fn keep_only_logins(&self, logins: &[Name]) {
        keep(&self.logins, logins);
    }

    /// Replaces the certificates that are shown. At most 1,000 are, those that end first.
    pub fn set_certificates(&self, list: &[CertificateSeries]) {
        self.configuration.set_certificates(list);
    }

    /// Replaces the CRLs that are shown. At most 1,000 are, those that end first.
    pub fn set_crls(&self, list: &[CrlSeries]) {
        self.crls.set(list);
    }

    /// Replaces the sources that are shown. At most 1,000 are.
    pub fn set_sources(&self, sources: &[Arc<SourceStatus>]) {
        self.sources.set(sources);
    }

    /// Key material was taken without reading the configuration. `whole`: from every source.
    pub fn refreshed(&self, whole: bool) {
        self.sources.refreshed(whole);
    }

    /// The number of the snapshot in use, where the configuration was not read.
    pub fn set_generation(&self, generation: u64) {
        self.configuration.set_generation(generation);
    }

    /// The configuration was loaded at start. Time in seconds since 1970.
    pub fn configuration_loaded(&self, generation: u64, unix_seconds: f64) {
        self.configuration.loaded(generation, unix_seconds);
    }

    /// A reload swapped the configuration. Time in seconds since 1970.
    pub fn reload_succeeded(&self, generation: u64, unix_seconds: f64) {
        self.configuration.loaded(generation, unix_seconds);
        self.configuration.reloaded();
    }

    /// A reload changed nothing.
    pub fn reload_failed(&self, why: ReloadFailure) {
        self.configuration.failed(why);
    }

    /// When the certificate that `place` names is ordered next, in seconds since 1970.
    pub fn acme_next_order(&self, place: &str, at: i64) {
        self.acme.next_order(place, at);
    }

    /// Forgets the certificates of all places but these.
    pub fn acme_keep_only(&self, places: &BTreeSet<String>) {
        self.acme.keep_only(places);
    }

    /// Shows what [`Logging`] counts. The first call counts, later ones do nothing.
    pub fn show_logging(&self, logging: &Logging) {
        // Whether it was the first call is of no interest.
        drop(self.log.set(logging.counts()));
    }

    /// The page in Prometheus' text format 0.0.4. The same state gives the same text.
    ///
    /// Takes time and memory in proportion to the configuration (a route has some 40 lines): not for
    /// a thread that serves requests.
    #[must_use]
    pub fn render(&self) -> String {
        self.page().into_text()
    }

    pub(super) fn page(&self) -> Page {
        let mut page = Page::default();
        each(&self.listeners, |name, listener| {
            listener.show(&mut page, name)
        });
        each(&self.upstreams, |name, upstream| {
            upstream.show(&mut page, name)
        });
        self.unrouted.show(&mut page, UNROUTED, true);
        let routes = self
            .routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        let idle = routes <= IDLE_ROUTES_MAX;
        each(&self.routes, |name, route| {
            route.show(&mut page, name, idle)
        });
        each(&self.issuers, |name, issuer| issuer.show(&mut page, name));
        each(&self.external_authorizations, |name, asked| {
            asked.show(&mut page, name)
        });
        each(&self.exchanges, |client, asked| {
            asked.show(&mut page, client)
        });
        each(&self.logins, |name, login| login.show(&mut page, name));
        let now = unix_now();
        each(&self.issuer_keys, |name, keys| {
            keys.show(&mut page, name, now)
        });
        each(&self.introspections, |name, one| one.show(&mut page, name));
        for (refusal, count) in Refusal::ALL.iter().zip(self.refusals.values()) {
            page.counter(&table::REFUSALS, &[refusal.reason()], count);
        }
        self.show_clients(&mut page);
        self.next_trusts.show(&mut page);
        each(&self.api_keys, |name, list| {
            list.show(&mut page, name, unix_now());
        });
        shared::show(&self.shared_state, &mut page);
        self.signed_identities.show(&mut page);
        self.configuration.show(&mut page);
        self.acme.show(&mut page);
        self.sources.show(&mut page);
        self.crls.show(&mut page);
        page.gauge(&table::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
        let (dropped, panics) = self.log.get().map_or((0, 0), |log| log.values());
        page.counter(&table::LOG_LINES_DROPPED, &[], dropped);
        page.counter(&table::PANICS, &[], panics);
        process::show(&mut page);
        page
    }

    fn show_clients(&self, page: &mut Page) {
        let within = WITHIN.map(|(_, seconds)| seconds);
        let (seen, expiring) = self.clients.expiring(within, unix_now());
        let seen = u64::try_from(seen).unwrap_or(u64::MAX);
        page.gauge(&table::CLIENTS_SEEN, &[], number(seen));
        for ((label, _), count) in WITHIN.iter().zip(expiring) {
            page.gauge(&table::CLIENTS_EXPIRING, &[*label], number(count));
        }
    }
}

pub(super) fn handle<T>(handles: &Handles<T>, name: &Name, new: impl FnOnce() -> Arc<T>) -> Arc<T> {
    let mut handles = handles.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(handles.entry(name.clone()).or_insert_with(new))
}

pub(super) fn keep<T>(handles: &Handles<T>, names: &[Name]) {
    let names: BTreeSet<&Name> = names.iter().collect();
    let mut handles = handles.write().unwrap_or_else(PoisonError::into_inner);
    handles.retain(|name, _| names.contains(name));
}

/// Holds the lock for reading only: compiling waits for a page, requests do not.
fn each<T>(handles: &Handles<T>, mut show: impl FnMut(&str, &T)) {
    let handles = handles.read().unwrap_or_else(PoisonError::into_inner);
    for (name, one) in &*handles {
        show(name.as_str(), one);
    }
}
