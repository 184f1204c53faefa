//! [`Key`]: the name of an entry, which tells nothing of what it was made of.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use super::Space;

/// SHA-256 of the space and of what the entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn of(space: Space, key: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(space.label().as_bytes());
        context.update(&[0]);
        context.update(key);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}
