//! API keys: what one is ([`ApiKey`]), who has which ([`KeyList`]), and what a route takes
//! ([`ApiKeys`]).

mod key;
mod list;
mod way;

pub use key::ApiKey;
pub use list::{KeyList, Listed};
pub use way::ApiKeys;
