//! [`TlsIo`]: a TLS stream of ours in the shape that pingora wants.
//!
//! pingora implements its `IO` for whatever has these traits. What the handshake verified rides in
//! the proxy digest: it is the one digest with user data that anybody may set, and it reaches each
//! request over HTTP/1.1 and h2 alike, and each pooled connection to a service.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest,
    Ssl, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// A TLS stream with the facts that its handshake established.
pub struct TlsIo<S> {
    stream: S,
    /// The socket's own descriptor: pingora's pool keys connections by it and asks `getpeername`.
    fd: UniqueIDType,
    alpn: ALPN,
    ssl: Arc<SslDigest>,
    socket: Arc<SocketDigest>,
    facts: Arc<ProxyDigest>,
}

impl<S> TlsIo<S> {
    /// `fd` is the descriptor of the socket below `stream`; `facts` can be read back with
    /// [`facts_of`].
    ///
    /// # Errors
    ///
    /// pingora's, if it cannot build an empty response header (it can).
    pub fn new<F: Any + Send + Sync>(
        stream: S,
        fd: UniqueIDType,
        alpn: ALPN,
        socket: Arc<SocketDigest>,
        facts: F,
    ) -> pingora::Result<Self> {
        let carrier = Box::new(ResponseHeader::build(200, Some(0))?);
        let facts: Box<dyn Any + Send + Sync> = Box::new(facts);
        Ok(Self {
            stream,
            fd,
            alpn,
            ssl: Arc::new(SslDigest::new("", "", None, None, Vec::new())),
            socket,
            facts: Arc::new(ProxyDigest::new(carrier, Some(facts))),
        })
    }

    /// What its handshake established, if it is of this type.
    #[must_use]
    pub fn facts<F: Any>(&self) -> Option<&F> {
        self.facts.user_data.as_ref()?.downcast_ref()
    }

    /// The stream inside.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

/// How long saying goodbye may take: it is one small record, and nobody waits for an answer.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The facts of the connection that a digest belongs to, if they are of this type.
#[must_use]
pub fn facts_of<F: Any>(digest: Option<&Digest>) -> Option<&F> {
    digest?
        .proxy_digest
        .as_ref()?
        .user_data
        .as_ref()?
        .downcast_ref()
}

impl<S: AsyncRead + Unpin> AsyncRead for TlsIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TlsIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: AsyncWrite + Unpin + Send> Shutdown for TlsIo<S> {
    async fn shutdown(&mut self) {
        // The peer may be gone already, or take nothing any more.
        drop(timeout(SHUTDOWN_TIMEOUT, self.stream.shutdown()).await);
    }
}

impl<S> UniqueID for TlsIo<S> {
    fn id(&self) -> UniqueIDType {
        self.fd
    }
}

impl<S> Ssl for TlsIo<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        Some(Arc::clone(&self.ssl))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(self.alpn.clone())
    }
}

impl<S> GetTimingDigest for TlsIo<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S> GetProxyDigest for TlsIo<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.facts))
    }
}

impl<S> GetSocketDigest for TlsIo<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

impl<S: Send> Peek for TlsIo<S> {}

impl<S> fmt::Debug for TlsIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIo")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that takes nothing any more.
    struct Stuck;

    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn saying_goodbye_to_a_peer_that_takes_nothing_ends() {
        let socket = Arc::new(SocketDigest::from_raw_fd(-1));
        let mut io = TlsIo::new(Stuck, -1, ALPN::H1, socket, ()).unwrap();
        Shutdown::shutdown(&mut io).await;
    }
}
