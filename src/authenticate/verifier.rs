//! [`JwtVerifier`]: what one route asks of a token, beyond what its issuer asks of all.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Map, Value, json};

use super::claims::{Binding, Facts, is_workload_of};
use super::issuer::Issuer;
use super::jws::normal_typ;
use crate::config::spec::JwtSpec;
use crate::config::token::SubjectsSpec;
use crate::identity::certificate::PeerIdentity;
use crate::identity::claims::Claims;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

/// `typ` of the access tokens of RFC 9068, section 2.1, as [`normal_typ`] writes it.
const ACCESS_TOKEN: &str = "at+jwt";

/// Says whom a token of one issuer speaks for.
#[derive(Clone, Debug)]
pub struct JwtVerifier {
    issuer: Arc<Issuer>,
    /// The `typ` that the token must have, as [`normal_typ`] writes it: the route's and the issuer's
    /// are the same where both are written.
    typ: Option<Box<str>>,
    bound_to_certificate: bool,
}

impl JwtVerifier {
    /// A verifier for tokens of `issuer`, which must be the one that `spec` names.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, spec: &JwtSpec) -> Self {
        let of_issuer = issuer.spec().profile.typ.as_deref();
        let typ = spec.typ.as_deref().or(of_issuer).map(normal_typ);
        Self {
            issuer,
            typ,
            bound_to_certificate: spec.bound_to_certificate,
        }
    }

    /// Whose tokens it takes.
    pub(super) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Whether a good token, shown on a connection of `peer`, is what the route asks for; and whom it
    /// speaks for.
    ///
    /// A token that is bound to a certificate (RFC 8705) must be bound to the peer's, whether the
    /// route asks for a bound token or not: it is never accepted as a plain bearer token.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(super) fn accept(
        &self,
        facts: &Facts,
        claims: Claims,
        peer: Option<&PeerIdentity>,
    ) -> Result<Arc<Subject>, Refusal> {
        self.check_type(facts)?;
        self.check_binding(facts, peer)?;
        Ok(Arc::new(facts.subject(self.issuer.name(), claims)))
    }

    /// A token of this issuer at `now`, whose keys are there.
    #[cfg(test)]
    pub(super) fn check(
        &self,
        token: &str,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Arc<Subject>, Refusal> {
        use futures_util::FutureExt as _;
        let tokens = super::tokens::Tokens::new(vec![self.clone()], &[]);
        let mut told = super::told::Told::default();
        let verified = tokens.verify_token(token.as_bytes(), peer, now, &mut told);
        verified.now_or_never().unwrap()
    }

    /// Whether tokens with this `iss` are held against this one.
    pub(super) fn is_named(&self, iss: Option<&str>) -> bool {
        let spec = self.issuer.spec();
        spec.profile.subjects.asks_for_iss() && iss == Some(&*spec.issuer)
    }

    /// Whether tokens without a known `iss` that speak for `sub` are held against this one.
    pub(super) fn is_home_of(&self, sub: Option<&str>) -> bool {
        match &self.issuer.spec().profile.subjects {
            SubjectsSpec::Workloads { of, iss: false } => is_workload_of(of, sub),
            SubjectsSpec::Workloads { iss: true, .. } | SubjectsSpec::Anybody => false,
        }
    }

    fn check_type(&self, facts: &Facts) -> Result<(), Refusal> {
        let own = facts.typ.as_deref();
        let Some(wanted) = self.typ.as_deref() else {
            // A JWT-SVID says nothing, or one of these (JWT-SVID, section 2.3).
            let subjects = &self.issuer.spec().profile.subjects;
            let is_svid = matches!(own, None | Some("jwt" | "jose"));
            return match subjects {
                SubjectsSpec::Workloads { .. } if !is_svid => Err(Refusal::TokenType),
                SubjectsSpec::Workloads { .. } | SubjectsSpec::Anybody => Ok(()),
            };
        };
        if own != Some(wanted) {
            return Err(Refusal::TokenType);
        }
        if wanted == ACCESS_TOKEN && !facts.is_complete {
            return Err(Refusal::TokenIncomplete);
        }
        Ok(())
    }

    /// As [`Self::accept`], for a token that was never signed: the rehearsal of `tests:`.
    ///
    /// What the claims do not say counts as right: `iss`, `aud`, `exp`, `iat`, a `sub` of the trust
    /// domain, and, where the route asks for a bound token, `cnf`. `typ` is not looked at, for it is no
    /// claim, and neither is what else RFC 9068 requires.
    ///
    /// # Errors
    ///
    /// What a token with these claims would be refused for.
    pub(super) fn rehearse(
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
        if let SubjectsSpec::Workloads { of, .. } = &spec.profile.subjects {
            assume("sub", json!(format!("spiffe://{of}/rehearsal")));
        }
        if spec.profile.max_age.is_some() {
            assume("iat", json!(now));
        }
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
        let facts = Facts::of_claims(&claims, None, spec)?;
        facts.check_times(now, spec)?;
        self.check_binding(&facts, peer)?;
        Ok(Arc::new(facts.subject(self.issuer.name(), claims.into())))
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
