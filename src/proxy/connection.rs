//! One client's connection, from accept to close: caps, handshake, then requests.

use std::sync::Arc;

use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{IO, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::gateway_proxy::GatewayProxy;
use super::http2;
use super::ids::RequestIds;
use super::log;
use super::respond::raw;
use crate::acme::challenge::Challenges;
use crate::edge::caps::Caps;
use crate::edge::facts::source_key;
use crate::edge::gate::{Gate, Head};
use crate::edge::handshake::{Accepted, accept};
use crate::edge::head::HeadProblem;
use crate::edge::listener::Listener;
use crate::edge::open::OpenConnections;
use crate::identity::name::Name;
use crate::observe::{ConnectionAbuse, ConnectionRefused, HandshakeLog, Metrics, RevocationLog};
use crate::refusal::Refusal;
use crate::snapshot::Live;
use crate::snapshot::stores::Stores;
use crate::transport::TlsIo;
use crate::upstream::MtlsConnector;

/// pingora's proxy with both of its seams filled.
pub type Proxy = HttpProxy<GatewayProxy, MtlsConnector>;

/// What a listener's connections share. It outlives reloads.
#[derive(Debug)]
pub struct Door {
    /// The listener.
    pub name: Name,
    /// The snapshot to ask.
    pub live: Arc<Live>,
    /// Open connections and handshakes.
    pub caps: Arc<Caps>,
    /// Where failed handshakes are told.
    pub handshakes: Arc<HandshakeLog>,
    /// What an ACME directory that looks whether a name is ours may see.
    pub challenges: Arc<Challenges>,
    /// Counters for heads that are refused before pingora sees them.
    pub metrics: Arc<Metrics>,
    /// The connections that are open, for [`super::sweep::Sweeper`].
    pub open: Arc<OpenConnections>,
    /// Where connections are told that are closed because their clients lost their standing.
    pub revocations: Arc<RevocationLog>,
}

impl Door {
    /// With nothing open.
    #[must_use]
    pub fn new(
        name: Name,
        live: &Arc<Live>,
        stores: &Stores,
        revocations: &Arc<RevocationLog>,
    ) -> Self {
        Self {
            name,
            live: Arc::clone(live),
            caps: Arc::default(),
            handshakes: Arc::clone(&stores.handshakes),
            challenges: Arc::clone(stores.sources.acme().challenges()),
            metrics: Arc::clone(&stores.metrics),
            open: Arc::default(),
            revocations: Arc::clone(revocations),
        }
    }
}

/// Whether the process is stopping.
#[derive(Clone, Debug)]
pub struct Shutdown(ShutdownWatch);

impl Shutdown {
    /// Watches pingora's own signal.
    #[must_use]
    pub fn new(watch: ShutdownWatch) -> Self {
        Self(watch)
    }

    /// Ends when the process begins to stop; at once, if it already does.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn requested(&mut self) {
        // A dropped sender means that everything ends.
        drop(self.0.wait_for(|stopping| *stopping).await);
    }

    /// For pingora.
    #[must_use]
    pub fn watch(&self) -> &ShutdownWatch {
        &self.0
    }
}

/// Serves a connection that was accepted.
pub async fn serve(proxy: Arc<Proxy>, io: Stream, door: Arc<Door>, shutdown: ShutdownWatch) {
    let shutdown = Shutdown::new(shutdown);
    let source = io
        .get_socket_digest()
        .and_then(|socket| socket.peer_addr()?.as_inet().copied());
    let now = door.live.now();
    let (Some(source), Some(listener)) = (source, now.listener(&door.name)) else {
        return;
    };
    let listener = Arc::clone(&listener.edge);
    drop(now); // a connection lives long, a snapshot should not
    let permit = match door
        .caps
        .connection(source_key(source.ip()), &listener.limits)
    {
        Ok(permit) => permit,
        Err(refused) => return listener.metrics.connection_refused(refused),
    };
    let handshaking = match door.caps.handshake(&listener.limits) {
        Ok(handshaking) => handshaking,
        Err(refused) => return listener.metrics.connection_refused(refused),
    };
    if *shutdown.watch().borrow() {
        return listener
            .metrics
            .connection_refused(ConnectionRefused::Draining);
    }
    let _open = listener.metrics.connection_opened();
    let _permit = permit; // given back before the gauge falls: who sees the place free can have it
    let accepted = Box::pin(accept(
        io,
        source,
        &listener,
        &door.challenges,
        &door.handshakes,
        door.metrics.clients(),
    ))
    .await;
    drop(handshaking);
    let Some(accepted) = accepted else { return };
    let _listed = door.open.enter(&accepted.facts);
    // After it was listed: a swap from here on finds it there.
    let now = door.live.now();
    let judged = accepted.facts.standing.judged().trust;
    let same = now.listener(&door.name).is_some_and(|plan| {
        plan.edge.trust.digest() == judged
            && plan.edge.certificate == listener.certificate
            && plan.edge.grace == listener.grace
    });
    drop(now);
    if !same {
        door.open.look_again();
    }
    if accepted.h2 {
        Box::pin(http2::serve(
            proxy,
            accepted,
            &listener,
            &door.metrics,
            shutdown,
        ))
        .await;
    } else {
        http1(proxy, accepted, &door, &listener, shutdown).await;
    }
}

