//! [`Line`]: one connection to one node of a store, on which many ask at a time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::Away;
use super::bounded::{Bounded, Wire};
use super::terms::{Security, Terms};
use crate::config::spec::EndpointSpec;

/// One connection. Clones are the same.
#[derive(Clone)]
pub(super) struct Line {
    connection: MultiplexedConnection,
    state: Arc<LineState>,
}

struct LineState {
    /// Bytes that came since somebody got an answer.
    unanswered: Arc<AtomicUsize>,
    since: Instant,
    /// When the last answer came, in milliseconds after `since`.
    answered: AtomicU64,
    sent: AtomicU64,
    /// The last question that was answered: the store answers in their order.
    done: AtomicU64,
    /// Told when nothing is to be expected of the connection any more.
    broken: Notify,
}

/// Questions that the store may owe answers to, those included that nobody waits for any more.
const OWED_MAX: u64 = 10_000;

/// How many may wait to be written.
const UNWRITTEN_MAX: usize = 1_024;

/// Drives a connection, and ends with it.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Unconnected {
    pub(super) away: Away,
    /// For the log. Holds nothing of the password.
    pub(super) why: String,
}

impl Line {
    /// Connects, says who we are, and hears an answer. The future drives the connection, and ends
    /// with it.
    pub(super) async fn connect(
        endpoint: &EndpointSpec,
        terms: &Terms,
    ) -> Result<(Self, Driver), Unconnected> {
        let unanswered = Arc::new(AtomicUsize::new(0));
        let wire = wire(endpoint, &terms.security).await?;
        let stream = Bounded {
            wire,
            unanswered: Arc::clone(&unanswered),
        };
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = &terms.spec.username {
            info = info.set_username(username);
        }
        if let Some(password) = &terms.password {
            info = info.set_password(password.expose());
        }
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None) // ours is around each question
            .set_pipeline_buffer_size(UNWRITTEN_MAX);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = made.map_err(|error| unconnected(&error))?;
        let line = Self {
            connection,
            state: Arc::new(LineState {
                unanswered,
                since: Instant::now(),
                answered: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                done: AtomicU64::new(0),
                broken: Notify::new(),
            }),
        };
        let mut driver: Driver = Box::pin(driver);
        let mut asking = line.connection.clone();
        let ping = redis::cmd("PING");
        let deadline = Instant::now() + terms.spec.timeout;
        let pong = tokio::select! {
            biased;
            pong = timeout_at(deadline, asking.send_packed_command(&ping)) => pong,
            () = &mut driver => return Err(unreachable("the connection ended")),
        };
        let pong = pong.map_err(|_elapsed| Unconnected {
            away: Away::Slow,
            why: format!("no answer within {:?}", terms.spec.timeout),
        })?;
        match pong.and_then(Value::extract_error) {
            Ok(_pong) => {}
            Err(error) => return Err(unconnected(&error)),
        }
        Ok((line, driver))
    }

    /// Asks, until `deadline`. An answer may be an error of the store.
    pub(super) async fn ask(&self, command: &Cmd, deadline: Instant) -> Result<Value, Away> {
        self.exchange(deadline, async |connection| {
            connection.send_packed_command(command).await
        })
        .await
    }

    /// Asks a node that does not have the slot yet, but already has this entry.
    pub(super) async fn ask_moving(&self, command: &Cmd, deadline: Instant) -> Result<Value, Away> {
        let mut both = redis::Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command.clone());
        let values = self
            .exchange(deadline, async |connection| {
                let values = connection.send_packed_commands(&both, 0, 2).await?;
                Ok(Value::Array(values))
            })
            .await?;
        if let Value::Array(mut values) = values
            && values.len() == 2
        {
            return Ok(values.pop().unwrap_or(Value::Nil));
        }
        Err(Away::Invalid)
    }

    async fn exchange(
        &self,
        deadline: Instant,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<Value, RedisError>,
    ) -> Result<Value, Away> {
        let state = &*self.state;
        let number = state.sent.fetch_add(1, Relaxed).saturating_add(1);
        if number.saturating_sub(state.done.load(Relaxed)) > OWED_MAX {
            state.broken.notify_one();
            return Err(Away::Busy);
        }
        let (asked, mut connection) = (Instant::now(), self.connection.clone());
        match timeout_at(deadline, ask(&mut connection)).await {
            Ok(Ok(value)) => {
                state.unanswered.store(0, Relaxed);
                state.done.fetch_max(number, Relaxed);
                let after = millis(state.since.elapsed());
                state.answered.fetch_max(after, Relaxed);
                Ok(value)
            }
            Ok(Err(error)) => {
                state.broken.notify_one();
                Err(sorted(&error))
            }
            Err(_elapsed) => {
                // Nothing has come since it was asked: whoever hangs is not waited for again.
                if state.answered.load(Relaxed) <= millis(asked - state.since) {
                    state.broken.notify_one();
                }
                Err(Away::Slow)
            }
        }
    }

    /// To be asked no more: somebody found that it is of no use.
    pub(super) fn give_up(&self) {
        self.state.broken.notify_one();
    }

    /// Ends when nothing is to be expected of it any more.
    pub(super) async fn broken(&self) {
        self.state.broken.notified().await;
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn wire(endpoint: &EndpointSpec, security: &Security) -> Result<Box<dyn Wire>, Unconnected> {
    let tls = match security {
        Security::None => None,
        Security::Tls(config) => Some(Arc::clone(config)),
        Security::Awaited => {
            return Err(unreachable("the key material for this is not there yet"));
        }
    };
    let host = endpoint.host.to_string();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((bare, endpoint.port)).await;
    let tcp = tcp.map_err(|error| unreachable(&error.to_string()))?;
    tcp.set_nodelay(true)
        .map_err(|error| unreachable(&error.to_string()))?;
    let Some(tls) = tls else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(bare.to_owned());
    let name = name.map_err(|error| unreachable(&error.to_string()))?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await;
    let stream = stream.map_err(|error| unreachable(&error.to_string()))?;
    Ok(Box::new(stream))
}

fn unreachable(why: &str) -> Unconnected {
    Unconnected {
        away: Away::Unreachable,
        why: cut(why),
    }
}

fn unconnected(error: &RedisError) -> Unconnected {
    Unconnected {
        away: sorted(error),
        why: cut(&error.to_string()),
    }
}

/// A store's words are those of a stranger.
pub(super) fn cut(words: &str) -> String {
    let plain = words.chars().filter(|c| !c.is_control());
    plain.take(WORDS_CHARS_MAX).collect()
}

const WORDS_CHARS_MAX: usize = 300;

/// Where the client's errors are sorted.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client's enums grow: what is new to us is a connection of no use"
)]
fn sorted(error: &RedisError) -> Away {
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Away::Invalid,
        ErrorKind::AuthenticationFailed | ErrorKind::Server(_) | ErrorKind::Extension => {
            Away::Refused
        }
        _ => Away::Unreachable,
    }
}
