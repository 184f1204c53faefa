//! [`Bounded`]: a connection that gives no more than somebody may be waiting for.
//!
//! The client reads an answer to its end, however long it says that it is (512 MiB are the store's
//! own bound). What comes between two answers is counted here, and a connection that gives too
//! much ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// TCP, or TLS on it.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection, and how many bytes came since the last answer that somebody got.
pub(super) struct Bounded {
    pub(super) wire: Box<dyn Wire>,
    pub(super) unanswered: Arc<AtomicUsize>,
}

/// A hundred values of the greatest length: many may come in one go.
const UNANSWERED_MAX: usize = 32 << 20;

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut *self.wire).poll_read(context, buffer);
        let more = buffer.filled().len().saturating_sub(before);
        let unanswered = self
            .unanswered
            .fetch_add(more, Relaxed)
            .saturating_add(more);
        if unanswered > UNANSWERED_MAX {
            let error = io::Error::new(io::ErrorKind::InvalidData, "the store gives too much");
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.wire).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_nobody_waits_for_ends_the_connection() {
        let unanswered = Arc::new(AtomicUsize::new(0));
        let mut bounded = Bounded {
            wire: Box::new(tokio::io::join(tokio::io::repeat(b'$'), tokio::io::sink())),
            unanswered: Arc::clone(&unanswered),
        };
        let mut buffer = vec![0; 1 << 20];
        for _ in 0..40 {
            bounded
                .read_exact(&mut buffer)
                .await
                .expect("answered in between");
            unanswered.store(0, Relaxed);
        }
        for _ in 0..32 {
            bounded
                .read_exact(&mut buffer)
                .await
                .expect("within the bound");
        }
        bounded.read_exact(&mut buffer).await.expect_err("too much");
    }
}
