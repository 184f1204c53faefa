//! The handshake with a service, from the open socket to the proof that it may answer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::PeerIdentity;

use super::policy::{Policy, Protocol};
use super::verifier::{Judgement, judged};

/// A connection whose service proved that it may answer.
pub(super) struct Proven {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) identity: Arc<PeerIdentity>,
    pub(super) early: Early,
}

/// Shakes hands until `deadline`.
pub(super) async fn shake_hands(
    policy: &Policy,
    tcp: TcpStream,
    deadline: Instant,
) -> Result<Proven, Ended> {
    let tls = TlsConnector::from(Arc::clone(&policy.client_config));
    let handshake = timeout_at(deadline, tls.connect(policy.tls_name.clone(), tcp));
    let (outcome, judgement) = judged(handshake).await;
    let mut stream = match outcome {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Ended::with_error(error).judged(judgement)),
        Err(_elapsed) => return Err(Ended::new(HandshakeFailure::TimedOut).judged(judgement)),
    };
    let identity = match judgement {
        Judgement::Accepted(identity) => identity,
        Judgement::NotAsked => judge_resumed(policy, &stream)?,
        // rustls ends such a handshake; should it not, we do.
        refused @ Judgement::Refused { .. } => {
            return Err(Ended::new(HandshakeFailure::Other).judged(refused));
        }
    };
    let early = match policy.protocol {
        Protocol::Http1 => first_read(&mut stream).await.map_err(Ended::with_error)?,
        Protocol::Http2 => Early::Nothing, // either side begins (RFC 9113, section 3.4)
    };
    Ok(Proven {
        stream,
        identity,
        early,
    })
}

fn judge_resumed(
    policy: &Policy,
    stream: &TlsStream<TcpStream>,
) -> Result<Arc<PeerIdentity>, Ended> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    policy.judge_again(chain).map_err(|reason| Ended {
        leaf: chain.first().map(|leaf| leaf.clone().into_owned()),
        chain_length: chain.len(),
        session: Session::Stale,
        ..Ended::new(reason)
    })
}

/// What a service sent before it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Early {
    Nothing,
    Data,
}

/// Reads once, without waiting. Session tickets are taken in silence; an alert (a service of TLS 1.3
/// looks at our certificate after we are done) and the end of the connection are errors.
async fn first_read(stream: &mut TlsStream<TcpStream>) -> io::Result<Early> {
    let mut byte = [0; 1];
    let mut buffer = ReadBuf::new(&mut byte);
    let once = poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(Early::Nothing),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Poll::Ready(Ok(())) => Ok(Early::Data),
            Poll::Ready(Err(error)) => Err(error),
        })
    });
    // A task that used up its turn would see nothing.
    tokio::task::unconstrained(once).await
}

/// How a handshake ended without a connection, with what only the log is told.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) reason: HandshakeFailure,
    /// The certificate that was refused.
    pub(super) leaf: Option<CertificateDer<'static>>,
    /// Certificates that the service showed.
    pub(super) chain_length: usize,
    /// The library's words, or the verifier's.
    pub(super) error: Option<io::Error>,
    pub(super) session: Session,
}

/// Whether the handshake resumed a session whose certificate does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Fresh,
    Stale,
}

impl Ended {
    pub(super) fn new(reason: HandshakeFailure) -> Self {
        Self {
            reason,
            leaf: None,
            chain_length: 0,
            error: None,
            session: Session::Fresh,
        }
    }

    fn with_error(error: io::Error) -> Self {
        let reason = HandshakeFailure::from_io(&error);
        Self {
            error: Some(error),
            ..Self::new(reason)
        }
    }

    /// The verifier's own reason, if it has one, is closer than what rustls makes of it.
    fn judged(self, judgement: Judgement) -> Self {
        match judgement {
            Judgement::Refused {
                reason,
                leaf,
                chain_length,
                detail,
            } => Self {
                reason,
                leaf: Some(leaf),
                chain_length,
                error: Some(io::Error::other(detail)),
                ..self
            },
            Judgement::NotAsked | Judgement::Accepted(_) => self,
        }
    }
}
