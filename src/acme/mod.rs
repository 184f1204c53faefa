//! Certificates of the edge that an ACME directory issues (RFC 8555): ordered, kept in a folder,
//! renewed.
//!
//! A configuration that is compiled asks [`store::AcmeStore`] for each certificate and gets what the
//! folder holds; [`keeper::Keeper`] orders what is missing or comes to its end. While it does,
//! [`challenge::Challenges`] says what listeners answer to a directory that looks whether a name is
//! ours; [`http01`] is the listener for those that look over plain HTTP.

mod account;
pub mod challenge;
mod directory;
mod error;
mod folder;
pub mod http01;
pub mod keeper;
mod order;
mod schedule;
pub mod store;

pub use account::external_key;
