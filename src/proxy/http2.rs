//! HTTP/2 on a client's connection: our own accept loop around pingora's streams, with a bound on
//! everything that h2 lets a client do for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{
    self, H2Accept, H2Options, HttpSession, default_h2_options,
};
use pingora::protocols::{Digest, GetProxyDigest as _, GetSocketDigest as _, Ssl as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::connection::{Proxy, Shutdown};
use super::errors::abuse;
use super::ids::RequestIds;
use super::log;
use crate::config::spec::ListenerLimits;
use crate::edge::facts::ConnectionFacts;
use crate::edge::frames::{FrameWatch, RequestCount};
use crate::edge::gate::Gate;
use crate::edge::handshake::Accepted;
use crate::edge::listener::Listener;
use crate::observe::{ConnectionAbuse, ListenerMetrics, Metrics};
use crate::refusal::Refusal;
use crate::transport::TlsIo;

/// Bytes that may wait for a client's window, for each stream: the rest waits in the service.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Serves one h2 connection until it ends.
pub(super) async fn serve(
    proxy: Arc<Proxy>,
    accepted: Accepted,
    listener: &Listener,
    all: &Metrics,
    mut shutdown: Shutdown,
) {
    let (limits, metrics) = (&listener.limits, &listener.metrics);
    let Accepted { mut io, facts, .. } = accepted;
    let frames = Arc::new(RequestCount::default());
    io.get_mut().watch_frames(FrameWatch::new(
        limits.http2_idle_frames.get(),
        Arc::clone(&frames),
    ));
    let digest = digest_of(&io);
    let begun = tokio::select! {
        begun = begin(io, limits) => begun,
        () = facts.standing.lost() => return,
    };
    let mut connection = match begun {
        Ok(connection) => connection,
        Err(Some(not_h2)) => return count(&not_h2, &frames, metrics),
        Err(None) => return metrics.connection_closed_for(ConnectionAbuse::Http2Silent),
    };
    let streams = Arc::new(Streams::default());
    let mut draining = false;
    loop {
        let (wait, abuse) = match draining {
            true => (DRAIN_IDLE, None),
            false => patience(&facts, limits),
        };
        let next = tokio::select! {
            biased;
            () = to_end(&mut shutdown, &facts), if !draining => {
                connection.graceful_shutdown();
                draining = true;
                continue;
            }
            next = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => next,
            () = streams.idle_for(wait) => {
                if let Some(abuse) = abuse {
                    metrics.connection_closed_for(abuse);
                }
                return;
            }
        };
        match next {
            Ok(Some(H2Accept::Session(session))) => {
                frames.add();
                let last = facts.counts.request() >= limits.requests_per_connection.get();
                if last && !draining {
                    connection.graceful_shutdown();
                    draining = true;
                }
                spawn(&proxy, session, streams.enter(), shutdown.clone());
            }
            Ok(Some(H2Accept::Rejected)) => {
                facts.counts.reset();
                let ids = RequestIds::of(&http::HeaderMap::new());
                let (why, took) = (Refusal::RequestMalformed, Duration::ZERO);
                log::unread(why, &facts, &ids, &all.unrouted(), took);
            }
            Ok(None) => return,
            Err(broken) => return count(&broken, &frames, metrics),
        }
        if resets_too_often(&facts, limits) || streams.are_too_many(limits) {
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
            metrics.connection_closed_for(ConnectionAbuse::Http2Resets);
            // GOAWAY is sent by polling the connection once more; it ends by itself.
            drop(timeout(limits.header_timeout, connection.accept()).await);
            return;
        }
    }
}

/// Ends when the process stops, or the client loses its standing: what is under way may go on, for as
/// long as each allows.
async fn to_end(shutdown: &mut Shutdown, facts: &ConnectionFacts) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = facts.standing.lost() => {}
    }
}

/// What pingora knows of a connection.
fn digest_of(io: &TlsIo<Gate>) -> Arc<Digest> {
    Arc::new(Digest {
        ssl_digest: io.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: io.get_proxy_digest(),
        socket_digest: io.get_socket_digest(),
    })
}

type Connection = h2::server::Connection<pingora::protocols::Stream, bytes::Bytes>;

