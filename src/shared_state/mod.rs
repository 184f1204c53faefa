//! [`SharedState`]: what several gateways must know of each other, for a while: proofs of
//! possession that were used, logins that were come back from, sessions that were ended or renewed,
//! answers of introspection.
//!
//! Without a store in the configuration it is the bounded memory of this process (`memory`), with
//! one it is a Valkey or Redis (`remote`). Whoever asks does not know which it is: he asks by
//! [`Space`] and key, and is told what is there, or that nobody can say ([`Away`]). A key is hashed
//! before it goes anywhere, so that a token that somebody makes a key of stands in no command, no
//! log and no dump.
//!
//! The memory also keeps what this gateway has told the store, of that which may not be forgotten:
//! a store that loses its data, or a reload that names another one, does not let a proof through
//! twice at the same gateway.

mod away;
mod bounded;
mod cluster;
mod counts;
mod key;
mod line;
mod memory;
mod node;
mod remote;
mod slots;
mod space;
mod terms;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

pub use away::Away;
pub use counts::{BOUNDS, Counts, Durations, Handled, OPERATIONS, Operation};
pub use space::{SPACES, Space, WhenFull};
pub use terms::{Password, Security, Terms};

use crate::config::shared_state::WhenAway;
use key::Key;
use memory::{Memory, Time};
use remote::Remote;

/// The longest value. What is longer is not kept, and refused where a store gives it.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;

/// The longest time that anything is kept.
pub const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The shortest: a store counts in milliseconds, and takes no zero.
const TTL_MIN: Duration = Duration::from_millis(1);

/// What several gateways share. One for the whole process; it outlives reloads.
pub struct SharedState {
    memory: Memory,
    remote: ArcSwapOption<Remote>,
    counts: Arc<Counts>,
}

