//! [`JwtVerifier`]: what one route asks of a token, beyond what its issuer asks of all.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::claims::{Facts, is_workload_of};
use super::issuer::Issuer;
use super::jws::normal_typ;
use super::possession::Possession;
use crate::config::spec::JwtSpec;
use crate::config::token::SubjectsSpec;
use crate::identity::certificate::PeerIdentity;
use crate::identity::claims::Claims;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

/// `typ` of the access tokens of RFC 9068, section 2.1, as [`normal_typ`] writes it.
const ACCESS_TOKEN: &str = "at+jwt";

/// Types that are of nothing to be shown to services (RFC 8725, section 3.11), though no RFC has
/// registered them.
const OF_NO_ACCESS: [&str; 3] = ["id_token", "logout_token", "refresh_token"];

/// Says whom a token of one issuer speaks for.
#[derive(Clone, Debug)]
pub struct JwtVerifier {
    issuer: Arc<Issuer>,
    /// The claim `iss` of its tokens, where they must have it.
    iss: Option<Arc<str>>,
    /// The `typ` that the token must have, as [`normal_typ`] writes it: the route's and the issuer's
    /// are the same where both are written.
    typ: Option<Box<str>>,
    possession: Possession,
}

impl JwtVerifier {
    /// A verifier for tokens of `issuer`, which must be the one that `spec` names.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, spec: &JwtSpec, possession: Possession) -> Self {
        let of_issuer = issuer.spec().profile.typ.as_deref();
        let typ = spec.typ.as_deref().or(of_issuer).map(normal_typ);
        let asks = issuer.spec().profile.subjects.asks_for_iss();
        Self {
            iss: asks.then(|| issuer.spec().issuer.as_str().into()),
            issuer,
            typ,
            possession,
        }
    }

    /// Whose tokens it takes.
    pub(super) const fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// What must come with a token.
    pub(super) const fn possession(&self) -> &Possession {
        &self.possession
    }

    /// Whom a good token speaks for.
    pub(super) fn subject(&self, facts: &Facts, claims: Claims) -> Arc<Subject> {
        Arc::new(facts.subject(self.issuer.name(), self.iss.as_ref(), claims))
    }

    /// The `typ` that a token must have.
    pub(super) fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// What comes of a token of this issuer that is shown as a bearer token at `now`, and whose keys
    /// are there.
    #[cfg(test)]
    pub(super) fn check(
        &self,
        token: &str,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Arc<Subject>, Refusal> {
        let tokens = super::tokens::Tokens::new(vec![self.clone()], &[]);
        super::minting::show(&tokens, token, peer, now)
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

    /// Whether a good token is what the route asks for. Whether it comes from whom it is bound to is
    /// still to be asked of [`Self::possession`].
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenType`], [`Refusal::TokenIncomplete`].
    pub(super) fn check_type(&self, facts: &Facts) -> Result<(), Refusal> {
        let own = facts.typ.as_deref();
        let Some(wanted) = self.typ.as_deref() else {
            // A JWT-SVID says nothing, or one of these (JWT-SVID, section 2.3).
            let subjects = &self.issuer.spec().profile.subjects;
            let is_svid = matches!(own, None | Some("jwt" | "jose"));
            return match subjects {
                SubjectsSpec::Workloads { .. } if !is_svid => Err(Refusal::TokenType),
                SubjectsSpec::Anybody if own.is_some_and(is_of_another_kind) => {
                    Err(Refusal::TokenType)
                }
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

    /// As [`Self::check_type`] and [`Self::subject`], for a token that was never signed: the rehearsal of `tests:`.
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
        self.possession.assume(&mut claims, peer);
        let facts = Facts::of_claims(&claims, None, spec)?;
        facts.check_times(now, spec)?;
        self.possession.rehearse(&facts.binding, peer)?;
        Ok(self.subject(&facts, claims.into()))
    }
}

/// Whether a type, as [`normal_typ`] writes it, says that this is no access token: every JWT of a kind of
/// its own is called `KIND+jwt` (RFC 8725, section 3.11), as logout tokens, proofs, security events,
/// answers of introspections and our own signed identities are. A kind that is registered tomorrow is
/// none of ours either.
fn is_of_another_kind(typ: &str) -> bool {
    let kind = typ.ends_with("+jwt") || typ.ends_with("+sd-jwt");
    (kind && typ != ACCESS_TOKEN) || OF_NO_ACCESS.contains(&typ)
}
