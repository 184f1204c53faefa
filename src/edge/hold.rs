//! [`Hold`]: the head of an answer waits for the first piece of its body, so that both leave in one
//! TLS record and one system call.
//!
//! pingora writes them apart and flushes only where somebody waits for the head alone (no body,
//! chunked, informational). Only the first write after a request was read is held, and any flush
//! lets it go. So does a read: with the head written and no body at hand, pingora looks whether the
//! client is still there. A head waits for nothing but the work that is done in one go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

/// The most that one TLS record carries (RFC 8446, section 5.1).
const RECORD_BYTES: usize = 16 * 1024;
/// Heads are rarely longer, and what is longer gains nothing.
const HELD_BYTES_MAX: usize = 4 * 1024;

/// What is held back.
#[derive(Debug, Default)]
pub(super) struct Hold {
    bytes: BytesMut,
    /// Whether the next write is the first after a read.
    first: bool,
}

impl Hold {
    /// Notes that a request was read: the next write begins its answer.
    pub(super) fn expect_head(&mut self) {
        self.first = true;
    }

    /// Takes a write over, if it is to be held or is to leave together with what is held. `None`:
    /// nothing is held, and the caller writes by itself.
    pub(super) fn take<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Option<Poll<io::Result<usize>>> {
        let length: usize = data.iter().map(|slice| slice.len()).sum();
        if self.bytes.is_empty() {
            if !std::mem::take(&mut self.first) || length > HELD_BYTES_MAX {
                return None;
            }
            self.append(data);
            return Some(Poll::Ready(Ok(length)));
        }
        if self.bytes.len() + length > RECORD_BYTES {
            return match self.release(to, cx) {
                Poll::Ready(Ok(())) => None,
                Poll::Ready(Err(error)) => Some(Poll::Ready(Err(error))),
                Poll::Pending => Some(Poll::Pending),
            };
        }
        self.append(data);
        // The data is ours now, whether or not the socket takes it at once.
        match self.release(to, cx) {
            Poll::Ready(Err(error)) => Some(Poll::Ready(Err(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Some(Poll::Ready(Ok(length))),
        }
    }

    fn append(&mut self, data: &[io::IoSlice<'_>]) {
        data.iter()
            .for_each(|slice| self.bytes.extend_from_slice(slice));
    }

    /// Writes what is held. Keeps no memory once all is written.
    pub(super) fn release<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.bytes.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(written);
        }
        self.bytes = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Takes everything, and remembers each write.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(data.to_vec());
            Poll::Ready(Ok(data.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_head_and_the_first_piece_of_its_body_are_one_write() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut to = Writes::default();
        let mut hold = Hold::default();
        let mut write = |hold: &mut Hold, to: &mut Writes, data: &[u8]| {
            hold.take(to, cx, &[io::IoSlice::new(data)]).is_some()
        };
        assert!(
            !write(&mut hold, &mut to, b"before any request"),
            "nothing is held"
        );
        hold.expect_head();
        assert!(write(&mut hold, &mut to, b"head "));
        assert!(to.0.is_empty());
        assert!(write(&mut hold, &mut to, b"body"));
        assert_eq!(to.0, [b"head body"]);
        assert!(
            !write(&mut hold, &mut to, b"more body"),
            "only the first is held"
        );

        hold.expect_head();
        assert!(write(&mut hold, &mut to, b"head alone"));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(hold.release(&mut to, cx).is_ready());
        assert_eq!(to.0.last().unwrap(), b"head alone");

        hold.expect_head();
        assert!(
            hold.take(&mut to, cx, &[io::IoSlice::new(&[0; HELD_BYTES_MAX + 1])])
                .is_none()
        );
        hold.expect_head();
        assert!(
            hold.take(&mut to, cx, &[io::IoSlice::new(b"head")])
                .is_some()
        );
        assert!(
            hold.take(&mut to, cx, &[io::IoSlice::new(&[0; RECORD_BYTES])])
                .is_none()
        );
        assert_eq!(
            to.0.last().unwrap(),
            b"head",
            "goes out before what is too large"
        );
    }
}
