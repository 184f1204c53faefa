//! From a bearer token to a [`Subject`](crate::identity::subject::Subject): header field, JWS,
//! keys, claims, binding to the certificate.
//!
//! The way of a token: [`verifier`] takes it from the request (`bearer`), asks the [`issuer`],
//! which looks into its `cache` and else reads the JWS (`jws`), verifies it with one key
//! of the set ([`jwks`], `key`) and reads the `claims`. What depends on the route or on the
//! connection (`typ`, the binding) is then checked for every request, cached or not.
//!
//! A token's signature is verified by the crate `jsonwebtoken` over aws-lc; everything around the
//! signature is decided here, because a library for everybody must be laxer than a gateway.

pub mod api_keys;
pub mod authenticator;
pub mod introspection;
pub mod issuer;
pub mod jwks;
pub mod login;
pub mod keys;
pub mod possession;
pub mod told;
pub mod tokens;
pub mod verifier;

mod algorithm;
mod bearer;
mod cache;
mod carried;
mod claims;
mod explained;
mod jws;
mod fingerprint;
mod key;
mod rsa;

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod jwks_tests;
#[cfg(test)]
mod minting;
#[cfg(test)]
mod tokens_tests;
#[cfg(test)]
mod vector_tests;
#[cfg(test)]
mod verifier_tests;
