//! [`Line`]: the connection to one authorization service, kept and made anew.
//!
//! One connection carries all questions: HTTP/2 has room for them. It is made by a task of its own, so
//! that a question that gives up does not end it for the next one, and only one is made at a time.
//! It is left when it breaks, when it is silent for the time of a whole question, when the certificate
//! at its other end is over, and when the terms are others: new key material is another policy.
//!
//! A question may be given up long before the network has given up on an endpoint. That none takes a
//! connection is then known from the last attempt.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use parking_lot::Mutex;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, NotBegun};
use super::failure::Failure;
use crate::handshake_failure::HandshakeFailure;
use crate::upstream::{ConnectFailure, Endpoints, MtlsConnector, Policy};

/// TCP and TLS together, at however many endpoints: the default of an upstream.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Endpoints that are tried before the service counts as away. Nobody has more.
const ENDPOINTS_TRIED_MAX: usize = 16;

/// The connection to one authorization service.
pub(super) struct Line {
    pub(super) endpoints: Arc<Endpoints>,
    connector: MtlsConnector,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Arc<Connection>>,
    making: Option<Making>,
    /// The last attempt found nobody who takes a connection.
    away: bool,
    /// How many questions at a time the service last said that it takes.
    streams: Option<usize>,
}

/// A connection that is being made.
#[derive(Clone)]
struct Making {
    group_key: u64,
    made: watch::Receiver<Option<Made>>,
}

type Made = Result<Arc<Connection>, Failure>;

impl Line {
    pub(super) fn new(endpoints: Arc<Endpoints>, connector: MtlsConnector) -> Arc<Self> {
        Arc::new(Self {
            endpoints,
            connector,
            state: Mutex::default(),
        })
    }

    /// The connection under this policy: the one that is open, or a new one.
    ///
    /// # Errors
    ///
    /// Why there is none by `deadline`. It may be there for the next question.
    ///
    /// # Cancel safety
    ///
    /// Safe: a connection that is being made goes on to be made.
    pub(super) async fn connection(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        deadline: Instant,
    ) -> Result<Arc<Connection>, Failure> {
        let mut making = match self.open_or_making(policy) {
            Ok(open) => return Ok(open),
            Err(making) => making,
        };
        let made = timeout_at(deadline, making.made.wait_for(Option::is_some)).await;
        match made {
            Ok(Ok(made)) => made.clone().unwrap_or(Err(Failure::Unavailable)),
            Ok(Err(_the_task_is_gone)) => Err(Failure::Unavailable),
            Err(_elapsed) if self.state.lock().away => Err(Failure::Unreachable),
            Err(_elapsed) => Err(Failure::TimedOut),
        }
    }

    fn open_or_making(self: &Arc<Self>, policy: &Arc<Policy>) -> Result<Arc<Connection>, Making> {
        let group_key = policy.group_key;
        let mut state = self.state.lock();
        let usable = |open: &&Arc<Connection>| open.is_usable(group_key, seconds_now());
        if let Some(open) = state.open.as_ref().filter(usable) {
            return Ok(Arc::clone(open));
        }
        let alive =
            |making: &&Making| making.group_key == group_key && making.made.has_changed().is_ok();
        if let Some(making) = state.making.as_ref().filter(alive) {
            return Err(making.clone());
        }
        let (tell, made) = watch::channel(None);
        let making = Making { group_key, made };
        state.making = Some(making.clone());
        let (line, policy) = (Arc::clone(self), Arc::clone(policy));
        // Detached: it ends by itself, after `CONNECT_MAX` at the latest.
        drop(tokio::spawn(async move {
            let made = line.make(&policy).await.map(Arc::new);
            let mut state = line.state.lock();
            state.away = made.as_ref().is_err_and(|failure| failure.is_away());
            if let Ok(open) = &made {
                state.open = Some(Arc::clone(open));
            }
            let ours = |making: &mut Making| making.group_key == group_key;
            drop(state.making.take_if(ours));
            drop(state);
            tell.send_replace(Some(made));
        }));
        Err(making)
    }

    /// Tries every endpoint while none takes a connection: a service of which one is there is not
    /// away. Somebody who is there and does not prove who he is ends it.
    async fn make(&self, policy: &Policy) -> Result<Connection, Failure> {
        let end = Instant::now() + CONNECT_MAX;
        let mut tried: Vec<SocketAddr> = Vec::new();
        loop {
            let endpoint = self.endpoints.choose_or_wait().await;
            let address = endpoint.ok_or(Failure::Unreachable)?.address;
            let left = end.saturating_duration_since(Instant::now());
            if tried.contains(&address) || tried.len() == ENDPOINTS_TRIED_MAX || left.is_zero() {
                // One that was not tried may be there: then nobody can say that the service is away.
                let all = self.endpoints.are_among(&tried);
                return Err(if all {
                    Failure::Unreachable
                } else {
                    Failure::TimedOut
                });
            }
            tried.push(address);
            // Whoever comes next has some time too.
            let parts = if self.endpoints.several() { 2 } else { 1 };
            let made = self.connect(policy, address, left / parts).await;
            match &made {
                Ok(_connection) => self.endpoints.answered(&address),
                Err(_failure) => self.endpoints.failed(&address, StdInstant::now()),
            }
            if !made.as_ref().is_err_and(|failure| failure.is_away()) {
                return made;
            }
        }
    }

    async fn connect(
        &self,
        policy: &Policy,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<Connection, Failure> {
        let deadline = Instant::now() + limit;
        let connected = self.connector.connect(policy, address, limit).await;
        let stream = connected.map_err(|failure| sort(&failure))?;
        match Connection::begin(stream, deadline).await {
            Ok(connection) => Ok(connection),
            Err(NotBegun::Failed(failure)) => Err(failure),
            Err(NotBegun::Refused(error)) => {
                let error = error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                let reason = HandshakeFailure::from_io(&error);
                self.connector.refused_late(policy, address, reason, error);
                Err(Failure::NotProven)
            }
        }
    }

    /// How many questions at a time the service takes, as far as that is known.
    pub(super) fn streams(&self) -> Option<usize> {
        let mut state = self.state.lock();
        if let Some(open) = &state.open {
            state.streams = Some(open.streams());
        }
        state.streams
    }

    /// Leaves a connection that is of no more use.
    pub(super) fn leave(&self, left: &Arc<Connection>) {
        let ours = |open: &mut Arc<Connection>| Arc::ptr_eq(open, left);
        drop(self.state.lock().open.take_if(ours));
    }
}

pub(super) fn sort(failure: &ConnectFailure) -> Failure {
    match failure {
        ConnectFailure::Unreachable | ConnectFailure::TimedOut => Failure::Unreachable,
        // Somebody took the connection, and is too busy for more.
        ConnectFailure::HandshakeTimedOut => Failure::TimedOut,
        ConnectFailure::Handshake { .. }
        | ConnectFailure::UnexpectedData
        | ConnectFailure::NoPolicy => Failure::NotProven,
    }
}

fn seconds_now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
