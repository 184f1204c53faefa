//! [`MtlsConnector`]: makes the connections to services, for pingora's pool.

use std::any::Any;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::http::custom::{Connection, Connector};
use pingora::protocols::{ALPN, SocketDigest};
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate_facts::CertificateFacts;
use crate::observe::{ConnectFailed, HandshakeFailureLine, HandshakeLog, Side, TlsFacts};
use crate::transport::{TlsIo, tls_facts};

use super::connect_failure::ConnectFailure;
use super::facts::UpstreamFacts;
use super::handshake::{Early, Ended, Proven, Session, shake_hands};
use super::policy::{Policies, Policy};
use super::timed::{Deadline, Timed};

/// A connection to a service that has proven who it is.
pub type ServiceStream = TlsIo<Timed<TlsStream<TcpStream>>>;

/// Connects to services under the policy that a peer's group key names.
#[derive(Debug)]
pub struct MtlsConnector {
    policies: Arc<Policies>,
    log: Arc<HandshakeLog>,
}

impl MtlsConnector {
    /// `log` tells of each handshake that failed, as often as it allows.
    #[must_use]
    pub const fn new(policies: Arc<Policies>, log: Arc<HandshakeLog>) -> Self {
        Self { policies, log }
    }

    /// Connects to a service within `limit`: TCP, TLS, and the proof that it may answer.
    ///
    /// # Errors
    ///
    /// [`ConnectFailure`]. Nothing of a request has been sent then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket; the handshake is counted neither way.
    pub async fn connect(
        &self,
        policy: &Policy,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<ServiceStream, ConnectFailure> {
        let deadline = Instant::now() + limit;
        let first = self.attempt(policy, address, deadline).await;
        let outcome = match first {
            // The service may have another certificate by now; a full handshake shows it.
            Err(failed) if failed.is_stale_session() => {
                policy.forget_sessions();
                self.attempt(policy, address, deadline).await
            }
            other => other,
        };
        outcome.map_err(Failed::into_connect_failure)
    }

    /// Counts and tells that a service ended a handshake that was complete for us: in TLS 1.3 it looks
    /// at our certificate after we are done.
    pub fn refused_late(
        &self,
        policy: &Policy,
        address: SocketAddr,
        reason: HandshakeFailure,
        error: io::Error,
    ) {
        let mut ended = Ended::new(reason);
        ended.error = Some(error);
        self.report(policy, address, &ended, Duration::ZERO);
    }

    async fn attempt(
        &self,
        policy: &Policy,
        address: SocketAddr,
        deadline: Instant,
    ) -> Result<ServiceStream, Failed> {
        let tcp = open(policy, address, deadline).await?;
        let began = Instant::now();
        let in_progress = policy.metrics.handshake_started();
        let outcome = shake_hands(policy, tcp, deadline).await;
        drop(in_progress);
        match outcome {
            Ok(proven) => finish(policy, address, proven, began.elapsed()),
            Err(ended) => {
                self.report(policy, address, &ended, began.elapsed());
                Err(Failed::Handshake(Box::new(ended)))
            }
        }
    }

    /// Counts a handshake that failed, and says so in the log.
    fn report(&self, policy: &Policy, address: SocketAddr, ended: &Ended, took: Duration) {
        policy.metrics.handshake_failed(ended.reason, took);
        let sni = policy.server_name.to_string();
        self.log.failed(&HandshakeFailureLine {
            side: Side::Upstream,
            name: policy.upstream.as_str(),
            peer: Some(address),
            source: Some(address.ip()),
            sni: Some(&sni),
            reason: ended.reason,
            error: ended.error.as_ref().map(|error| error as &dyn Display),
            leaf: ended.leaf.as_deref(),
            chain_length: ended.chain_length,
            took,
        });
    }
}

#[async_trait]
impl Connector for MtlsConnector {
    type Session = (); // one for h2 would be a session of ours around pingora's

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> pingora::Result<(Connection<()>, bool)> {
        let group_key = (peer as &dyn Any)
            .downcast_ref::<HttpPeer>()
            .map(|peer| peer.group_key);
        let policy = group_key.and_then(|key| self.policies.by_group_key(key));
        let address = peer.address().as_inet().copied();
        let limit = peer.total_connection_timeout();
        let (Some(policy), Some(address), Some(limit)) = (policy, address, limit) else {
            return Err(ConnectFailure::NoPolicy.into_pingora());
        };
        let stream = self
            .connect(&policy, address, limit)
            .await
            .map_err(ConnectFailure::into_pingora)?;
        Ok((Connection::Stream(Box::new(stream)), false))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None // pingora looks into its pool of HTTP/1.1 connections by itself
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _session: (),
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
    }
}

/// Why an attempt failed.
#[derive(Debug)]
enum Failed {
    Unreachable,
    ConnectTimedOut,
    Handshake(Box<Ended>),
    UnexpectedData,
}

impl Failed {
    fn is_stale_session(&self) -> bool {
        matches!(self, Self::Handshake(ended) if ended.session == Session::Stale)
    }

