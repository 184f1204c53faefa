//! [`ProofTerms`]: which proofs are taken with the tokens of one issuer, from its `dpop`.

use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::super::algorithm;
use super::super::authenticator::Asked;
use super::super::told::Told;
use super::explained;
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
    /// The issuer's, which is no other's.
    name: Name,
    clock: Clock,
}

/// Seconds since 1970.
type Clock = fn() -> u64;

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
            name: name.clone(),
            clock: || UnixTime::now().as_secs(),
        }
    }

    /// The same by another clock.
    #[cfg(test)]
    pub(in crate::authenticate) fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
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

    /// Whether the request comes with a good proof of this key for this token of `subject`, for the
    /// first time. Says what came of its nonce, if one is asked for.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it; or why it cannot be known whether it was used before.
    pub(super) async fn verify(
        &self,
        key: &Thumbprint,
        whose: (&[u8], Option<&str>),
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Option<PossessionResult>, Refusal> {
        let verified = self.verify_proof(key, whose, asked, told).await;
        if let Err(refusal) = verified {
            let bounds = explained::Bounds {
                algorithms: &self.names,
                window: self.window,
                leeway: self.leeway,
                now: (self.clock)(),
            };
            told.detail = explained::refused(refusal, asked, &bounds);
        }
        verified
    }

    async fn verify_proof(
        &self,
        key: &Thumbprint,
        (token, subject): (&[u8], Option<&str>),
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
        // Not `asked.now`: the issuer may have been asked since, for longer than anything is
        // remembered.
        let now = (self.clock)();
        proof.check_time(now, self.window, self.leeway)?;
        let nonce = self.nonces.check(proof.nonce()?, now, told)?;
        proof.verify_signature()?;
        // As long as it could come again, by the clock of whichever gateway is slowest.
        let until = proof.issued().saturating_add(self.window);
        let left = until.saturating_sub(now).saturating_add(self.leeway);
        let owner = self.owner(key, subject);
        self.replays
            .first(&owner, &proof.replay_key(), left)
            .await?;
        // However long that took: it was noted while it counted, and so before whoever noted it
        // first could have forgotten it.
        proof.check_time((self.clock)(), self.window, self.leeway)?;
        Ok(nonce)
    }

    /// Who gets a share of what is remembered: the token's subject, for of keys anybody makes as
    /// many as he likes; its key, if it speaks for nobody.
    fn owner(&self, key: &Thumbprint, subject: Option<&str>) -> Vec<u8> {
        let whose = subject.map_or(&key.as_bytes()[..], str::as_bytes);
        let kind = [0, u8::from(subject.is_some())];
        [self.name.as_str().as_bytes(), &kind, whose].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::minting::issuer_spec;
    use super::*;
    use crate::shared_state::SharedState;
    use std::collections::HashSet;

    #[test]
    fn whoever_has_many_keys_has_one_share() {
        let terms = |name: &str| {
            let replays = Replays::new(Arc::new(SharedState::in_memory()));
            let secrets = NonceSecrets::OfProcess(Arc::default());
            ProofTerms::new(&name.parse().unwrap(), &issuer_spec(), secrets, replays)
        };
        let (corp, other) = (terms("corp"), terms("other"));
        let keys = [1, 2].map(|byte| Thumbprint::new([byte; 32]));
        let alice = keys.map(|key| corp.owner(&key, Some("alice")));
        assert_eq!(alice[0], alice[1]);
        let others = [
            alice[0].clone(),
            corp.owner(&keys[0], Some("bob")),
            corp.owner(&keys[0], None),
            corp.owner(&keys[1], None),
            // Whose name is a thumbprint.
            corp.owner(&keys[0], Some(&"\u{1}".repeat(32))),
            other.owner(&keys[0], Some("alice")),
        ];
        assert_eq!(HashSet::from(others).len(), 6, "each is another");
    }
}
