//! [`accept`]: from a plain connection to TLS with facts, or to a [`HandshakeFailure`].
//!
//! A handshake that looks for an ACME challenge ends here in any case: no request can come on it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pingora::protocols::{ALPN, SocketDigest, Stream};
use rustls::pki_types::UnixTime;
use rustls::server::ClientHello;
use rustls::{HandshakeKind, ServerConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};

use super::facts::{ConnectionCounts, ConnectionFacts, Presented, peer_key};
use super::failed::Failed;
use super::farewell::{
    FAREWELL_TIME_MAX, NO_APPLICATION_PROTOCOL_ALERT, PLAIN_HTTP_ANSWER, close_politely,
};
use super::gate::Gate;
use super::listener::{Listener, NotServed, Served};
use super::newcomer::{Newcomer, hello_came};
use super::socket::Socket;
use super::standing::{Judged, Standing};
use super::verifier::{SEEN, Seen, judge};
use crate::acme::challenge::{ACME_TLS, Challenges};
use crate::config::spec::ClientCertificate;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::host::Host;
use crate::observe::{ClientRecord, HandshakeLog, TlsFacts};
use crate::transport::{TlsIo, tls_facts};
use crate::trust::Untrusted;

/// A connection on which HTTP can be spoken.
#[derive(Debug)]
pub struct Accepted {
    /// The stream, for pingora.
    pub io: Box<TlsIo<Gate>>,
    /// What the handshake established; pingora carries the same with every request.
    pub facts: Arc<ConnectionFacts>,
    /// Whether the client speaks h2.
    pub h2: bool,
}

/// How a handshake ended that did not fail.
#[derive(Debug)]
enum Ended {
    /// With a connection.
    Accepted(Accepted),
    /// It looked for the certificate of an ACME challenge, and has seen it.
    Challenge(TlsFacts),
}

/// Completes the handshake within the listener's limit, counts it, and logs it if it failed.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub async fn accept(
    io: Stream,
    source: SocketAddr,
    listener: &Listener,
    challenges: &Challenges,
    log: &HandshakeLog,
    clients: &Arc<ClientRecord>,
) -> Option<Accepted> {
    let in_progress = listener.metrics.handshake_started();
    let began = Instant::now();
    let deadline = tokio::time::Instant::from_std(began) + listener.limits.handshake_timeout;
    let handshake = handshake(io, source, listener, challenges, clients);
    let ended = timeout_at(deadline, handshake).await;
    drop(in_progress);
    let failed = match ended {
        Ok(Ok(Ended::Accepted(accepted))) => {
            listener
                .metrics
                .handshake_succeeded(&accepted.facts.tls, began.elapsed());
            return Some(accepted);
        }
        Ok(Ok(Ended::Challenge(facts))) => {
            listener
                .metrics
                .handshake_succeeded(&facts, began.elapsed());
            return None;
        }
        Ok(Err(failed)) => failed,
        Err(_elapsed) => Box::new(Failed::new(
            HandshakeFailure::TimedOut,
            "not complete in time",
        )),
    };
    listener
        .metrics
        .handshake_failed(failed.reason, began.elapsed());
    failed.report(listener, source, began.elapsed(), log);
    if let Some(socket) = failed.socket {
        close_politely(socket, failed.last_words).await;
    }
    None
}

async fn handshake(
    io: Stream,
    source: SocketAddr,
    listener: &Listener,
    challenges: &Challenges,
    clients: &Arc<ClientRecord>,
) -> Result<Ended, Box<Failed>> {
    let fd = io.id();
    let socket_digest = io
        .get_socket_digest()
        .unwrap_or_else(|| Arc::new(SocketDigest::from_raw_fd(fd)));
    let hello = read_hello(io, listener).await?;
    let asked = hello.client_hello().server_name().map(str::to_owned);
    let named = |failed| {
        Box::new(Failed {
            server_name: asked.clone(),
            ..failed
        })
    };
    if is_for_challenge(&hello.client_hello()) {
        let ended = challenge(hello, asked.as_deref(), challenges).await;
        return ended.map(Ended::Challenge).map_err(|failed| named(*failed));
    }
    let post_quantum = hello_came(listener, &hello.client_hello());
    let (served, server_name) = match choose(listener, asked.as_deref()) {
        Ok(chosen) => chosen,
        Err(why) => {
            return Err(named(Failed {
                socket: Some(hello.io),
                ..Failed::not_served(why)
            }));
        }
    };
    let (tls, seen) = complete(hello, served).await.map_err(named)?;
    let peer = present(listener, &tls, seen).map_err(|failed| named(*failed))?;
    let judged = Judged::in_handshake(&peer, listener, UnixTime::now());
    let wire = Arc::clone(tls.get_ref().0.wire());
    let session = tls.get_ref().1;
    let h2 = session.alpn_protocol() == Some(b"h2");
    let tls_facts = tls_facts::read(session, TlsFacts::of);
    let peer_key = peer_key(&peer, source.ip());
    let client = Newcomer::of(listener, &peer, &peer_key, &tls_facts, post_quantum);
    let client = client.map(|client| client.enter(clients));
    let facts = Arc::new(ConnectionFacts {
        listener: listener.name.clone(),
        source,
        server_name,
        served: Arc::clone(&served.key_pair),
        peer_key,
        peer,
        tls: tls_facts,
        client,
        xfcc: OnceLock::new(),
        counts: ConnectionCounts::default(),
        standing: Standing::new(judged, Some(wire)),
    });
    let alpn = if h2 { ALPN::H2 } else { ALPN::H1 };
    let io = TlsIo::new(Gate::new(tls), fd, alpn, socket_digest, Arc::clone(&facts))
        .map_err(|error| Failed::new(HandshakeFailure::Other, &error.to_string()))?;
    Ok(Ended::Accepted(Accepted {
        io: Box::new(io),
        facts,
        h2,
    }))
}

