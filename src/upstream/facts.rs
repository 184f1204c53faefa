//! [`UpstreamFacts`]: what was verified of the service at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::certificate::PeerIdentity;
use crate::observe::{OpenUpstreamConnection, TlsFacts};

use super::lease::Lease;
use super::timed::Deadline;

/// What a connection to a service has proven. It stays with the connection in pingora's pool; each
/// request reads it with [`crate::transport::facts_of`] and holds its own terms against it.
#[derive(Debug)]
pub struct UpstreamFacts {
    /// The policy under which the connection was made. A request with another one must not use it.
    pub group_key: u64,
    /// Who the service is.
    pub identity: Arc<PeerIdentity>,
    /// What the handshake agreed on.
    pub tls: TlsFacts,
    /// Where it is.
    pub endpoint: SocketAddr,
    /// Until when the request that is on it now may be answered; to be set for each.
    pub deadline: Arc<Deadline>,
    /// Whether a request has it; to be taken for each.
    pub lease: Arc<Lease>,
    /// Counts the connection as open for as long as it has these facts.
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) open: OpenUpstreamConnection,
}
