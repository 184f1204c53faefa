//! [`Server`]: what all routes share that exchange tokens at one server.

use std::mem::{Discriminant, discriminant};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use super::store::{Kept, Key};
use crate::complaints::Complaints;
use crate::oauth::error::{ErrorCode, OauthError};
use crate::oauth::places::Places;
use crate::oauth::under_way::UnderWay;

/// One authorization server, asked as one client.
#[derive(Debug)]
pub(super) struct Server {
    /// Who may ask it now, and who waits.
    pub(super) places: Arc<Places>,
    /// What it was asked and has not answered yet.
    pub(super) under_way: Arc<UnderWay<Key, Kept>>,
    complaints: Complaints<(Discriminant<OauthError>, Option<ErrorCode>)>,
    /// Whether the log says that it gives nothing.
    told_away: AtomicBool,
}

/// Exchanges under way at a time: as many as questions about tokens, where nothing is written.
const UNDER_WAY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

impl Server {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Places::new(UNDER_WAY)),
            under_way: Arc::default(),
            complaints: Complaints::default(),
            told_away: AtomicBool::new(false),
        }
    }

    /// Whether the log is to tell at `now` that it gave nothing.
    pub(super) fn is_told(&self, error: &OauthError, now: Instant) -> bool {
        let code = error.refused().map(|error| error.code);
        let is_due = self.complaints.is_due((discriminant(error), code), now);
        self.told_away.fetch_or(is_due, Relaxed);
        is_due
    }

    /// It gave a token. Whether the log says otherwise.
    pub(super) fn is_back(&self) -> bool {
        self.told_away.swap(false, Relaxed)
    }
}
