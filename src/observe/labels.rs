//! The closed sets of label values that are ours alone. Those of refusals and failed handshakes
//! stand with their enums, those of TLS in `tls_facts.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use crate::refusal::Refusal;

macro_rules! labels {
    ($($(#[doc = $of:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $label:literal;)+ })+) => {$(
        $(#[doc = $of])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            /// Every variant, for the metrics' start values and for the tests that walk them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label in metrics and logs. Dashboards read it: once released, it stays.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    )+};
}

labels! {
    /// The side of the gateway that a handshake is on.
    Side {
        /// A client connects to a listener of ours.
        Downstream = "downstream";
        /// We connect to a service.
        Upstream = "upstream";
    }
    /// What came of exchanging a token.
    ExchangeResult {
        /// There is a new one.
        Exchanged = "exchanged";
        /// The server does not take the client's.
        Refused = "refused";
        /// The server does not give one for this service.
        Denied = "denied";
        /// The server gave nothing that can be used, and that is not the client's fault.
        Failed = "failed";
        /// Nobody was asked: too many exchanges were under way.
        Busy = "busy";
    }
    /// What came of asking an authorization service.
    CheckResult {
        /// It said yes.
        Allowed = "allowed";
        /// It said no.
        Denied = "denied";
        /// No connection could be made.
        Unreachable = "unreachable";
        /// It did not answer in time.
        TimedOut = "timed_out";
        /// The connection broke, or it said that it is away.
        Unavailable = "unavailable";
        /// mTLS did not come about: it is somebody else, or refuses us.
        NotProven = "not_proven";
        /// As many questions were under way as may be: it was not asked.
        Busy = "busy";
        /// It said that it failed.
        Failed = "failed";
        /// Its answer could not be followed.
        Unusable = "unusable";
    }
    /// Why a request went on for which an authorization service did not say yes.
    Waived {
        /// It is away, and the configuration lets requests pass then.
        Away = "away";
        /// Its answers are only reported.
        ReportOnly = "report_only";
    }
    /// Why a connection was closed before its handshake began.
    ConnectionRefused {
        /// The listener has as many open connections as it may.
        TooMany = "too_many";
        /// The source address has as many open connections as it may.
        TooManyPerSource = "too_many_per_source";
        /// As many handshakes are under way as may be.
        TooManyHandshakes = "too_many_handshakes";
        /// The gateway is stopping.
        Draining = "draining";
    }
    /// Which bound a client ran into so that its connection was closed; over h2, for what is about one
    /// request alone, its stream.
    ConnectionAbuse {
        /// The head of a request, or the first byte of the first one, did not come in time.
        HeaderTimeout = "header_timeout";
        /// Nothing was asked for `idle_timeout`.
        IdleTimeout = "idle_timeout";
        /// The body of a request stood still for `body_timeout`.
        BodyTimeout = "body_timeout";
        /// The body of a request came slower than `min_rate`.
        SlowBody = "slow_body";
        /// The client took nothing of its answer for `body_timeout`, or took it slower than `min_rate`.
        SlowReader = "slow_reader";
        /// h2: more streams ended in an error or a reset than `http2.resets`.
        Http2Resets = "http2_resets";
        /// h2: more frames without a request came than `http2.idle_frames`, or headers without end.
        Http2IdleFrames = "http2_idle_frames";
        /// h2: the preface did not come in time.
        Http2Silent = "http2_silent";
        /// The bytes on the connection broke HTTP/2 or TLS after the handshake.
        ProtocolError = "protocol_error";
    }
    /// Why no TCP connection to a service came about. What comes after is a failed handshake.
    ConnectFailed {
        /// The network or the service's host refused.
        Unreachable = "unreachable";
        /// The connect timeout was over before the handshake began.
        TimedOut = "timed_out";
        /// The endpoint's name has no address.
        NoAddress = "no_address";
    }
    /// What became of a login.
    LoginResult {
        /// A browser was sent to log in.
        Begun = "begun";
        /// It came back, and has a session.
        Completed = "completed";
        /// The server, or the user there, said no, or the code was not taken.
        Denied = "denied";
        /// It came back to a login that it had not begun, or that was over.
        StateUnknown = "state_unknown";
        /// It brought something that is no answer of the server.
        AnswerMalformed = "answer_malformed";
        /// The ID token is not believed.
        IdTokenRefused = "id_token_refused";
        /// The server, its keys, or what is shared could not be asked.
        Unavailable = "unavailable";
        /// Its tokens do not fit into cookies.
        TooLarge = "too_large";
        /// The session that it brought is that of another client certificate.
        OtherCertificate = "other_certificate";
        /// Something else: another method, a fault of ours.
        Other = "other";
    }
    /// What became of renewing the tokens of a session.
    RefreshResult {
        /// There are new ones.
        Renewed = "renewed";
        /// The server gives none: the user must log in again.
        Ended = "ended";
        /// The server, its keys, or what is shared could not be asked.
        Unavailable = "unavailable";
    }
    /// Why a reload changed nothing.
    ReloadFailure {
        /// The configuration, or a file that it names, has problems.
        Problems = "problems";
        /// A rehearsal in `tests:` did not come out as it says.
        TestsFailed = "tests_failed";
        /// The configuration file could not be read.
        Unreadable = "unreadable";
    }
}

/// One counter for each label of a closed set of `N`, in the order of the set.
#[derive(Debug)]
pub(super) struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Counts<N> {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Adds one at this place. A place out of bounds cannot come from a closed set; it counts
    /// nowhere.
    pub(super) fn add(&self, place: usize) {
        if let Some(count) = self.0.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed))
    }
}

impl LoginResult {
    /// What a refusal counts as.
    #[must_use]
    pub fn of(refusal: Refusal) -> Self {
        let known = [
            (Refusal::LoginDenied, Self::Denied),
            (Refusal::LoginStateUnknown, Self::StateUnknown),
            (Refusal::LoginAnswerMalformed, Self::AnswerMalformed),
            (Refusal::IdTokenRefused, Self::IdTokenRefused),
            (Refusal::SessionTooLarge, Self::TooLarge),
        ];
        let found = known.iter().find(|(own, _)| *own == refusal);
        match found {
            Some((_, result)) => *result,
            None if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_stands_at_its_own_place_in_all() {
        assert!(
            ConnectionAbuse::ALL
                .iter()
                .enumerate()
                .all(|(i, v)| *v as usize == i)
        );
        assert!(
            ConnectionRefused::ALL
                .iter()
                .enumerate()
                .all(|(i, v)| *v as usize == i)
        );
        assert!(
            ConnectFailed::ALL
                .iter()
                .enumerate()
                .all(|(i, v)| *v as usize == i)
        );
        assert!(
            ReloadFailure::ALL
                .iter()
                .enumerate()
                .all(|(i, v)| *v as usize == i)
        );
    }

    #[test]
    fn a_place_out_of_bounds_counts_nowhere() {
        let counts = Counts::<2>::new();
        counts.add(1);
        counts.add(2);
        assert_eq!(counts.values().collect::<Vec<_>>(), [0, 1]);
    }
}
