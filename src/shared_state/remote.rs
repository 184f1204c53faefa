//! [`Remote`]: the store of the configuration, and the commands that it is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use redis::{Cmd, ServerError, Value};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::counts::{Counts, Operation};
use super::key::Key;
use super::line::cut;
use super::node::Node;
use super::terms::Terms;
use super::{Away, Space, VALUE_BYTES_MAX};
use crate::complaints::Complaints;

/// The store of the configuration.
pub(super) struct Remote {
    pub(super) terms: Arc<Terms>,
    servers: Servers,
    in_flight: Semaphore,
    counts: Arc<Counts>,
    complaints: Complaints<&'static str>,
}

enum Servers {
    One(Node),
    Cluster(Cluster),
}

/// Questions at a time; more are not asked. At a millisecond each these are a million a second.
const IN_FLIGHT_MAX: usize = 1_024;

/// How stores say no: each is a complaint of its own, and all others together are one.
const CODES: [&str; 13] = [
    "BUSY",
    "CLUSTERDOWN",
    "ERR",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGTYPE",
];

/// What values begin with: the form of this version. It also tells an empty value from none.
const FORM: u8 = 1;

impl Remote {
    /// Begins to connect. To be called where a runtime is.
    pub(super) fn start(terms: Arc<Terms>, counts: &Arc<Counts>) -> Option<Self> {
        let servers = if terms.spec.cluster {
            Servers::Cluster(Cluster::start(&terms, counts))
        } else {
            let endpoint = terms.spec.endpoints.first()?.clone();
            let (terms, counts) = (Arc::clone(&terms), Arc::clone(counts));
            Servers::One(Node::start(endpoint, terms, counts))
        };
        Some(Self {
            terms,
            servers,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            counts: Arc::clone(counts),
            complaints: Complaints::default(),
        })
    }

    pub(super) async fn put_new(
        &self,
        space: Space,
        key: Key,
        ttl: Duration,
    ) -> Result<bool, Away> {
        self.ask(space, Operation::PutNew, async |deadline| {
            let name = self.name(space, key);
            let mut command = redis::cmd("SET");
            let value: &[u8] = &[FORM];
            command
                .arg(&name)
                .arg(value)
                .arg("NX")
                .arg("PX")
                .arg(millis(ttl));
            let answer = self.exchange(&name, &command, deadline).await?;
            let (new, known) = (answer == Value::Okay, answer == Value::Nil);
            (new || known).then_some(new).ok_or(Away::Invalid)
        })
        .await
    }

    pub(super) async fn get(&self, space: Space, key: Key) -> Result<Option<Bytes>, Away> {
        self.ask(space, Operation::Get, async |deadline| {
            let name = self.name(space, key);
            // Not `GET`: the store is not asked for more than is taken.
            let mut command = redis::cmd("GETRANGE");
            command.arg(&name).arg(0).arg(VALUE_BYTES_MAX + 1);
            let Value::BulkString(value) = self.exchange(&name, &command, deadline).await? else {
                return Err(Away::Invalid);
            };
            value_of(value)
        })
        .await
    }

    pub(super) async fn put(
        &self,
        space: Space,
        key: Key,
        value: &[u8],
        ttl: Duration,
    ) -> Result<(), Away> {
        self.ask(space, Operation::Put, async |deadline| {
            let name = self.name(space, key);
            let mut command = redis::cmd("SET");
            let value = [&[FORM], value].concat();
            command.arg(&name).arg(value).arg("PX").arg(millis(ttl));
            let answer = self.exchange(&name, &command, deadline).await?;
            (answer == Value::Okay).then_some(()).ok_or(Away::Invalid)
        })
        .await
    }

    pub(super) async fn remove(&self, space: Space, key: Key) -> Result<(), Away> {
        self.ask(space, Operation::Remove, async |deadline| {
            let name = self.name(space, key);
            let mut command = redis::cmd("DEL");
            command.arg(&name);
            let answer = self.exchange(&name, &command, deadline).await?;
            let removed = matches!(answer, Value::Int(0 | 1));
            removed.then_some(()).ok_or(Away::Invalid)
        })
        .await
    }

    /// Asks within the time and the number of questions that there may be, and counts it.
    async fn ask<T>(
        &self,
        space: Space,
        operation: Operation,
        ask: impl AsyncFnOnce(Instant) -> Result<T, Away>,
    ) -> Result<T, Away> {
        let began = Instant::now();
        let answer = match self.in_flight.try_acquire() {
            Ok(_permit) => ask(began + self.terms.spec.timeout).await,
            Err(_none_left) => Err(Away::Busy),
        };
        let result = answer.as_ref().map(|_| ()).map_err(|away| *away);
        self.counts.asked(space, operation, result, began.elapsed());
        answer
    }

    async fn exchange(&self, name: &[u8], command: &Cmd, deadline: Instant) -> Result<Value, Away> {
        let answer = match &self.servers {
            Servers::One(node) => node.ask(command, deadline).await?,
            Servers::Cluster(cluster) => cluster.ask(name, command, deadline).await?,
        };
        let Value::ServerError(error) = &answer else {
            return Ok(answer);
        };
        // A replica, where there was a master: its name leads to another by now.
        if let (Servers::One(node), "READONLY" | "NOAUTH") = (&self.servers, error.code()) {
            node.give_up();
        }
        self.complain(error);
        Err(Away::Refused)
    }

    /// Tells what the store says no with. It is there all the same, so nothing else does.
    fn complain(&self, error: &ServerError) {
        let kind = CODES.iter().find(|code| **code == error.code());
        let kind = kind.copied().unwrap_or("another");
        if self.complaints.is_due(kind, std::time::Instant::now()) {
            let words = error.details().unwrap_or_default();
            // It repeats the command, where it does not know it.
            let words = words
                .split_once(", with args")
                .map_or(words, |(own, _)| own);
            tracing::warn!(
                code = cut(error.code()),
                error = cut(words),
                when_away = self.terms.spec.when_away.label(),
                "the store of the shared state refuses what it is asked: look at the rights of its \
                 user, and at its memory"
            );
        }
    }

    /// `portcullis:session:` and a hash.
    fn name(&self, space: Space, key: Key) -> Vec<u8> {
        let mut name = format!("{}{}:", self.terms.spec.prefix, space.label());
        URL_SAFE_NO_PAD.encode_string(key.bytes(), &mut name);
        name.into_bytes()
    }
}

/// What stands behind [`FORM`]; nothing stands where nothing is.
fn value_of(value: Vec<u8>) -> Result<Option<Bytes>, Away> {
    match value.first() {
        None => Ok(None),
        Some(&FORM) if value.len() <= VALUE_BYTES_MAX + 1 => {
            Ok(Some(Bytes::from(value).slice(1..)))
        }
        Some(&FORM) => Err(Away::TooLong),
        Some(_other) => Err(Away::Invalid),
    }
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}
