//! [`Issuer`]: one entry of `issuers`, compiled: its keys, its rules, and the tokens of it that
//! were already verified.
//!
//! A new one is made for each snapshot. If nothing about it changed it goes on with the cache of
//! the one before; else the cache begins empty, so that a key that was taken away takes its tokens
//! with it.

use std::sync::Arc;

use super::cache::{TokenCache, TokenHash};
use super::claims::Facts;
use super::jwks::{IgnoredKey, JwksError, KeySet};
use super::jws::{self, Signed};
use super::told::Told;
use crate::config::spec::IssuerSpec;
use crate::identity::name::Name;
use crate::observe::IssuerMetrics;
use crate::refusal::Refusal;

/// Somebody whose tokens we accept.
#[derive(Debug)]
pub struct Issuer {
    name: Name,
    spec: IssuerSpec,
    keys: KeySet,
    cache: Arc<TokenCache>,
    metrics: Arc<IssuerMetrics>,
}

impl Issuer {
    /// Reads the issuer's key set. `previous` is the issuer of the same name in the snapshot
    /// before, if there is one.
    ///
    /// # Errors
    ///
    /// [`JwksError`] if the key set cannot be used.
    pub fn new(
        name: &Name,
        spec: &IssuerSpec,
        jwks: &[u8],
        metrics: Arc<IssuerMetrics>,
        previous: Option<&Arc<Self>>,
    ) -> Result<Self, JwksError> {
        let mut issuer = Self {
            name: name.clone(),
            spec: spec.clone(),
            keys: KeySet::read(jwks, &spec.algorithms)?,
            cache: Arc::new(TokenCache::new()),
            metrics,
        };
        if let Some(previous) = previous
            && issuer.is_same(previous)
        {
            issuer.cache = Arc::clone(&previous.cache);
        }
        Ok(issuer)
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Whether both have the same name and rules and verify with the same keys.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.spec == other.spec && self.keys == other.keys
    }

    /// The keys of the set that are never used, each with its reason: for the log at load.
    #[must_use]
    pub fn ignored_keys(&self) -> &[IgnoredKey] {
        self.keys.ignored()
    }

    /// What the token says, if it is a good one at `now` (seconds since 1970).
    pub(super) fn facts(&self, token: &str, now: u64) -> Result<Arc<Facts>, Refusal> {
        let leeway = self.spec.leeway.as_secs();
        let hash = TokenHash::of(token);
        let known = self.cache.get(&hash, now);
        if let Some(facts) = known {
            self.metrics.cache_hit();
            facts.check_times(now, leeway)?;
            return Ok(facts);
        }
        self.metrics.cache_miss();
        let signed = jws::verify(token, &self.keys)?;
        let facts = Facts::read(&signed.payload, signed.typ, &self.name, &self.spec)?;
        facts.check_times(now, leeway)?;
        let facts = Arc::new(facts);
        self.cache.insert(hash, &facts, now);
        Ok(facts)
    }

    /// What a token says that comes from the issuer itself and is no access token: an ID token, a
    /// logout token. Only its signature was verified.
    pub(super) async fn signed(&self, token: &str, _told: &mut Told) -> Result<Signed, Refusal> {
        jws::verify(token, &self.keys)
    }

    pub(super) const fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    #[cfg(test)]
    pub(super) fn metrics(&self) -> &Arc<IssuerMetrics> {
        &self.metrics
    }

    /// Tokens that were found in the cache, and tokens that were not.
    #[cfg(test)]
    pub(super) fn lookups(&self) -> (u64, u64) {
        (self.metrics.hits(), self.metrics.misses())
    }

    #[cfg(test)]
    pub(super) fn cached_tokens(&self) -> usize {
        self.cache.len()
    }
}
