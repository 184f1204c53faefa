//! [`Endpoints`]: where a service listens, and which of its addresses is asked next.
//!
//! [`EndpointStore`] outlives reloads: as long as the list of an upstream stays the same, so do its
//! addresses and what is known of their health. It holds nothing that no snapshot holds.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::config::spec::EndpointSpec;
use crate::identity::name::Name;
use crate::observe::{ConnectFailed, UpstreamMetrics};

use super::health::Target;
use super::resolve::{Answer, LOOKUP_TIMEOUT, Lookup, Question, SystemLookup, keep_resolving};

/// One address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: SocketAddr,
    /// `HOST:PORT` as the operator wrote it: for logs and metrics.
    pub text: Arc<str>,
}

/// The endpoints of one upstream.
pub struct Endpoints {
    /// What the operator wrote, in order.
    texts: Box<[Arc<str>]>,
    /// The names among them.
    questions: Vec<Question>,
    lookup: Arc<dyn Lookup>,
    targets: ArcSwap<Vec<Arc<Target>>>,
    /// Counts up; the turn of the next request.
    turn: AtomicUsize,
    epoch: Instant,
    /// Rounds of look-ups that have ended.
    rounds: watch::Sender<u64>,
    /// Asks for a look-up before its time.
    again: Arc<Notify>,
    resolving: AtomicBool,
    metrics: Arc<UpstreamMetrics>,
    me: Weak<Self>,
}

impl Endpoints {
    fn new(
        specs: &[EndpointSpec],
        metrics: Arc<UpstreamMetrics>,
        lookup: Arc<dyn Lookup>,
    ) -> Arc<Self> {
        let epoch = Instant::now();
        let texts: Box<[Arc<str>]> = specs.iter().map(text).collect();
        let mut questions = Vec::new();
        let mut targets = Vec::new();
        for (index, (spec, text)) in specs.iter().zip(&texts).enumerate() {
            if let Some(ip) = spec.host.ip() {
                let address = SocketAddr::new(ip, spec.port);
                targets.push(Arc::new(Target::new(address, Arc::clone(text), epoch)));
            } else if let Some(host) = spec.host.dns_name() {
                questions.push(Question {
                    index,
                    host: host.into(),
                    port: spec.port,
                });
            }
        }
        Arc::new_cyclic(|me| Self {
            texts,
            questions,
            lookup,
            targets: ArcSwap::from_pointee(targets),
            turn: AtomicUsize::new(0),
            epoch,
            rounds: watch::Sender::new(0),
            again: Arc::new(Notify::new()),
            resolving: AtomicBool::new(false),
            metrics,
            me: Weak::clone(me),
        })
    }

    /// The address whose turn it is: those that answer take turns, one that failed gets a trial
    /// when its time is over, and if all are down it is the one whose time is over first. `None`
    /// only while no address is known; then [`Endpoints::resolved`] can be awaited.
    #[must_use]
    pub fn choose(&self) -> Option<Endpoint> {
        self.choose_at(Instant::now())
    }

    pub(super) fn choose_at(&self, now: Instant) -> Option<Endpoint> {
        self.start_resolving();
        let targets = self.targets.load();
        let turn = self.turn.fetch_add(1, Relaxed);
        let up = targets.iter().filter(|target| target.is_up()).count();
        let trial = if up == targets.len() {
            None
        } else {
            targets.iter().find(|target| target.take_trial(now))
        };
        let whose_turn = || {
            let mut answering = targets.iter().filter(|target| target.is_up());
            answering.nth(turn.checked_rem(up).unwrap_or(0))
        };
        let soonest = || targets.iter().min_by_key(|target| target.retry_at());
        trial
            .or_else(whose_turn)
            .or_else(soonest)
            .map(|target| Endpoint {
                address: target.address,
                text: Arc::clone(&target.text),
            })
    }

    /// Whether there is more than one address to choose from.
    #[must_use]
    pub fn several(&self) -> bool {
        self.targets.load().len() > 1
    }

    /// Whether there is none but these.
    #[must_use]
    pub fn are_among(&self, tried: &[SocketAddr]) -> bool {
        let targets = self.targets.load();
        targets.iter().all(|target| tried.contains(&target.address))
    }

    /// As [`Endpoints::choose`], and waits for the first look-up of the names if no address is known
    /// before it. Counts it if there is none after it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe.
    pub async fn choose_or_wait(&self) -> Option<Endpoint> {
        if let Some(endpoint) = self.choose() {
            return Some(endpoint);
        }
        self.resolved().await;
        let endpoint = self.choose();
        if endpoint.is_none() {
            self.metrics.connect_failed(ConnectFailed::NoAddress);
        }
        endpoint
    }

    /// Notes that no usable connection to `address` could be made: it is left alone for 0.5 s, and
    /// twice as long each further time, up to 30 s.
    pub fn failed(&self, address: &SocketAddr, now: Instant) {
        let targets = self.targets.load();
        let ours = || targets.iter().filter(|target| target.address == *address);
        let went_down = ours().filter(|target| target.failed(now)).count() > 0;
        if went_down {
            for target in ours() {
                self.show(&target.text, &targets);
            }
            self.again.notify_one(); // its name may mean another address by now
        }
    }

