//! The keys of an issuer that are fetched from it: by URL, or from where its metadata say that they
//! are.
//!
//! [`RemoteKeys`](remote::RemoteKeys) is what requests see: the keys of now, behind one pointer, and
//! what is said where a key is not among them. The `schedule` says when they are fetched, `freshness`
//! for how long an answer lasts, `metadata` where the keys are. The [`keeper`] runs one task for each
//! issuer of the configuration in use; a request that has its key waits for nothing.
//!
//! All of this outlives reloads: [`store`] gives the same keys again for an issuer that a reload does
//! not touch.

mod freshness;
mod metadata;
mod schedule;

#[cfg(test)]
mod schedule_tests;
