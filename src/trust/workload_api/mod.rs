//! [`WorkloadApi`]: an agent of the SPIFFE Workload API as a source of key pairs and trust bundles.
//!
//! The agent is asked once and then tells by itself: each answer has all certificates, keys and
//! bundles that this process is registered for, and places of the configuration that want one of
//! them are offered it ([`Source`]). What is not usable leaves the last good generation of that
//! place in use. An agent that is away, hangs or says no is asked again, less and less often; a
//! certificate that ends meanwhile is withdrawn.

mod error;
mod intake;
mod stream;
mod wants;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use spiffe::X509Context;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::error::AgentError;
use self::stream::Stream;
use self::wants::Wants;
use super::source::Source;
use super::{KeyPair, TrustBundle};
use crate::backoff::Backoff;
use crate::identity::spiffe::{SpiffeId, TrustDomain};

/// Where an agent listens (SPIFFE Workload Endpoint, section 4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AgentSocket {
    /// A Unix socket: the agent learns from the system who asks.
    Unix(PathBuf),
    /// TCP without TLS, on this machine.
    Tcp(SocketAddr),
}

impl fmt::Display for AgentSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// One agent.
#[derive(Debug)]
pub struct WorkloadApi {
    socket: AgentSocket,
    /// The socket, where a file is named otherwise.
    origin: PathBuf,
    wants: Mutex<Wants>,
}

/// An agent that restarts is back within a second; one that is away for long is asked twice a minute.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// A stream that held for this long was no accident: the next wait is short again.
const HELD: Duration = Duration::from_secs(10);
/// Answers come no faster than this to whoever compiles from them. What comes meanwhile waits in
/// the socket.
const PACE: Duration = Duration::from_millis(100);
/// How often the ends of certificates are looked at: also a clock that was set is noticed.
const LOOK: Duration = Duration::from_secs(1);

impl WorkloadApi {
    /// An agent that was not asked yet: [`Self::run`] does.
    #[must_use]
    pub fn new(socket: AgentSocket) -> Self {
        Self {
            origin: PathBuf::from(socket.to_string()),
            socket,
            wants: Mutex::default(),
        }
    }

    /// Offers `source` the key pair of this SPIFFE ID from now on, or the first one. As long as
    /// somebody holds the source.
    pub fn key_pair(&self, source: &Arc<Source<KeyPair>>, id: Option<&SpiffeId>) {
        let mut wants = self.wants();
        wants.key_pair(source, id, &self.origin, UnixTime::now());
    }

    /// Offers `source` the bundle of this trust domain from now on, as long as somebody holds it.
    pub fn bundle(&self, source: &Arc<Source<TrustBundle>>, trust_domain: &TrustDomain) {
        self.wants().bundle(source, trust_domain, &self.origin);
    }

    /// Whether a place of the configuration still wants something.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wants().any()
    }

    /// Asks and goes on asking, until it is dropped.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.ask(), self.watch_ends());
    }

    async fn ask(&self) {
        let mut backoff = Backoff::between(RETRY_FIRST, RETRY_LONGEST);
        loop {
            let begun = Instant::now();
            let error = self.listen().await;
            if begun.elapsed() >= HELD {
                backoff.reset();
            }
            self.wants().failed(&self.socket, error);
            sleep(backoff.wait()).await;
        }
    }

    /// Takes answers until there are no more; says why.
    async fn listen(&self) -> AgentError {
        let (mut stream, mut answer) = match Stream::open(&self.socket).await {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        loop {
            self.take(answer);
            sleep(PACE).await;
            let overdue = self.wants().overdue(UnixTime::now());
            let next = timeout_at(Instant::now() + overdue, stream.next());
            answer = match next.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return error,
                Err(_elapsed) => return AgentError::Overdue,
            };
        }
    }

    fn take(&self, answer: X509Context) {
        self.wants().answered(answer, &self.origin, UnixTime::now());
    }

    /// Withdraws what has ended.
    async fn watch_ends(&self) {
        loop {
            sleep(LOOK).await;
            self.wants().withdraw_ended(UnixTime::now());
        }
    }

    fn wants(&self) -> MutexGuard<'_, Wants> {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens.
    #[must_use]
    pub fn origin(&self) -> &Path {
        &self.origin
    }
}
