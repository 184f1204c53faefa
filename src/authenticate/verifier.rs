//! [`JwtVerifier`]: what one route asks of a token, beyond what its issuer asks of all.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::bearer;
use super::claims::{Binding, Facts};
use super::issuer::Issuer;
use super::jws::normal_typ;
use super::told::Told;
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
    bound_to_certificate: bool,
}

impl JwtVerifier {
    /// A verifier for tokens of `issuer`, which must be the one that `spec` names.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, spec: &JwtSpec) -> Self {
        Self {
            issuer,
            typ: spec.typ.as_deref().map(normal_typ),
            bound_to_certificate: spec.bound_to_certificate,
        }
    }

    /// Verifies the bearer token of a request that came at `now` (seconds since 1970) over a
    /// connection of `peer`.
    ///
    /// A token that is bound to a certificate (RFC 8705) must be bound to the peer's, whether the
    /// route asks for a bound token or not: it is never accepted as a plain bearer token.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the `Authorization` field or with the token; and
    /// [`Refusal::IssuerKeysUnavailable`] if the key that it needs cannot be had now.
    pub async fn verify(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerIdentity>,
        now: u64,
        told: &mut Told,
    ) -> Result<Arc<Subject>, Refusal> {
        let token = bearer::token(headers)?;
        let facts = self.issuer.known(token, now, told).await?;
        if self.typ.is_some() && self.typ != facts.typ {
            return Err(Refusal::TokenType);
        }
        self.check_binding(&facts, peer)?;
        Ok(Arc::clone(&facts.subject))
    }

    /// As [`Self::verify`], for an issuer whose keys are there.
    #[cfg(test)]
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Arc<Subject>, Refusal> {
        use futures_util::FutureExt as _;
        let mut told = Told::default();
        let verified = self.verify(headers, peer, now, &mut told).now_or_never();
        verified.unwrap()
    }

    /// As [`Self::verify`], for a token that was never signed: the rehearsal of `tests:`.
    ///
    /// What the claims do not say counts as right: `iss`, `aud`, `exp`, and, where the route asks
    /// for a bound token, `cnf`. `typ` is not looked at, for it is no claim.
    ///
    /// # Errors
    ///
    /// What [`Self::verify`] would refuse these claims for.
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
        if let Some(peer) = peer
            && self.bound_to_certificate
        {
            assume(
                "cnf",
                json!({ "x5t#S256": peer.fingerprint.to_base64url() }),
            );
        }
        let facts = Facts::of_claims(claims, None, self.issuer.name(), spec)?;
        facts.check_times(now, spec.leeway.as_secs())?;
        self.check_binding(&facts, peer)?;
        Ok(facts.subject)
    }

    fn check_binding(&self, facts: &Facts, peer: Option<&PeerIdentity>) -> Result<(), Refusal> {
        match (&facts.binding, peer) {
            (Binding::Nobody, _) if self.bound_to_certificate => Err(Refusal::TokenUnbound),
            (Binding::Nobody, _) => Ok(()),
            (Binding::Certificate(hash), Some(peer)) => {
                verify_slices_are_equal(hash, peer.fingerprint.as_bytes())
                    .map_err(|_differ| Refusal::TokenOfAnotherPeer)
            }
            (Binding::Certificate(_), None) | (Binding::Unknown, _) => {
                Err(Refusal::TokenOfAnotherPeer)
            }
        }
    }
}
