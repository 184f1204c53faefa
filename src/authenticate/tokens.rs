//! [`Tokens`]: the tokens that one route takes: of which issuers, and where in a request.
//!
//! Of several issuers the token's own `iss` says which one it is held against. Nobody has verified
//! it then: it only chooses whose keys and rules the token must meet, and each issuer's own check
//! asks for its `iss` once more.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::authenticator::Asked;
use super::bearer;
use super::carried::Shown;
use super::jws;
use super::told::Told;
use super::verifier::JwtVerifier;
use crate::config::token::Carrier;
use crate::identity::certificate::PeerIdentity;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

/// What one route asks of tokens.
#[derive(Debug)]
pub struct Tokens {
    /// No two are of the same `iss`. At least one.
    any: Box<[JwtVerifier]>,
    from: Box<[Carrier]>,
}

impl Tokens {
    /// Tokens that one of these takes, where they stand in one of these places.
    #[must_use]
    pub fn new(any: Vec<JwtVerifier>, from: &[Carrier]) -> Self {
        Self {
            any: any.into(),
            from: from.into(),
        }
    }

    /// Where a token may stand.
    pub(super) const fn carriers(&self) -> &[Carrier] {
        &self.from
    }

    /// Verifies the token that a request shows.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub(super) async fn verify(
        &self,
        shown: &Shown<'_>,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Arc<Subject>, Refusal> {
        let token = bearer::text(shown.token()?)?;
        let verifier = self.choose(token)?;
        verifier.verify(token, asked.peer, asked.now, told).await
    }

    /// As [`Self::verify`], for claims that nobody signed.
    pub(super) fn rehearse(
        &self,
        claims: &Map<String, Value>,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Arc<Subject>, Refusal> {
        let verifier = match &*self.any {
            [only] => only,
            several if !claims.contains_key("iss") && !claims.contains_key("sub") => {
                several.first().ok_or(Refusal::Internal)?
            }
            _ => self.speaking_for(claims)?,
        };
        verifier.rehearse(claims, peer, now)
    }

    /// The one that a token is held against.
    fn choose(&self, token: &str) -> Result<&JwtVerifier, Refusal> {
        match &*self.any {
            [only] => Ok(only),
            _ => self.speaking_for(&jws::unverified_claims(token)?),
        }
    }

    /// The one whose `iss` the claims have; else the one whose tokens need none, if `sub` is of its
    /// trust domain.
    fn speaking_for(&self, claims: &Map<String, Value>) -> Result<&JwtVerifier, Refusal> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let (iss, sub) = (text("iss"), text("sub"));
        let named = self.any.iter().find(|one| one.is_named(iss));
        let chosen = named.or_else(|| self.any.iter().find(|one| one.is_home_of(sub)));
        chosen.ok_or(Refusal::TokenIssuer)
    }
}
