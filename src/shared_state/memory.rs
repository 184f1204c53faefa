//! [`Memory`]: the entries of this process, each until its time is over, and of each space only as
//! many as its bounds allow.

use std::collections::hash_map::Entry::Occupied;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::key::Key;
use super::space::{SPACES, Space, WhenFull};
use super::{Away, Counts};

/// All spaces.
pub(super) struct Memory {
    dpop_proofs: Shards,
    introspections: Shards,
    logins: Shards,
    renewals: Shards,
    server_logouts: Shards,
    sessions: Shards,
    counts: Arc<Counts>,
}

/// When something is put, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Time {
    pub(super) now: Instant,
    pub(super) ttl: Duration,
}

/// One space, in parts, so that requests seldom wait for each other.
struct Shards {
    shards: Box<[Mutex<Shard>]>,
    /// Which part a key is in, and with whom an owner shares, is no stranger's choice.
    hasher: RandomState,
    bounds: Bounds,
}

/// The bounds of one part.
#[derive(Clone, Copy)]
struct Bounds {
    entries: usize,
    bytes: usize,
    when_full: WhenFull,
}

/// One part. `by_end` has each entry of `entries` once, `held` counts those of each owner.
#[derive(Default)]
struct Shard {
    entries: HashMap<Key, Entry>,
    by_end: BTreeSet<(Instant, Key)>,
    held: HashMap<Owner, usize>,
    bytes: usize,
}

struct Entry {
    ends: Instant,
    value: Bytes,
    owner: Option<Owner>,
}

/// Whose an entry is: a keyed hash. Two who have the same share a share.
type Owner = u64;

/// Parts of a space.
const SHARDS: usize = 16;

impl Memory {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        let [
            dpop_proofs,
            introspections,
            logins,
            renewals,
            server_logouts,
            sessions,
        ] = SPACES.map(|space| {
            Shards::new(Bounds {
                entries: space.entries_max() / SHARDS,
                bytes: space.bytes_max() / SHARDS,
                when_full: space.when_full(),
            })
        });
        Self {
            dpop_proofs,
            introspections,
            logins,
            renewals,
            server_logouts,
            sessions,
            counts,
        }
    }

    /// Notes a key. Whether it was not there.
    pub(super) fn put_new(
        &self,
        space: Space,
        owner: Option<&[u8]>,
        key: Key,
        time: Time,
    ) -> Result<bool, Away> {
        let owner = owner.map(|owner| self.of(space).hasher.hash_one(owner));
        self.change(space, key, |shard, bounds| {
            shard.put_new(owner, key, time, bounds)
        })
    }

    pub(super) fn get(&self, space: Space, key: Key, now: Instant) -> Option<Bytes> {
        self.of(space).shard(key).lock().get(key, now)
    }

    /// Keeps a value under a key, whatever was there.
    pub(super) fn put(
        &self,
        space: Space,
        owner: Option<&[u8]>,
        key: Key,
        value: &[u8],
        time: Time,
    ) -> Result<(), Away> {
        let owner = owner.map(|owner| self.of(space).hasher.hash_one(owner));
        self.change(space, key, |shard, bounds| {
            shard.put(owner, key, value, time, bounds)
        })
    }

    pub(super) fn remove(&self, space: Space, key: Key) {
        self.change(space, key, |shard, _| shard.remove(key));
    }

    fn change<T>(&self, space: Space, key: Key, change: impl FnOnce(&mut Shard, Bounds) -> T) -> T {
        let shards = self.of(space);
        let mut shard = shards.shard(key).lock();
        let before = shard.entries.len();
        let changed = change(&mut shard, shards.bounds);
        self.counts.kept(space, before, shard.entries.len());
        changed
    }

    const fn of(&self, space: Space) -> &Shards {
        match space {
            Space::DpopProof => &self.dpop_proofs,
            Space::Introspection => &self.introspections,
            Space::Login => &self.logins,
            Space::Renewal => &self.renewals,
            Space::ServerLogout => &self.server_logouts,
            Space::Session => &self.sessions,
        }
    }
}

impl Shards {
    fn new(bounds: Bounds) -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default)
                .take(SHARDS)
                .collect(),
            hasher: RandomState::new(),
            bounds,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    #[expect(clippy::cast_possible_truncation, reason = "only some bits are wanted")]
    fn shard(&self, key: Key) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % self.shards.len()]
    }
}

impl Shard {
    fn put_new(
        &mut self,
        owner: Option<Owner>,
        key: Key,
        time: Time,
        bounds: Bounds,
    ) -> Result<bool, Away> {
        if self.get(key, time.now).is_some() {
            return Ok(false);
        }
        self.put(owner, key, &[], time, bounds)?;
        Ok(true)
    }

    /// As [`Self::insert`], for an owner that has its share and no more.
    fn put(
        &mut self,
        owner: Option<Owner>,
        key: Key,
        value: &[u8],
        time: Time,
        bounds: Bounds,
    ) -> Result<(), Away> {
        self.make_room(0, bounds, time.now);
        if !self.entries.contains_key(&key) {
            let held = owner.and_then(|owner| self.held.get(&owner));
            let free = bounds.entries.saturating_sub(self.entries.len());
            if free > 0 && held.is_some_and(|held| *held >= free) {
                return Err(Away::Share);
            }
        }
        self.insert(owner, key, value, time, bounds)
    }

    fn get(&self, key: Key, now: Instant) -> Option<Bytes> {
        let entry = self.entries.get(&key)?;
        (now < entry.ends).then(|| entry.value.clone())
    }

    fn insert(
        &mut self,
        owner: Option<Owner>,
        key: Key,
        value: &[u8],
        time: Time,
        bounds: Bounds,
    ) -> Result<(), Away> {
        let before = self.take(key);
        self.make_room(value.len(), bounds, time.now);
        if !self.has_room(value.len(), bounds) {
            // What was there stays: nothing has been said about it that holds.
            if let Some(before) = before {
                self.keep(key, before);
            }
            return Err(Away::Full);
        }
        // A value may be a part of something larger, which it would keep.
        let value = Bytes::copy_from_slice(value);
        let ends = time.now + time.ttl;
        self.keep(key, Entry { ends, value, owner });
        Ok(())
    }

    /// Drops what is over, and where that does not do what may be forgotten.
    fn make_room(&mut self, bytes: usize, bounds: Bounds, now: Instant) {
        while let Some((ends, key)) = self.by_end.first().copied() {
            let over = ends <= now;
            let forget = bounds.when_full == WhenFull::Forget && !self.has_room(bytes, bounds);
            if !over && !forget {
                break;
            }
            self.remove(key);
        }
    }

    fn has_room(&self, bytes: usize, bounds: Bounds) -> bool {
        self.entries.len() < bounds.entries && self.bytes.saturating_add(bytes) <= bounds.bytes
    }

    fn keep(&mut self, key: Key, entry: Entry) {
        self.bytes += entry.value.len();
        if let Some(owner) = entry.owner {
            *self.held.entry(owner).or_default() += 1;
        }
        self.by_end.insert((entry.ends, key));
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: Key) {
        drop(self.take(key));
    }

    fn take(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(entry.value.len());
        self.by_end.remove(&(entry.ends, key));
        if let Some(owner) = entry.owner
            && let Occupied(mut held) = self.held.entry(owner)
        {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
        Some(entry)
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
