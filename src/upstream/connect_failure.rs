//! [`ConnectFailure`]: why no connection to a service came about. It travels to the proxy as the
//! cause of pingora's error.

use std::io;

use pingora::{Error, ErrorSource, ErrorType};

use crate::handshake_failure::HandshakeFailure;
use crate::refusal::Refusal;

/// Why a service gets no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFailure {
    /// The TLS handshake failed, or the service proved another identity.
    #[error("the handshake failed: {}", reason.reason())]
    Handshake {
        /// How, for metrics.
        reason: HandshakeFailure,
        /// Who answered: the names of the certificate that was refused, at most
        /// [`ConnectFailure::WHO_CHARS_MAX`] characters, control characters replaced. Not
        /// verified: for logs only.
        who: Option<String>,
    },
    /// No TCP connection could be made.
    #[error("no connection could be made")]
    Unreachable,
    /// No TCP connection was made within the connect timeout.
    #[error("no connection was made in time")]
    TimedOut,
    /// There is one, and TLS was not complete on it within the connect timeout.
    #[error("the handshake was not complete in time")]
    HandshakeTimedOut,
    /// The service sent data before it was asked: it cannot be the answer to our request.
    #[error("the service sent data before it was asked")]
    UnexpectedData,
    /// The peer that pingora asked for has no live policy: a fault of ours.
    #[error("no policy says who may answer")]
    NoPolicy,
}

impl ConnectFailure {
    /// The length of `who`.
    pub const WHO_CHARS_MAX: usize = 300;

    /// Whether another endpoint may do better: nobody answered here. A service that proved to be
    /// somebody else is not papered over.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::TimedOut | Self::HandshakeTimedOut
        )
    }

    /// How the request is refused that wanted this connection.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Handshake {
                reason: HandshakeFailure::IdentityMismatch | HandshakeFailure::PinMismatch,
                ..
            } => Refusal::UpstreamIdentityMismatch,
            Self::Handshake { .. } => Refusal::UpstreamHandshake,
            Self::Unreachable => Refusal::UpstreamUnreachable,
            Self::TimedOut | Self::HandshakeTimedOut => Refusal::UpstreamConnectTimeout,
            Self::UnexpectedData => Refusal::UpstreamProtocol,
            Self::NoPolicy => Refusal::Internal,
        }
    }

    /// As pingora's error, with this as its cause. Never retried on its own account.
    pub(super) fn into_pingora(self) -> Box<Error> {
        let kind = match self {
            Self::Handshake { .. } => ErrorType::TLSHandshakeFailure,
            Self::Unreachable => ErrorType::ConnectError,
            Self::TimedOut | Self::HandshakeTimedOut => ErrorType::ConnectTimedout,
            Self::UnexpectedData => ErrorType::InvalidHTTPHeader,
            Self::NoPolicy => ErrorType::InternalError,
        };
        let mut error = Error::because(kind, "connecting to a service", self);
        error.esource = ErrorSource::Upstream;
        error
    }
}

/// pingora wraps an error again where it adds context; deeper than this nobody does.
const CAUSES_MAX: usize = 8;

/// Why no connection came about, if that is what the error says.
#[must_use]
pub fn connect_failure(error: &Error) -> Option<&ConnectFailure> {
    find_cause(error)
}

/// The alert or the broken record with which a service ended a connection that was complete for us.
///
/// In TLS 1.3 a service looks at our certificate after we are done: its refusal may arrive when the
/// request is already written, as an error of reading or writing.
#[must_use]
pub fn late_handshake_failure(error: &Error) -> Option<HandshakeFailure> {
    let failed: &io::Error = find_cause(error)?;
    let tls = failed.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(HandshakeFailure::from_rustls(tls))
}

/// Whether the connection to a service was gone when it was used: closed, in whatever way, by it.
#[must_use]
pub fn connection_gone(error: &Error) -> bool {
    let gone = |failed: &io::Error| {
        matches!(
            failed.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    };
    *error.esource() == ErrorSource::Upstream && find_cause(error).is_some_and(gone)
}

/// Whether the time of the request was over when the service still answered (see `timed.rs`).
#[must_use]
pub fn answer_timed_out(error: &Error) -> bool {
    find_cause::<io::Error>(error).is_some_and(|failed| failed.kind() == io::ErrorKind::TimedOut)
}

fn find_cause<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    let mut error = error;
    for _ in 0..CAUSES_MAX {
        let cause = error.cause.as_deref()?;
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        error = match cause.downcast_ref::<Box<Error>>() {
            Some(boxed) => boxed,
            None => cause.downcast_ref::<Error>()?,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_is_found_below_the_context_that_pingora_adds() {
        let plain = ConnectFailure::TimedOut.into_pingora();
        assert_eq!(connect_failure(&plain), Some(&ConnectFailure::TimedOut));
        let wrapped = plain.more_context("first").more_context("second");
        assert_eq!(connect_failure(&wrapped), Some(&ConnectFailure::TimedOut));
    }

    #[test]
    fn a_connection_is_gone_only_if_it_is_the_services_and_broke() {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, TimedOut, UnexpectedEof};
        let broken = |kind| Error::because(ErrorType::ReadError, "reading", io::Error::from(kind));
        for kind in [BrokenPipe, ConnectionReset, UnexpectedEof] {
            assert!(connection_gone(&broken(kind).into_up()), "{kind:?}");
            assert!(!connection_gone(&broken(kind).into_down()), "{kind:?}");
        }
        for kind in [InvalidData, TimedOut] {
            assert!(!connection_gone(&broken(kind).into_up()), "{kind:?}");
        }
        assert!(answer_timed_out(&broken(TimedOut)) && !answer_timed_out(&broken(BrokenPipe)));
    }

    #[test]
    fn other_errors_are_no_connect_failures() {
        let own = Error::explain(ErrorType::ConnectError, "none of ours");
        assert_eq!(connect_failure(&own), None);
        let io = io::Error::from(io::ErrorKind::ConnectionReset);
        let read = Error::because(ErrorType::ReadError, "reading", io);
        assert_eq!(connect_failure(&read), None);
        assert_eq!(late_handshake_failure(&read), None);
    }

    #[test]
    fn an_alert_that_comes_late_is_found_in_an_error_of_reading() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        let io = io::Error::new(io::ErrorKind::InvalidData, alert);
        let read = Error::because(ErrorType::ReadError, "reading", io).more_context("outer");
        let want = Some(HandshakeFailure::AlertUnknownCa);
        assert_eq!(late_handshake_failure(&read), want);
    }

    #[test]
    fn only_another_identity_is_an_identity_mismatch_to_the_client() {
        for reason in HandshakeFailure::ALL.iter().copied() {
            let failure = ConnectFailure::Handshake { reason, who: None };
            let want = match reason.reason() {
                "identity_mismatch" | "pin_mismatch" => Refusal::UpstreamIdentityMismatch,
                _ => Refusal::UpstreamHandshake,
            };
            assert_eq!(failure.refusal(), want, "{}", reason.reason());
        }
    }
}
