//! [`Node`]: one server of a store, and the task that keeps a connection to it.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Away;
use super::counts::Counts;
use super::line::{Line, Unconnected};
use super::terms::Terms;
use crate::backoff::Backoff;
use crate::config::spec::EndpointSpec;

/// One server of a store. Its connection is kept until this is dropped.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) endpoint: EndpointSpec,
    state: watch::Receiver<State>,
    keeper: Option<AbortHandle>,
}

#[derive(Clone, Debug)]
enum State {
    /// Nobody knows yet, and it is being found out.
    Connecting,
    Up(Line),
    /// The last attempt failed. There will be another.
    Away(Away),
}

/// A store that restarts is back within a second; until somebody tries again, requests are refused,
/// or decided by this gateway alone.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// From the first packet to the first answer, with TLS.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// A connection that lived as long was a good one: the next is tried at once.
const LIVED: Duration = Duration::from_secs(5);

impl Node {
    /// Begins to connect. To be called where a runtime is.
    pub(super) fn start(endpoint: EndpointSpec, terms: Arc<Terms>, counts: Arc<Counts>) -> Self {
        let (tell, state) = watch::channel(State::Connecting);
        let keeper = Keeper {
            endpoint: endpoint.clone(),
            terms,
            tell,
            _known: Known::new(&counts),
            counts,
        };
        let keeper = match Handle::try_current() {
            Ok(runtime) => Some(runtime.spawn(keeper.run()).abort_handle()),
            Err(_no_runtime) => None, // its state's sender is gone: it is away
        };
        Self {
            endpoint,
            state,
            keeper,
        }
    }

    /// Asks, until `deadline`. An answer may be an error of the store.
    pub(super) async fn ask(&self, command: &Cmd, deadline: Instant) -> Result<Value, Away> {
        self.line(deadline).await?.ask(command, deadline).await
    }

    /// Asks for an entry that is on its way to this node.
    pub(super) async fn ask_moving(&self, command: &Cmd, deadline: Instant) -> Result<Value, Away> {
        let line = self.line(deadline).await?;
        line.ask_moving(command, deadline).await
    }

    /// What it answers shows that it is of no use: it is connected to anew, where its name leads
    /// then.
    pub(super) fn give_up(&self) {
        if let State::Up(line) = &*self.state.borrow() {
            line.give_up();
        }
    }

    async fn line(&self, deadline: Instant) -> Result<Line, Away> {
        let mut state = self.state.clone();
        let known = state.wait_for(|state| !matches!(state, State::Connecting));
        let known = timeout_at(deadline, known).await;
        let known = known.map_err(|_elapsed| Away::Slow)?;
        match known.as_deref() {
            Ok(State::Up(line)) => Ok(line.clone()),
            Ok(State::Away(why)) => Err(*why),
            Ok(State::Connecting) | Err(_) => Err(Away::Unreachable),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

struct Keeper {
    endpoint: EndpointSpec,
    terms: Arc<Terms>,
    tell: watch::Sender<State>,
    counts: Arc<Counts>,
    _known: Known,
}

impl Keeper {
    async fn run(self) {
        let mut backoff = Backoff::between(RETRY_FIRST, RETRY_LONGEST);
        let mut told: Option<String> = None;
        loop {
            let connected = timeout(CONNECT_MAX, Line::connect(&self.endpoint, &self.terms)).await;
            let why = match connected.unwrap_or_else(|_elapsed| Err(too_slow())) {
                Ok((line, driver)) => {
                    self.up(told.take().is_some());
                    let began = Instant::now();
                    let lived = Lived::new(&self.counts);
                    self.tell.send_replace(State::Up(line.clone()));
                    tokio::select! {
                        () = driver => {}
                        () = line.broken() => {}
                    }
                    drop(lived);
                    if began.elapsed() >= LIVED {
                        backoff.reset();
                        self.tell.send_replace(State::Connecting);
                        continue;
                    }
                    Unconnected {
                        away: Away::Unreachable,
                        why: "the connection ended".to_owned(),
                    }
                }
                Err(unconnected) => unconnected,
            };
            self.tell.send_replace(State::Away(why.away));
            // Again where it is away for another reason: what is to be done is another thing then.
            if told.as_deref() != Some(&*why.why) {
                tracing::warn!(
                    endpoint = %self.shown(),
                    reason = why.away.label(),
                    error = why.why,
                    when_away = self.terms.spec.when_away.label(),
                    "the store of the shared state is away"
                );
                told = Some(why.why);
            }
            sleep(backoff.wait()).await;
        }
    }

    fn up(&self, again: bool) {
        let endpoint = self.shown();
        if again {
            tracing::info!(%endpoint, "the store of the shared state is back");
        } else {
            tracing::info!(%endpoint, "connected to the store of the shared state");
        }
    }

    fn shown(&self) -> String {
        format!("{}:{}", self.endpoint.host, self.endpoint.port)
    }
}

fn too_slow() -> Unconnected {
    Unconnected {
        away: Away::Slow,
        why: format!("no connection within {CONNECT_MAX:?}"),
    }
}

/// A node counts as long as its task lives, and as connected as long as it is.
struct Known(Arc<Counts>);
struct Lived(Arc<Counts>);

impl Known {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.nodes(1);
        Self(Arc::clone(counts))
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.0.nodes(-1);
    }
}

impl Lived {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.nodes_up(1);
        Self(Arc::clone(counts))
    }
}

impl Drop for Lived {
    fn drop(&mut self) {
        self.0.nodes_up(-1);
    }
}
