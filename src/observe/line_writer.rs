//! [`LineWriter`]: a bounded buffer between those who log and the one thread that writes.
//!
//! To log is to copy bytes under a short lock, never to wait for a disk, a pipe or a terminal. When
//! the reader of our log is too slow, lines are dropped and counted. The thread writes in batches:
//! a write and a change of threads for each line would cost more than the line.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that wait to be written. Some 4,000 access lines: a fifth of a second at full load.
const WAITING_MAX: usize = 2 * 1024 * 1024;

/// How long the thread lets lines gather before it writes them.
const GATHER: Duration = Duration::from_millis(5);

/// The end where lines go in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct LineWriter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Told when lines wait, or are wanted at once.
    wake: Condvar,
    /// Told when all lines are written.
    idle: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
    /// The thread is writing what waited before.
    writing: bool,
    /// Somebody waits for all lines to be written.
    urgent: bool,
}

impl LineWriter {
    /// Starts the thread. It ends with the process.
    ///
    /// # Errors
    ///
    /// The system's, if it gives no thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            idle: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run(out))?;
        Ok(Self(shared))
    }

    /// Takes a line, with its line feed, or drops and counts it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.0.lock();
        if waiting.bytes.len() + line.len() > WAITING_MAX {
            drop(waiting);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        drop(waiting);
        if was_empty {
            self.0.wake.notify_one();
        }
    }

    /// Lines that were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line that was taken before is written, at most `limit`. Blocks the thread:
    /// for the end of the process.
    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut waiting = self.0.lock();
        while waiting.writing || !waiting.bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting.urgent = true;
            self.0.wake.notify_one();
            (waiting, _) = self
                .0
                .idle
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let lines = self.next(&mut batch);
            if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
                // Nobody reads: to count the lines is all that is left to do.
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            }
            batch.clear();
        }
    }

    /// Waits for lines, lets them gather, and takes them.
    fn next(&self, batch: &mut Vec<u8>) -> u64 {
        let mut waiting = self.lock();
        waiting.writing = false;
        if waiting.bytes.is_empty() {
            waiting.urgent = false;
            self.idle.notify_all();
        }
        while waiting.bytes.is_empty() {
            waiting = self
                .wake
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !waiting.urgent {
            (waiting, _) = self
                .wake
                .wait_timeout(waiting, GATHER)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.writing = true;
        std::mem::swap(&mut waiting.bytes, batch);
        std::mem::take(&mut waiting.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Says when a write begins, and ends it when it is told to.
    struct Gate(Sender<Vec<u8>>, Receiver<()>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            self.1.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_never_a_wait() {
        let (wrote, written) = channel();
        let (open, gate) = channel();
        let writer = LineWriter::start(Gate(wrote, gate)).unwrap();
        writer.push(b"first\n");
        assert_eq!(written.recv().unwrap(), b"first\n");
        let line = [b'x'; 1024];
        for _ in 0..3_000 {
            writer.push(&line); // Returns though nothing is written.
        }
        assert_eq!(writer.dropped(), 3_000 - 2_048);
        open.send(()).unwrap();
        open.send(()).unwrap();
        assert_eq!(written.recv().unwrap().len(), WAITING_MAX);
        writer.flush(Duration::from_secs(10));
        assert_eq!(writer.dropped(), 3_000 - 2_048);
    }

    #[test]
    fn flush_waits_for_every_line_and_a_broken_pipe_is_counted() {
        let (wrote, written) = channel();
        let (open, gate) = channel();
        let writer = LineWriter::start(Gate(wrote, gate)).unwrap();
        writer.push(b"a\n");
        open.send(()).unwrap();
        writer.flush(Duration::from_secs(10));
        assert_eq!(written.try_recv().unwrap(), b"a\n");
        drop(written);
        writer.push(b"b\n");
        writer.push(b"c\n");
        writer.flush(Duration::from_secs(10));
        assert_eq!(writer.dropped(), 2);
    }
}
