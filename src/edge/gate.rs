//! [`Gate`]: the client's stream, which lets the head of a request through only when it is whole,
//! in bounds and in time.
//!
//! pingora reads a head byte by byte, bounded by 60 seconds a read and 1 MiB, and answers a broken
//! one where nobody counts it. So the head is awaited here: an idle connection costs no HTTP state,
//! one deadline holds for the whole head, and the raw bytes are looked at before anything repairs
//! them. h2 has frames instead of heads: for it the gate counts frames.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::frames::FrameWatch;
use super::head::{HeadProblem, Scan, scan};
use super::hold::Hold;
use super::socket::Socket;
use super::wire::was_cut;
use crate::config::spec::ListenerLimits;

/// A client's TLS stream.
pub struct Gate {
    tls: TlsStream<Socket>,
    /// Bytes of a head that came in pieces, not yet read by pingora.
    pending: BytesMut,
    /// The head of an answer that waits for its body.
    hold: Hold,
    frames: Option<Box<FrameWatch>>,
}

/// What came of waiting for a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A whole head lies ready to be read.
    Ready,
    /// The client closed, or broke off.
    Closed,
    /// What came is no TLS.
    Broken,
    /// The connection was idle for too long.
    Idle,
    /// The head is refused; nothing of it was read by pingora.
    Refused(HeadProblem),
}

impl Head {
    /// rustls says `InvalidData` where TLS was broken; all else is the network's.
    fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::InvalidData {
            Self::Broken
        } else {
            Self::Closed
        }
    }
}

impl Gate {
    pub(super) fn new(tls: TlsStream<Socket>) -> Self {
        Self {
            tls,
            pending: BytesMut::new(),
            hold: Hold::default(),
            frames: None,
        }
    }

    /// Counts h2 frames from now on.
    pub fn watch_frames(&mut self, watch: FrameWatch) {
        self.frames = Some(Box::new(watch));
    }

    /// Waits for the head of the next HTTP/1.1 request: `idle` for its first byte, and the
    /// listener's `header_timeout` from there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was read is kept for the next call.
    pub async fn next_head(&mut self, limits: &ListenerLimits, idle: Duration) -> Head {
        let head = self.await_head(limits, idle).await;
        if head == Head::Ready {
            self.hold.expect_head();
        }
        head
    }

    async fn await_head(&mut self, limits: &ListenerLimits, idle: Duration) -> Head {
        if self.pending.is_empty() {
            match timeout(idle, self.tls.fill_buf()).await {
                Err(_elapsed) => return Head::Idle,
                Ok(Err(error)) => return Head::of(&error),
                Ok(Ok([])) => return Head::Closed,
                Ok(Ok(chunk)) => match scan(chunk, limits) {
                    Scan::Whole => return Head::Ready, // and stays in rustls' buffer
                    Scan::Refused(problem) => return Head::Refused(problem),
                    Scan::Partial => {}
                },
            }
        }
        match timeout(limits.header_timeout, self.gather(limits)).await {
            Ok(head) => head,
            Err(_elapsed) => Head::Refused(HeadProblem::Slow),
        }
    }

    /// Puts a head together that comes in pieces. It is looked at once for each line that ends, and
    /// when it is too long without: to look at each piece would cost its bytes squared.
    async fn gather(&mut self, limits: &ListenerLimits) -> Head {
        let mut first_line = !self.pending.contains(&b'\n');
        loop {
            let (read, line_ended) = match self.tls.fill_buf().await {
                Err(error) => return Head::of(&error),
                Ok([]) => return Head::Closed,
                Ok(chunk) => {
                    self.pending.extend_from_slice(chunk);
                    (chunk.len(), chunk.contains(&b'\n'))
                }
            };
            Pin::new(&mut self.tls).consume(read);
            first_line &= !line_ended;
            let bound = if first_line {
                limits.uri_bytes.min(limits.header_bytes)
            } else {
                limits.header_bytes
            };
            if !line_ended && self.pending.len() <= bound.get() {
                continue;
            }
            match scan(&self.pending, limits) {
                Scan::Whole => return Head::Ready,
                Scan::Refused(problem) => return Head::Refused(problem),
                Scan::Partial => {}
            }
        }
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.not_cut()?; // nor is read what TLS has deciphered by then
        if !this.pending.is_empty() {
            let part = this.pending.len().min(buf.remaining());
            buf.put_slice(this.pending.get(..part).unwrap_or_default());
            this.pending.advance(part);
            if this.pending.is_empty() {
                this.pending = BytesMut::new(); // an idle connection keeps no buffer
            }
            return Poll::Ready(Ok(()));
        }
        // Who reads has no body for the head yet: a service that takes its time must not delay it.
        if let Poll::Ready(Err(error)) = this.hold.release(&mut this.tls, cx) {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.tls).poll_read(cx, buf);
        if let (Poll::Ready(Ok(())), Some(frames)) = (&read, &mut this.frames) {
            frames.read(buf.filled().get(before..).unwrap_or_default())?;
        }
        read
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(taken) = this.hold.take(&mut this.tls, cx, &[io::IoSlice::new(data)]) {
            return taken;
        }
        let written = Pin::new(&mut this.tls).poll_write(cx, data);
        this.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(taken) = this.hold.take(&mut this.tls, cx, data) {
            return taken;
        }
        let written = Pin::new(&mut this.tls).poll_write_vectored(cx, data);
        this.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.hold.release(&mut this.tls, cx))?;
        Pin::new(&mut this.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.hold.release(&mut this.tls, cx))?;
        Pin::new(&mut this.tls).poll_shutdown(cx)
    }
}

impl Gate {
    fn not_cut(&self) -> io::Result<()> {
        if self.tls.get_ref().0.wire().is_cut() {
            return Err(was_cut());
        }
        Ok(())
    }

    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Poll::Ready(Ok(bytes)), Some(frames)) = (written, &mut self.frames) {
            frames.wrote(*bytes);
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}
