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
    /// As [`Self::verify`], and a leaf that ended at most `grace` ago passes as well: it is judged at
    /// its end. The CAs and the intermediates must be valid now.
    ///
    /// # Errors
    ///
    /// As [`Self::verify`].
    pub fn verify_with_grace(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
        grace: Duration,
    ) -> Result<(), Untrusted> {
        let refused = match self.verify(leaf, intermediates, usage, now) {
            Err(refused) if refused.reason == HandshakeFailure::CertificateExpired => refused,
            other @ (Ok(()) | Err(_)) => return other,
        };
        let ended = not_after(leaf).and_then(|end| u64::try_from(end).ok());
        let since = ended.and_then(|ended| now.as_secs().checked_sub(ended));
        // Of 0: it is not the leaf that has ended.
        let (Some(ended), Some(1..)) = (ended, since.filter(|since| *since <= grace.as_secs()))
        else {
            return Err(refused);
        };
        let ended = UnixTime::since_unix_epoch(Duration::from_secs(ended));
        self.ask(|bundle| bundle.verify_at(leaf, intermediates, usage, ended, now))
    }
}

impl From<rustls::Error> for Untrusted {
    fn from(error: rustls::Error) -> Self {
        Self {
            reason: HandshakeFailure::from_rustls(&error),
            error,
        }
    }
}
