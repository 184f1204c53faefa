//! Points in time, as records keep them and as people read them.

use rustls::pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// `2026-11-22T01:39:36Z`; `None` for a year that has more than four digits.
pub(super) fn rfc3339(seconds: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(&Rfc3339).ok()
}