/// Requests one after the other. Between two of them the connection is only a stream.
async fn http1(
    proxy: Arc<Proxy>,
    accepted: Accepted,
    door: &Door,
    listener: &Arc<Listener>,
    mut shutdown: Shutdown,
) {
    let Accepted { mut io, facts, .. } = accepted;
    let limits = &listener.limits;
    let metrics = &listener.metrics;
    let mut idle = (limits.header_timeout, ConnectionAbuse::HeaderTimeout);
    loop {
        let head = tokio::select! {
            biased;
            head = io.get_mut().next_head(limits, idle.0) => head,
            () = facts.standing.lost() => return Box::pin(leave(io)).await,
            () = shutdown.requested() => return Box::pin(close(io)).await,
        };
        match head {
            Head::Ready => {}
            Head::Closed => return,
            Head::Broken => return metrics.connection_closed_for(ConnectionAbuse::ProtocolError),
            Head::Idle => {
                metrics.connection_closed_for(idle.1);
                return Box::pin(close(io)).await;
            }
            Head::Refused(problem) => {
                return Box::pin(refuse(io, problem, door, listener, &facts)).await;
            }
        }
        let last = facts.counts.request() >= limits.requests_per_connection.get();
        let mut session = ServerSession::new_http1(io);
        session.set_keepalive((!last).then_some(limits.idle_timeout.as_secs().max(1)));
        let reused = proxy.process_new_http(session, shutdown.watch()).await;
        let Some(stream) = reused.map(|reused| reused.consume().0) else {
            return;
        };
        let Some(ours) = take_back(stream) else {
            return;
        };
        io = ours;
        idle = (limits.idle_timeout, ConnectionAbuse::IdleTimeout);
    }
}

/// pingora hands back the stream that we gave it.
fn take_back(stream: Stream) -> Option<Box<TlsIo<Gate>>> {
    let any = IO::into_any(stream);
    any.downcast().ok()
}

/// Answers a head that pingora never sees, accounts for it, and closes.
async fn refuse(
    mut io: Box<TlsIo<Gate>>,
    problem: HeadProblem,
    door: &Door,
    listener: &Listener,
    facts: &Arc<crate::edge::facts::ConnectionFacts>,
) {
    let refusal = match problem {
        HeadProblem::Malformed => Refusal::RequestMalformed,
        HeadProblem::Target => Refusal::PathAmbiguous,
        HeadProblem::TooLarge => Refusal::HeadersTooLarge,
        HeadProblem::UriTooLong => Refusal::UriTooLong,
        HeadProblem::Framing => Refusal::FramingAmbiguous,
        HeadProblem::Host => Refusal::HostMalformed,
        HeadProblem::Slow => Refusal::HeadTimeout,
    };
    let ids = RequestIds::of(&http::HeaderMap::new());
    let took = if problem == HeadProblem::Slow {
        listener
            .metrics
            .connection_closed_for(ConnectionAbuse::HeaderTimeout);
        listener.limits.header_timeout
    } else {
        std::time::Duration::ZERO
    };
    log::unread(refusal, facts, &ids, &door.metrics.unrouted(), took);
    let answer = raw(refusal, &ids);
    let answered = async {
        io.write_all(&answer).await?;
        io.flush().await
    };
    drop(timeout(listener.limits.header_timeout, answered).await); // the client may be gone
    close(io).await;
}

/// Says goodbye in TLS, within a second, and waits for the client to have read what it was told.
async fn close(mut io: Box<TlsIo<Gate>>) {
    use tokio::io::AsyncReadExt as _;
    let farewell = async {
        io.shutdown().await?;
        let mut sink = vec![0; SINK_BYTES];
        let mut left = FAREWELL_BYTES_MAX;
        while left > 0 {
            match io.read(&mut sink).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    drop(timeout(FAREWELL_TIME_MAX, farewell).await);
}

const FAREWELL_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(1);
/// More than any head that somebody sends by mistake: to close before all of it was read would reset
/// the connection, and the answer with it.
const FAREWELL_BYTES_MAX: usize = 1024 * 1024;
/// As many may be closed at a time as are open.
const SINK_BYTES: usize = 4 * 1024;

/// Says goodbye in TLS to a client that was told nothing, and does not wait for it: it may be one of
/// many that have to go.
async fn leave(mut io: Box<TlsIo<Gate>>) {
    drop(timeout(FAREWELL_TIME_MAX, io.shutdown()).await); // the client may be gone
}
