//! [`Wire`]: a client's plain connection, which can be cut while TLS reads and writes on it.
//!
//! Who serves a request holds the stream, and may wait for something else than the client for a long
//! time. So the socket stands where the connection's own task and whoever takes its standing away
//! can both reach it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use pingora::protocols::Stream;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

/// A connection that pingora accepted.
pub struct Wire {
    ends: Mutex<Ends>,
    /// Read without the lock, for what TLS has deciphered already.
    cut: AtomicBool,
    write_vectored: bool,
}

struct Ends {
    /// Nothing, once it was cut.
    io: Option<Stream>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The client lost its standing and its time is over.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut: the client lost its standing")]
struct WasCut;

/// The error of whatever is tried on a connection that was cut.
pub(super) fn was_cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, WasCut)
}

impl Wire {
    pub(super) fn new(io: Stream) -> Arc<Self> {
        Arc::new(Self {
            write_vectored: io.is_write_vectored(),
            cut: AtomicBool::new(false),
            ends: Mutex::new(Ends {
                io: Some(io),
                reader: None,
                writer: None,
            }),
        })
    }

    /// Closes the socket under whoever uses it. In TLS the client is told nothing more, so that it
    /// takes no half answer for a whole one (RFC 8446, section 6.1).
    pub fn cut(&self) {
        let mut ends = self.ends.lock();
        let Some(io) = ends.io.take() else {
            return; // it has ended by itself
        };
        self.cut.store(true, Ordering::Release);
        let wakers = [ends.reader.take(), ends.writer.take()];
        drop(ends);
        drop(io);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Closes the socket, for its user is done with it: what is known of the connection may live on.
    pub(super) fn close(&self) {
        let mut ends = self.ends.lock();
        let all = (ends.io.take(), ends.reader.take(), ends.writer.take());
        drop(ends);
        drop(all);
    }

    /// Whether it was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    pub(super) const fn is_write_vectored(&self) -> bool {
        self.write_vectored
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ends = self.ends.lock();
        let Some(io) = &mut ends.io else {
            return Poll::Ready(Err(was_cut()));
        };
        let read = Pin::new(io).poll_read(cx, buf);
        if read.is_pending() {
            keep(&mut ends.reader, cx);
        }
        read
    }

    /// Polls a write, or a flush, or the end of writing.
    pub(super) fn poll_out<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut ends = self.ends.lock();
        let Some(io) = &mut ends.io else {
            return Poll::Ready(Err(was_cut()));
        };
        let written = poll(Pin::new(io), cx);
        if written.is_pending() {
            keep(&mut ends.writer, cx);
        }
        written
    }
}

/// Under the lock, so that a cut comes either before the poll or after this.
fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()), // clones only another task's
        None => *slot = Some(cx.waker().clone()),
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("cut", &self.is_cut())
            .finish_non_exhaustive()
    }
}
