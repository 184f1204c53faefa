//! [`SharedState`]: what several gateways must know of each other, for a while: proofs of
//! possession that were used, sessions that were ended, answers of introspection.
//!
//! Without a store in the configuration it is the bounded memory of this process ([`memory`]).
//! Whoever asks does not know which it is: he asks by [`Space`] and key, and is told what is there,
//! or that nobody can say ([`Away`]). A key is hashed before it goes anywhere, so that a token that
//! somebody makes a key of stands in no command, no log and no dump.

mod away;
mod key;
mod memory;
mod space;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use away::Away;
pub use space::{SPACES, Space, WhenFull};

use key::Key;
use memory::{Memory, Time};

/// The longest value. What is longer is not kept, and refused where a store gives it.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;

/// The longest time that anything is kept.
pub const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The shortest: a store counts in milliseconds, and takes no zero.
const TTL_MIN: Duration = Duration::from_millis(1);

/// What several gateways share. One for the whole process; it outlives reloads.
pub struct SharedState {
    memory: Memory,
}

impl SharedState {
    /// The bounded memory of this process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            memory: Memory::new(),
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
        let key = Key::of(space, key);
        self.memory.put_new(space, key, from_now(ttl))
    }

    /// What stands under a key.
    ///
    /// # Errors
    ///
    /// [`Away`] if nobody can say.
    pub async fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Away> {
        let key = Key::of(space, key);
        Ok(self.memory.get(space, key, Instant::now()))
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
        if value.len() > VALUE_BYTES_MAX {
            return Err(Away::TooLong);
        }
        let key = Key::of(space, key);
        self.memory.put(space, key, &value, from_now(ttl))
    }

    /// Removes what stands under a key.
    ///
    /// # Errors
    ///
    /// [`Away`] if it may still be there.
    pub async fn remove(&self, space: Space, key: &[u8]) -> Result<(), Away> {
        let key = Key::of(space, key);
        self.memory.remove(space, key);
        Ok(())
    }

    /// How many entries of a space are in this process' memory.
    #[must_use]
    pub fn entries(&self, space: Space) -> usize {
        self.memory.len(space)
    }
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState").finish_non_exhaustive()
    }
}

fn from_now(ttl: Duration) -> Time {
    Time {
        now: Instant::now(),
        ttl: ttl.clamp(TTL_MIN, TTL_MAX),
    }
}
