//! How many connections and handshakes there may be at a time, in total and of one source.
//!
//! The counts outlive a reload: a [`Caps`] belongs to a listener, the limits come with each call.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::spec::ListenerLimits;
use crate::observe::ConnectionRefused;

/// What is open on one listener.
#[derive(Debug, Default)]
pub struct Caps {
    open: AtomicUsize,
    handshakes: AtomicUsize,
    /// Holds only sources that have a connection, so it is bounded by `connections`.
    per_source: Mutex<HashMap<IpAddr, usize>>,
}

/// Counts one connection as open until it is dropped.
#[must_use = "the connection counts only while this permit lives"]
#[derive(Debug)]
pub struct ConnectionPermit {
    caps: Arc<Caps>,
    source: IpAddr,
}

/// Counts one handshake as under way until it is dropped.
#[must_use = "the handshake counts only while this permit lives"]
#[derive(Debug)]
pub struct HandshakePermit(Arc<Caps>);

impl Caps {
    /// Counts a connection of `source` (see [`super::facts::source_key`]).
    ///
    /// # Errors
    ///
    /// Which of the limits is reached.
    pub fn connection(
        self: &Arc<Self>,
        source: IpAddr,
        limits: &ListenerLimits,
    ) -> Result<ConnectionPermit, ConnectionRefused> {
        if !take(&self.open, limits.connections.get()) {
            return Err(ConnectionRefused::TooMany);
        }
        let mut per_source = self
            .per_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mine = per_source.entry(source).or_insert(0);
        if *mine >= limits.connections_per_source.get() {
            drop(per_source);
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectionRefused::TooManyPerSource);
        }
        *mine += 1;
        drop(per_source);
        Ok(ConnectionPermit {
            caps: Arc::clone(self),
            source,
        })
    }

    /// Counts a handshake.
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused::TooManyHandshakes`].
    pub fn handshake(
        self: &Arc<Self>,
        limits: &ListenerLimits,
    ) -> Result<HandshakePermit, ConnectionRefused> {
        if !take(&self.handshakes, limits.handshakes.get()) {
            return Err(ConnectionRefused::TooManyHandshakes);
        }
        Ok(HandshakePermit(Arc::clone(self)))
    }

    /// Open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Adds one unless the counter has reached `max`.
fn take(counter: &AtomicUsize, max: usize) -> bool {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < max).then_some(open + 1)
        })
        .is_ok()
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        let mut per_source = self
            .caps
            .per_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = per_source.get_mut(&self.source) {
            *mine -= 1;
            if *mine == 0 {
                per_source.remove(&self.source);
            }
        }
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}
