//! [`Failure`]: why an issuer said nothing of a token, and what that says of the issuer.

use std::time::Duration;

use http::StatusCode;

use super::answer::Unusable;
use crate::fetch::FetchError;
use crate::identity::name::Name;
use crate::oauth::error::{ErrorCode, OauthError};
use crate::observe::IntrospectionResult;

/// Why there is no verdict on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The label in metrics and logs.
    pub(super) result: IntrospectionResult,
    /// Of whom it says something.
    pub(super) of: Of,
    /// When it is worth while to come again, where that is known.
    pub(super) retry_after: Option<Duration>,
}

/// Of whom a failure says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Of this one question: others may well be answered, and nothing else answers this one.
    Question,
    /// Of the issuer, unless the token is one that brings it about.
    IssuerOrToken,
    /// Of the issuer, or of our own standing there: no token brings it about.
    Issuer,
}

/// How busy we are changes all the time.
const BUSY_RETRY: Duration = Duration::from_secs(1);

impl Failure {
    /// So many wait that this one's turn does not come.
    pub(super) const BUSY: Self = Self {
        result: IntrospectionResult::Busy,
        of: Of::Question,
        retry_after: Some(BUSY_RETRY),
    };

    /// The question ended without an answer, and not by the issuer's fault.
    pub(super) const FAULT: Self = Self::new(IntrospectionResult::Failed, Of::Question);

    /// The issuer has just not answered, and need not for so long.
    pub(super) const fn away(left: Duration) -> Self {
        Self {
            result: IntrospectionResult::Away,
            of: Of::Issuer,
            retry_after: Some(left),
        }
    }

    /// The issuer's keys cannot be had, and it signs its answers.
    pub(super) const fn without_keys(retry_after: Option<Duration>) -> Self {
        Self {
            result: IntrospectionResult::Unusable,
            of: Of::Issuer,
            retry_after,
        }
    }

    const fn new(result: IntrospectionResult, of: Of) -> Self {
        Self {
            result,
            of,
            retry_after: None,
        }
    }

    /// What the log says of it. What is refused is for the operator to mend.
    pub(super) fn tell(&self, issuer: &Name, url: &str, error: &str, advice: &str) {
        let (issuer, result) = (issuer.as_str(), self.result.label());
        if self.result == IntrospectionResult::Refused {
            tracing::error!(
                issuer,
                url,
                result,
                error,
                hint = advice,
                "the issuer does not answer this gateway about tokens"
            );
        } else {
            tracing::warn!(
                issuer,
                url,
                result,
                error,
                "the issuer could not be asked about a token"
            );
        }
    }
}

/// What the operator may do about a refusal.
pub(super) const fn advice(error: &OauthError) -> &'static str {
    match error {
        OauthError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        | OauthError::Refused { .. } => {
            "look at its entry of `oauth_clients`, and at what the issuer lets that client ask"
        }
        OauthError::Status(_) => "is this the right URL?",
        OauthError::Unproven | OauthError::Fetch(_) | OauthError::Answer(_) => "",
    }
}

impl From<Unusable> for Failure {
    fn from(_answer: Unusable) -> Self {
        Self::new(IntrospectionResult::Unusable, Of::Question)
    }
}

impl From<&OauthError> for Failure {
    fn from(error: &OauthError) -> Self {
        use IntrospectionResult::{Failed, Refused, TooSlow, Unreachable, Unusable};
        let (result, of) = match error {
            OauthError::Unproven
            | OauthError::Fetch(
                FetchError::NotHttps | FetchError::NoKeyMaterial | FetchError::NotReached(_),
            ) => (Unreachable, Of::Issuer),
            OauthError::Fetch(FetchError::Failed(_)) => (Unreachable, Of::IssuerOrToken),
            OauthError::Fetch(FetchError::TooSlow(_)) => (TooSlow, Of::IssuerOrToken),
            OauthError::Fetch(FetchError::Body { .. }) | OauthError::Answer(_) => {
                (Unusable, Of::Question)
            }
            OauthError::Refused { error, status }
                if status.is_client_error()
                    && matches!(
                        error.code,
                        ErrorCode::InvalidClient | ErrorCode::UnauthorizedClient
                    ) =>
            {
                (Refused, Of::Issuer)
            }
            OauthError::Refused { status, .. } | OauthError::Status(status) => {
                match status.as_u16() {
                    401 => (Refused, Of::Issuer),
                    // Filters in front of issuers say so too, of what they do not like to read.
                    403 => (Refused, Of::IssuerOrToken),
                    429 => (Failed, Of::IssuerOrToken),
                    400..500 => (Refused, Of::Question),
                    _another => (Failed, Of::IssuerOrToken),
                }
            }
        };
        Self::new(result, of)
    }
}
