//! The values of `external_authorization`, and of the routes that name one of its entries.

use std::num::NonZeroUsize;
use std::time::Duration;

use http::HeaderName;

use super::spec::{EndpointSpec, UpstreamTlsSpec};
use crate::identity::name::Name;

/// One entry of `external_authorization`: a service that is asked whether requests may pass.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalAuthorizationSpec {
    /// Where it listens. At least one.
    pub endpoints: Vec<EndpointSpec>,
    /// Its TLS.
    pub tls: UpstreamTlsSpec,
    /// How long a question may take. Default 200 ms.
    pub timeout: Duration,
    /// What becomes of requests while it is away. Default refused.
    pub when_away: WhenAway,
    /// Questions under way. Default 256.
    pub in_flight: NonZeroUsize,
    /// Whether it is told the client's certificate. Default no.
    pub certificate: bool,
    /// Header fields with credentials that it is told. Default none.
    pub send_credentials: Vec<HeaderName>,
    /// Header fields of requests that it may set. Those of clients do not reach the service, unless
    /// they carry credentials. Default none.
    pub may_set: Vec<HeaderName>,
}

/// What becomes of requests while nobody can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// They are refused.
    Refuse,
    /// They pass, and are counted.
    Allow,
}

/// `routes.NAME.external_authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternallyAuthorizedSpec {
    /// Who is asked.
    pub by: Name,
    /// Whether the answer is only counted. Default no.
    pub report_only: bool,
}
