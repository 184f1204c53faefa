//! [`KeyHash`]: what counters are kept under instead of the keys themselves.
//!
//! Names, addresses and header values are long, chosen by strangers, and of no use once they are
//! hashed. 128 bits of a keyed hash make two keys that share a counter something that nobody can
//! look for: the hash cannot be computed outside this process, and is never shown.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// 128 bits of SipHash under keys that each process chooses anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHash {
    low: u64,
    high: u64,
}

/// Makes [`KeyHash`]es; each one differs from all others in its keys.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHasher {
    low: RandomState,
    high: RandomState,
}

impl KeyHasher {
    pub(super) fn hash(&self, key: &(impl Hash + ?Sized)) -> KeyHash {
        KeyHash {
            low: self.low.hash_one(key),
            high: self.high.hash_one(key),
        }
    }
}

impl KeyHash {
    /// One of `count` parts that keys are spread over evenly.
    pub(super) fn part(self, count: usize) -> usize {
        let part = usize::try_from(self.high >> 32).unwrap_or_default();
        part.checked_rem(count).unwrap_or_default()
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low); // random as it is: see `Hashed`
    }
}

/// Maps that are keyed by [`KeyHash`] need no further hashing.
#[derive(Clone, Debug, Default)]
pub(super) struct AlreadyHashed;

#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl BuildHasher for AlreadyHashed {
    type Hasher = Hashed;

    fn build_hasher(&self) -> Hashed {
        Hashed::default()
    }
}

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// For completeness; a [`KeyHash`] does not come here.
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_share_a_hash_and_others_do_not() {
        let hasher = KeyHasher::default();
        assert_eq!(hasher.hash("a"), hasher.hash("a"));
        assert_ne!(hasher.hash("a"), hasher.hash("b"));
        assert_ne!(hasher.hash(&("a", "bc")), hasher.hash(&("ab", "c")));
        let hash = hasher.hash("a");
        assert_ne!(hash.low, hash.high);
    }

    #[test]
    fn hashes_cannot_be_known_in_another_process() {
        assert_ne!(
            KeyHasher::default().hash("a"),
            KeyHasher::default().hash("a")
        );
    }
}
