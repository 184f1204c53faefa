//! [`RevocationLog`]: one line for each connection that is closed because its client lost its
//! standing, bounded in rate: a CA that is removed may close all there are.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::escape::Cut;
use super::lines::Lines;
use crate::handshake_failure::HandshakeFailure;

/// What is said about one connection.
#[derive(Clone, Copy, Debug)]
pub struct RevokedLine<'a> {
    /// The listener.
    pub listener: &'a str,
    /// Where the connection came from.
    pub source: SocketAddr,
    /// The identity in the client's certificate.
    pub peer: Option<&'a str>,
    /// Why the client lost its standing.
    pub reason: HandshakeFailure,
    /// How many requests there were on the connection.
    pub requests: u32,
}

/// Writes lines about connections that are closed, no more than so many a second.
#[derive(Debug)]
pub struct RevocationLog {
    lines: Lines,
}

impl Default for RevocationLog {
    /// 20 lines a second, as for failed handshakes.
    fn default() -> Self {
        Self {
            lines: Lines::new(const { NonZeroU32::MIN.saturating_add(19) }),
        }
    }
}

impl RevocationLog {
    /// Writes the line, or counts it as suppressed. The next line that is written says how many
    /// were.
    pub fn closed(&self, line: &RevokedLine<'_>) {
        let Some(suppressed) = self.lines.pass() else {
            return;
        };
        tracing::info!(
            target: "revocation",
            listener = line.listener,
            source = %line.source,
            peer = line.peer.map(|peer| tracing::field::display(Cut(peer))),
            reason = line.reason.reason(),
            requests = line.requests,
            suppressed,
            "connection closed: its client lost its standing",
        );
    }
}
