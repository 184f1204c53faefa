//! A PKI for development, demonstrations and tests: CAs, certificates with DNS and SPIFFE names,
//! and keys that sign tokens.
//!
//! The gateway never uses it: it is behind `portcullis pki`, `portcullis token`, `portcullis demo`
//! and the integration tests. It signs whatever it is asked to, also what the gateway must refuse.

mod authority;
mod error;
mod files;
mod lifetime;
mod show;
mod signing_key;
mod tls;

pub use authority::{Authority, Issued, KeyKind, Request, Usage, certificates};
pub use error::PkiError;
pub use files::{Overwrite, read_text, write_public, write_secret};
pub use lifetime::{InvalidLifetime, Lifetime};
pub use show::{ends, show};
pub use signing_key::{JwtAlgorithm, SigningKey, UnknownAlgorithm, key_set};
pub use tls::mutual_server;
