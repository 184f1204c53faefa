//! The keys of an issuer that are fetched from it: by URL, or from where its metadata say that they
//! are.
//!
//! [`RemoteKeys`](remote::RemoteKeys) is what requests see: the keys of now, behind one pointer, and
//! what is said where a key is not among them. The `schedule` says when they are fetched, `freshness`
//! for how long an answer lasts, `metadata` where the keys are. The `fetcher` asks the issuer; [`store`]
//! runs one task for each issuer of the configuration in use. A request that has its key waits for
//! nothing.
//!
//! All of this outlives reloads: the store gives the same keys again for an issuer that a reload does
//! not touch.

pub mod remote;
pub mod store;

mod fetcher;
mod freshness;
mod metadata;
mod schedule;
mod telling;

#[cfg(test)]
mod schedule_tests;
