//! What the operator wrote: `gateway.yaml`, read and parsed, with every mistake shown in its place.
//!
//! `file.rs` has the shape of the YAML, `parse.rs` turns each text into a value, `spec.rs` has the
//! values, `problem.rs` the mistakes. No certificate is read here: that is `trust`'s work.

pub mod spec;
