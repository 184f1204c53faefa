//! [`JwtVerifier`]: what one route asks of a token, beyond what its issuer asks of all.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::claims::Facts;
use super::issuer::Issuer;
use super::jws::normal_typ;
use super::possession::Possession;
use crate::config::spec::JwtSpec;
use crate::identity::certificate::PeerIdentity;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

/// Takes the token from a request and says whom it speaks for.
#[derive(Clone, Debug)]
pub struct JwtVerifier {
    issuer: Arc<Issuer>,
    /// The `typ` that the token must have, as [`normal_typ`] writes it.
    typ: Option<Box<str>>,
    possession: Possession,
}

impl JwtVerifier {
    /// A verifier for tokens of `issuer`, which must be the one that `spec` names.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, spec: &JwtSpec, possession: Possession) -> Self {
        Self {
            issuer,
            typ: spec.typ.as_deref().map(normal_typ),
            possession,
        }
    }

    /// Verifies a token at `now`, in seconds since 1970. Whether it comes from whom it is bound to is
    /// still to be asked of [`Self::possession`].
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub(super) fn check(&self, token: &str, now: u64) -> Result<Arc<Facts>, Refusal> {
        let facts = self.issuer.facts(token, now)?;
        if self.typ.is_some() && self.typ != facts.typ {
            return Err(Refusal::TokenType);
        }
        Ok(facts)
    }

    /// What must come with the token.
    pub(super) const fn possession(&self) -> &Possession {
        &self.possession
    }

    /// Verifies a token that was never signed, and whom it is bound to: the rehearsal of `tests:`.
    ///
    /// What the claims do not say counts as right: `iss`, `aud`, `exp`, and, where the route asks
    /// for a bound token, `cnf`. `typ` is not looked at, for it is no claim.
    ///
    /// # Errors
    ///
    /// What a token with these claims would be refused for.
    pub fn rehearse(
        &self,
        claims: &Map<String, Value>,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Arc<Subject>, Refusal> {
        let spec = self.issuer.spec();
        let mut claims = claims.clone();
        let mut assume = |name: &str, value: Value| {
            claims.entry(name).or_insert(value);
        };
        assume("iss", json!(spec.issuer));
        assume("aud", json!(spec.audiences));
        assume("exp", json!(now.saturating_add(60)));
        self.possession.assume(&mut claims, peer);
        let facts = Facts::of_claims(claims, None, self.issuer.name(), spec)?;
        facts.check_times(now, spec.leeway.as_secs())?;
        self.possession.rehearse(&facts.binding, peer)?;
        Ok(facts.subject)
    }
}
