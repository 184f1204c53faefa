//! [`Possession`]: whether who shows a token may: it holds the certificate (RFC 8705) or the key
//! (RFC 9449, `DPoP`) that the token is bound to.
//!
//! What a token is bound to is [`binding::Binding`]; it is the same for JWTs and for introspected
//! tokens, and is checked for each request. A token that is bound is always checked, whatever the
//! route asks: a route only says what it does with one that is not. `report_only` lets in exactly
//! what `false` lets in.
//!
//! The key is shown by a `proof` for this request (`target`) and this token, which is not too old,
//! may have to hold a `nonce` of ours, and is taken once (`replays`). [`terms::ProofTerms`] is what
//! an issuer's `dpop` says of all that.

pub mod binding;
pub mod challenge;
pub mod nonces;
pub mod replays;
pub mod terms;
pub mod thumbprint;

mod explained;
mod nonce;
mod proof;
mod target;

#[cfg(test)]
mod proof_tests;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Map, Value, json};

use self::binding::Binding;
use self::challenge::DpopChallenge;
use self::terms::ProofTerms;
use super::authenticator::Asked;
use super::told::Told;
use crate::config::possession::Demand;
use crate::identity::certificate::PeerIdentity;
use crate::observe::{PossessionMethod, PossessionResult, RouteMetrics};
use crate::refusal::Refusal;

/// What one route asks of who shows tokens of one issuer.
#[derive(Clone, Debug)]
pub struct Possession {
    certificate: Demand,
    key: Demand,
    terms: Arc<ProofTerms>,
    metrics: Arc<RouteMetrics>,
}

/// What the client says of a token by the way it shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever holds it may use it (RFC 6750). Also for a token that stands in another place than
    /// `Authorization`, where nothing is said.
    Bearer,
    /// A proof comes with it (RFC 9449, section 7.1).
    Dpop,
}

impl Possession {
    /// What a route wants of a certificate and of a key. `terms` are those of the tokens' issuer.
    #[must_use]
    pub const fn new(
        certificate: Demand,
        key: Demand,
        terms: Arc<ProofTerms>,
        metrics: Arc<RouteMetrics>,
    ) -> Self {
        Self {
            certificate,
            key,
            terms,
            metrics,
        }
    }

    /// Whether a proof of a key must come with a token.
    pub(super) const fn demand(&self) -> Demand {
        self.key
    }

    /// What a client is told that is refused: that only a token with a proof would do, or one without
    /// as well.
    pub(super) fn challenge(&self, alone: bool) -> DpopChallenge {
        let names = self.terms.names();
        if alone {
            DpopChallenge::alone(names)
        } else {
            DpopChallenge::beside_bearer(names)
        }
    }

    /// Whether `token`, which is known to be good, to be bound so and to speak for `subject`, comes
    /// from whom it is bound to.
    ///
    /// # Errors
    ///
    /// The first thing that is missing or wrong.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe; a proof may count as used then.
    pub async fn check(
        &self,
        (binding, subject): (&Binding, Option<&str>),
        shown: (Scheme, &[u8]),
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<(), Refusal> {
        let certificate = self.check_certificate(binding, asked.peer);
        self.count(PossessionMethod::Certificate, certificate, told)?;
        let key = self.check_key((binding, subject), shown, asked, told).await;
        self.count(PossessionMethod::Dpop, key, told)
    }

    /// As [`Self::check`], for claims that nobody signed: a key counts as shown.
    ///
    /// # Errors
    ///
    /// As [`Self::check`], but what is wrong with a proof.
    pub fn rehearse(&self, binding: &Binding, peer: Option<&PeerIdentity>) -> Result<(), Refusal> {
        self.check_certificate(binding, peer)?;
        match binding.key {
            None if self.key == Demand::Required => Err(Refusal::TokenUnboundToKey),
            None | Some(_) => Ok(()),
        }
    }

    /// The claim `cnf` of a rehearsal that says nothing of it: bound as the route wants. `cnf: null`
    /// stands for a token that is bound to nobody.
    pub fn assume(&self, claims: &mut Map<String, Value>, peer: Option<&PeerIdentity>) {
        if claims.get("cnf") == Some(&Value::Null) {
            claims.remove("cnf");
            return;
        }
        let mut methods = Map::new();
        if let (Demand::Required, Some(peer)) = (self.certificate, peer) {
            let fingerprint = peer.fingerprint.to_base64url();
            methods.insert(binding::CERTIFICATE.to_owned(), json!(fingerprint));
        }
        if self.key == Demand::Required {
            methods.insert(binding::KEY.to_owned(), json!(ANY_THUMBPRINT));
        }
        if !methods.is_empty() {
            let cnf = claims.entry("cnf");
            cnf.or_insert_with(|| Value::Object(methods));
        }
    }

    fn check_certificate(
        &self,
        binding: &Binding,
        peer: Option<&PeerIdentity>,
    ) -> Result<Option<PossessionResult>, Refusal> {
        let Some(hash) = &binding.certificate else {
            return unbound(self.certificate).ok_or(Refusal::TokenUnbound);
        };
        let peer = peer.ok_or(Refusal::TokenOfAnotherPeer)?;
        verify_slices_are_equal(hash, peer.fingerprint.as_bytes())
            .map_err(|_differ| Refusal::TokenOfAnotherPeer)?;
        Ok(Some(PossessionResult::Proved))
    }

    async fn check_key(
        &self,
        (binding, subject): (&Binding, Option<&str>),
        (scheme, token): (Scheme, &[u8]),
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Option<PossessionResult>, Refusal> {
        let key = match (&binding.key, scheme) {
            (Some(key), Scheme::Dpop) => key,
            (Some(_), Scheme::Bearer) => {
                told.dpop = Some(self.challenge(true));
                return Err(Refusal::TokenBoundToKey);
            }
            (None, Scheme::Bearer) => {
                return unbound(self.key).ok_or(Refusal::TokenUnboundToKey);
            }
            // Whoever shows it says that it is bound: RFC 9449, section 7.1.
            (None, Scheme::Dpop) => return Err(Refusal::TokenUnboundToKey),
        };
        let verified = self.terms.verify(key, (token, subject), asked, told);
        let nonce = verified.await?;
        self.note(PossessionMethod::Nonce, nonce, told);
        Ok(Some(PossessionResult::Proved))
    }

    fn count(
        &self,
        method: PossessionMethod,
        came: Result<Option<PossessionResult>, Refusal>,
        told: &mut Told,
    ) -> Result<(), Refusal> {
        match came {
            Ok(result) => {
                self.note(method, result, told);
                Ok(())
            }
            Err(refusal) => {
                self.metrics.possession(method, PossessionResult::Refused);
                Err(refusal)
            }
        }
    }

    fn note(&self, method: PossessionMethod, result: Option<PossessionResult>, told: &mut Told) {
        let Some(result) = result else { return };
        self.metrics.possession(method, result);
        if result == PossessionResult::Reported {
            told.reported.push(method.label());
        }
    }
}

/// What becomes of a token that is not bound. `None`: it is refused.
const fn unbound(demand: Demand) -> Option<Option<PossessionResult>> {
    match demand {
        Demand::No => Some(None),
        Demand::ReportOnly => Some(Some(PossessionResult::Reported)),
        Demand::Required => None,
    }
}

/// SHA-256 of nothing that anybody has: in a rehearsal the key counts as shown, whichever it is.
const ANY_THUMBPRINT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
