//! [`IntrospectionSpec`]: how an issuer is asked about tokens, as values.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::fetch::FetchTlsSpec;
use crate::identity::name::Name;

/// `issuers.NAME.introspection` (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionSpec {
    /// Where the issuer is asked: `https`, with a host and without user information.
    pub url: Uri,
    /// On whose word it is believed.
    pub tls: FetchTlsSpec,
    /// Who asks: an entry of `oauth_clients`.
    pub client: Name,
    /// Which tokens are asked about, where the issuer has keys too. Default those that are no JWT.
    pub tokens: AskedTokens,
    /// How it answers. Default plain JSON.
    pub form: AnswerForm,
    /// Whether an answer must say for whom the token is. Default yes.
    pub audience: AudienceRule,
    /// How long an answer is kept, if the token lasts as long. Default 30 s.
    pub cache: Duration,
    /// How long it is remembered that a token is not good. Default 5 s.
    pub negative_cache: Duration,
    /// How long a request may wait for an answer. Default 2 s.
    pub timeout: Duration,
    /// Questions under way at a time. Default 64.
    pub concurrency: NonZeroUsize,
    /// What happens while nobody answers. Default refuse.
    pub when_away: WhenAway,
    /// A file with the secret that seals answers which several gateways share. Default none: answers
    /// stay in the process.
    pub share_key: Option<PathBuf>,
}

/// Which tokens an issuer is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedTokens {
    /// Those that are no JWT: a JWT is verified here.
    Opaque,
    /// All; a JWT is verified here first, if there are keys.
    All,
}

/// How an issuer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// JSON, believed because of the connection that it came on.
    Plain,
    /// A JWT that the issuer signed (RFC 9701); nothing else is believed.
    Signed,
}

/// Whether an answer must say for whom the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceRule {
    /// Without `aud` the token is refused.
    Required,
    /// Without `aud` the issuer is believed to speak only of tokens that are for us.
    WhenTold,
}

/// What happens while the issuer does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// Nobody is let in whose token is not known to be good.
    Refuse,
    /// Who was let in before still is, for so long after the answer.
    Cached {
        /// How long. Default 5 min.
        max_stale: Duration,
    },
}
