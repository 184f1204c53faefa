//! [`Rehearsed`]: how today's peers fare under the bundle that is to come.

use crate::handshake_failure::HandshakeFailure;

/// What would become of a certificate under the bundle that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsed {
    /// It would pass.
    Passes,
    /// It would fail.
    Fails(HandshakeFailure),
}

impl Rehearsed {
    /// The label in metrics and records: `ok`, or the reason.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passes => "ok",
            Self::Fails(reason) => reason.reason(),
        }
    }
}
