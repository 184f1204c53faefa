//! [`ProofTerms`]: which proofs are taken with the tokens of one issuer, from its `dpop`.

use std::sync::Arc;

use super::super::algorithm;
use super::super::authenticator::Asked;
use super::super::told::Told;
use super::nonces::{NonceSecrets, Nonces};
use super::proof::{self, Proof, Wanted};
use super::replays::Replays;
use super::thumbprint::Thumbprint;
use crate::config::possession::{Demand, DpopSpec};
use crate::config::spec::{IssuerSpec, SignatureAlgorithm};
use crate::identity::name::Name;
use crate::observe::PossessionResult;
use crate::refusal::Refusal;

/// Which proofs are taken with the tokens of one issuer.
#[derive(Debug)]
pub struct ProofTerms {
    algorithms: Box<[SignatureAlgorithm]>,
    /// The same, for clients.
    names: Arc<str>,
    /// In seconds, as the leeway.
    window: u64,
    leeway: u64,
    nonces: Nonces,
    replays: Replays,
}

impl ProofTerms {
    /// The terms of an issuer, which is called `name` in the configuration.
    #[must_use]
    pub fn new(name: &Name, issuer: &IssuerSpec, secrets: NonceSecrets, replays: Replays) -> Self {
        let spec: &DpopSpec = &issuer.dpop;
        let leeway = issuer.leeway.as_secs();
        let names = spec.algorithms.iter().flat_map(|known| {
            // Both names of one thing: RFC 9864, section 2.2.
            let second = (*known == SignatureAlgorithm::EdDSA).then_some("Ed25519");
            std::iter::once(algorithm::name(*known)).chain(second)
        });
        Self {
            algorithms: spec.algorithms.as_slice().into(),
            names: names.collect::<Vec<_>>().join(" ").into(),
            window: spec.window.as_secs(),
            leeway,
            nonces: Nonces::new(name, spec, leeway, secrets),
            replays,
        }
    }

    /// What proofs may be signed with, with spaces between.
    pub(super) fn names(&self) -> Arc<str> {
        Arc::clone(&self.names)
    }

    /// Whether proofs must hold a nonce.
    #[must_use]
    pub const fn nonces(&self) -> Demand {
        self.nonces.demand()
    }

    /// Whether the request comes with a good proof of this key for this token, for the first time.
    /// Says what came of its nonce, if one is asked for.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it; or why it cannot be known whether it was used before.
    pub(super) async fn verify(
        &self,
        key: &Thumbprint,
        token: &[u8],
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Option<PossessionResult>, Refusal> {
        let wanted = Wanted {
            method: asked.method,
            authority: asked.authority,
            path: asked.path,
            token,
            key,
            algorithms: &self.algorithms,
        };
        let proof = Proof::read(proof::field(asked.headers)?, &wanted)?;
        proof.check_time(asked.now, self.window, self.leeway)?;
        let nonce = self.nonces.check(proof.nonce()?, asked.now, told)?;
        proof.verify_signature()?;
        // As long as it could come again, by the clock of whichever gateway is slowest.
        let until = proof.issued().saturating_add(self.window);
        let left = until.saturating_sub(asked.now).saturating_add(self.leeway);
        self.replays.first(&proof.replay_key(), left).await?;
        Ok(nonce)
    }
}
