//! [`TrustStore`]: everything that one side believes, and the one question asked of it.
//!
//! A listener has one, and so has each upstream: their trust bundles in order. Whoever verifies a
//! chain, in a handshake, on a resumed session or again on an open connection, asks here.

use std::sync::Arc;
use std::time::Duration;

use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::bundle::{TrustBundle, Usage};
use super::info::sha256;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::not_after;

/// The trust bundles of a listener or an upstream.
#[derive(Debug)]
pub struct TrustStore {
    bundles: Vec<Arc<TrustBundle>>,
    digest: [u8; 32],
}

/// Why a chain is not believed.
#[derive(Debug)]
pub struct Untrusted {
    /// For metrics and the log.
    pub reason: HandshakeFailure,
    /// For rustls, which makes the alert from it.
    pub error: rustls::Error,
}

impl TrustStore {
    /// Believes what these bundles vouch for. Nothing, if there is none.
    #[must_use]
    pub fn new(bundles: Vec<Arc<TrustBundle>>) -> Self {
        let digests: Vec<u8> = bundles.iter().flat_map(|bundle| bundle.digest()).collect();
        Self {
            digest: sha256(&digests),
            bundles,
        }
    }

    /// SHA-256 over all that decides about a chain. Sessions and pooled connections live as long
    /// as it stays the same.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The names of the CAs, as they are told to clients.
    #[must_use]
    pub fn hints(&self) -> Vec<DistinguishedName> {
        let subjects = self
            .bundles
            .iter()
            .flat_map(|bundle| bundle.roots().subjects());
        let mut hints: Vec<DistinguishedName> = subjects.collect();
        hints.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        hints.dedup_by(|a, b| a.as_ref() == b.as_ref());
        hints
    }

    /// When the next CA ends, in seconds since 1970: until then a chain that verifies goes on to do
    /// so as far as its CA goes.
    #[must_use]
    pub fn next_end(&self, now: UnixTime) -> i64 {
        let ends = self.bundles.iter().map(|bundle| bundle.next_end(now));
        ends.min().unwrap_or_default()
    }

    /// Whether a bundle vouches for `leaf` over `intermediates`: see [`TrustBundle::verify`].
    ///
    /// # Errors
    ///
    /// [`Untrusted`] with the most telling reason.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<(), Untrusted> {
        self.ask(|bundle| bundle.verify(leaf, intermediates, usage, now))
    }

    /// Asks one bundle after the other.
    fn ask(
        &self,
        question: impl Fn(&TrustBundle) -> Result<(), rustls::Error>,
    ) -> Result<(), Untrusted> {
        let mut refused = Untrusted::from(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer,
        ));
        for bundle in &self.bundles {
            match question(bundle) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let next = Untrusted::from(error);
                    // That another bundle does not know the issuer says nothing.
                    if next.reason != HandshakeFailure::UnknownIssuer {
                        refused = next;
                    }
                }
            }
        }
        Err(refused)
    }
}

impl TrustStore {
    /// As [`Self::verify`], but a leaf that ended at most `grace` seconds ago is judged at its end.
    /// The CA and the intermediates must be valid now.
    ///
    /// # Errors
    ///
    /// [`Untrusted`] with the most telling reason.
    pub fn verify_within(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
        grace: u32,
    ) -> Result<(), Untrusted> {
        let end = match grace {
            0 => None,
            grace => end_within(leaf, now, grace),
        };
        self.ask(|bundle| match end {
            None => bundle.verify(leaf, intermediates, usage, now),
            Some(end) => bundle.verify_at(leaf, intermediates, usage, end, now),
        })
    }
}

/// For how many seconds a certificate is over.
#[must_use]
pub fn seconds_over(not_after: i64, now: UnixTime) -> u32 {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let over = now.saturating_sub(not_after).max(0);
    u32::try_from(over).unwrap_or(u32::MAX)
}

/// When a leaf ended, if it did, and at most `grace` seconds ago.
fn end_within(leaf: &CertificateDer<'_>, now: UnixTime, grace: u32) -> Option<UnixTime> {
    let end = not_after(leaf)?;
    if !(1..=grace).contains(&seconds_over(end, now)) {
        return None;
    }
    let since_1970 = u64::try_from(end).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(since_1970)))
}

impl From<rustls::Error> for Untrusted {
    fn from(error: rustls::Error) -> Self {
        Self {
            reason: HandshakeFailure::from_rustls(&error),
            error,
        }
    }
}
