//! pingora's errors, sorted once into what became of the request.

use std::fmt;

use pingora::{Error, ErrorSource, ErrorType};

use crate::refusal::Refusal;
use crate::upstream::{answer_timed_out, connect_failure, late_handshake_failure};

/// What an error of pingora's means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// We say no, and this is why.
    Refused(Refusal),
    /// The client went away; there is nobody to answer.
    ClientGone,
}

/// A refusal on its way through pingora.
#[derive(Debug)]
struct Carried(Refusal);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.reason())
    }
}

impl std::error::Error for Carried {}

/// A refusal as pingora's error, to be found again by [`sort`].
pub(super) fn carry(refusal: Refusal) -> Box<Error> {
    Error::because(ErrorType::Custom("refused"), "refused", Carried(refusal))
}

/// What an error means.
pub(super) fn sort(error: &Error) -> Ending {
    if let Some(Carried(refusal)) = error.root_cause().downcast_ref() {
        return Ending::Refused(*refusal);
    }
    if let Some(failure) = connect_failure(error) {
        return Ending::Refused(failure.refusal());
    }
    if late_handshake_failure(error).is_some() && *error.esource() == ErrorSource::Upstream {
        return Ending::Refused(Refusal::UpstreamHandshake);
    }
    let upstream = match error.esource() {
        ErrorSource::Upstream => true,
        ErrorSource::Downstream => false,
        ErrorSource::Internal | ErrorSource::Unset => return Ending::Refused(Refusal::Internal),
    };
    if upstream && answer_timed_out(error) {
        return Ending::Refused(Refusal::UpstreamResponseTimeout);
    }
    match (error.etype(), upstream) {
        (ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout, true) => {
            Ending::Refused(Refusal::UpstreamConnectTimeout)
        }
        (ErrorType::ReadTimedout | ErrorType::WriteTimedout, true) => {
            Ending::Refused(Refusal::UpstreamResponseTimeout)
        }
        (ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError, true) => {
            Ending::Refused(Refusal::UpstreamClosed)
        }
        (_, true) => Ending::Refused(Refusal::UpstreamProtocol),
        (ErrorType::ReadTimedout, false) => Ending::Refused(Refusal::BodyTimeout),
        (
            ErrorType::ConnectionClosed
            | ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::H2Error,
            false,
        ) => Ending::ClientGone,
        (_, false) => Ending::Refused(Refusal::RequestMalformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_found_again_whatever_context_is_put_around_it() {
        for &refusal in Refusal::ALL {
            let error = carry(refusal).more_context("a phase").into_up();
            assert_eq!(sort(&error), Ending::Refused(refusal));
        }
    }

    #[test]
    fn what_nobody_outside_caused_is_a_fault_of_ours() {
        let kinds = [
            ErrorType::InternalError,
            ErrorType::ConnectionClosed,
            ErrorType::Custom("new"),
        ];
        for kind in kinds {
            let unset = Error::explain(kind.clone(), "");
            assert_eq!(sort(&unset), Ending::Refused(Refusal::Internal), "{kind:?}");
            let internal = Error::explain(kind.clone(), "").into_in();
            assert_eq!(
                sort(&internal),
                Ending::Refused(Refusal::Internal),
                "{kind:?}"
            );
        }
    }
}
