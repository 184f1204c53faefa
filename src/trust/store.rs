//! [`TrustStore`]: everything that one side believes, and the one question asked of it.
//!
//! A listener has one, and so has each upstream: their trust bundles in order, and the deny list.
//! Whoever verifies a chain, in a handshake, on a resumed session or again on an open connection,
//! asks here.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, DistinguishedName};

use super::bundle::{TrustBundle, Usage, Vouches};
use super::deny::DenyList;
use super::info::sha256;
use super::judge::{Question, denied, unix_time};
use super::provider;
use super::rehearsal::Rehearsal;
use super::untrusted::Untrusted;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::{PeerIdentity, not_after, peer_identity, spiffe_name};
use crate::identity::spiffe::SpiffeId;

/// The trust bundles of a listener or an upstream, and the deny list.
#[derive(Debug)]
pub struct TrustStore {
    bundles: Vec<Arc<TrustBundle>>,
    deny: Arc<DenyList>,
    digest: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
    /// Whether anything is decided by the leaf's SPIFFE ID.
    asks_for_spiffe: bool,
    rehearsals: Vec<Rehearsal>,
}

impl TrustStore {
    /// Believes what these bundles vouch for and `deny` does not name. Nothing, if there is no
    /// bundle.
    #[must_use]
    pub fn new(bundles: Vec<Arc<TrustBundle>>, deny: Arc<DenyList>) -> Self {
        let digests = bundles.iter().map(|bundle| bundle.digest());
        let digests: Vec<u8> = digests.chain([deny.digest()]).flatten().collect();
        let bound = |bundle: &Arc<TrustBundle>| *bundle.vouches_for() != Vouches::Anyone;
        Self {
            digest: sha256(&digests),
            asks_for_spiffe: bundles.iter().any(bound) || deny.asks_for_spiffe(),
            bundles,
            deny,
            algorithms: provider().signature_verification_algorithms,
            rehearsals: Vec::new(),
        }
    }

    /// Rehearses what is to come.
    #[must_use]
    pub fn rehearsing(self, rehearsals: Vec<Rehearsal>) -> Self {
        Self { rehearsals, ..self }
    }

    /// What is rehearsed: it decides nothing, and is no part of the digest.
    #[must_use]
    pub fn rehearsals(&self) -> &[Rehearsal] {
        &self.rehearsals
    }

    /// SHA-256 over all that is rehearsed, if anything is.
    #[must_use]
    pub fn rehearsed(&self) -> Option<[u8; 32]> {
        let digests = self.rehearsals.iter().flat_map(Rehearsal::digest);
        let digests: Vec<u8> = digests.collect();
        (!digests.is_empty()).then(|| sha256(&digests))
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

    /// When the next CA ends, or a CRL that is required, in seconds since 1970: until then a chain
    /// that verifies goes on to do so as far as its CA goes.
    #[must_use]
    pub fn next_end(&self, now: UnixTime) -> i64 {
        let ends = self.bundles.iter().map(|bundle| bundle.next_end(now));
        ends.min().unwrap_or_default()
    }

    /// Whether a bundle vouches for `leaf` over `intermediates` at `now`, and nothing of the chain
    /// is denied.
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
        self.judge(&Question {
            leaf,
            intermediates,
            usage,
            leaf_at: now,
            now,
            deny: &self.deny,
            accepted: &self.algorithms,
        })
    }

    /// Who a leaf that was verified says it is. Where bundles vouch for different trust domains, a
    /// leaf with a SPIFFE ID is known by that, its key and itself: a CA that vouches for one trust
    /// domain could write the DNS name or the subject of somebody for whom another one vouches.
    ///
    /// # Errors
    ///
    /// [`Untrusted`]: it states no identity.
    pub fn identity(&self, leaf: &CertificateDer<'_>) -> Result<PeerIdentity, Untrusted> {
        let mut identity = peer_identity(leaf)?;
        let mut whom = self.bundles.iter().map(|bundle| bundle.vouches_for());
        let first = whom.next();
        if identity.spiffe.is_some() && whom.any(|other| Some(other) != first) {
            identity.dns = Box::default();
            identity.subject = None;
        }
        Ok(identity)
    }

    /// As [`Self::verify`], and a leaf that ended at most `grace` ago passes as well. The CAs must be
    /// valid now, and revocation and the deny list are those of now.
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
        let Some(ended) = not_after(leaf).map(unix_time) else {
            return Err(refused);
        };
        let since = now.as_secs().checked_sub(ended.as_secs());
        // Of 0: it is not the leaf that has ended.
        if since.is_none_or(|since| since == 0 || since > grace.as_secs()) {
            return Err(refused);
        }
        self.judge(&Question {
            leaf,
            intermediates,
            usage,
            leaf_at: ended,
            now,
            deny: &self.deny,
            accepted: &self.algorithms,
        })
    }

    fn judge(&self, question: &Question<'_>) -> Result<(), Untrusted> {
        let spiffe = match self.asks_for_spiffe {
            true => spiffe_name(question.leaf)?,
            false => None,
        };
        let mut asked = false;
        let mut refused = Untrusted::new(
            HandshakeFailure::UnknownIssuer,
            CertificateError::UnknownIssuer,
            "no CA of the trust bundles signed it".to_owned(),
        );
        for bundle in &self.bundles {
            if !vouches(bundle, spiffe.as_ref()) {
                continue;
            }
            asked = true;
            match bundle.judge(question) {
                Ok(()) if self.deny.has_spiffe(spiffe.as_ref()) => {
                    return Err(denied("the deny list names the SPIFFE ID"));
                }
                Ok(()) => return Ok(()),
                // That another bundle does not know the issuer says nothing.
                Err(next) if next.reason == HandshakeFailure::UnknownIssuer => {}
                Err(next) => refused = next,
            }
        }
        if asked || self.bundles.is_empty() {
            return Err(refused);
        }
        let whom = match &spiffe {
            Some(id) => format!("the trust domain {}", id.trust_domain()),
            None => "a certificate without a SPIFFE ID".to_owned(),
        };
        Err(Untrusted::new(
            HandshakeFailure::UnknownTrustDomain,
            CertificateError::UnknownIssuer,
            format!("no trust bundle vouches for {whom}"),
        ))
    }
}

fn vouches(bundle: &TrustBundle, spiffe: Option<&SpiffeId>) -> bool {
    match bundle.vouches_for() {
        Vouches::Anyone => true,
        Vouches::Domain(domain) => spiffe.is_some_and(|id| id.trust_domain() == domain.as_str()),
        Vouches::NoSpiffe => spiffe.is_none(),
    }
}
