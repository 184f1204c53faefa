//! [`Socket`]: a plain connection whose first bytes were looked at before TLS reads them.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::wire::Wire;

/// A connection that pingora accepted, with its first bytes put back.
#[derive(Debug)]
pub(super) struct Socket {
    wire: Arc<Wire>,
    first: [u8; FIRST_BYTES],
    /// How many of `first` were read from the network.
    read: usize,
    /// How many of `first` were handed on.
    given: usize,
    /// How long the peer may take nothing while there is something for it.
    patience: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The peer took nothing of what we have for it.
#[derive(Debug, thiserror::Error)]
#[error("the peer takes nothing")]
struct SlowReader;

/// As long as a TLS record's header; enough to see an HTTP method.
const FIRST_BYTES: usize = 5;
/// `GET`: the shortest method that anybody sends.
const METHOD_BYTES_MIN: usize = 3;

impl Socket {
    /// Waits for the first bytes. A write that moves nothing for `patience` is an
    /// error of kind `TimedOut`.
    ///
    /// # Errors
    ///
    /// Those of the network; `UnexpectedEof` if the peer closes before the first byte.
    pub(super) async fn open(mut io: Stream, patience: Duration) -> io::Result<Self> {
        let mut first = [0; FIRST_BYTES];
        let mut read = 0;
        loop {
            let rest = first.get_mut(read..).unwrap_or_default();
            let more = io.read(rest).await?;
            read += more;
            // A record of TLS begins with a number below 32: only letters need a second look, and
            // they may come one by one.
            let come = first.get(..read).unwrap_or_default();
            let letters = come.iter().all(u8::is_ascii_alphabetic);
            if more == 0 || !letters || read == FIRST_BYTES {
                break;
            }
        }
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self {
            wire: Wire::new(io),
            first,
            read,
            given: 0,
            patience,
            stalled: None,
        })
    }

    /// The connection below, to be cut.
    pub(super) const fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    fn first(&self) -> &[u8] {
        self.first.get(..self.read).unwrap_or_default()
    }

    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        timer.as_mut().poll(cx).map(|()| {
            let error = io::Error::new(io::ErrorKind::TimedOut, SlowReader);
            Err(error)
        })
    }

    /// Whether the first bytes are those of an HTTP request, which TLS never begins with.
    pub(super) fn speaks_plain_http(&self) -> bool {
        let first = self.first();
        let method = first.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        method >= METHOD_BYTES_MIN && first.get(method).is_none_or(|after| *after == b' ')
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.wire.close();
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.given < this.read {
            let rest = this.first.get(this.given..this.read).unwrap_or_default();
            let part = rest
                .get(..rest.len().min(buf.remaining()))
                .unwrap_or_default();
            buf.put_slice(part);
            this.given += part.len();
            return Poll::Ready(Ok(()));
        }
        this.wire.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.wire.poll_out(cx, |io, cx| io.poll_write(cx, data));
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self
            .wire
            .poll_out(cx, |io, cx| io.poll_write_vectored(cx, data));
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_out(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_out(cx, |io, cx| io.poll_shutdown(cx))
    }
}
