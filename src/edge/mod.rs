//! Where connections arrive: limits, ClientHello, handshake, and the facts that it established.
//!
//! Nothing here knows routes or requests. [`handshake::accept`] turns a plain connection into a
//! [`gate::Gate`] with [`facts::ConnectionFacts`]; `proxy` speaks HTTP on it.

pub mod caps;
pub mod facts;
mod failed;
mod farewell;
pub mod frames;
pub mod gate;
pub mod handshake;
pub mod head;
mod hold;
pub mod listener;
mod newcomer;
pub mod open;
mod socket;
pub mod standing;
mod verifier;
pub mod wire;
