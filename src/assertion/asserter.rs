//! [`Asserter`]: makes tokens as one configuration says, or takes one that was made a moment ago.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::error::Unspecified;
use http::HeaderValue;
use serde_json::json;

use super::claims::Statement;
use super::key::AssertionKey;
use super::ring::Pace;
use super::store::{AssertionStore, Signed};

/// What one configuration says of signed identities.
#[derive(Debug)]
pub struct Asserter {
    issuer: Box<str>,
    lifetime: Duration,
    keys: Keys,
    store: Arc<AssertionStore>,
}

#[derive(Debug)]
enum Keys {
    /// Those of the store, which take turns.
    Made { rotate: Duration },
    /// The first signs, all are published.
    Files(Box<[Arc<AssertionKey>]>),
}

/// The public keys, for services.
#[derive(Debug)]
pub struct KeySet {
    /// A JWKS (RFC 7517, section 5).
    pub json: String,
    /// How long services may keep it.
    pub max_age: Duration,
}

/// Why keys from files cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// There is none.
    #[error("there is no key")]
    None,
    /// Two files have the same key.
    #[error("the same key stands in two files")]
    Twice,
}

/// However soon certificate or token end, a service must have time to look at what we say: they
/// may have been let in after their end, within a leeway.
const LIFETIME_MIN: u64 = 10;

/// Services that keep keys for longer hear too late of one that was taken away.
const MAX_AGE: Duration = Duration::from_secs(300);

impl Asserter {
    /// Signs with keys that the process makes, each of which signs for `rotate`.
    #[must_use]
    pub fn rotating(
        issuer: &str,
        lifetime: Duration,
        rotate: Duration,
        store: Arc<AssertionStore>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            lifetime,
            keys: Keys::Made { rotate },
            store,
        }
    }

    /// Signs with the first of these keys, and publishes all.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`].
    pub fn with_keys(
        issuer: &str,
        lifetime: Duration,
        keys: Vec<AssertionKey>,
        store: Arc<AssertionStore>,
    ) -> Result<Self, InvalidKeys> {
        if keys.is_empty() {
            return Err(InvalidKeys::None);
        }
        let twice = |(at, key): (usize, &AssertionKey)| {
            keys.iter().take(at).any(|other| other.kid() == key.kid())
        };
        if keys.iter().enumerate().any(twice) {
            return Err(InvalidKeys::Twice);
        }
        Ok(Self {
            issuer: issuer.into(),
            lifetime,
            keys: Keys::Files(keys.into_iter().map(Arc::new).collect()),
            store,
        })
    }

    /// Has its keys ready: to be called when its configuration goes live. `now` is in seconds since
    /// 1970, `at` the same moment.
    pub fn begin(&self, now: u64, at: Instant) {
        match self.signing(at) {
            Ok(key) => self.store.signs(&key, now),
            Err(Unspecified) => tracing::error!("no key that signs identities could be made"),
        }
    }

    /// The token for this statement at `now` (seconds since 1970; `at` is the same moment). `None`
    /// if there is nobody to speak of, or it cannot be signed.
    #[must_use]
    pub fn token(&self, statement: &Statement<'_>, now: u64, at: Instant) -> Option<HeaderValue> {
        if statement.is_empty() {
            return None;
        }
        match self.signed(statement, now, at) {
            Ok(signed) => Some(signed.value.clone()),
            Err(Unspecified) => {
                self.store.metrics.failed();
                None
            }
        }
    }

    fn signed(
        &self,
        statement: &Statement<'_>,
        now: u64,
        at: Instant,
    ) -> Result<Arc<Signed>, Unspecified> {
        let key = self.signing(at)?;
        let wanted = self.digest(&key, statement);
        let latest = statement.true_until().max(now.saturating_add(LIFETIME_MIN));
        if let Some(known) = self.store.get(&wanted, now, latest) {
            self.store.metrics.reused();
            return Ok(known);
        }
        let expires = now.saturating_add(self.lifetime.as_secs()).min(latest);
        let claims = statement.claims(&self.issuer, now, expires);
        let mut value = HeaderValue::try_from(key.sign(&claims)?).map_err(|_ascii| Unspecified)?;
        value.set_sensitive(true);
        let signed = Arc::new(Signed {
            value,
            issued: now,
            renew: now.midpoint(expires),
            expires,
        });
        self.store.insert(wanted, &signed);
        self.store.metrics.signed();
        self.store.signs(&key, now);
        Ok(signed)
    }

    fn signing(&self, at: Instant) -> Result<Arc<AssertionKey>, Unspecified> {
        match &self.keys {
            Keys::Made { rotate } => self.store.ring.signing(at, self.pace(*rotate)),
            Keys::Files(keys) => keys.first().map(Arc::clone).ok_or(Unspecified),
        }
    }

    const fn pace(&self, rotate: Duration) -> Pace {
        Pace {
            rotate,
            lifetime: self.lifetime,
        }
    }

    /// SHA-256 of all that a token says but its times, and of who signs it.
    fn digest(&self, key: &AssertionKey, statement: &Statement<'_>) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        let lifetime = self.lifetime.as_secs().to_be_bytes();
        let ours = [key.kid().as_bytes(), self.issuer.as_bytes(), &lifetime];
        for part in ours.into_iter().chain(statement.parts()) {
            // The length first, so that no two statements run together to the same bytes.
            hash.update(&part.len().to_be_bytes());
            hash.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        digest
    }

    /// What services verify tokens with. `None` if no key could be made.
    #[must_use]
    pub fn key_set(&self, at: Instant) -> Option<KeySet> {
        let (keys, max_age) = match &self.keys {
            Keys::Made { rotate } => {
                let keys = self.store.ring.published(at, self.pace(*rotate)).ok()?;
                // A key is published for `rotate` before it signs: whoever keeps the set for half
                // of that has seen it by then.
                (keys, MAX_AGE.min(*rotate / 2))
            }
            Keys::Files(keys) => (keys.to_vec(), MAX_AGE),
        };
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        Some(KeySet {
            json: json!({ "keys": keys }).to_string(),
            max_age,
        })
    }
}
