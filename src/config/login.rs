//! [`LoginSpec`]: how browsers log in (OpenID Connect), as values.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::fetch::FetchTlsSpec;
use crate::identity::name::Name;
use crate::identity::path::NormalPath;

/// One entry of `logins`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoginSpec {
    /// Who vouches for users, by its name in `issuers`.
    pub issuer: Name,
    /// Who we are to it, by the name in `oauth_clients`.
    pub client: Name,
    /// On whose word its server is believed.
    pub tls: FetchTlsSpec,
    /// Where it is asked. Default: where its metadata say.
    pub endpoints: Option<LoginEndpoints>,
    /// What is asked for. Default `openid` alone, and always with it.
    pub scopes: Vec<String>,
    /// Paths of the gateway on every host of a route with this login.
    pub paths: LoginPaths,
    /// Where a browser may go after it logged out. At least one: the first is the default.
    pub after_logout: Vec<NormalPath>,
    /// What its cookies are called, behind `__Host-`. Default `portcullis-NAME`.
    pub cookie: String,
    /// Files with a key each: the first encrypts cookies, all decrypt them. At least one.
    pub keys: Vec<PathBuf>,
    /// How long a session lasts.
    pub session: SessionTimes,
    /// Whether a session is good only with the client certificate that it began with. Default true.
    pub bound_to_certificate: bool,
    /// Whether services get the user's access token. Default false.
    pub forward_access_token: bool,
    /// Logins under way of one browser. Default 8.
    pub in_progress: usize,
    /// How long a login may take. Default 10 min.
    pub login_timeout: Duration,
    /// How long the server may take to answer. Default 5 s.
    pub timeout: Duration,
}

/// What browsers hold to, of cookies whose names begin so: https, no `Domain`, `Path=/`.
const HOST_PREFIX: &str = "__Host-";

/// What the first cookie of a login's sessions is called, by its `cookie`.
#[must_use]
pub fn session_cookie(cookie: &str) -> String {
    format!("{HOST_PREFIX}{cookie}")
}

/// Whether a cookie is one of a login whose sessions stand in `session`: others have a dot and more
/// behind that.
#[must_use]
pub fn is_own_cookie(session: &str, name: &str) -> bool {
    let rest = name.strip_prefix(session);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Where the authorization server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginEndpoints {
    /// Where browsers are sent to log in.
    pub authorization: Uri,
    /// Where codes become tokens.
    pub token: Uri,
    /// Where browsers are sent to log out there too, if it has that.
    pub end_session: Option<Uri>,
}

/// Paths that the gateway answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPaths {
    /// Where browsers come back to with a code.
    pub callback: NormalPath,
    /// Where users log out. Default none.
    pub logout: Option<NormalPath>,
    /// Where browsers come back to after they logged out at the server: below `logout`.
    pub logged_out: Option<NormalPath>,
    /// Where the server tells that a session ended (Back-Channel Logout). Default none.
    pub back_channel: Option<NormalPath>,
}

/// How long a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// Without a request. Default 30 min.
    pub idle: Duration,
    /// In all. Default 12 h.
    pub max: Duration,
}
