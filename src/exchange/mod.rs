//! Calling on behalf: the client's verified token is exchanged for one that is meant for the service
//! (RFC 8693), so that no service gets a token that is good anywhere else.
//!
//! An [`Exchange`] belongs to one route. What an authorization server gave for one token on the same
//! terms is used again ([`ExchangeStore`]), never for longer than the client's own token; and the
//! server is asked once where many wait for the same, and by so many at a time (`server::Server`).
//! There is no falling back to the client's token.

mod answer;
mod exchanger;
mod server;
mod store;
#[cfg(test)]
mod tests;

pub use exchanger::Exchange;
pub use store::ExchangeStore;
