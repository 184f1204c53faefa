//! Who someone is: the names that certificates and tokens state, parsed once and strictly.
//!
//! Nothing here does I/O or knows a policy. [`certificate::peer_identity`] is the only function
//! that turns a certificate into names; [`host::Host`] is the only form in which hosts are compared.

pub mod certificate;
pub mod certificate_facts;
pub mod certificate_names;
pub mod claim;
pub mod claims;
pub mod client_pattern;
pub mod field;
pub mod host;
pub mod name;
pub mod path;
pub mod pattern;
pub mod query;
pub mod scopes;
pub mod spiffe;
pub mod spiffe_template;
pub mod subject;
pub mod subject_name;
pub mod subject_text;
