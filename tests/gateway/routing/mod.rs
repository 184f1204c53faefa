//! Which route a request takes, that nothing takes a route that was not written, and what `check`
//! says about routes and files that cannot be used.

mod check;
mod many;
mod precedence;
mod twins;
