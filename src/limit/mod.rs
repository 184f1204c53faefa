//! How often, and how many at a time: the counters that hold clients back.
//!
//! [`store::LimitStore`] has the rate limits, and [`in_flight::InFlight`] counts requests under
//! way. Both outlive reloads: the snapshot holds what they give out, and a reload asks again for
//! the same. [`fields`] tells clients about their limits.
//!
//! Whose requests count together is the caller's business; here a key is anything that hashes.

pub mod fields;
pub mod in_flight;
mod key;
pub mod store;
