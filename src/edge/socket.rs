//! [`Socket`]: a plain connection whose first bytes were looked at before TLS reads them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// A connection that pingora accepted, with its first bytes put back.
#[derive(Debug)]
pub(super) struct Socket {
    io: Stream,
    first: [u8; FIRST_BYTES],
    /// How many of `first` were read from the network.
    read: usize,
    /// How many of `first` were handed on.
    given: usize,
}

/// As long as a TLS record's header; enough to see an HTTP method.
const FIRST_BYTES: usize = 5;
/// `GET`: the shortest method that anybody sends.
const METHOD_BYTES_MIN: usize = 3;

impl Socket {
    /// Waits for the first bytes.
    ///
    /// # Errors
    ///
    /// Those of the network; `UnexpectedEof` if the peer closes before the first byte.
    pub(super) async fn open(io: Stream) -> io::Result<Self> {
        let mut socket = Self {
            io,
            first: [0; FIRST_BYTES],
            read: 0,
            given: 0,
        };
        loop {
            let rest = socket.first.get_mut(socket.read..).unwrap_or_default();
            let read = socket.io.read(rest).await?;
            socket.read += read;
            // A record of TLS begins with a number below 32: only letters need a second look, and
            // they may come one by one.
            let letters = socket.first().iter().all(u8::is_ascii_alphabetic);
            if read == 0 || !letters || socket.read == FIRST_BYTES {
                break;
            }
        }
        if socket.read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(socket)
    }

    fn first(&self) -> &[u8] {
        self.first.get(..self.read).unwrap_or_default()
    }

    /// Whether the first bytes are those of an HTTP request, which TLS never begins with.
    pub(super) fn speaks_plain_http(&self) -> bool {
        let first = self.first();
        let method = first.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        method >= METHOD_BYTES_MIN && first.get(method).is_none_or(|after| *after == b' ')
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
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
