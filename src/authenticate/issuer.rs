//! [`Issuer`]: one entry of `issuers`, compiled: its keys, its rules, and the tokens of it that
//! were already verified.
//!
//! A new one is made for each snapshot. If nothing about it changed it goes on with the cache of
//! the one before; else the cache begins empty, so that a key that was taken away takes its tokens
//! with it. Keys that are fetched change between snapshots: their tokens go with each of them.

use std::sync::Arc;
use std::time::Instant;

use super::cache::TokenCache;
use super::claims::Facts;
use super::fingerprint::Fingerprint;
use super::introspection::Introspector;
use super::jwks::{IgnoredKey, JwksError, KeySet};
use super::jws::{Signed, Unverified};
use super::key::Key;
use super::keys::remote::{KeyNotFound, RemoteKeys, Unavailable};
use super::told::Told;
use crate::config::spec::IssuerSpec;
use crate::identity::claims::Claims;
use crate::identity::name::Name;
use crate::observe::IssuerMetrics;
use crate::refusal::Refusal;

/// Somebody whose tokens we accept.
#[derive(Debug)]
pub struct Issuer {
    name: Name,
    spec: IssuerSpec,
    keys: Keys,
    cache: Arc<TokenCache>,
    metrics: Arc<IssuerMetrics>,
    introspector: Option<Arc<Introspector>>,
}

