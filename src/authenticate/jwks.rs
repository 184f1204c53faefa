//! The key set of an issuer (RFC 7517, section 5): what a JWKS file must be for tokens to be
//! verified with it.
//!
//! A key that cannot be used is passed over, with its reason kept for the log, as long as another
//! one can. A set without any is a mistake, and so is one that names a key twice.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::algorithm;
use super::key::Key;
use crate::config::spec::SignatureAlgorithm;
use crate::json;
use crate::refusal::Refusal;

/// The keys that may verify an issuer's tokens. At least one.
#[derive(Clone, Debug)]
pub(super) struct KeySet {
    keys: Box<[Arc<Key>]>,
    ignored: Box<[IgnoredKey]>,
}

/// A key of the set that is never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredKey {
    /// Its place in `keys`, from 0.
    place: usize,
    kid: Option<Box<str>>,
    why: Cow<'static, str>,
}

/// Why a JWKS file cannot be used: [`JwksError::what`] is wrong, and [`JwksError::hint`] says what
/// to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.what())]
pub enum JwksError {
    /// The file is larger than we read.
    TooLarge(usize),
    /// The file is not JSON, or has a member twice.
    NotJson(String),
    /// There is no list of keys.
    NoList,
    /// There are more keys than we keep.
    TooManyKeys(usize),
    /// Two keys have the same name.
    DuplicateKid(Box<str>),
    /// None of the keys can be used.
    NoUsableKey(NoUsableKey),
}

impl JwksError {
    /// What is wrong, in one line.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::TooLarge(size) => format!("the key set has {size} bytes"),
            Self::NotJson(error) => {
                format!("the key set is not a JSON object with each member once ({error})")
            }
            Self::NoList => "the key set has no list `keys`".to_owned(),
            Self::TooManyKeys(count) => format!("the key set has {count} keys"),
            Self::DuplicateKid(kid) => format!("two keys of the set have the `kid` {kid:?}"),
            Self::NoUsableKey(error) => error.to_string(),
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::TooLarge(_) => "write at most 1 MiB".to_owned(),
            Self::NotJson(_) => "write a JWKS as in RFC 7517".to_owned(),
            Self::NoList => "write a JWKS as in RFC 7517, section 5".to_owned(),
            Self::TooManyKeys(_) => format!("write at most {KEYS_MAX}"),
            Self::DuplicateKid(_) => "give each key a `kid` of its own".to_owned(),
            Self::NoUsableKey(error) => {
                let names = error.algorithms.iter().map(|one| algorithm::name(*one));
                let names: Vec<_> = names.collect();
                format!("write a public key of the issuer for {}", names.join(", "))
            }
        }
    }
}

/// Why none of the keys can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoUsableKey {
    ignored: Box<[IgnoredKey]>,
    algorithms: Box<[SignatureAlgorithm]>,
}

/// The largest file that is read: room for 100 keys with long certificate chains. Who opens the
/// file stops there.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// More keys than an issuer rotates through; tokens are matched by going over all of them.
const KEYS_MAX: usize = 100;
/// How much of a foreign text is shown.
const SHOWN_CHARS_MAX: usize = 64;
/// How many keys are explained in one message.
const SHOWN_KEYS_MAX: usize = 8;

