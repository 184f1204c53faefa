//! [`Readiness`]: whether the gateway takes requests, as `/readyz` says it.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether the gateway takes requests. Only goes forward: starting, ready, draining.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

/// The three states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The configuration is not loaded, or the listeners are not open.
    Starting,
    /// Requests are taken.
    Ready,
    /// The gateway is stopping: requests under way finish, a load balancer should send no more.
    Draining,
}

const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// Starting.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// The gateway takes requests. Does nothing if it is draining already.
    pub fn ready(&self) {
        self.0.fetch_max(READY, Ordering::Relaxed);
    }

    /// The gateway is stopping.
    pub fn draining(&self) {
        self.0.fetch_max(DRAINING, Ordering::Relaxed);
    }

    /// The state of now.
    #[must_use]
    pub fn state(&self) -> State {
        match self.0.load(Ordering::Relaxed) {
            0 => State::Starting,
            READY => State::Ready,
            _ => State::Draining,
        }
    }
}

impl State {
    /// The word that `/readyz` answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_drains_is_never_ready_again() {
        let readiness = Readiness::new();
        assert_eq!(readiness.state(), State::Starting);
        readiness.ready();
        assert_eq!(readiness.state(), State::Ready);
        readiness.draining();
        readiness.ready();
        assert_eq!(readiness.state(), State::Draining);
    }
}
