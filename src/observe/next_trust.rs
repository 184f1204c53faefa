//! [`NextTrust`]: how today's peers fare under the bundle that is to come.

use crate::handshake_failure::HandshakeFailure;

/// What would become of a certificate under the bundle that is to come: `None` if it would pass.
pub type Rehearsed = Option<HandshakeFailure>;
