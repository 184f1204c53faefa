//! [`Heavy`]: of keys that strangers choose, those that come most often, in bounded memory.
//!
//! While there is room each key is counted. Then a new key takes the place of the one with the
//! fewest counts, but only with the chance of one in that many (randomized admission, Ben Basat et
//! al., INFOCOM 2017): a flood of keys that come once each hardly raises the fewest, so that
//! whoever comes often stays, and one who begins to come often gets in soon.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use crate::handshake_failure::HandshakeFailure;

/// A key that was not seen for this long leaves its place: what failed last week is not what fails.
pub(super) const DAY: i64 = 24 * 60 * 60;

/// Seconds between two looks for keys that were not seen for a day.
const SWEEP: i64 = 60;

/// The keys that come most often.
#[derive(Debug)]
pub(super) struct Heavy<K, D> {
    entries: HashMap<K, Entry<D>>,
    most: usize,
    /// No entry has a smaller weight, as far as we looked.
    least: u64,
    /// When those not seen for a day were last looked for.
    swept: i64,
    random: fastrand::Rng,
}

/// What is known of one key.
#[derive(Debug)]
pub(super) struct Entry<D> {
    /// How often it came since it has a place.
    pub(super) count: u64,
    /// What it inherited with its place: by the sum the next to leave is chosen.
    inherited: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    /// How often for each reason: a closed set.
    pub(super) reasons: Vec<(HandshakeFailure, u64)>,
    pub(super) data: D,
}

impl<K: Eq + Hash + Clone, D> Heavy<K, D> {
    /// Places for `most` keys.
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: HashMap::with_capacity(most),
            most,
            least: 0,
            swept: 0,
            random: fastrand::Rng::new(),
        }
    }

    /// Counts a key that has a place; `None` if it has none.
    pub(super) fn count<Q>(
        &mut self,
        key: &Q,
        reason: HandshakeFailure,
        now: i64,
    ) -> Option<&mut Entry<D>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entry = self.entries.get_mut(key)?;
        entry.count += 1;
        entry.last = entry.last.max(now);
        match entry.reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => entry.reasons.push((reason, 1)),
        }
        Some(entry)
    }

    /// What is known of a key that has a place.
    pub(super) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut Entry<D>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.get_mut(key)
    }

    /// Whether a key has a place.
    pub(super) fn holds(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Gives a key that has no place one, if there is room or luck, and counts it there.
    pub(super) fn admit(&mut self, key: K, data: D, reason: HandshakeFailure, now: i64) {
        let mut inherited = 0;
        if self.entries.len() >= self.most && now >= self.swept + SWEEP {
            self.swept = now;
            self.entries.retain(|_, entry| entry.last > now - DAY);
        }
        if self.entries.len() >= self.most {
            if self.random.u64(0..=self.least) != 0 {
                return;
            }
            let fewest = self.entries.iter().min_by_key(|(_, entry)| entry.weight());
            let Some((leaving, weight)) = fewest.map(|(k, e)| (k.clone(), e.weight())) else {
                return;
            };
            self.entries.remove(&leaving);
            inherited = weight;
            self.least = weight;
        }
        let entry = Entry {
            count: 1,
            inherited,
            first: now,
            last: now,
            reasons: vec![(reason, 1)],
            data,
        };
        self.entries.insert(key, entry);
    }

    /// Those that came within a day, the most frequent first.
    pub(super) fn ranked(&self, now: i64) -> Vec<(&K, &Entry<D>)>
    where
        K: Ord,
    {
        let recent = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.last > now - DAY);
        let mut ranked: Vec<_> = recent.collect();
        ranked.sort_by(|(a, one), (b, other)| other.count.cmp(&one.count).then(a.cmp(b)));
        ranked
    }
}

impl<D> Entry<D> {
    const fn weight(&self) -> u64 {
        self.count + self.inherited
    }

    /// The reasons, the most frequent first.
    pub(super) fn reasons(&self) -> Vec<(HandshakeFailure, u64)> {
        let mut reasons = self.reasons.clone();
        reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), reason.reason()));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: HandshakeFailure = HandshakeFailure::UnknownIssuer;

    fn add(heavy: &mut Heavy<u64, ()>, key: u64, now: i64) {
        if heavy.count(&key, WHY, now).is_none() {
            heavy.admit(key, (), WHY, now);
        }
    }

    #[test]
    fn a_flood_of_keys_pushes_out_nobody_who_comes_often() {
        let mut heavy = Heavy::new(100);
        for turn in 0..300 {
            for key in 0..20 {
                add(&mut heavy, key, turn);
            }
        }
        for key in 0..100_000 {
            add(&mut heavy, 1_000 + key, 300);
        }
        let ranked = heavy.ranked(300);
        assert_eq!(ranked.len(), 100);
        let mut first: Vec<_> = ranked
            .iter()
            .take(20)
            .map(|(key, e)| (**key, e.count))
            .collect();
        first.sort_unstable();
        let want: Vec<_> = (0..20).map(|key| (key, 300)).collect();
        assert_eq!(first, want);
    }

    #[test]
    fn one_who_begins_to_come_often_in_a_flood_gets_in() {
        let mut heavy = Heavy::new(100);
        for key in 0..100_000_u64 {
            add(&mut heavy, 1_000 + key, 0);
            if key % 20 == 0 {
                add(&mut heavy, 7, 0);
            }
        }
        let (first, entry) = heavy.ranked(0)[0];
        assert_eq!(*first, 7);
        assert!((4_000..=5_000).contains(&entry.count), "{}", entry.count);
    }

    #[test]
    fn what_was_not_seen_for_a_day_makes_room() {
        let mut heavy = Heavy::new(2);
        for _ in 0..1_000 {
            add(&mut heavy, 1, 0);
            add(&mut heavy, 2, 0);
        }
        for key in 10..1_000 {
            add(&mut heavy, key, 0); // so that it is known that the fewest are many
        }
        assert!(heavy.ranked(DAY).is_empty());
        add(&mut heavy, 3, DAY);
        let keys: Vec<u64> = heavy.ranked(DAY).iter().map(|(key, _)| **key).collect();
        assert_eq!(keys, [3]);
    }

    #[test]
    fn counts_are_kept_for_each_reason() {
        let mut heavy = Heavy::new(2);
        heavy.admit(1, (), WHY, 0);
        heavy.count(&1, HandshakeFailure::TimedOut, 1);
        heavy.count(&1, HandshakeFailure::TimedOut, 2);
        let ranked = heavy.ranked(2);
        let want = [(HandshakeFailure::TimedOut, 2), (WHY, 1)];
        assert_eq!(ranked[0].1.reasons(), want);
    }
}
