//! The admin listener: metrics, health and public keys, over plain HTTP/1.1, on an address of its own. Never on
//! the edge.
//!
//! It shows and never changes anything. It is not authenticated, so it is bounded like everything
//! that a stranger may reach: connections, time, and one metrics page at a time.

mod key_set;
mod readiness;
mod server;

pub use key_set::KeySets;
pub use readiness::{Readiness, State};
pub use server::serve;
