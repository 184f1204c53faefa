//! [`InFlight`]: how many requests of one key are under way at a time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::{AlreadyHashed, KeyHash, KeyHasher};

/// Counts what is under way, for each key, and refuses what is more than the bound.
///
/// A clone counts together with the original. A key takes memory only while something of it is
/// under way, so the map is as large as the number of requests, which connections and streams
/// bound.
#[derive(Clone)]
pub struct InFlight {
    max: NonZeroUsize,
    shared: Arc<Shared>,
}

struct Shared {
    hasher: KeyHasher,
    parts: [Mutex<Part>; PARTS],
}

type Part = HashMap<KeyHash, usize, AlreadyHashed>;

/// More than there are processors that would wait for each other.
const PARTS: usize = 64;

/// Something under way, until it is dropped.
#[must_use = "it counts only while this guard lives"]
pub struct InFlightGuard {
    key: KeyHash,
    shared: Arc<Shared>,
}

impl InFlight {
    /// Nothing is under way, and at most `max` of each key may be.
    #[must_use]
    pub fn new(max: NonZeroUsize) -> Self {
        let shared = Arc::new(Shared {
            hasher: KeyHasher::default(),
            parts: std::array::from_fn(|_| Mutex::default()),
        });
        Self { max, shared }
    }

    /// The same counts under another bound, as after a reload. What is under way stays so, even if
    /// it is more than the new bound.
    #[must_use]
    pub fn with_max(&self, max: NonZeroUsize) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { max, shared }
    }

    /// Counts one more of this key; none if there are as many as there may be.
    #[must_use = "none means: refuse"]
    pub fn enter(&self, key: &(impl Hash + ?Sized)) -> Option<InFlightGuard> {
        let key = self.shared.hasher.hash(key);
        let mut part = self.shared.part(key)?;
        let count = part.entry(key).or_insert(0);
        if *count >= self.max.get() {
            return None; // it was not 0, so the entry was there
        }
        *count += 1;
        let shared = Arc::clone(&self.shared);
        Some(InFlightGuard { key, shared })
    }

    /// How many of this key are under way.
    #[must_use]
    pub fn count(&self, key: &(impl Hash + ?Sized)) -> usize {
        let key = self.shared.hasher.hash(key);
        let part = self.shared.part(key);
        part.and_then(|part| part.get(&key).copied()).unwrap_or(0)
    }
}

impl Shared {
    fn part(&self, key: KeyHash) -> Option<MutexGuard<'_, Part>> {
        let part = self.parts.get(key.part(PARTS))?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let Some(mut part) = self.shared.part(self.key) else {
            return;
        };
        match part.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(part.remove(&self.key)),
        }
        // After many keys at once the memory is given back.
        if part.is_empty() && part.capacity() > 1_024 {
            part.shrink_to_fit();
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for InFlightGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_most(max: usize) -> InFlight {
        InFlight::new(NonZeroUsize::new(max).unwrap())
    }

    fn keys(in_flight: &InFlight) -> usize {
        let parts = in_flight.shared.parts.iter();
        parts.map(|part| part.lock().unwrap().len()).sum()
    }

    #[test]
    fn each_key_has_as_many_as_the_bound() {
        let in_flight = at_most(2);
        let first = in_flight.enter("a").unwrap();
        let _second = in_flight.enter("a").unwrap();
        assert!(in_flight.enter("a").is_none());
        let _other = in_flight.enter("b").unwrap();
        assert_eq!((in_flight.count("a"), in_flight.count("b")), (2, 1));
        drop(first);
        let _third = in_flight.enter("a").unwrap();
        assert!(in_flight.enter("a").is_none());
    }

    #[test]
    fn a_refusal_counts_for_nothing() {
        let in_flight = at_most(1);
        let guard = in_flight.enter("a").unwrap();
        (0..100).for_each(|_| assert!(in_flight.enter("a").is_none()));
        drop(guard);
        assert_eq!(in_flight.count("a"), 0);
        assert!(in_flight.enter("a").is_some());
    }

    #[test]
    fn keys_without_requests_take_no_memory() {
        let in_flight = at_most(1);
        let guards: Vec<_> = (0..200_000)
            .map(|key| in_flight.enter(&key).unwrap())
            .collect();
        assert_eq!(keys(&in_flight), 200_000);
        drop(guards);
        assert_eq!(keys(&in_flight), 0);
        let parts = in_flight.shared.parts.iter();
        let room: usize = parts.map(|part| part.lock().unwrap().capacity()).sum();
        assert_eq!(room, 0);
    }

    #[test]
    fn another_bound_goes_on_with_the_same_counts() {
        let in_flight = at_most(3);
        let _guards: Vec<_> = (0..3).map(|_| in_flight.enter("a").unwrap()).collect();
        let lower = in_flight.with_max(NonZeroUsize::MIN);
        assert!(lower.enter("a").is_none());
        assert!(lower.enter("b").is_some());
        let higher = in_flight.with_max(NonZeroUsize::new(4).unwrap());
        let _fourth = higher.enter("a").unwrap();
        assert_eq!(in_flight.count("a"), 4);
        assert!(in_flight.enter("a").is_none());
    }

    #[test]
    fn a_guard_may_outlive_its_counter() {
        let guard = at_most(1).enter("a");
        assert!(guard.is_some());
        drop(guard);
    }

    #[test]
    fn threads_never_exceed_the_bound() {
        let in_flight = at_most(3);
        let work = || {
            for _ in 0..10_000 {
                let guard = in_flight.enter("a");
                assert!(in_flight.count("a") <= 3);
                drop(guard);
            }
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(work)));
        });
        assert_eq!(in_flight.count("a"), 0);
    }
}
