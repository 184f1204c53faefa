//! [`FrameWatch`]: counts the h2 frames that carry no request.
//!
//! SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA and unknown frames cost the sender nothing
//! and us some work each; h2 lets them come without end. They are counted against what the
//! connection has earned: so many for each request served, and one for each piece of an answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Reads along, frame by frame (RFC 9113, section 4.1), without keeping any.
#[derive(Debug)]
pub struct FrameWatch {
    /// Bytes of the preface or of a payload that are still to be passed over.
    skip: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
    spent: u32,
    written: usize,
    per_request: u32,
    requests: Arc<RequestCount>,
}

/// How many requests a connection has begun, and whether it sent too much beside them.
#[derive(Debug, Default)]
pub struct RequestCount {
    begun: AtomicU32,
    exceeded: AtomicBool,
    /// Whether the last frame was one more piece of something that may go on without end.
    filling: AtomicBool,
}

const HEADER_BYTES: usize = 9;
/// `PRI * HTTP/2.0`, RFC 9113, section 3.4.
const PREFACE_BYTES: usize = 24;
/// A client that reads an answer sends a WINDOW_UPDATE for the stream and one for the connection
/// every few thousand bytes.
const BYTES_PER_EARNED_FRAME: usize = 1024;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// Too many frames came that carry no request.
#[derive(Debug, thiserror::Error)]
#[error("too many HTTP/2 frames that carry no request")]
pub struct TooManyFrames;

impl RequestCount {
    /// Counts a request.
    pub fn add(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the last frame was DATA or CONTINUATION. h2 has bounds of its own on both and on
    /// resets, and does not say which of them was met.
    #[must_use]
    pub fn filling(&self) -> bool {
        self.filling.load(Ordering::Relaxed)
    }

    /// Whether the connection was ended for [`TooManyFrames`].
    #[must_use]
    pub fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }
}

impl FrameWatch {
    /// Lets `per_request` such frames through for each request, and as many before the first.
    #[must_use]
    pub fn new(per_request: u32, requests: Arc<RequestCount>) -> Self {
        let header = [0; HEADER_BYTES];
        Self {
            skip: PREFACE_BYTES,
            header,
            have: 0,
            spent: 0,
            written: 0,
            per_request,
            requests,
        }
    }

    /// Notes bytes that were written: they earn the client frames of its own.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// Looks at bytes that were read.
    ///
    /// # Errors
    ///
    /// [`TooManyFrames`]: the connection is to be closed.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let wanted = (HEADER_BYTES - self.have).min(bytes.len());
            let (part, rest) = bytes.split_at(wanted);
            if let Some(slot) = self.header.get_mut(self.have..self.have + wanted) {
                slot.copy_from_slice(part);
            }
            self.have += wanted;
            bytes = rest;
            if self.have == HEADER_BYTES {
                self.have = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> io::Result<()> {
        let [a, b, c, kind, flags, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = length;
        let filling = matches!(kind, DATA | CONTINUATION);
        self.requests.filling.store(filling, Ordering::Relaxed);
        let carries = match kind {
            DATA => length > 0 || flags & END_STREAM != 0,
            HEADERS => true,
            _control_or_unknown => false,
        };
        if carries {
            return Ok(());
        }
        self.spent = self.spent.saturating_add(1);
        let requests = self.requests.begun.load(Ordering::Relaxed);
        let by_requests = self.per_request.saturating_mul(requests.saturating_add(1));
        let by_bytes = u32::try_from(self.written / BYTES_PER_EARNED_FRAME).unwrap_or(u32::MAX);
        if self.spent > by_requests.saturating_add(by_bytes) {
            self.requests.exceeded.store(true, Ordering::Relaxed);
            return Err(io::Error::other(TooManyFrames));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut bytes = vec![0, 0, length, kind, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn frames_without_a_request_are_let_through_only_as_earned() {
        let requests = Arc::new(RequestCount::default());
        let mut watch = FrameWatch::new(10, Arc::clone(&requests));
        watch.read(&[b'x'; PREFACE_BYTES]).unwrap();
        let ping = frame(6, &[0; 8]);
        for _ in 0..10 {
            watch.read(&ping).unwrap();
        }
        assert!(
            watch.read(&ping).is_err(),
            "the eleventh before any request"
        );
        let mut watch = FrameWatch::new(10, Arc::clone(&requests));
        watch.read(&[b'x'; PREFACE_BYTES]).unwrap();
        requests.add();
        watch.read(&frame(HEADERS, b"block")).unwrap();
        for byte in ping.chunks(1).cycle().take(5 * ping.len()) {
            watch.read(byte).unwrap(); // in single bytes as well
        }
        watch.wrote(BYTES_PER_EARNED_FRAME * 100);
        for _ in 0..100 {
            watch.read(&frame(8, &[0, 0, 1, 0])).unwrap();
        }
        let flood: Vec<u8> = ping.repeat(50); // 20 for one request, 100 for the bytes, 105 spent
        assert!(watch.read(&flood).is_err());
    }

    #[test]
    fn empty_data_frames_count_and_the_last_of_a_stream_does_not() {
        let mut watch = FrameWatch::new(1, Arc::default());
        watch.read(&[b'x'; PREFACE_BYTES]).unwrap();
        let mut last = frame(DATA, &[]);
        if let Some(flags) = last.get_mut(4) {
            *flags = END_STREAM;
        }
        for _ in 0..5 {
            watch.read(&last).unwrap();
        }
        watch.read(&frame(DATA, &[])).unwrap();
        assert!(watch.read(&frame(DATA, &[])).is_err());
    }
}
