//! Which way a token of an issuer is known: by its signature, by asking, or by both.

use std::borrow::Cow;
use std::sync::Arc;

use super::Introspector;
use super::answer::Beside;
use super::asking::Question;
use super::cache::TokenDigest;
use crate::authenticate::api_keys::ApiKey;
use crate::authenticate::authenticator::Asked;
use crate::authenticate::claims::Facts;
use crate::authenticate::fingerprint::Fingerprint;
use crate::authenticate::issuer::Issuer;
use crate::authenticate::jws::{self, TOKEN_BYTES_MAX};
use crate::authenticate::possession::binding::Binding;
use crate::authenticate::told::Told;
use crate::config::introspection::AskedTokens;
use crate::config::issuer_keys::IssuerKeysSpec;
use crate::identity::claims::Claims;
use crate::refusal::Refusal;

impl Issuer {
    /// What is known of a token that is not remembered as a JWT, if it is a good one now.
    ///
    /// # Errors
    ///
    /// What is wrong with it; or [`Refusal::IntrospectionUnavailable`] if the issuer must be asked and
    /// does not answer, and [`Refusal::IssuerKeysUnavailable`] if the key that it needs cannot be had.
    pub(in crate::authenticate) async fn known(
        self: &Arc<Self>,
        token: &str,
        fingerprint: Option<Fingerprint>,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<(Arc<Facts>, Claims, Binding), Refusal> {
        let now = asked.now;
        let Some(introspector) = self.introspector().filter(|_| !self.verifies(token)) else {
            let (facts, claims) = self.verify(token, fingerprint, now, told).await?;
            let standing = self.check_standing(token.as_bytes(), &facts, asked, told);
            let binding = standing.await?;
            return Ok((facts, claims, binding));
        };
        // A key that was shown in the wrong place is known here alone.
        if token.len() > TOKEN_BYTES_MAX || ApiKey::is_meant(token) {
            return Err(Refusal::TokenMalformed);
        }
        // What another issuer made is shown to that one alone: it could be used there.
        if jws::names_another_issuer(token, &self.spec().issuer) {
            return Err(Refusal::TokenIssuer);
        }
        let question = self.question(token, Beside::Nothing, asked);
        let known = introspector.known(question, told).await?;
        known.facts.check_times(now, self.spec())?;
        Ok((
            Arc::clone(&known.facts),
            known.claims(),
            known.facts.binding,
        ))
    }

    /// Whether a JWT that was verified here still counts, where the issuer is asked about those too; and
    /// what it is bound to, by its own word and by the answer.
    ///
    /// # Errors
    ///
    /// As [`Self::known`].
    pub(in crate::authenticate) async fn check_standing(
        self: &Arc<Self>,
        token: &[u8],
        facts: &Facts,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Binding, Refusal> {
        let asks = |introspector: &&Arc<Introspector>| introspector.spec.tokens == AskedTokens::All;
        let Some(introspector) = self.introspector().filter(asks) else {
            return Ok(facts.binding);
        };
        let token = str::from_utf8(token).map_err(|_not_ascii| Refusal::TokenMalformed)?;
        let expires = facts.expires;
        let beside = Beside::Jwt { expires };
        let question = self.question(token, beside, asked);
        let known = introspector.known(question, told).await?;
        // What the issuer has signed counts; the answer may end it sooner, and bind it to more.
        known.facts.check_span(asked.now, self.spec())?;
        let both = facts.binding.and(&known.facts.binding);
        both.ok_or(Refusal::TokenOfAnotherPeer)
    }

    fn question<'q>(
        self: &Arc<Self>,
        token: &'q str,
        beside: Beside,
        asked: &Asked<'q>,
    ) -> Question<'q> {
        Question {
            token: Cow::Borrowed(token),
            digest: TokenDigest::of(token),
            beside,
            issuer: Arc::clone(self),
            client: Cow::Borrowed(asked.client),
            was_good: false,
            now: asked.now,
        }
    }

    /// Whether it may be asked about a token that is no JWT.
    #[must_use]
    pub fn takes_opaque(&self) -> bool {
        self.introspector().is_some()
    }

    fn verifies(&self, token: &str) -> bool {
        self.spec().keys != IssuerKeysSpec::None && jws::looks_like_jose(token)
    }
}
