//! [`Failed`]: how a client's handshake ended without a connection, and what is told of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::facts::source_key;
use super::farewell::{INTERNAL_ERROR_ALERT, UNRECOGNIZED_NAME_ALERT};
use super::listener::{Listener, NotServed};
use super::socket::Socket;
use crate::handshake_failure::HandshakeFailure;
use crate::observe::{HandshakeFailureLine, HandshakeLog, Side};

/// A handshake that failed, with what the log says about it.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: HandshakeFailure,
    pub(super) detail: String,
    pub(super) server_name: Option<String>,
    /// The certificate that was refused.
    pub(super) leaf: Option<Vec<u8>>,
    /// Certificates that the client showed.
    pub(super) chain_length: usize,
    /// The connection, if it is still there to be closed politely.
    pub(super) socket: Option<Socket>,
    /// What rustls did not send.
    pub(super) last_words: &'static [u8],
}

impl Failed {
    pub(super) fn new(reason: HandshakeFailure, detail: &str) -> Self {
        Self {
            reason,
            detail: detail.to_owned(),
            server_name: None,
            leaf: None,
            chain_length: 0,
            socket: None,
            last_words: &[],
        }
    }

    pub(super) fn not_served(why: NotServed) -> Self {
        let (reason, detail, last_words) = match why {
            NotServed::Unknown => (
                HandshakeFailure::UnknownServerName,
                "no certificate for it",
                UNRECOGNIZED_NAME_ALERT,
            ),
            NotServed::Awaited => (
                HandshakeFailure::CertificateUnavailable,
                "its certificate is not there yet",
                INTERNAL_ERROR_ALERT,
            ),
        };
        Self {
            last_words,
            ..Self::new(reason, detail)
        }
    }

    pub(super) fn of(error: &io::Error) -> Box<Self> {
        Box::new(Self::new(
            HandshakeFailure::from_io(error),
            &error.to_string(),
        ))
    }

    pub(super) fn report(
        &self,
        listener: &Listener,
        source: SocketAddr,
        took: Duration,
        log: &HandshakeLog,
    ) {
        log.failed(&HandshakeFailureLine {
            side: Side::Downstream,
            name: listener.name.as_str(),
            peer: Some(source),
            source: Some(source_key(source.ip())),
            sni: self.server_name.as_deref(),
            reason: self.reason,
            error: Some(&self.detail),
            leaf: self.leaf.as_deref(),
            chain_length: self.chain_length,
            took,
        });
    }
}
