//! [`AgentError`]: why an agent gives nothing, or nothing that is taken, for the operator.
//!
//! What an agent says of itself is cut and never trusted: it is text for a log line. Nothing of a
//! key is in it.

use std::time::Duration;

use spiffe::WorkloadApiError;
use spiffe::transport::{GrpcStatusCode, TransportError};

use super::super::error::TrustError;

/// Why an agent gives nothing, or nothing that is taken.
#[derive(Debug)]
pub enum AgentError {
    /// Nobody listens on its socket, or it closed the connection.
    Unreachable {
        /// What the system says.
        why: String,
    },
    /// It took the connection and then said nothing.
    Silent {
        /// How long was waited.
        waited: Duration,
    },
    /// It ended the stream.
    Ended,
    /// It does not know this process.
    NotRegistered {
        /// What it says.
        said: String,
    },
    /// It does not take the question.
    Rejected {
        /// What it says.
        said: String,
    },
    /// It says no for another reason.
    Failed {
        /// What it says.
        said: String,
    },
    /// A certificate is about to end, and it sends no other.
    Overdue,
    /// Its answer is larger than any answer is.
    TooLarge,
    /// Its answer cannot be read: nothing of it is taken.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// Its answer has more of something than is looked at.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many would be looked at.
        max: usize,
    },
    /// It sends other certificates than the one that is wanted.
    NoSuchSvid {
        /// The SPIFFE ID that is wanted.
        wanted: String,
        /// Those that it sends.
        sent: String,
    },
    /// The certificate that it sends first is of another trust domain than before.
    OtherTrustDomain {
        /// The SPIFFE ID of before.
        before: String,
        /// That of now.
        sent: String,
    },
    /// A certificate cannot be used.
    Svid {
        /// The SPIFFE ID in it.
        id: String,
        /// Why.
        error: Box<TrustError>,
    },
    /// It sends no bundle of the trust domain that is wanted.
    NoSuchBundle {
        /// The trust domain that is wanted.
        wanted: String,
        /// Those of which it sends one.
        sent: String,
    },
    /// The bundle of a trust domain has no CA.
    EmptyBundle {
        /// The trust domain.
        trust_domain: String,
    },
    /// The bundle of a trust domain cannot be used.
    Bundle {
        /// The trust domain.
        trust_domain: String,
        /// Why.
        error: Box<TrustError>,
    },
}

/// More of what an agent says is not logged.
const CHARS_MAX: usize = 200;

/// What an agent says, in one line that is not long.
pub(super) fn cut(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(CHARS_MAX).map(plain).collect()
}

impl AgentError {
    /// Sorts the error of the client library.
    pub(super) fn of(error: &WorkloadApiError) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the library's enums grow: what is new to us keeps its own text"
        )]
        match error {
            WorkloadApiError::NoIdentityIssued => Self::NotRegistered {
                said: "no identity issued".to_owned(),
            },
            WorkloadApiError::PermissionDenied(said) => Self::NotRegistered { said: cut(said) },
            WorkloadApiError::EmptyResponse => Self::Ended,
            WorkloadApiError::Transport(TransportError::Status(status)) => {
                let said = || cut(&status.to_string());
                match status.code() {
                    GrpcStatusCode::InvalidArgument => Self::Rejected { said: said() },
                    GrpcStatusCode::OutOfRange => Self::TooLarge,
                    GrpcStatusCode::Unavailable => Self::Unreachable { why: said() },
                    _ => Self::Failed { said: said() },
                }
            }
            WorkloadApiError::Transport(error) => Self::Unreachable {
                why: cut(&error.to_string()),
            },
            other => Self::Unreadable {
                why: cut(&other.to_string()),
            },
        }
    }

    /// Whether something was offered that is not taken; else nothing was offered.
    #[must_use]
    pub const fn is_of_offer(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Ended
            | Self::NotRegistered { .. }
            | Self::Rejected { .. }
            | Self::Failed { .. }
            | Self::Overdue => false,
            Self::TooLarge
            | Self::Unreadable { .. }
            | Self::TooMany { .. }
            | Self::NoSuchSvid { .. }
            | Self::OtherTrustDomain { .. }
            | Self::Svid { .. }
            | Self::NoSuchBundle { .. }
            | Self::EmptyBundle { .. }
            | Self::Bundle { .. } => true,
        }
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Unreachable { why } => format!("cannot be reached: {why}"),
            Self::Silent { waited } => {
                format!("takes the connection and does not answer within {waited:?}")
            }
            Self::Ended => "ended the stream".to_owned(),
            Self::NotRegistered { said } => {
                format!("gives this process no identity (PermissionDenied: {said})")
            }
            Self::Rejected { said } => format!("does not take the question: {said}"),
            Self::Failed { said } => format!("says no: {said}"),
            Self::Overdue => {
                "sends no new certificate, and three quarters of the time of one are over"
                    .to_owned()
            }
            Self::TooLarge => "sent an answer of more than 4 MiB".to_owned(),
            Self::Unreadable { why } => format!("sent an answer that is not taken: {why}"),
            Self::TooMany { what, count, max } => {
                format!("sent {count} {what}; {max} are looked at")
            }
            Self::NoSuchSvid { wanted, sent } => format!("sends no {wanted}, but {sent}"),
            Self::OtherTrustDomain { before, sent } => {
                format!("sends {sent}, which is of another trust domain than {before} before")
            }
            Self::Svid { id, error } => format!("sent {id}, not usable: {}", error.what()),
            Self::NoSuchBundle { wanted, sent } => {
                format!("sends no bundle of the trust domain {wanted}, but of {sent}")
            }
            Self::EmptyBundle { trust_domain } => {
                format!("sent a bundle of the trust domain {trust_domain} with no CA in it")
            }
            Self::Bundle {
                trust_domain,
                error,
            } => format!(
                "sent a bundle of the trust domain {trust_domain} that is not usable: {}",
                error.what()
            ),
        }
    }

    /// What to do, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "is the agent running, and may the user of the gateway open its socket?"
            }
            Self::Silent { .. } => {
                "look at the agent's own log and health; the gateway goes on asking"
            }
            Self::Ended => "the gateway asks again",
            Self::NotRegistered { .. } => {
                "make a registration entry whose selectors match the gateway's process"
            }
            Self::Rejected { .. } => {
                "is it an agent of the SPIFFE Workload API? A proxy in between may drop the header `workload.spiffe.io`"
            }
            Self::Failed { .. } | Self::Overdue => "look at the agent's own log and health",
            Self::TooLarge | Self::TooMany { .. } => {
                "an agent gives a process what it is registered for: take entries away that are not for the gateway"
            }
            Self::Unreadable { .. } | Self::Svid { .. } | Self::Bundle { .. } => {
                "look at what signs for the agent; the gateway takes the next answer that is right"
            }
            Self::NoSuchSvid { .. } => {
                "register this SPIFFE ID for the gateway's process, or correct `spiffe_id`"
            }
            Self::OtherTrustDomain { .. } => {
                "name the SPIFFE ID that is meant with `spiffe_id`, or start the gateway anew"
            }
            Self::NoSuchBundle { .. } => {
                "federate the gateway's registration entry with this trust domain, or correct `trust_domain`"
            }
            Self::EmptyBundle { .. } => "look at the bundle that the agent's server has",
        }
    }
}

impl std::fmt::Display for AgentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what(), self.hint())
    }
}
