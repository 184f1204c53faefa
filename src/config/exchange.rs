//! The values of `routes.NAME.exchange`.

use std::time::Duration;

use http::Uri;

use super::fetch::FetchTlsSpec;
use crate::identity::name::Name;

/// `routes.NAME.exchange`: the client's token is exchanged for one that is meant for the service
/// (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeSpec {
    /// Who we are to the authorization server: an entry of `oauth_clients`.
    pub client: Name,
    /// Its token endpoint.
    pub url: Uri,
    /// Its TLS.
    pub tls: FetchTlsSpec,
    /// The service by a name that the server knows. This or `resource`, or both.
    pub audience: Option<String>,
    /// The service by its address.
    pub resource: Option<String>,
    /// Scopes that the new token is to give. Default: as the server likes.
    pub scopes: Vec<String>,
    /// What the client's token is. Default an access token.
    pub subject_token_type: TokenTypeSpec,
    /// What the new one is to be. Default: as the server likes.
    pub requested_token_type: Option<TokenTypeSpec>,
    /// How long an exchange may take. Default 2 s.
    pub timeout: Duration,
    /// How long a token is used again at most. Default 5 min.
    pub cache: Duration,
}

/// What a token is (RFC 8693, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTypeSpec {
    /// `urn:ietf:params:oauth:token-type:access_token`.
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:jwt`.
    Jwt,
}

impl TokenTypeSpec {
    /// As it is written in requests and answers.
    #[must_use]
    pub const fn urn(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}
