//! The macro benchmark: the real gateway, a bare relay (the *floor*) and nginx where it is
//! installed, each driven with the same mTLS load in turn, in one run.
//!
//! ```text
//! cargo bench --bench macro -- [--only floor,gateway] [--parts keep-alive,full,resumed,crl,idle,routes,revoked]
//!     [--rounds 5] [--requests 40000] [--handshakes 4000] [--connections 64] [--idle 2000]
//!     [--routes 100000] [--revoked 10000] [--gateway PATH]
//! ```
//!
//! What is counted is the CPU time of the party's own process (user and system, from `/proc`, in
//! steps of 10 ms) for each request; the ratio to the floor of the same round is what can be
//! compared between machines and days. Each party has one worker; the service behind them and the
//! load in front of them are processes of their own, started from this very program
//! (`floor`, `service`, `load`).
//!
//! Parties: `floor` copies bytes between mTLS and mTLS and knows no HTTP; `gateway` has a route
//! that asks for a certificate identity, an ES256 token, and a limit; `gateway-quiet` is the same
//! without an access log; `nginx` checks the certificate, and no token.
#![allow(
    clippy::allow_attributes,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::string_slice,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark ends when something is wrong, and prints what it found"
)]

mod arguments;
mod floor;
mod load;
mod parties;
mod parts;
mod revoked;
mod service;
mod stage;
mod table;
mod tls;

use arguments::Arguments;

fn main() {
    let arguments = Arguments::read();
    match arguments.command() {
        Some("floor") => floor::run(&arguments),
        Some("service") => service::run(&arguments),
        Some("load") => load::run(&arguments),
        Some(other) => panic!("no such command: {other}"),
        // `cargo bench` says --bench; `cargo test --all-targets` says nothing, and measures nothing.
        None if arguments.has("bench") => parts::run(&arguments),
        None => println!("to measure: cargo bench --bench macro"),
    }
}
