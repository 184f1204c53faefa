//! The stream that both sides hand to pingora: TLS of ours, with what was verified attached.

mod tls_io;

pub use tls_io::{TlsIo, facts_of};
