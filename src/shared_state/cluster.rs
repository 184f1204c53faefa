//! [`Cluster`]: the nodes of a cluster, and which of them has what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Away;
use super::counts::Counts;
use super::node::Node;
use super::slots::{Range, ranges, redirect, slot};
use super::terms::Terms;
use crate::config::spec::EndpointSpec;

/// The nodes of a cluster.
pub(super) struct Cluster {
    nodes: Arc<Nodes>,
    map: watch::Receiver<Map>,
    stale: Arc<Notify>,
    keeper: Option<AbortHandle>,
}

/// Which nodes there are: those of the configuration, and those that the cluster names.
struct Nodes {
    terms: Arc<Terms>,
    counts: Arc<Counts>,
    known: Mutex<HashMap<EndpointSpec, Arc<Node>>>,
}

#[derive(Clone)]
enum Map {
    /// Nobody knows yet.
    Asking,
    Known(Arc<[(Range, Arc<Node>)]>),
    Away(Away),
}

/// A cluster has at most some hundred nodes with slots.
const NODES_MAX: usize = 1_000;
/// How often the cluster is asked what it looks like, and how soon after it showed that it looks
/// different.
const EVERY: Duration = Duration::from_secs(30);
const SOONEST: Duration = Duration::from_millis(200);
/// How often one question may be sent on.
const REDIRECTS_MAX: usize = 3;

impl Cluster {
    /// Begins to ask. To be called where a runtime is.
    pub(super) fn start(terms: &Arc<Terms>, counts: &Arc<Counts>) -> Self {
        let nodes = Arc::new(Nodes {
            terms: Arc::clone(terms),
            counts: Arc::clone(counts),
            known: Mutex::default(),
        });
        let (tell, map) = watch::channel(Map::Asking);
        let stale = Arc::new(Notify::new());
        let keeper = keep(Arc::clone(&nodes), tell, Arc::clone(&stale));
        let keeper = match Handle::try_current() {
            Ok(runtime) => Some(runtime.spawn(keeper).abort_handle()),
            Err(_no_runtime) => None, // the map's sender is gone: it is away
        };
        Self {
            nodes,
            map,
            stale,
            keeper,
        }
    }

    /// Asks the node that has `name`, until `deadline`.
    pub(super) async fn ask(
        &self,
        name: &[u8],
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Away> {
        let mut node = self.node_of(name, deadline).await?;
        let mut moving = false;
        for _ in 0..=REDIRECTS_MAX {
            let answer = match moving {
                true => node.ask_moving(command, deadline).await,
                false => node.ask(command, deadline).await,
            };
            let answer = answer.inspect_err(|_away| self.stale.notify_one())?;
            let Value::ServerError(error) = &answer else {
                return Ok(answer);
            };
            moving = match error.code() {
                "MOVED" => false,
                "ASK" => true,
                "CLUSTERDOWN" | "READONLY" | "LOADING" | "MASTERDOWN" => {
                    self.stale.notify_one();
                    return Ok(answer);
                }
                _other => return Ok(answer),
            };
            if !moving {
                self.stale.notify_one();
            }
            let target = redirect(error.details().unwrap_or_default(), &node.endpoint);
            node = self.nodes.node(&target.ok_or(Away::Invalid)?)?;
        }
        Err(Away::Refused)
    }

    async fn node_of(&self, name: &[u8], deadline: Instant) -> Result<Arc<Node>, Away> {
        let mut map = self.map.clone();
        let known = map.wait_for(|map| !matches!(map, Map::Asking));
        let known = timeout_at(deadline, known).await;
        let known = known.map_err(|_elapsed| Away::Slow)?;
        let ranges = match known.as_deref() {
            Ok(Map::Known(ranges)) => Arc::clone(ranges),
            Ok(Map::Away(away)) => return Err(*away),
            Ok(Map::Asking) | Err(_) => return Err(Away::Unreachable),
        };
        let slot = slot(name);
        let place = ranges.partition_point(|(range, _)| range.last < slot);
        match ranges.get(place) {
            Some((range, node)) if range.first <= slot => Ok(Arc::clone(node)),
            Some(_) | None => {
                self.stale.notify_one();
                Err(Away::Refused) // nobody has the slot
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

impl Nodes {
    /// The node there, which is connected to if it is new.
    fn node(&self, endpoint: &EndpointSpec) -> Result<Arc<Node>, Away> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = known.get(endpoint) {
            return Ok(Arc::clone(node));
        }
        if known.len() >= NODES_MAX {
            return Err(Away::Invalid);
        }
        let (terms, counts) = (Arc::clone(&self.terms), Arc::clone(&self.counts));
        let node = Arc::new(Node::start(endpoint.clone(), terms, counts));
        known.insert(endpoint.clone(), Arc::clone(&node));
        Ok(node)
    }

    /// Whom to ask what the cluster looks like: those with slots first.
    fn to_ask(&self, map: &Map) -> Vec<Arc<Node>> {
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        if let Map::Known(ranges) = map {
            nodes.extend(ranges.iter().map(|(_, node)| Arc::clone(node)));
        }
        let seeds = self.terms.spec.endpoints.iter();
        nodes.extend(seeds.filter_map(|seed| self.node(seed).ok()));
        nodes.dedup_by(|a, b| a.endpoint == b.endpoint);
        nodes.truncate(ASKED_MAX);
        nodes
    }

    /// What the first that answers says. Nodes that it does not name are forgotten.
    async fn look(&self, before: &Map) -> Result<Map, Away> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let mut why = Away::Unreachable;
        for node in self.to_ask(before) {
            // A map may be long: it may take longer than one entry.
            let deadline = Instant::now() + self.terms.spec.timeout.max(LOOK_MAX);
            let found = match node.ask(&command, deadline).await {
                Ok(Value::ServerError(_)) => Err(Away::Refused),
                Ok(answer) => ranges(&answer, &node.endpoint).ok_or(Away::Invalid),
                Err(away) => Err(away),
            };
            match found {
                Ok(found) if found.is_empty() => why = Away::Refused,
                Ok(found) => return self.take(found),
                Err(away) => why = away,
            }
        }
        Err(why)
    }

    fn take(&self, found: Vec<Range>) -> Result<Map, Away> {
        let with_node = |range: Range| Ok((self.node(&range.endpoint)?, range));
        let ranges = found.into_iter().map(with_node);
        let ranges = ranges.collect::<Result<Vec<_>, Away>>()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let seeds = &self.terms.spec.endpoints;
        known.retain(|endpoint, _| {
            seeds.contains(endpoint) || ranges.iter().any(|(_, range)| range.endpoint == *endpoint)
        });
        let ranges = ranges.into_iter().map(|(node, range)| (range, node));
        Ok(Map::Known(ranges.collect()))
    }
}

const ASKED_MAX: usize = 16;
const LOOK_MAX: Duration = Duration::from_secs(1);

async fn keep(nodes: Arc<Nodes>, tell: watch::Sender<Map>, stale: Arc<Notify>) {
    loop {
        let before = tell.borrow().clone();
        let found = nodes.look(&before).await;
        let away = found.is_err();
        match (found, before) {
            (Ok(map), _) => drop(tell.send_replace(map)),
            // What was known may still hold: its nodes say so themselves.
            (Err(_), Map::Known(_)) => {}
            (Err(away), Map::Asking | Map::Away(_)) => drop(tell.send_replace(Map::Away(away))),
        }
        sleep(SOONEST).await;
        if !away {
            drop(timeout(EVERY, stale.notified()).await); // either is a reason to look
        }
    }
}
