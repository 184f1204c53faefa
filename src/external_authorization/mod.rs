//! Asking others whether a request may pass: Envoy's `ext_authz` protocol, over gRPC and mTLS.
//!
//! An authorization service is connected to as an upstream is: it proves who it is before it is told
//! anything, and its connection ends with its key material. An [`Authorizer`] is told a [`Question`]
//! about a request that everything else lets through, and gives a [`Verdict`] or a [`Failure`]: what
//! the service may change is bounded, and what it may not is decided by whoever asks ([`FieldRules`]).

mod answer;
mod authorizer;
mod connection;
mod failure;
mod line;
mod message;
mod question;
mod shares;
#[cfg(test)]
mod tests;

pub use answer::{Change, Changes, Denial, FieldRules, How, Verdict};
pub use authorizer::Authorizer;
pub use failure::{Failure, Unusable};
pub use question::Question;
