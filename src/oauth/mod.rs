//! The gateway as a client of authorization servers (RFC 6749, section 1.1): how it proves who it
//! is, and how it reads what they answer.
//!
//! [`credential`] is what is read from files; [`client`] posts a form with it to one server and
//! tells apart what the server refuses ([`error`]) and what never reached it. How many ask at a time
//! is for [`places`]; what was sent is seen to its end by [`under_way`]. What is asked (introspection,
//! an exchange, a code) is for those who ask.

pub mod client;
pub mod credential;
pub mod error;
pub mod places;
pub mod under_way;

mod answer;
mod form;
