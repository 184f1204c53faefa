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
use super::claims::Facts;
use super::explained;
use super::fingerprint::Fingerprint;
use super::jws;
use super::possession::Scheme;
use super::possession::binding::Binding;
use super::told::{Told, Whose};
use super::verifier::JwtVerifier;
use crate::config::possession::Demand;
use crate::config::token::Carrier;
use crate::identity::certificate::PeerIdentity;
use crate::identity::claims::Claims;
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
    /// The first thing that is wrong with it; and [`Refusal::IssuerKeysUnavailable`] if the key that it
    /// needs cannot be had now.
    pub(super) async fn verify(
        &self,
        shown: &Shown<'_>,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Arc<Subject>, Refusal> {
        let shown = shown.token()?;
        self.verify_shown(shown, asked, told).await
    }

    pub(super) async fn verify_shown(
        &self,
        (scheme, token): (Scheme, &[u8]),
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Arc<Subject>, Refusal> {
        if let (Scheme::Dpop, Some(first)) = (scheme, self.any.first()) {
            told.dpop = Some(first.possession().challenge(true));
        }
        let (verifier, facts, claims, binding) = self.verify_token(token, asked, told).await?;
        let subject = verifier.subject(&facts, claims);
        let accepted = match verifier.check_type(&facts) {
            Ok(()) => {
                let whose = (&binding, subject.sub.as_deref());
                let possession = verifier.possession();
                possession.check(whose, (scheme, token), asked, told).await
            }
            Err(refusal) => {
                told.detail = explained::of_type(refusal, verifier.typ(), &facts, &subject.claims);
                Err(refusal)
            }
        };
        if accepted.is_err() {
            told.whose = Some(Box::new(Whose::from(&*subject)));
        }
        accepted.map(|()| subject)
    }

    /// Notes what a refusal will tell of how a token is shown: with a proof, where all issuers'
    /// tokens need one; with or without, where some do.
    pub(super) fn announce(&self, told: &mut Told) {
        let possessions = self.any.iter().map(JwtVerifier::possession);
        let alone = possessions
            .clone()
            .all(|one| one.demand() == Demand::Required);
        let mut wanting = possessions.filter(|one| one.demand() != Demand::No);
        told.dpop = wanting.next().map(|first| first.challenge(alone));
    }

    /// A token that is good, whoever shows it, whose it is, and what it is bound to.
    async fn verify_token(
        &self,
        token: &[u8],
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<(&JwtVerifier, Arc<Facts>, Claims, Binding), Refusal> {
        if token.len() > jws::TOKEN_BYTES_MAX {
            return Err(Refusal::TokenMalformed);
        }
        let fingerprint = Fingerprint::of(token);
        // What is remembered was once a token with all the right characters: they are not looked at again.
        let known = fingerprint.as_ref();
        if let Some((verifier, facts)) = known.and_then(|known| self.recall(known, asked.now, told))
        {
            // Of keys that are too old nobody can say what they are worth.
            told.is_signed = !matches!(facts, Err(Refusal::IssuerKeysUnavailable));
            let issuer = verifier.issuer();
            let stands = match &facts {
                Ok(facts) => issuer.check_standing(token, facts, asked, told).await,
                Err(refusal) => Err(*refusal),
            };
            return match stands.and_then(|binding| Ok((facts?, binding))) {
                Ok((facts, binding)) => Ok((verifier, facts, jws::verified_claims(token), binding)),
                Err(refusal) => {
                    let text = str::from_utf8(token).unwrap_or_default();
                    Err(explained::refused(refusal, text, issuer, asked.now, told))
                }
            };
        }
        let token = bearer::text(token)?;
        let verifier = self.choose(token).inspect_err(|refusal| {
            told.detail = explained::of_nobody(*refusal, token);
        })?;
        let issuer = verifier.issuer();
        let known = issuer.known(token, fingerprint, asked, told).await;
        let (facts, claims, binding) =
            known.map_err(|refusal| explained::refused(refusal, token, issuer, asked.now, told))?;
        Ok((verifier, facts, claims, binding))
    }

    /// Who remembers a token, and what. Who it is held against does not depend on who remembers it: a
    /// token that names another issuer of the route is that one's.
    fn recall(
        &self,
        known: &Fingerprint,
        now: u64,
        told: &mut Told,
    ) -> Option<(&JwtVerifier, Result<Arc<Facts>, Refusal>)> {
        self.any.iter().find_map(|verifier| {
            let facts = verifier.issuer().recall(known, now, told)?;
            let iss = facts
                .as_ref()
                .ok()
                .and_then(|facts| facts.other_iss.as_deref());
            let is_of_another = iss.is_some() && self.any.iter().any(|other| other.is_named(iss));
            (!is_of_another).then_some((verifier, facts))
        })
    }

    /// As [`Self::verify`], for claims that nobody signed. Of several issuers, claims without `iss` are those
    /// of the first, or of the one whose trust domain `sub` is of.
    pub(super) fn rehearse(
        &self,
        claims: &Map<String, Value>,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Arc<Subject>, Refusal> {
        let sub = claims.get("sub").and_then(Value::as_str);
        let verifier = if claims.contains_key("iss") && self.any.len() > 1 {
            self.speaking_for(claims)?
        } else {
            let home = self.any.iter().find(|one| one.is_home_of(sub));
            home.or(self.any.first()).ok_or(Refusal::Internal)?
        };
        verifier.rehearse(claims, peer, now)
    }

    /// The one that a token is held against.
    fn choose(&self, token: &str) -> Result<&JwtVerifier, Refusal> {
        match &*self.any {
            [only] => Ok(only),
            // It says nothing of its issuer. `config/` lets no two of a route be asked about such.
            _ if !jws::looks_like_jose(token) => {
                let mut any = self.any.iter();
                let asked = any.find(|one| one.issuer().takes_opaque());
                asked.ok_or(Refusal::TokenMalformed)
            }
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
