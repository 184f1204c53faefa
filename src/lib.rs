//! An API gateway that lets nobody in without proof, and lets nobody answer without proof.
//!
//! A request walks down this list. Each step turns what it is given into something that the
//! next one may trust:
//!
//! 1. [`edge`] accepts the connection and completes the TLS handshake.
//! 2. [`identity`] reads who the peer is from its certificate.
//! 3. [`route`] finds the route for host, path and method.
//! 4. [`authenticate`] turns a bearer token into a subject.
//! 5. [`authorize`] holds peer and subject against the route's rules.
//! 6. [`limit`] takes a token from the caller's bucket.
//! 7. [`upstream`] connects to a service that proves the identity which the route expects.
//! 8. [`assertion`] tells that service, in a signed token, who asks.
//! 9. [`proxy`] runs 3 to 8 for pingora and answers; [`refusal`] lists every way it says no.
//!
//! Configuration goes another way: [`config`] reads `gateway.yaml`, [`snapshot`] compiles it and
//! swaps it in, [`reload`] does so again when a file changes.

pub mod identity;
pub mod refusal;
pub mod detail;
pub mod handshake_failure;
pub mod json;
pub mod backoff;
pub mod complaints;
pub mod expression;
pub mod config;
pub mod trust;
pub mod observe;
pub mod acme;
pub mod oauth;
pub mod pki;
pub mod transport;
pub mod shared_state;
pub mod edge;
pub mod route;
pub mod authenticate;
pub mod assertion;
pub mod authorize;
pub mod limit;
pub mod upstream;
pub mod external_authorization;
pub mod exchange;
pub mod snapshot;
pub mod proxy;
pub mod reload;
pub mod admin;
pub mod cli;
pub mod demo;
pub mod fetch;
pub mod gateway;