    fn into_connect_failure(self) -> ConnectFailure {
        match self {
            Self::Unreachable => ConnectFailure::Unreachable,
            Self::ConnectTimedOut => ConnectFailure::TimedOut,
            Self::Handshake(ended) if ended.reason == HandshakeFailure::TimedOut => {
                ConnectFailure::HandshakeTimedOut
            }
            Self::Handshake(ended) => ConnectFailure::Handshake {
                reason: ended.reason,
                who: ended.leaf.as_ref().and_then(|leaf| who(leaf)),
            },
            Self::UnexpectedData => ConnectFailure::UnexpectedData,
        }
    }
}

/// Who answered, for logs: the names that the certificate states, else its subject.
fn who(leaf: &[u8]) -> Option<String> {
    let facts = CertificateFacts::read(leaf)?;
    let text = if facts.names.is_empty() {
        format!("subject {}", facts.shown.subject)
    } else {
        facts.names.join(", ")
    };
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let cut = text.chars().take(ConnectFailure::WHO_CHARS_MAX);
    Some(cut.map(plain).collect())
}

async fn open(
    policy: &Policy,
    address: SocketAddr,
    deadline: Instant,
) -> Result<TcpStream, Failed> {
    let connected = timeout_at(deadline, TcpStream::connect(address)).await;
    let error = match connected {
        // Small requests must not wait for the acknowledgement of the ones before.
        Ok(Ok(tcp)) => match tcp.set_nodelay(true) {
            Ok(()) => return Ok(tcp),
            Err(error) => error,
        },
        Ok(Err(error)) => error,
        Err(_elapsed) => io::ErrorKind::TimedOut.into(),
    };
    tracing::debug!(%address, %error, "no connection to a service");
    if error.kind() == io::ErrorKind::TimedOut {
        policy.metrics.connect_failed(ConnectFailed::TimedOut);
        Err(Failed::ConnectTimedOut)
    } else {
        policy.metrics.connect_failed(ConnectFailed::Unreachable);
        Err(Failed::Unreachable)
    }
}

/// Counts a handshake that succeeded, and gives the stream its facts.
fn finish(
    policy: &Policy,
    address: SocketAddr,
    proven: Proven,
    took: Duration,
) -> Result<ServiceStream, Failed> {
    let Proven {
        stream,
        identity,
        early,
    } = proven;
    let (tcp, connection) = stream.get_ref();
    let fd = tcp.as_raw_fd();
    let tls = tls_facts::read(connection, TlsFacts::of);
    policy.metrics.handshake_succeeded(&tls, took);
    if early == Early::Data {
        policy.metrics.unexpected_data();
        return Err(Failed::UnexpectedData);
    }
    let deadline = Deadline::none();
    let lease = policy.lease();
    let stream = Timed::new(stream, Arc::clone(&deadline), Arc::clone(&lease));
    let facts = UpstreamFacts {
        group_key: policy.group_key,
        identity,
        tls,
        endpoint: address,
        deadline,
        lease,
        open: policy.metrics.connection_opened(),
    };
    let socket = Arc::new(SocketDigest::from_raw_fd(fd));
    TlsIo::new(stream, fd, ALPN::H1, socket, facts).map_err(|_a_response_without_fields| {
        Failed::Handshake(Box::new(Ended::new(HandshakeFailure::Other)))
    })
}
