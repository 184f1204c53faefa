//! Who may use a route. Default deny: what a rule does not name is refused.
//!
//! [`rules`] hold the certificate and the token against `clients` and `token` of the route;
//! [`policy`] asks what these cannot say: one of several combinations, the subject that belongs to
//! the certificate, an expression. They hold what was verified against what the operator wrote, and
//! verify nothing themselves.

pub mod policy;
pub mod rules;
