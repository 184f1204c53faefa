//! The gateway from outside: the real binary, real sockets, certificates made for the test.
//!
//! One module for each topic; [`bench`] holds what they share, with a sheet of all of it.
#![allow(
    clippy::allow_attributes,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::missing_errors_doc,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::unused_self,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    dead_code,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and the bench offers more than each build of the tests uses"
)]

mod acme;
mod admission;
mod api_keys;
mod attack;
mod authentication;
mod bench;
mod clients;
mod dashboards;
mod demo;
mod external_authorization;
mod forwarding;
mod handshake;
mod headers;
pub mod http1;
mod http2;
mod identity;
mod introspection;
mod issuers;
mod limits;
mod log_fields;
mod login;
mod logs;
mod metrics;
mod possession;
mod policy;
mod refusals;
mod reload;
mod revocation;
mod routing;
mod shared_state;
mod shutdown;
mod telemetry;
mod token_exchange;
mod trust;
mod upstream;
mod workload_api;