impl SharedState {
    /// The bounded memory of this process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(Arc::default())
    }

    /// The bounded memory of this process, until [`Self::follow`] names a store.
    #[must_use]
    pub fn new(counts: Arc<Counts>) -> Self {
        Self {
            memory: Memory::new(Arc::clone(&counts)),
            remote: ArcSwapOption::empty(),
            counts,
        }
    }

    /// Takes the store of the configuration in use, or none. The same terms keep their connections;
    /// what is in the memory stays. To be called where a runtime is.
    pub fn follow(&self, terms: Option<&Arc<Terms>>) {
        let before = self.remote.load();
        let same = match (before.as_deref(), terms) {
            (Some(before), Some(terms)) => before.terms.is_same(terms),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            let remote = terms.and_then(|terms| Remote::start(Arc::clone(terms), &self.counts));
            self.remote.store(remote.map(Arc::new));
        }
    }

    /// Notes a key, for `ttl`. Whether it was not there: of all who bring the same key, wherever
    /// they do, one is told so.
    ///
    /// # Errors
    ///
    /// [`Away`] if nobody can say: the key may have been there. To be refused.
    ///
    /// # Cancel safety
    ///
    /// Whoever drops the future does not know whether the key was noted.
    pub async fn put_new(&self, space: Space, key: &[u8], ttl: Duration) -> Result<bool, Away> {
        self.note(space, None, key, ttl).await
    }

    /// As [`Self::put_new`], for one of many owners: of the memory of this process each gets at most
    /// as much as is left for all others, so that no one of them can fill it.
    ///
    /// # Errors
    ///
    /// As there; [`Away::Share`] where the owner has its share.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn put_new_of(
        &self,
        space: Space,
        owner: &[u8],
        key: &[u8],
        ttl: Duration,
    ) -> Result<bool, Away> {
        self.note(space, Some(owner), key, ttl).await
    }

    async fn note(
        &self,
        space: Space,
        owner: Option<&[u8]>,
        key: &[u8],
        ttl: Duration,
    ) -> Result<bool, Away> {
        let (key, time) = (Key::of(space, key), from_now(ttl));
        let note = || self.memory.put_new(space, owner, key, time);
        let Some(remote) = self.remote.load_full() else {
            return note();
        };
        // Noted first where this gateway may have to decide alone, so that of two at a time one is
        // told that it is new, whatever becomes of the store in between.
        let noted = match remote.terms.spec.when_away {
            WhenAway::Local => Some(note()),
            WhenAway::Refuse => None,
        };
        let known = self.memory.get(space, key, time.now).is_some();
        if noted == Some(Ok(false)) || (noted.is_none() && known) {
            return Ok(false);
        }
        match (remote.put_new(space, key, time.ttl).await, noted) {
            (Ok(new), Some(_)) => Ok(new),
            (Ok(new), None) => {
                let _full = note(); // the store has it: a full memory is no loss
                Ok(new)
            }
            (Err(_away), Some(noted)) => {
                self.counts.handled(space, Handled::Local);
                noted
            }
            (Err(away), None) => self.refused(space, away),
        }
    }

    /// What stands under a key.
    ///
    /// # Errors
    ///
    /// [`Away`] if nobody can say.
    pub async fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Away> {
        let key = Key::of(space, key);
        let here = || self.memory.get(space, key, Instant::now());
        let Some(remote) = self.remote.load_full() else {
            return Ok(here());
        };
        match (remote.get(space, key).await, remote.terms.spec.when_away) {
            (Ok(Some(value)), _) => Ok(Some(value)),
            // What may not be forgotten may be known here alone: from before there was this store,
            // or from when it was away.
            (Ok(None), _) => Ok(match space.when_full() {
                WhenFull::Refuse => here(),
                WhenFull::Forget => None,
            }),
            (Err(_away), WhenAway::Local) => {
                self.counts.handled(space, Handled::Local);
                Ok(here())
            }
            (Err(away), WhenAway::Refuse) => self.refused(space, away),
        }
    }

    /// Puts a value under a key, for `ttl`, whatever was there.
    ///
    /// # Errors
    ///
    /// [`Away`] if it was not kept. [`Away::TooLong`] for more than [`VALUE_BYTES_MAX`].
    pub async fn put(
        &self,
        space: Space,
        key: &[u8],
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), Away> {
        self.keep(space, None, key, value, ttl).await
    }

    /// As [`Self::put`], for one of many owners: see [`Self::put_new_of`].
    ///
    /// # Errors
    ///
    /// As there; [`Away::Share`] where the owner has its share.
    pub async fn put_of(
        &self,
        space: Space,
        owner: &[u8],
        key: &[u8],
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), Away> {
        self.keep(space, Some(owner), key, value, ttl).await
    }

    async fn keep(
        &self,
        space: Space,
        owner: Option<&[u8]>,
        key: &[u8],
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), Away> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Away::TooLong);
        }
        let (key, time) = (Key::of(space, key), from_now(ttl));
        let keep = || self.memory.put(space, owner, key, &value, time);
        let Some(remote) = self.remote.load_full() else {
            return keep();
        };
        let put = remote.put(space, key, &value, time.ttl).await;
        match (put, remote.terms.spec.when_away, space.when_full()) {
            (Ok(()), WhenAway::Local, _) | (Ok(()), WhenAway::Refuse, WhenFull::Refuse) => {
                let _full = keep(); // the store has it: a full memory is no loss
                Ok(())
            }
            (Ok(()), WhenAway::Refuse, WhenFull::Forget) => Ok(()),
            (Err(_away), WhenAway::Local, _) => {
                self.counts.handled(space, Handled::Local);
                keep()
            }
            (Err(away), WhenAway::Refuse, _) => self.refused(space, away),
        }
    }

    /// Removes what stands under a key.
    ///
    /// # Errors
    ///
    /// [`Away`] if it may still be there.
    pub async fn remove(&self, space: Space, key: &[u8]) -> Result<(), Away> {
        let key = Key::of(space, key);
        self.memory.remove(space, key);
        let Some(remote) = self.remote.load_full() else {
            return Ok(());
        };
        match (remote.remove(space, key).await, remote.terms.spec.when_away) {
            (Ok(()), _) => Ok(()),
            (Err(_away), WhenAway::Local) => {
                self.counts.handled(space, Handled::Local);
                Ok(())
            }
            (Err(away), WhenAway::Refuse) => self.refused(space, away),
        }
    }

    fn refused<T>(&self, space: Space, away: Away) -> Result<T, Away> {
        self.counts.handled(space, Handled::Refused);
        Err(away)
    }
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState")
            .field("remote", &self.remote.load())
            .finish_non_exhaustive()
    }
}

fn from_now(ttl: Duration) -> Time {
    Time {
        now: Instant::now(),
        ttl: ttl.clamp(TTL_MIN, TTL_MAX),
    }
}
