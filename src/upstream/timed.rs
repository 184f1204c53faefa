//! [`Timed`]: a stream from a service that ends when the request's time is over.
//!
//! pingora bounds each read and not their sum: a service that drips the head of its answer byte by
//! byte would be waited for as long as it likes. No timer is needed here: a service that is silent
//! runs into the bound on the read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::lease::Lease;

/// Until when a service may answer the request that is on the connection now.
#[derive(Debug)]
pub struct Deadline {
    epoch: Instant,
    /// Milliseconds after `epoch`.
    ends: AtomicU64,
}

impl Deadline {
    /// A deadline that never comes.
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            ends: AtomicU64::new(u64::MAX),
        })
    }

    /// Sets when the answer must be complete.
    pub fn set(&self, end: Instant) {
        self.ends.store(self.millis(end), Relaxed);
    }

    fn is_over(&self) -> bool {
        let ends = self.ends.load(Relaxed);
        ends != u64::MAX && self.millis(Instant::now()) > ends
    }

    fn millis(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

/// A stream on which nothing is read after the deadline, and that ends with its [`Lease`]. What is not there yet is waited for all the
/// same, so that a connection in the pool is left alone.
#[derive(Debug)]
pub struct Timed<S> {
    stream: S,
    deadline: Arc<Deadline>,
    lease: Arc<Lease>,
}

impl<S> Timed<S> {
    pub(super) const fn new(stream: S, deadline: Arc<Deadline>, lease: Arc<Lease>) -> Self {
        Self {
            stream,
            deadline,
            lease,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before && self.deadline.is_over() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if read.is_pending() && self.lease.poll_over(cx).is_ready() {
            return Poll::Ready(Ok(())); // as if the service had closed
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
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
        data: &[io::IoSlice<'_>],
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn nothing_is_read_after_the_deadline_and_everything_before() {
        let (near, mut far) = tokio::io::duplex(16);
        let deadline = Deadline::none();
        let mut timed = Timed::new(near, Arc::clone(&deadline), Arc::default());
        far.write_all(b"abc").await.unwrap();
        assert_eq!(timed.read_u8().await.unwrap(), b'a');
        deadline.set(Instant::now() + Duration::from_secs(60));
        assert_eq!(timed.read_u8().await.unwrap(), b'b');
        deadline.set(deadline.epoch);
        while !deadline.is_over() {
            tokio::task::yield_now().await;
        }
        let error = timed.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
