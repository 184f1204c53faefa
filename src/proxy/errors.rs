//! pingora's errors, sorted once into what became of the request.

use std::fmt;

use pingora::{Error, ErrorSource, ErrorType};

use crate::observe::ConnectionAbuse;
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

/// The client ran into this bound of its connection, if that is what the error says.
pub(super) fn abuse(error: &Error) -> Option<ConnectionAbuse> {
    if let Some(Carried(Refusal::BodyTimeout)) = error.root_cause().downcast_ref() {
        return Some(ConnectionAbuse::SlowBody);
    }
    if *error.esource() != ErrorSource::Upstream && takes_nothing(error) {
        return Some(ConnectionAbuse::SlowReader);
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(ConnectionAbuse::BodyTimeout),
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => Some(ConnectionAbuse::SlowReader),
        _another => None,
    }
}

/// The service said nothing for as long as it may. Before the whole body has come, that is no
/// silence of the service's: over h2 nothing else bounds a body that stands still.
pub(super) fn waits_for_body(error: &Error) -> bool {
    matches!(
        (error.esource(), error.etype()),
        (ErrorSource::Upstream, ErrorType::ReadTimedout)
    )
}

/// A write ran out of the socket's patience. h2 keeps of such an error no more than its kind.
fn takes_nothing(error: &Error) -> bool {
    let root = error.root_cause();
    let over_h2 = root.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
    let cause = root.downcast_ref::<std::io::Error>().or(over_h2);
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

/// An error in words for the log: where, what, and the first cause. Not pingora's own text, whose
/// contexts hold what was read: the head of a broken answer, with its cookies.
pub(super) fn words(error: &Error) -> String {
    let (source, kind) = (error.esource().as_str(), error.etype().as_str());
    let cause = error.root_cause();
    if cause.is::<Error>() {
        format!("{source} {kind}")
    } else {
        format!("{source} {kind}: {cause}")
    }
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
