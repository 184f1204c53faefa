//! [`IssuerKeysSpec`]: where the keys of an issuer are, as values.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::fetch::FetchTlsSpec;

/// `issuers.NAME.keys`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IssuerKeysSpec {
    /// There are none: the issuer is asked about every token.
    None,
    /// A JWKS file.
    File(PathBuf),
    /// They are fetched.
    Remote(RemoteKeysSpec),
}

/// Keys that are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteKeysSpec {
    /// From where.
    pub from: KeysFrom,
    /// Whom we believe there, and who we are to them.
    pub tls: FetchTlsSpec,
    /// How often.
    pub terms: KeyTermsSpec,
}

/// From where keys are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeysFrom {
    /// From this URL: `https`, with a host and without user information.
    Url(Uri),
    /// From where the issuer's metadata say. The metadata is at one of these URLs, which are tried
    /// in their order. At least one.
    Discovery(Vec<Uri>),
}

/// How often keys are fetched, and for how long they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyTermsSpec {
    /// The least time between two fetches, whatever the issuer says. Default 1 min.
    pub refresh_min: Duration,
    /// The most. Default 1 h.
    pub refresh_max: Duration,
    /// The least time between two fetches that tokens with unknown keys cause. Default 30 s.
    pub cool_down: Duration,
    /// For how long keys are used after they were last fetched. Default 24 h.
    pub max_stale: Duration,
    /// How long a fetch may take, metadata and keys together. Default 5 s.
    pub timeout: Duration,
}
