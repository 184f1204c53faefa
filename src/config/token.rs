//! The values of `routes.NAME.token`, and what an issuer says of all its tokens.

use std::fmt;
use std::time::Duration;

use http::HeaderName;

use super::spec::JwtSpec;
use crate::identity::claim::ClaimPath;
use crate::identity::fields::folded;
use crate::identity::query::is_read_as;
use crate::identity::spiffe::TrustDomain;

/// What a route wants of a token.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedTokens {
    /// Tokens of these issuers, each with its own rules. At least one; each is of another issuer, and
    /// no two issuers have the same claim `iss`.
    pub any: Vec<JwtSpec>,
    /// Where a token may stand: exactly one must. At least one place. Default `Authorization`.
    pub from: Vec<Carrier>,
}

/// A place in a request where a credential stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// `authorization`: the field `Authorization`, behind its scheme (RFC 6750, section 2.1).
    Authorization,
    /// `header:NAME`: the whole value of this header field.
    Header(HeaderName),
    /// `cookie:NAME`: the value of this cookie.
    Cookie(Box<str>),
    /// `query:NAME`: the value of this parameter (RFC 6750, section 2.3). It never goes on.
    Query(Box<str>),
}

impl Carrier {
    /// Whether a service may read what stands in one of them as standing in the other.
    #[must_use]
    pub fn is_read_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(one), Self::Header(other)) => {
                folded(one.as_str()) == folded(other.as_str())
            }
            (Self::Cookie(one), Self::Cookie(other)) | (Self::Query(one), Self::Query(other)) => {
                is_read_as(one.as_bytes(), other)
            }
            (
                Self::Authorization | Self::Header(_) | Self::Cookie(_) | Self::Query(_),
                one_of_another_kind,
            ) => self == one_of_another_kind,
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorization => f.write_str("authorization"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
        }
    }
}

/// What an issuer says of all its tokens, beside its name, its audiences and its keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenProfile {
    /// Who its tokens speak for. Default anybody.
    pub subjects: SubjectsSpec,
    /// The `typ` that its tokens have, compared without case and without `application/`. With `at+jwt`
    /// they also have the claims that RFC 9068 requires. Default any.
    pub typ: Option<String>,
    /// How old its tokens may be, from `iat` on. Default as old as `exp` lets them be.
    pub max_age: Option<Duration>,
    /// The claims that give scopes, and no others do. Default none: `scope`, or without it `scp`.
    pub scopes_claims: Vec<ClaimPath>,
}

/// Whom the tokens of an issuer speak for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubjectsSpec {
    /// Whomever it says.
    #[default]
    Anybody,
    /// Workloads of this trust domain: `sub` is a SPIFFE ID of it (SPIFFE JWT-SVID, section 3.1).
    Workloads {
        /// The trust domain.
        of: TrustDomain,
        /// Whether `iss` must be the issuer's. JWT-SVIDs need not have it; whose they are is then said
        /// by `sub` alone, and proved by the keys.
        iss: bool,
    },
}

impl SubjectsSpec {
    /// Whether the claim `iss` must be the issuer's.
    #[must_use]
    pub const fn asks_for_iss(&self) -> bool {
        match self {
            Self::Anybody => true,
            Self::Workloads { iss, .. } => *iss,
        }
    }
}
