//! [`HandshakeLog`]: one line for each failed handshake, bounded in rate.
//!
//! Anybody who can connect can make a handshake fail. The metrics count each; the log shows as many
//! as a person can read and says how many it left out; the [record](FailureRecord) says who fails
//! most.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::clock::{rfc3339, unix_now};
use super::escape::{CHARS_MAX, Cut, clean};
use super::failure_record::FailureRecord;
use super::labels::Side;
use super::lines::Lines;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate_facts::CertificateFacts;

/// What is said about one failed handshake. Texts may come from outside: they are cut to 200
/// characters and escaped here.
#[derive(Clone, Copy)]
pub struct HandshakeFailureLine<'a> {
    /// Whether the peer is a client or a service.
    pub side: Side,
    /// The listener or the upstream.
    pub name: &'a str,
    /// Where the client connected from, or the service's address.
    pub peer: Option<SocketAddr>,
    /// By what its source counts in the record.
    pub source: Option<IpAddr>,
    /// The name that the client asked for, or that we asked the service for.
    pub sni: Option<&'a str>,
    /// Why it failed.
    pub reason: HandshakeFailure,
    /// The library's own words, if there are some.
    pub error: Option<&'a dyn Display>,
    /// The certificate that was refused (DER), if one was.
    pub leaf: Option<&'a [u8]>,
    /// Certificates that the peer showed, that one included.
    pub chain_length: usize,
    /// How long it took to fail.
    pub took: Duration,
}

/// Writes lines about failed handshakes, no more than so many a second.
#[derive(Debug)]
pub struct HandshakeLog {
    lines: Lines,
    record: Arc<FailureRecord>,
}

/// What a person can follow, and less than 2 GB a day at its worst.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

impl HandshakeLog {
    /// Tells the record of each failure, and the log of at most 20 a second.
    #[must_use]
    pub fn new(record: Arc<FailureRecord>) -> Self {
        Self {
            lines: Lines::new(LINES_PER_SECOND),
            record,
        }
    }
}

impl Default for HandshakeLog {
    /// With a record of its own, which nobody reads.
    fn default() -> Self {
        Self::new(FailureRecord::new(unix_now()))
    }
}

impl HandshakeLog {
    /// Writes the line, or counts it as suppressed. The next line that is written says how many
    /// were.
    pub fn failed(&self, line: &HandshakeFailureLine<'_>) {
        let read = OnceLock::new();
        let facts = || {
            let read = read.get_or_init(|| line.leaf.and_then(CertificateFacts::read));
            read.as_ref()
        };
        self.record.failed(line, unix_now(), facts);
        if let Some(suppressed) = self.lines.pass() {
            write(line, facts(), suppressed);
        }
    }
}

fn write(line: &HandshakeFailureLine<'_>, facts: Option<&CertificateFacts>, suppressed: u64) {
    let shown = facts.map(|facts| &facts.shown);
    let names = facts.map(|facts| names(&facts.names));
    let not_after = facts.and_then(|facts| rfc3339(facts.not_after));
    let cut = |text| tracing::field::display(Cut(text));
    tracing::warn!(
        target: "handshake",
        side = line.side.label(),
        name = line.name,
        peer_address = line.peer.map(tracing::field::display),
        sni = line.sni.map(cut),
        reason = line.reason.reason(),
        error = line.error.map(|error| clean(&error.to_string(), CHARS_MAX)),
        certificate_subject = shown.map(|shown| cut(&shown.subject)),
        certificate_issuer = shown.map(|shown| cut(&shown.issuer)),
        certificate_serial = shown.map(|shown| cut(&shown.serial)),
        certificate_names = names,
        certificate_not_after = not_after,
        duration = line.took.as_secs_f64(),
        suppressed,
        "handshake failed",
    );
}

/// The first names, in one text.
fn names(names: &[String]) -> String {
    let mut text = String::new();
    for name in names.iter().take(CertificateFacts::NAMES_MAX) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&Cut(name).to_string());
    }
    if names.len() > CertificateFacts::NAMES_MAX {
        text.push_str(", …");
    }
    text
}

impl std::fmt::Debug for HandshakeFailureLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeFailureLine")
            .field("side", &self.side)
            .field("name", &self.name)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_with_many_names_makes_no_long_line() {
        let many: Vec<String> = (0..1_500).map(|_| "n".repeat(5_000)).collect();
        assert!(names(&many).chars().count() < CertificateFacts::NAMES_MAX * (CHARS_MAX + 4));
    }
}