    /// Notes that `address` answered.
    pub fn answered(&self, address: &SocketAddr) {
        let targets = self.targets.load();
        for target in targets.iter().filter(|target| target.address == *address) {
            if target.answered() {
                self.show(&target.text, &targets);
            }
        }
    }

    /// Waits until each name was looked up once, with or without success; at most some seconds.
    /// At once if there are no names. To be called within a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe.
    pub async fn resolved(&self) {
        self.start_resolving();
        if self.questions.is_empty() || !self.resolving.load(Relaxed) {
            return;
        }
        let mut rounds = self.rounds.subscribe();
        let first_round = rounds.wait_for(|ended| *ended > 0);
        drop(timeout(LOOKUP_TIMEOUT, first_round).await); // either way we know what we know
    }

    /// Begins to look names up, if there are names and we are on a runtime. Once.
    fn start_resolving(&self) {
        if self.questions.is_empty() || self.resolving.load(Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return; // `check` compiles without one, and the gateway before it has one
        };
        if self.resolving.swap(true, Relaxed) {
            return;
        }
        drop(runtime.spawn(keep_resolving(
            Weak::clone(&self.me),
            self.questions.clone(),
            Arc::clone(&self.lookup),
            Arc::clone(&self.again),
        ))); // detached: it ends when these endpoints are dropped
    }

    pub(super) fn resolving_ended(&self) {
        self.resolving.store(false, Relaxed);
    }

    /// Takes what the look-ups found. A name without an answer keeps the addresses that it had, an
    /// address that stays keeps its health.
    pub(super) fn learn(&self, answers: Vec<Answer>) {
        let old = self.targets.load_full();
        let mut new: Vec<Arc<Target>> = old.to_vec();
        for (index, addresses) in answers {
            let (Some(text), Some(addresses)) = (self.texts.get(index), addresses) else {
                continue;
            };
            new.retain(|target| target.text != *text);
            new.extend(addresses.into_iter().map(|address| {
                let known =
                    |target: &&Arc<Target>| target.address == address && target.text == *text;
                old.iter().find(known).map_or_else(
                    || Arc::new(Target::new(address, Arc::clone(text), self.epoch)),
                    Arc::clone,
                )
            }));
        }
        for question in &self.questions {
            if let Some(text) = self.texts.get(question.index) {
                self.show(text, &new);
            }
        }
        self.targets.store(Arc::new(new));
        self.rounds.send_modify(|ended| *ended += 1);
    }

    /// Says in the metrics which endpoints there are, and which are up. To be called when the
    /// snapshot of these endpoints becomes the live one.
    pub fn publish(&self) {
        self.metrics.set_endpoints(self.texts.iter().map(|t| &**t));
        let targets = self.targets.load();
        for text in &self.texts {
            self.show(text, &targets);
        }
    }

    /// An endpoint is up while one of its addresses is.
    fn show(&self, text: &Arc<str>, targets: &[Arc<Target>]) {
        let mut its = targets.iter().filter(|target| target.text == *text);
        self.metrics
            .endpoint_up(text, its.any(|target| target.is_up()));
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.again.notify_one(); // the task that looks names up sees that nobody is left
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("texts", &self.texts)
            .field("targets", &self.targets.load())
            .finish_non_exhaustive()
    }
}

fn text(spec: &EndpointSpec) -> Arc<str> {
    format!("{}:{}", spec.host, spec.port).into()
}

/// What makes the endpoints of two snapshots the same.
type Key = (Name, Vec<EndpointSpec>);

/// The endpoints of every upstream of every snapshot that is alive.
pub struct EndpointStore {
    live: Mutex<HashMap<Key, Weak<Endpoints>>>,
    lookup: Arc<dyn Lookup>,
}

impl EndpointStore {
    /// A store that resolves names with the system's resolver.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_lookup(Arc::new(SystemLookup))
    }

    pub(super) fn with_lookup(lookup: Arc<dyn Lookup>) -> Arc<Self> {
        Arc::new(Self {
            live: Mutex::default(),
            lookup,
        })
    }

    /// The endpoints of an upstream: those of before, if the list is the same. Names begin to be
    /// resolved now, or with the first request if this is called outside a tokio runtime.
    #[must_use]
    pub fn endpoints(
        &self,
        upstream: &Name,
        specs: &[EndpointSpec],
        metrics: &Arc<UpstreamMetrics>,
    ) -> Arc<Endpoints> {
        let key = (upstream.clone(), specs.to_vec());
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, endpoints| endpoints.strong_count() > 0);
        let known = live
            .get(&key)
            .and_then(Weak::upgrade)
            .filter(|endpoints| Arc::ptr_eq(&endpoints.metrics, metrics));
        let endpoints = known.unwrap_or_else(|| {
            let fresh = Endpoints::new(specs, Arc::clone(metrics), Arc::clone(&self.lookup));
            live.insert(key, Arc::downgrade(&fresh));
            fresh
        });
        endpoints.start_resolving();
        endpoints
    }
}

impl fmt::Debug for EndpointStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointStore").finish_non_exhaustive()
    }
}
