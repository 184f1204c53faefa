//! [`OpenConnections`]: the connections of one listener that are open, so that somebody can look
//! after those on which nothing is asked.
//!
//! It costs a connection an entry of some 20 bytes. Connections come and go on every thread, so the
//! entries are spread over parts with a lock each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::facts::{ConnectionFacts, Presented};

/// Parts, each with a lock of its own.
const PARTS: usize = 16;

/// The open connections of one listener. It outlives reloads.
#[derive(Debug)]
pub struct OpenConnections {
    parts: [Mutex<Part>; PARTS],
    next: AtomicU64,
    again: Notify,
}

#[derive(Debug)]
struct Part {
    /// By a number that is each one's own. Bounded by the listener's `connections`.
    connections: HashMap<u64, Arc<ConnectionFacts>>,
    /// No judgement of a connection in this part ends earlier, in seconds since 1970.
    next_end: i64,
}

/// Lists one connection until it is dropped.
#[must_use = "the connection is looked after only while this lives"]
#[derive(Debug)]
pub struct Listed {
    of: Arc<OpenConnections>,
    number: u64,
}

impl Default for OpenConnections {
    fn default() -> Self {
        let part = |_| {
            Mutex::new(Part {
                connections: HashMap::new(),
                next_end: i64::MAX,
            })
        };
        Self {
            parts: std::array::from_fn(part),
            next: AtomicU64::new(0),
            again: Notify::new(),
        }
    }
}

impl OpenConnections {
    /// Lists a connection whose handshake is complete.
    pub fn enter(self: &Arc<Self>, facts: &Arc<ConnectionFacts>) -> Listed {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(part) = self.part(number) {
            let mut part = part.lock();
            part.next_end = part.next_end.min(end(facts));
            part.connections.insert(number, Arc::clone(facts));
        }
        Listed {
            of: Arc::clone(self),
            number,
        }
    }

    fn part(&self, number: u64) -> Option<&Mutex<Part>> {
        let parts = u64::try_from(PARTS).unwrap_or(1);
        self.parts.get(usize::try_from(number % parts).ok()?)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        let count = |part: &Mutex<Part>| part.lock().connections.len();
        self.parts.iter().map(count).sum()
    }

    /// Every part, by its number.
    pub fn parts(&self) -> std::ops::Range<usize> {
        0..self.parts.len()
    }

    /// The connections of one part.
    #[must_use]
    pub fn of_part(&self, part: usize) -> Vec<Arc<ConnectionFacts>> {
        let all = |part: &Mutex<Part>| part.lock().connections.values().cloned().collect();
        self.parts.get(part).map(all).unwrap_or_default()
    }

    /// Whether the judgement of a connection in this part may have ended by then, in seconds since
    /// 1970.
    #[must_use]
    pub fn may_have_ended(&self, part: usize, seconds: i64) -> bool {
        let ended = |part: &Mutex<Part>| part.lock().next_end < seconds;
        self.parts.get(part).is_some_and(ended)
    }

    /// Finds out anew when the first judgement in this part ends.
    pub fn settle(&self, part: usize) {
        let Some(part) = self.parts.get(part) else {
            return;
        };
        let mut part = part.lock();
        let ends = part.connections.values().map(|facts| end(facts));
        part.next_end = ends.min().unwrap_or(i64::MAX);
    }

    /// Asks for a look at all of them: one was opened under a trust that is gone already.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// Ends when somebody asked for a look.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn asked(&self) {
        self.again.notified().await;
    }
}

/// When there is something to look at.
fn end(facts: &ConnectionFacts) -> i64 {
    let standing = &facts.standing;
    match &facts.peer {
        Presented::Certificate { .. } if standing.why_lost().is_none() => {
            standing.judged().good_until
        }
        Presented::Certificate { .. } | Presented::Nothing => i64::MAX,
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(part) = self.of.part(self.number) {
            part.lock().connections.remove(&self.number);
        }
    }
}
