//! Connections over real sockets, with certificates that are made for each test.

mod bench;
mod endpoints;
mod handshake;
mod policy;
mod pool;
mod session;
