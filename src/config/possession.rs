//! The values of `dpop` and `bound_to_certificate`: what must come with a token.

use std::path::PathBuf;
use std::time::Duration;

use super::spec::SignatureAlgorithm;

/// Whether something is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// No. What is shown all the same is checked.
    #[default]
    No,
    /// As [`Self::No`]; what would be refused is counted and logged.
    ReportOnly,
    /// Yes.
    Required,
}

/// `issuers.NAME.dpop`: which proofs are taken with the issuer's tokens (RFC 9449).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopSpec {
    /// What proofs may be signed with. At least one. Default ES256 and `EdDSA`.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// How long a proof may be used, from its `iat`. Default 60 s.
    pub window: Duration,
    /// Whether a proof must hold a nonce of ours. Default no.
    pub nonces: Demand,
    /// How long a nonce may be used. Default 5 min.
    pub nonce_lifetime: Duration,
    /// Files with a secret each: the first makes nonces, all are believed. Empty: the process makes
    /// its own.
    pub nonce_keys: Vec<PathBuf>,
}

impl Default for DpopSpec {
    /// What an issuer without `dpop` has; `docs/config.md` says why each.
    fn default() -> Self {
        Self {
            algorithms: vec![SignatureAlgorithm::ES256, SignatureAlgorithm::EdDSA],
            window: Duration::from_secs(60),
            nonces: Demand::No,
            nonce_lifetime: Duration::from_secs(300),
            nonce_keys: Vec::new(),
        }
    }
}
