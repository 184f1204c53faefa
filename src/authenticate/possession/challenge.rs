//! What a client is told of `DPoP` when it is refused (RFC 9449, sections 7.1 and 9).

use std::sync::Arc;

use http::StatusCode;

use crate::refusal::Refusal;

/// The challenge `DPoP` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopChallenge {
    /// What proofs may be signed with, with spaces between.
    algorithms: Arc<str>,
    beside_bearer: bool,
}

impl DpopChallenge {
    /// Where nothing else would do.
    pub(super) const fn alone(algorithms: Arc<str>) -> Self {
        Self {
            algorithms,
            beside_bearer: false,
        }
    }

    /// Where a bearer token does as well (section 7.2).
    pub(super) const fn beside_bearer(algorithms: Arc<str>) -> Self {
        Self {
            algorithms,
            beside_bearer: true,
        }
    }

    /// `WWW-Authenticate` of a refusal. `scopes` are those that the route asks for, `bearer` is what
    /// a route without `DPoP` would say.
    #[must_use]
    pub fn field(
        &self,
        refusal: Refusal,
        scopes: impl Fn() -> Option<String>,
        bearer: Option<String>,
    ) -> Option<String> {
        let algorithms = &self.algorithms;
        if self.beside_bearer {
            return bearer.map(|bearer| format!("{bearer}, DPoP algs=\"{algorithms}\""));
        }
        if refusal == Refusal::ScopeMissing {
            let scope = scopes().map(|scopes| format!("scope=\"{scopes}\", "));
            let scope = scope.unwrap_or_default();
            return Some(format!(
                "DPoP error=\"insufficient_scope\", {scope}algs=\"{algorithms}\""
            ));
        }
        if refusal.status() != StatusCode::UNAUTHORIZED {
            return None;
        }
        if refusal == Refusal::TokenMissing {
            return Some(format!("DPoP algs=\"{algorithms}\""));
        }
        let (error, text) = (error(refusal), refusal.public_text());
        Some(format!(
            "DPoP error=\"{error}\", error_description=\"{text}\", algs=\"{algorithms}\""
        ))
    }
}

/// The error code for a refusal of a token or its proof (RFC 6750, section 3.1; RFC 9449, section
/// 7.1).
const fn error(refusal: Refusal) -> &'static str {
    if matches!(
        refusal,
        Refusal::ProofNonceMissing | Refusal::ProofNonceExpired | Refusal::ProofNonceUnknown
    ) {
        return "use_dpop_nonce";
    }
    let of_proof = matches!(
        refusal,
        Refusal::ProofMissing
            | Refusal::ProofSeveral
            | Refusal::ProofMalformed
            | Refusal::ProofHeader
            | Refusal::ProofType
            | Refusal::ProofAlgorithm
            | Refusal::ProofKey
            | Refusal::ProofMethod
            | Refusal::ProofTarget
            | Refusal::ProofToken
            | Refusal::ProofExpired
            | Refusal::ProofNotYetValid
            | Refusal::ProofSignature
            | Refusal::ProofReplayed
    );
    if of_proof {
        "invalid_dpop_proof"
    } else {
        "invalid_token" // also for the token of another key: "Invalid DPoP key binding"
    }
}
