//! Tells services who asks, in a short-lived signed token (JWT, ES256).
//!
//! The opposite of `authenticate`: there a token of somebody else is read, here one of ours is
//! made. [`Asserter`] is what a configuration says about it (issuer, lifetime, which keys);
//! [`AssertionStore`] outlives reloads and holds the keys that the process made (`ring`) and the
//! tokens that may go out again (bounded). `claims` has the words of a token, [`key`] signs them.
//!
//! What is said was verified by others: the identity of the connection's certificate, and the
//! subject of a token. Nothing is decided here, and private keys are in no `Debug` text.

pub mod key;

mod asserter;
mod claims;
mod ring;
mod store;

pub use asserter::{Asserter, InvalidKeys, KeySet};
pub use claims::Statement;
pub use store::AssertionStore;
