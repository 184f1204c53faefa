//! The stream that both sides hand to pingora: TLS of ours, with what was verified attached.

pub mod tls_facts;
mod tls_io;

pub use tls_io::{TlsIo, facts_of};
