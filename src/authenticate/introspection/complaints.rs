//! [`Complaints`]: the log of why an issuer gave no answer, a line now and then.

use std::fmt::Display;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::identity::name::Name;
use crate::observe::IntrospectionResult;

/// When each kind was last told.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Vec<(IntrospectionResult, Instant)>>);

/// The metrics count them all.
const QUIET: Duration = Duration::from_secs(10);

impl Complaints {
    /// Tells why there is no answer, unless that was told a moment ago.
    pub(super) fn note(&self, issuer: &Name, why: IntrospectionResult, error: &dyn Display) {
        let now = Instant::now();
        {
            let mut told = self.0.lock();
            let recent = |at: &Instant| now.saturating_duration_since(*at) < QUIET;
            told.retain(|(_, at)| recent(at));
            if told.iter().any(|(kind, _)| *kind == why) {
                return;
            }
            told.push((why, now));
        }
        let (issuer, result) = (issuer.as_str(), why.label());
        if why == IntrospectionResult::Refused {
            tracing::error!(
                issuer,
                result,
                %error,
                "the issuer does not answer this gateway about tokens: look at its entry of \
                 `oauth_clients`, and at what the issuer lets that client ask"
            );
        } else {
            tracing::warn!(issuer, result, %error, "the issuer could not be asked about a token");
        }
    }
}
