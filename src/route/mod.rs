//! Which route a request takes: host, path, method and header fields, and nothing else.
//!
//! [`table::RouteTable`] is built once for a configuration; `trie.rs` has its paths, `choices.rs`
//! tells apart the routes that share one. What a route then demands of a client is decided by
//! `authenticate`, `authorize` and `limit`.

mod choices;
pub mod table;
mod trie;

#[cfg(test)]
mod tests;