/// The preface and the first SETTINGS. No error: they did not come in time.
async fn begin(
    io: Box<TlsIo<Gate>>,
    limits: &ListenerLimits,
) -> Result<Connection, Option<Box<pingora::Error>>> {
    let handshake = server::handshake(io, Some(options(limits)));
    match timeout(limits.header_timeout, handshake).await {
        Ok(begun) => begun.map_err(Some),
        Err(_elapsed) => Err(None),
    }
}

/// Counts why a connection ended in an error, where it was the client's doing.
fn count(broken: &pingora::Error, frames: &RequestCount, metrics: &ListenerMetrics) {
    if frames.exceeded() {
        return metrics.connection_closed_for(ConnectionAbuse::Http2IdleFrames);
    }
    if let Some(abuse) = abuse(broken) {
        return metrics.connection_closed_for(abuse);
    }
    let Some(error) = broken.root_cause().downcast_ref::<h2::Error>() else {
        return;
    };
    if error.is_io() || error.is_remote() {
        return; // the client is gone, or has said goodbye in its own way
    }
    let calm = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    metrics.connection_closed_for(match (calm, frames.filling()) {
        (false, _) => ConnectionAbuse::ProtocolError,
        (true, true) => ConnectionAbuse::Http2IdleFrames,
        (true, false) => ConnectionAbuse::Http2Resets,
    });
}

fn spawn(proxy: &Arc<Proxy>, session: HttpSession, active: ActiveStream, shutdown: Shutdown) {
    let proxy = Arc::clone(proxy);
    tokio::spawn(async move {
        let _active = active;
        proxy
            .process_new_http(ServerSession::new_http2(session), shutdown.watch())
            .await;
    });
}

/// How long the connection may be idle, and what it is counted as if it is longer.
fn patience(
    facts: &ConnectionFacts,
    limits: &ListenerLimits,
) -> (Duration, Option<ConnectionAbuse>) {
    if facts.counts.requests() == 0 {
        (limits.header_timeout, Some(ConnectionAbuse::HeaderTimeout))
    } else {
        (limits.idle_timeout, Some(ConnectionAbuse::IdleTimeout))
    }
}

/// How long a client may take to hear GOAWAY when nothing of it is under way.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// Streams that were reset cost us a request each; an honest client's are few among many.
fn resets_too_often(facts: &ConnectionFacts, limits: &ListenerLimits) -> bool {
    let resets = facts.counts.resets();
    resets > limits.http2_resets.get() && resets > facts.counts.requests() / 2
}

fn options(limits: &ListenerLimits) -> H2Options {
    let resets = usize::try_from(limits.http2_resets.get()).unwrap_or(usize::MAX);
    let headers = u32::try_from(limits.header_bytes.get()).unwrap_or(u32::MAX);
    let mut options = default_h2_options();
    options.max_concurrent_streams(limits.http2_streams.get());
    options.max_header_list_size(headers);
    options.max_send_buffer_size(SEND_BUFFER_BYTES);
    options.max_local_error_reset_streams(Some(resets));
    options.max_pending_accept_reset_streams(resets.min(RESETS_PENDING_MAX));
    options
}

/// h2's own default: streams that were reset before we accepted them.
const RESETS_PENDING_MAX: usize = 20;

/// The streams of a connection that are under way.
#[derive(Debug, Default)]
struct Streams {
    active: AtomicUsize,
    ended: Notify,
}

/// Counts one stream as under way until it is dropped.
#[derive(Debug)]
struct ActiveStream(Arc<Streams>);

impl Streams {
    fn enter(self: &Arc<Self>) -> ActiveStream {
        self.active.fetch_add(1, Ordering::Relaxed);
        ActiveStream(Arc::clone(self))
    }

    /// Whether more are under way than a client can have opened that lets most of them end. h2 knows
    /// only those that are open: a reset does not end what was begun for the stream.
    fn are_too_many(&self, limits: &ListenerLimits) -> bool {
        let most = limits
            .http2_streams
            .get()
            .saturating_add(limits.http2_resets.get());
        self.active.load(Ordering::Relaxed) > usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// Ends when no stream has been under way for this long.
    async fn idle_for(&self, wait: Duration) {
        while self.active.load(Ordering::Acquire) > 0 {
            self.ended.notified().await;
        }
        sleep(wait).await;
    }
}

impl Drop for ActiveStream {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_one();
        }
    }
}
