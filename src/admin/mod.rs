//! The admin listener: metrics, health, public keys, and who is here or fails to be, over plain
//! HTTP/1.1, on an address of its own. Never on the edge.
//!
//! It shows and never changes anything. It is not authenticated, so it is bounded like everything
//! that a stranger may reach: connections, time, and one large page at a time.

mod key_set;
mod query;
mod readiness;
mod reply;
mod server;

pub use key_set::KeySets;
pub use readiness::{Readiness, State};
pub use server::serve;
