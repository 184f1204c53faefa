//! [`Server`]: what all routes share that exchange tokens at one server.

use std::mem::{Discriminant, discriminant};
use std::num::NonZeroUsize;
use std::time::Instant;

use crate::oauth::complaints::Complaints;
use crate::oauth::error::{ErrorCode, OauthError};
use crate::oauth::places::Places;

/// One authorization server, asked as one client.
#[derive(Debug)]
pub(super) struct Server {
    /// Who may ask it now, and who waits.
    pub(super) places: Places,
    complaints: Complaints<(Discriminant<OauthError>, Option<ErrorCode>)>,
}

/// Exchanges under way at a time: as many as questions about tokens, where nothing is written.
const UNDER_WAY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

impl Server {
    pub(super) fn new() -> Self {
        Self {
            places: Places::new(UNDER_WAY),
            complaints: Complaints::default(),
        }
    }

    /// Whether the log is to tell of this at `now`.
    pub(super) fn is_told(&self, error: &OauthError, now: Instant) -> bool {
        let code = error.refused().map(|error| error.code);
        self.complaints.is_due((discriminant(error), code), now)
    }
}
