//! [`Shares`]: who of those that wait may ask next, so that no client asks for all the time.
//!
//! A service says how many questions it takes at a time (`SETTINGS_MAX_CONCURRENT_STREAMS`), and may say
//! less than `in_flight`. What is more than that would wait behind each other in h2, where nobody knows whose it
//! is: so turns are given for as many as the service takes, and each client has half of them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::oauth::places::Places;

/// The places before one authorization service.
#[derive(Debug)]
pub(super) struct Shares {
    /// Never more than these are under way.
    pub(super) in_flight: NonZeroUsize,
    now: Mutex<(NonZeroUsize, Arc<Places>)>,
}

impl Shares {
    pub(super) fn new(in_flight: NonZeroUsize) -> Self {
        let places = Arc::new(Places::new(in_flight));
        Self {
            in_flight,
            now: Mutex::new((in_flight, places)),
        }
    }

    /// The places for as many as the service takes now. Whoever has one of before keeps it: then a few
    /// more are under way for a moment, and wait in h2.
    pub(super) fn now(&self, streams: impl FnOnce() -> Option<usize>) -> Arc<Places> {
        let streams = streams().unwrap_or(usize::MAX);
        // One that takes none at the moment may soon.
        let most = NonZeroUsize::new(streams).unwrap_or(NonZeroUsize::MIN);
        let most = most.min(self.in_flight);
        let mut now = self.now.lock();
        if now.0 != most {
            *now = (most, Arc::new(Places::new(most)));
        }
        Arc::clone(&now.1)
    }
}
