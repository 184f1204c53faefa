//! Asking servers over HTTPS: issuers for their keys, authorization servers about tokens.
//!
//! A [`Client`] believes a server under the configuration's own words: trust bundles, or a list of
//! public CAs; and shows our certificate where it is to. Everything is bounded, redirects are never
//! followed, and there is no plain HTTP. Clients outlive reloads in a [`ClientStore`], which gives
//! them the key material of now.

mod client;
mod store;
mod verifier;

pub use client::{Answer, Bounds, Client, FetchError};
pub use store::ClientStore;
pub use verifier::{Believed, Tls};
