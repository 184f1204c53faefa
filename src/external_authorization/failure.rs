//! [`Failure`]: every way in which an authorization service gives no usable answer.

use crate::observe::CheckResult;
use crate::refusal::Refusal;

/// Why there is neither a yes nor a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not one of its endpoints takes a connection: nobody was asked.
    #[error("no connection could be made")]
    Unreachable,
    /// It did not answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// The connection broke with the question on it, or somebody answers that it is away.
    #[error("the connection broke, or it says that it is away")]
    Unavailable,
    /// It did not prove the identity that is accepted, or it refuses ours, or we have none to show yet.
    /// It was told nothing.
    #[error("mTLS with it did not come about")]
    NotProven,
    /// As many questions are under way as may be.
    #[error("as many questions are under way as may be")]
    Busy,
    /// It answered that it cannot answer, with this code of gRPC.
    #[error("it says that it failed, with code {0}")]
    Failed(u32),
    /// Its answer is not one: too large, not gRPC, or it asks for what it may not change.
    #[error("its answer cannot be followed: {0}")]
    Unusable(Unusable),
}

/// What is wrong with an answer, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not `application/grpc` with status 200.
    #[error("it is no answer of gRPC")]
    NotGrpc,
    /// More bytes than are read.
    #[error("it is too large")]
    TooLarge,
    /// No message, more than one, or one that cannot be read.
    #[error("its message cannot be read")]
    Message,
    /// A message without a status: what says nothing says not yes.
    #[error("it has no status")]
    NoStatus,
    /// It says yes and brings the answer of a no, or says either twice, or states its status twice.
    #[error("it says yes or no in more than one way")]
    Contradiction,
    /// A no with a status that is no error.
    #[error("its denial has a status that is neither 4xx nor 5xx")]
    DeniedStatus,
    /// More header fields, or longer ones, than may be set.
    #[error("it has too many header fields, or too long ones")]
    TooManyFields,
    /// A name or a value that no header field has.
    #[error("it has a header field that HTTP does not know")]
    FieldMalformed,
    /// A field that it may not set or remove.
    #[error("it changes a header field that it may not change")]
    FieldForbidden,
    /// It wants another query than the one that was admitted.
    #[error("it changes the query")]
    Query,
}

impl Failure {
    /// Whether the service is away: only then may `when_away: allow` speak for it.
    ///
    /// What a question asks is up to clients, and so is how many ask. Whatever comes of a question that
    /// was put, or of a service that is too busy to shake hands, may be their doing: a policy that
    /// runs for seconds, header fields that make it fall over, a sidecar that says "unavailable"
    /// for either. So nothing but silence at every door counts.
    #[must_use]
    pub const fn is_away(self) -> bool {
        match self {
            Self::Unreachable => true,
            Self::TimedOut
            | Self::Unavailable
            | Self::NotProven
            | Self::Busy
            | Self::Failed(_)
            | Self::Unusable(_) => false,
        }
    }

    /// What the request is refused with.
    #[must_use]
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::Unusable(_) => Refusal::ExternalAuthorizationInvalid,
            Self::Unreachable
            | Self::TimedOut
            | Self::Unavailable
            | Self::NotProven
            | Self::Busy
            | Self::Failed(_) => Refusal::ExternalAuthorizationUnavailable,
        }
    }

    /// As it is counted, for the log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.result().label()
    }

    /// As it is counted.
    pub(super) const fn result(self) -> CheckResult {
        match self {
            Self::Unreachable => CheckResult::Unreachable,
            Self::TimedOut => CheckResult::TimedOut,
            Self::Unavailable => CheckResult::Unavailable,
            Self::NotProven => CheckResult::NotProven,
            Self::Busy => CheckResult::Busy,
            Self::Failed(_) => CheckResult::Failed,
            Self::Unusable(_) => CheckResult::Unusable,
        }
    }
}
