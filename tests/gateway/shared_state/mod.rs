//! What several gateways share, against a real Redis (Debian's package `redis-server`).

mod away;
mod cluster;
mod gateways;
mod hostile;
pub mod server;
mod store;