impl KeySet {
    /// Reads a key set for an issuer that may use `algorithms`.
    ///
    /// # Errors
    ///
    /// [`JwksError`].
    pub(super) fn read(file: &[u8], algorithms: &[SignatureAlgorithm]) -> Result<Self, JwksError> {
        if file.len() > FILE_BYTES_MAX {
            return Err(JwksError::TooLarge(file.len()));
        }
        let set = json::object(file).map_err(|error| JwksError::NotJson(error.to_string()))?;
        let Some(Value::Array(list)) = set.get("keys") else {
            return Err(JwksError::NoList);
        };
        if list.len() > KEYS_MAX {
            return Err(JwksError::TooManyKeys(list.len()));
        }
        let mut kids = BTreeSet::new();
        let mut keys = Vec::new();
        let mut ignored = Vec::new();
        for (place, jwk) in list.iter().enumerate() {
            let kid = jwk.get("kid").and_then(Value::as_str);
            // Unusable keys count too: which of two the issuer means, nobody can say.
            if let Some(kid) = kid
                && !kids.insert(kid)
            {
                return Err(JwksError::DuplicateKid(cut(kid)));
            }
            let key = jwk.as_object().ok_or(Cow::Borrowed("it is not an object"));
            match key.and_then(|jwk| Key::read(jwk, algorithms)) {
                Ok(key) => keys.push(Arc::new(key)),
                Err(why) => ignored.push(IgnoredKey {
                    place,
                    kid: kid.map(cut),
                    why,
                }),
            }
        }
        if keys.is_empty() {
            let (ignored, algorithms) = (ignored.into(), algorithms.into());
            return Err(JwksError::NoUsableKey(NoUsableKey {
                ignored,
                algorithms,
            }));
        }
        Ok(Self {
            keys: keys.into(),
            ignored: ignored.into(),
        })
    }

    /// The one key that a token with this header must be verified with.
    ///
    /// A `kid` is matched byte by byte. Without one, exactly one key must fit the algorithm: keys
    /// are never tried one after the other. A key that the issuer took away is none.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenKeyUnknown`] if there is no such key; [`Refusal::TokenAlgorithm`] if the key
    /// is of another algorithm.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<&Arc<Key>, Refusal> {
        let Some(kid) = kid else {
            let mut fitting = self.there().filter(|key| key.fits(algorithm));
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                (None, _) | (Some(_), Some(_)) => Err(Refusal::TokenKeyUnknown),
            };
        };
        let named = self.there().find(|key| key.kid() == Some(kid));
        let key = named.ok_or(Refusal::TokenKeyUnknown)?;
        if key.fits(algorithm) {
            Ok(key)
        } else {
            Err(Refusal::TokenAlgorithm)
        }
    }

    fn there(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.iter().filter(|key| !key.is_gone())
    }

    /// A set without keys, which no file is.
    pub(super) fn none() -> Self {
        Self {
            keys: Box::default(),
            ignored: Box::default(),
        }
    }

    /// How many keys it has.
    pub(super) const fn len(&self) -> usize {
        self.keys.len()
    }

    /// This set as the one that follows `before`: keys that both have are the same ones, so that
    /// what was verified with them stays good.
    pub(super) fn following(mut self, before: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(same) = before.keys.iter().find(|other| *other == key) {
                *key = Arc::clone(same);
            }
        }
        self
    }

    /// Takes away the keys that `next` does not have; `next` [follows](Self::following) this set.
    /// Gives them back.
    pub(super) fn retire_all_but(&self, next: &Self) -> Vec<&Arc<Key>> {
        let stays = |key: &Arc<Key>| next.keys.iter().any(|other| Arc::ptr_eq(key, other));
        let gone = self.keys.iter().filter(|key| !stays(key));
        gone.inspect(|key| key.retire()).collect()
    }

    /// The keys that are passed over, in the order of the file.
    pub(super) fn ignored(&self) -> &[IgnoredKey] {
        &self.ignored
    }
}

impl PartialEq for KeySet {
    /// Whether both verify the same tokens: keys that are passed over do not count.
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl IgnoredKey {
    /// Its name, cut to what is shown.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

impl fmt::Display for IgnoredKey {
    /// `keys[2] (kid "2024"): its ...`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys[{}]", self.place)?;
        if let Some(kid) = &self.kid {
            write!(f, " (kid {kid:?})")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl fmt::Display for NoUsableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key set has no usable key (")?;
        if self.ignored.is_empty() {
            f.write_str("it is empty")?;
        }
        for (number, key) in self.ignored.iter().take(SHOWN_KEYS_MAX).enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{key}")?;
        }
        if let Some(more) = self
            .ignored
            .len()
            .checked_sub(SHOWN_KEYS_MAX)
            .filter(|&n| n > 0)
        {
            write!(f, "; and {more} more")?;
        }
        f.write_str(")")
    }
}

fn cut(text: &str) -> Box<str> {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}