/// The ClientHello, however many pieces it comes in.
async fn read_hello(
    io: Stream,
    listener: &Listener,
) -> Result<StartHandshake<Socket>, Box<Failed>> {
    let socket = Socket::open(io, listener.limits.body_timeout)
        .await
        .map_err(|error| Failed::of(&error))?;
    if socket.speaks_plain_http() {
        let failed = Failed::new(HandshakeFailure::PlainHttp, "HTTP without TLS");
        return Err(Box::new(Failed {
            socket: Some(socket),
            last_words: PLAIN_HTTP_ANSWER,
            ..failed
        }));
    }
    let acceptor = rustls::server::Acceptor::default();
    LazyConfigAcceptor::new(acceptor, socket)
        .await
        .map_err(|error| Failed::of(&error))
}

/// Whether the client offers the protocol of ACME challenges and no other (RFC 8737, section 3).
fn is_for_challenge(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(ACME_TLS) && offered.next().is_none()
}

/// Shows the certificate of an open challenge for exactly the name that the client asks for, and
/// closes. What the client sends after the handshake is not looked at.
async fn challenge(
    hello: StartHandshake<Socket>,
    asked: Option<&str>,
    challenges: &Challenges,
) -> Result<TlsFacts, Box<Failed>> {
    let name = asked.and_then(|asked| Host::parse_name(asked).ok());
    let Some(config) = name.and_then(|name| challenges.tls(&name)) else {
        let detail = "no ACME challenge is open for it";
        let failed = Failed::new(HandshakeFailure::NoCommonAlpn, detail);
        return Err(Box::new(Failed {
            socket: Some(hello.io),
            last_words: NO_APPLICATION_PROTOCOL_ALERT,
            ..failed
        }));
    };
    let mut tls = hello
        .into_stream(config)
        .await
        .map_err(|error| Failed::of(&error))?;
    let facts = tls_facts::read(tls.get_ref().1, TlsFacts::of);
    // The client may be gone already: it has seen what it came for.
    drop(timeout(FAREWELL_TIME_MAX, tls.shutdown()).await);
    Ok(facts)
}

/// The certificate for the name that the client asked for, and that name. A name that is none
/// never gets the certificate of another.
fn choose<'l>(
    listener: &'l Listener,
    asked: Option<&str>,
) -> Result<(&'l Served, Option<Host>), NotServed> {
    let server_name = asked
        .map(Host::parse_name)
        .transpose()
        .map_err(|_no_name| NotServed::Unknown)?;
    Ok((listener.served_for(server_name.as_ref())?, server_name))
}

/// The handshake from the ClientHello on, and what the verifier saw in it.
async fn complete(
    hello: StartHandshake<Socket>,
    served: &Served,
) -> Result<(TlsStream<Socket>, Seen), Failed> {
    let accept = hello
        .into_stream(Arc::clone(&served.config))
        .into_fallible();
    SEEN.scope(RefCell::default(), async {
        let ended = accept.await;
        let seen = SEEN.with(RefCell::take);
        match ended {
            Ok(tls) => Ok((tls, seen)),
            Err((error, socket)) => {
                let mut failed = Failed {
                    socket: Some(socket),
                    ..*Failed::of(&error)
                };
                if is_too_large(&error) {
                    failed.reason = HandshakeFailure::ChainTooLong;
                }
                if let Seen::Refused {
                    leaf,
                    chain_length,
                    reason,
                    detail,
                } = seen
                {
                    failed.reason = reason;
                    failed.chain_length = chain_length;
                    failed.detail = detail;
                    failed.leaf = Some(leaf);
                }
                Err(failed)
            }
        }
    })
    .await
}

/// Whether a message was larger than rustls reads. Behind the ClientHello, only a chain is.
fn is_too_large(error: &std::io::Error) -> bool {
    use rustls::{Error, InvalidMessage};
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        tls,
        Some(Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge
        ))
    )
}

/// Who the client proved to be. rustls verifies nothing again when a session is resumed: the chain
/// that the session brought along is judged here, under the bundle and the time of now.
fn present(
    listener: &Listener,
    tls: &TlsStream<Socket>,
    seen: Seen,
) -> Result<Presented, Box<Failed>> {
    let session = tls.get_ref().1;
    let chain = session.peer_certificates().unwrap_or_default();
    let Some((leaf, intermediates)) = chain.split_first() else {
        return match listener.certificate {
            ClientCertificate::Optional => Ok(Presented::Nothing),
            ClientCertificate::Required => Err(Box::new(Failed::new(
                HandshakeFailure::CertificateMissing,
                "none shown",
            ))),
        };
    };
    let identity = match seen {
        Seen::Passed(identity) if !resumed(session) => *identity,
        Seen::Passed(_) | Seen::Nothing | Seen::Refused { .. } => judge(
            &listener.trust,
            &listener.metrics,
            leaf,
            intermediates,
            UnixTime::now(),
            listener.grace,
        )
        .map_err(|Untrusted { reason, detail, .. }| {
            let failed = Failed::new(reason, &detail);
            Box::new(Failed {
                leaf: Some(leaf.to_vec()),
                chain_length: chain.len(),
                ..failed
            })
        })?,
    };
    let chain = chain.iter().map(|c| c.clone().into_owned()).collect();
    Ok(Presented::Certificate {
        identity: Arc::new(identity),
        chain,
    })
}

fn resumed(session: &ServerConnection) -> bool {
    session.handshake_kind() == Some(HandshakeKind::Resumed)
}
