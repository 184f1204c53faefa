//! Which way a token of an issuer is known: by its signature, by asking, or by both.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::answer::Beside;
use crate::authenticate::claims::{Binding, Facts};
use crate::authenticate::issuer::Issuer;
use crate::authenticate::told::Told;
use crate::config::introspection::AskedTokens;
use crate::config::issuer_keys::IssuerKeysSpec;
use crate::json;
use crate::refusal::Refusal;

impl Issuer {
    /// What is known of a token, if it is a good one at `now` (seconds since 1970).
    ///
    /// # Errors
    ///
    /// What is wrong with it; or [`Refusal::IntrospectionUnavailable`] if the issuer must be asked and
    /// does not answer.
    pub(in crate::authenticate) async fn known(
        &self,
        token: &str,
        now: u64,
        told: &mut Told,
    ) -> Result<Arc<Facts>, Refusal> {
        let Some(introspector) = self.introspector() else {
            return self.facts(token, now, told).await;
        };
        let has_keys = self.spec().keys != IssuerKeysSpec::None;
        let verified = match has_keys && is_jwt(token) {
            true => Some(self.facts(token, now, told).await?),
            false => None,
        };
        let facts = match (verified, introspector.spec.tokens) {
            (Some(facts), AskedTokens::Opaque) => return Ok(facts),
            (Some(facts), AskedTokens::All) => {
                let expires = facts.subject.expires;
                let beside = Beside::Jwt { expires };
                let told = introspector.facts(token, beside, self, now).await?;
                // What the issuer has signed counts. That the token is bound may also be told alone.
                if told.binding != Binding::Nobody && told.binding != facts.binding {
                    return Err(Refusal::TokenOfAnotherPeer);
                }
                told.check_times(now, self.spec().leeway.as_secs())?;
                facts
            }
            (None, _) => {
                introspector
                    .facts(token, Beside::Nothing, self, now)
                    .await?
            }
        };
        facts.check_times(now, self.spec().leeway.as_secs())?;
        Ok(facts)
    }
}

/// Whether a token is a signed JWT: three parts, the first of which is the header of one. Whoever
/// makes one look otherwise has it asked about, and the issuer does not know it.
fn is_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let header = URL_SAFE_NO_PAD.decode(header).ok();
    header.is_some_and(|header| json::object(&header).is_ok())
}
