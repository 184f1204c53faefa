//! [`HandshakeLog`]: one line for each failed handshake, bounded in rate.
//!
//! Anybody who can connect can make a handshake fail. The metrics count each; the log shows as many
//! as a person can read and says how many it left out.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::escape::{CHARS_MAX, Cut, clean};
use super::labels::Side;
use super::lines::Lines;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::Shown;

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
    /// The name that the client asked for, or that we asked the service for.
    pub sni: Option<&'a str>,
    /// Why it failed.
    pub reason: HandshakeFailure,
    /// The library's own words, if there are some.
    pub error: Option<&'a dyn Display>,
    /// The certificate that was refused, if one was.
    pub certificate: Option<RefusedCertificate<'a>>,
    /// How long it took to fail.
    pub took: Duration,
}

/// What can be read from a certificate that was refused
/// ([`crate::identity::certificate::describe`]).
#[derive(Clone, Copy, Debug)]
pub struct RefusedCertificate<'a> {
    /// Subject, issuer and serial number.
    pub shown: &'a Shown,
    /// Its names, as texts.
    pub names: &'a [String],
    /// The end of its validity, in seconds since 1970.
    pub not_after: i64,
}

/// Names of a refused certificate that are shown.
const NAMES_MAX: usize = 8;

/// Writes lines about failed handshakes, no more than so many a second.
#[derive(Debug)]
pub struct HandshakeLog {
    lines: Lines,
}

impl HandshakeLog {
    /// At most `per_second` lines a second, and as many at once.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        Self {
            lines: Lines::new(per_second),
        }
    }

    /// Writes the line, or counts it as suppressed. The next line that is written says how many
    /// were.
    pub fn failed(&self, line: &HandshakeFailureLine<'_>) {
        if let Some(suppressed) = self.lines.pass() {
            write(line, suppressed);
        }
    }
}

impl Default for HandshakeLog {
    /// 20 lines a second: what a person can follow, and less than 2 GB a day at its worst.
    fn default() -> Self {
        Self::new(const { NonZeroU32::MIN.saturating_add(19) })
    }
}

fn write(line: &HandshakeFailureLine<'_>, suppressed: u64) {
    let shown = line.certificate.map(|certificate| certificate.shown);
    let names = line.certificate.map(|certificate| names(certificate.names));
    let not_after = line.certificate.and_then(|certificate| {
        OffsetDateTime::from_unix_timestamp(certificate.not_after)
            .ok()?
            .format(&Rfc3339)
            .ok()
    });
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
    for name in names.iter().take(NAMES_MAX) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&Cut(name).to_string());
    }
    if names.len() > NAMES_MAX {
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
        assert!(names(&many).chars().count() < NAMES_MAX * (CHARS_MAX + 4));
    }
}
