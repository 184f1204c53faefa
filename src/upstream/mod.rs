//! The way to a service: which address, on what terms, and the connection itself.
//!
//! [`Endpoints`] chooses an address, [`Policy`] says who we are and who may answer, [`peer()`] tells
//! pingora both, and [`MtlsConnector`] makes the connection when pingora's pool has none. No byte of
//! a request goes to a service before it has proven, in a TLS handshake, that it is one of those
//! that the policy accepts; [`UpstreamFacts`] stay with the connection and say what it has proven.

mod connect_failure;
mod connector;
mod endpoints;
mod facts;
mod handshake;
mod health;
mod lease;
mod peer;
mod policy;
mod resolve;
mod timed;
mod verifier;
#[cfg(test)]
mod tests;

pub use connect_failure::{
    ConnectFailure, answer_timed_out, connect_failure, connection_gone, late_handshake_failure,
};
pub use connector::{MtlsConnector, ServiceStream};
pub use endpoints::{Endpoint, EndpointStore, Endpoints};
pub use facts::UpstreamFacts;
pub use lease::{InUse, Lease};
pub use peer::{Upgrades, peer};
pub use policy::{InvalidPolicy, Policies, Policy, PolicyParts, Protocol};
pub use timed::{Deadline, Timed};
