//! Which way a token of an issuer is known: by its signature, by asking, or by both.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Introspector;
use super::answer::Beside;
use super::asking::Question;
use super::cache::TokenDigest;
use crate::authenticate::authenticator::Asked;
use crate::authenticate::claims::Facts;
use crate::authenticate::fingerprint::Fingerprint;
use crate::authenticate::issuer::Issuer;
use crate::authenticate::jws::{TOKEN_BYTES_MAX, Unverified};
use crate::authenticate::possession::binding::Binding;
use crate::authenticate::told::Told;
use crate::config::introspection::AskedTokens;
use crate::config::issuer_keys::IssuerKeysSpec;
use crate::identity::claims::Claims;
use crate::json;
use crate::refusal::Refusal;

impl Issuer {
    /// What is known of a token that is not remembered as a JWT, if it is a good one now.
    ///
    /// # Errors
    ///
    /// What is wrong with it; or [`Refusal::IntrospectionUnavailable`] if the issuer must be asked and
    /// does not answer, and [`Refusal::IssuerKeysUnavailable`] if the key that it needs cannot be had.
    pub(in crate::authenticate) async fn known(
        &self,
        token: &str,
        fingerprint: Option<Fingerprint>,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<(Arc<Facts>, Claims), Refusal> {
        let now = asked.now;
        let Some(introspector) = self.introspector().filter(|_| !self.verifies(token)) else {
            let (facts, claims) = self.verify(token, fingerprint, now, told).await?;
            self.check_standing(token.as_bytes(), &facts, asked, told)
                .await?;
            return Ok((facts, claims));
        };
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TokenMalformed);
        }
        // What another issuer made is shown to that one alone: it could be used there.
        let elsewhere = |token: Unverified<'_>| token.claims_to_be_of_another(self.spec());
        if Unverified::read(token).is_ok_and(elsewhere) {
            return Err(Refusal::TokenIssuer);
        }
        let question = self.question(token, Beside::Nothing, asked);
        let known = introspector.known(question, told).await?;
        known.facts.check_times(now, self.spec())?;
        Ok((Arc::clone(&known.facts), known.claims()))
    }

    /// Whether a JWT that was verified here still counts, where the issuer is asked about those too.
    ///
    /// # Errors
    ///
    /// As [`Self::known`].
    pub(in crate::authenticate) async fn check_standing(
        &self,
        token: &[u8],
        facts: &Facts,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<(), Refusal> {
        let asks = |introspector: &&Introspector| introspector.spec.tokens == AskedTokens::All;
        let Some(introspector) = self.introspector().filter(asks) else {
            return Ok(());
        };
        let token = str::from_utf8(token).map_err(|_not_ascii| Refusal::TokenMalformed)?;
        let expires = facts.expires;
        let beside = Beside::Jwt { expires };
        let question = self.question(token, beside, asked);
        let known = introspector.known(question, told).await?;
        // What the issuer has signed counts. That the token is bound may also be told alone.
        let told = &known.facts.binding;
        if *told != Binding::default() && *told != facts.binding {
            return Err(Refusal::TokenOfAnotherPeer);
        }
        Ok(())
    }

    fn question<'q>(&'q self, token: &'q str, beside: Beside, asked: &Asked<'q>) -> Question<'q> {
        Question {
            token,
            digest: TokenDigest::of(token),
            beside,
            issuer: self,
            client: asked.client,
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
        self.spec().keys != IssuerKeysSpec::None && is_jwt(token)
    }
}

/// Whether a token is a signed JWT: three parts, the first of which is the header of one. Whoever
/// makes one look otherwise has it asked about, and the issuer does not know it.
pub(in crate::authenticate) fn is_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if header.len() > TOKEN_BYTES_MAX {
        return false;
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok();
    header.is_some_and(|header| json::object(&header).is_ok())
}