/// What an issuer's tokens are verified with.
#[derive(Debug)]
enum Keys {
    /// What stood in a file when the configuration was loaded.
    File(KeySet),
    /// What the issuer was last heard to publish.
    Remote(Arc<RemoteKeys>),
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
        let keys = Keys::File(KeySet::read(jwks, &spec.algorithms)?);
        Ok(Self::with_keys(name, spec, keys, metrics, previous))
    }

    /// An issuer whose keys are fetched. `previous` as above.
    #[must_use]
    pub fn remote(
        name: &Name,
        spec: &IssuerSpec,
        keys: Arc<RemoteKeys>,
        metrics: Arc<IssuerMetrics>,
        previous: Option<&Arc<Self>>,
    ) -> Self {
        Self::with_keys(name, spec, Keys::Remote(keys), metrics, previous)
    }

    /// An issuer that has no keys: it is asked about every token. `previous` as above.
    #[must_use]
    pub fn without_keys(
        name: &Name,
        spec: &IssuerSpec,
        metrics: Arc<IssuerMetrics>,
        previous: Option<&Arc<Self>>,
    ) -> Self {
        Self::with_keys(name, spec, Keys::File(KeySet::none()), metrics, previous)
    }

    /// The same, asked about tokens by this one; or by that of `previous` if nothing has changed, so
    /// that what it has heard is known on.
    #[must_use]
    pub fn asked_by(
        mut self,
        introspector: Option<Introspector>,
        previous: Option<&Arc<Self>>,
    ) -> Self {
        let known = previous.filter(|previous| self.is_same(previous));
        let known = known.and_then(|previous| previous.introspector.as_ref());
        self.introspector = introspector.map(|new| match known {
            Some(known) if new.is_same(known) => Arc::clone(known),
            Some(_) | None => Arc::new(new),
        });
        self
    }

    fn with_keys(
        name: &Name,
        spec: &IssuerSpec,
        keys: Keys,
        metrics: Arc<IssuerMetrics>,
        previous: Option<&Arc<Self>>,
    ) -> Self {
        let mut issuer = Self {
            name: name.clone(),
            spec: spec.clone(),
            keys,
            cache: Arc::new(TokenCache::new()),
            metrics,
            introspector: None,
        };
        if let Some(previous) = previous
            && issuer.is_same(previous)
        {
            issuer.cache = Arc::clone(&previous.cache);
        }
        issuer
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

    /// Its keys, if they are fetched.
    #[must_use]
    pub const fn remote_keys(&self) -> Option<&Arc<RemoteKeys>> {
        match &self.keys {
            Keys::File(_) => None,
            Keys::Remote(keys) => Some(keys),
        }
    }

    /// The keys of the set that are never used, each with its reason: for the log at load.
    #[must_use]
    pub fn ignored_keys(&self) -> &[IgnoredKey] {
        match &self.keys {
            Keys::File(keys) => keys.ignored(),
            Keys::Remote(_) => &[], // each time that they are fetched
        }
    }

    /// What is remembered of a token, as long as it is good at `now` (seconds since 1970). `None` if it
    /// is not known.
    pub(super) fn recall(
        &self,
        fingerprint: &Fingerprint,
        now: u64,
        told: &mut Told,
    ) -> Option<Result<Arc<Facts>, Refusal>> {
        let facts = self.cache.get(fingerprint, now)?;
        self.metrics.cache_hit();
        let usable = self.check_usable(told);
        let usable = usable.and_then(|()| facts.check_times(now, &self.spec));
        Some(usable.map(|()| facts))
    }

    /// What a token says that is not remembered, if it is a good one at `now`. Waits only where the
    /// issuer must be asked for a key that nobody here has.
    pub(super) async fn verify(
        &self,
        token: &str,
        fingerprint: Option<Fingerprint>,
        now: u64,
        told: &mut Told,
    ) -> Result<(Arc<Facts>, Claims), Refusal> {
        self.metrics.cache_miss();
        let token = Unverified::read(token)?;
        let key = self.key(&token, told).await?;
        let signed = token.verify(&key)?;
        told.is_signed = true;
        let (facts, claims) = Facts::read(&signed.payload, signed.typ, &self.spec)?;
        facts.check_times(now, &self.spec)?;
        let facts = Arc::new(facts);
        if let Some(fingerprint) = fingerprint {
            self.cache.insert(fingerprint, &facts, key, now);
        }
        Ok((facts, claims.into()))
    }

    /// What a key of the issuer has signed, whatever it is.
    pub(super) async fn signed(&self, text: &str, told: &mut Told) -> Result<Signed, Refusal> {
        let unverified = Unverified::read(text)?;
        let key = self.key(&unverified, told).await?;
        unverified.verify(&key)
    }

    /// Who asks it about tokens, if anybody does.
    pub(super) const fn introspector(&self) -> Option<&Arc<Introspector>> {
        self.introspector.as_ref()
    }

    /// The one key that a token must be verified with.
    async fn key(&self, token: &Unverified<'_>, told: &mut Told) -> Result<Arc<Key>, Refusal> {
        let (kid, algorithm) = token.wants()?;
        let keys = match &self.keys {
            Keys::File(keys) => return keys.find(kid, algorithm).map(Arc::clone),
            Keys::Remote(keys) => keys,
        };
        // A token of somebody else, or one that no key could verify, is no reason to ask this issuer.
        let worth_asking =
            || self.spec.algorithms.contains(&algorithm) && token.claims_to_be_of(&self.spec);
        match keys.find(kid, algorithm, worth_asking).await {
            Ok(key) => Ok(key),
            Err(KeyNotFound::Refused(refusal)) => Err(refusal),
            Err(KeyNotFound::Unavailable(why)) => Err(unavailable(why, told)),
        }
    }

    /// What is remembered counts only as long as the keys do.
    fn check_usable(&self, told: &mut Told) -> Result<(), Refusal> {
        match &self.keys {
            Keys::File(_) => Ok(()),
            Keys::Remote(keys) => {
                let usable = keys.check_usable(Instant::now());
                usable.map_err(|why| unavailable(why, told))
            }
        }
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

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) => a == b,
            (Self::Remote(a), Self::Remote(b)) => Arc::ptr_eq(a, b),
            (Self::File(_), Self::Remote(_)) | (Self::Remote(_), Self::File(_)) => false,
        }
    }
}

/// Says when it is worth while to ask again.
fn unavailable(why: Unavailable, told: &mut Told) -> Refusal {
    told.retry_after = Some(why.retry_after);
    Refusal::IssuerKeysUnavailable
}
