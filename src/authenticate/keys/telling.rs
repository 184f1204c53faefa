//! What the log says of fetched keys: what happened, of which issuer, and what to do.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::fetcher::Failure;
use crate::authenticate::jwks::KeySet;
use crate::identity::name::Name;

/// Keys that are passed over are told one by one up to this many.
const PASSED_OVER_MAX: usize = 8;

/// Other keys than before are in use.
pub(super) fn taken(name: &Name, keys: &KeySet, generation: u64) {
    let passed_over = keys.ignored();
    tracing::info!(
        issuer = %name,
        keys = keys.len(),
        passed_over = passed_over.len(),
        generation,
        "new keys of an issuer"
    );
    for key in passed_over.iter().take(PASSED_OVER_MAX) {
        tracing::warn!(issuer = %name, key = %key, "a key of an issuer is passed over");
    }
}

/// A fetch has brought nothing. `left`: how long the keys of before may be used.
pub(super) fn failed(
    name: &Name,
    failure: &Failure,
    failures: u32,
    pause: Duration,
    left: Option<Duration>,
) {
    let (result, problem, hint) = (failure.result.label(), &failure.what, failure.hint);
    let retry_seconds = pause.as_secs_f64();
    match left.filter(|left| !left.is_zero()) {
        Some(left) => tracing::warn!(
            issuer = %name,
            result,
            problem,
            hint,
            failures,
            retry_seconds,
            usable_seconds = left.as_secs(),
            "the keys of an issuer cannot be fetched, those of before stay"
        ),
        None => tracing::error!(
            issuer = %name,
            result,
            problem,
            hint,
            failures,
            retry_seconds,
            "the keys of an issuer cannot be fetched, and there are none that may be used: its tokens are answered with 503 issuer_keys_unavailable"
        ),
    }
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    UnixTime::now().as_secs()
}
