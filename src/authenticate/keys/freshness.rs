//! [`lifetime`]: for how long an issuer says that its keys may be kept (RFC 9111), within the bounds
//! that the operator wrote.
//!
//! What an issuer says is a wish: without the bounds, one that says "ten years" would keep a key in
//! use that it has long taken away, and one that says "0" would be asked without a pause.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES};
use http::{HeaderMap, HeaderName};
use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// For how long an answer with these header fields may be used, from the moment when it was asked
/// for. `now` stands in for a missing `Date`.
///
/// Where something is said that cannot be read, or two things, the shorter time is meant (RFC 9111,
/// section 4.2.1). Where nothing is said, the longest.
pub(super) fn lifetime(
    headers: &HeaderMap,
    now: OffsetDateTime,
    bounds: &RangeInclusive<Duration>,
) -> Duration {
    let stated = match cache_control(headers) {
        Some(stated) => stated,
        None if headers.contains_key(EXPIRES) => until_expires(headers, now),
        None => return *bounds.end(),
    };
    stated
        .saturating_sub(age(headers))
        .clamp(*bounds.start(), *bounds.end())
}

/// What `Cache-Control` says, if it says something about time. `s-maxage` is for caches that many
/// share: this is none.
fn cache_control(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let text = lines.map(|line| line.to_str().unwrap_or("no-store")); // not ASCII: not understood
    let directives = text.flat_map(|line| line.split(',')).map(str::trim);
    let stated = directives.filter_map(|directive| {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (directive, None),
        };
        if name.eq_ignore_ascii_case("max-age") {
            // Quoted ones exist: RFC 9111, section 5.2.
            let value = value.map(|value| value.trim_matches('"'));
            return Some(value.and_then(seconds).unwrap_or_default());
        }
        let never = ["no-store", "no-cache"];
        let never = never.iter().any(|one| name.eq_ignore_ascii_case(one));
        never.then_some(Duration::ZERO)
    });
    stated.min()
}

/// RFC 9111, section 5.3: what is no date, as `0`, lies in the past.
fn until_expires(headers: &HeaderMap, now: OffsetDateTime) -> Duration {
    let expires = only(headers, &EXPIRES).and_then(date);
    let date = only(headers, &DATE).and_then(date).unwrap_or(now);
    let left = expires.map(|expires| Duration::try_from(expires - date));
    left.and_then(Result::ok).unwrap_or_default()
}

/// How long the answer has lain in caches on its way. One that cannot be read is as old as can be.
fn age(headers: &HeaderMap) -> Duration {
    if !headers.contains_key(AGE) {
        return Duration::ZERO;
    }
    only(headers, &AGE)
        .and_then(seconds)
        .unwrap_or(Duration::MAX)
}

/// The one value of a field. `None` if it stands twice, or is no text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok().map(str::trim),
        Some(_second) => None,
    }
}

/// RFC 9111, section 1.2.2: digits, and as large as one likes.
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// The form that is written today (RFC 9110, section 5.6.7).
fn date(text: &str) -> Option<OffsetDateTime> {
    const FORM: &[FormatItem<'_>] = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = PrimitiveDateTime::parse(text, FORM).ok()?;
    Some(date.assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const MIN: u64 = 60;
    const MAX: u64 = 3_600;
    const DATED: &str = "Sun, 22 Nov 2026 01:00:00 GMT";
    const IN_TEN_MINUTES: &str = "Sun, 22 Nov 2026 01:10:00 GMT";

    const CASES: &[(&[(&str, &str)], u64)] = &[
        // Nothing is said.
        (&[], MAX),
        (&[("cache-control", "")], MAX),
        (&[("cache-control", "public, must-revalidate")], MAX),
        (&[("cache-control", "s-maxage=5")], MAX),
        (&[("age", "3000")], MAX),
        // Something is.
        (&[("cache-control", "max-age=600")], 600),
        (&[("cache-control", "public, Max-Age = 600 , foo")], 600),
        (&[("cache-control", "max-age=\"600\"")], 600),
        (&[("cache-control", "max-age=600"), ("age", "200")], 400),
        (
            &[("cache-control", "max-age=600"), ("expires", "0")],
            600, // the newer field wins: RFC 9111, section 5.3
        ),
        (&[("date", DATED), ("expires", IN_TEN_MINUTES)], 600),
        (&[("expires", IN_TEN_MINUTES)], 600),
        (
            &[("date", DATED), ("expires", IN_TEN_MINUTES), ("age", "100")],
            500,
        ),
        // The shorter of two.
        (&[("cache-control", "max-age=900, max-age=600")], 600),
        (
            &[
                ("cache-control", "max-age=900"),
                ("cache-control", "max-age=700"),
            ],
            700,
        ),
        (&[("cache-control", "max-age=900, no-cache")], MIN),
        // The bounds.
        (&[("cache-control", "max-age=0")], MIN),
        (&[("cache-control", "no-store")], MIN),
        (&[("cache-control", "max-age=59")], MIN),
        (&[("cache-control", "max-age=315360000")], MAX),
        (
            &[("cache-control", "max-age=99999999999999999999999999")],
            MAX,
        ),
        (
            &[
                ("date", DATED),
                ("expires", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ],
            MAX,
        ),
        // Nonsense is the shortest time.
        (&[("cache-control", "max-age=-1")], MIN),
        (&[("cache-control", "max-age=+600")], MIN),
        (&[("cache-control", "max-age")], MIN),
        (&[("cache-control", "max-age=")], MIN),
        (&[("cache-control", "max-age=6e5")], MIN),
        (&[("cache-control", "max-age=600s")], MIN),
        (&[("cache-control", "max-age=1, max-age=x")], MIN),
        (&[("cache-control", "\u{e9}")], MIN),
        (&[("cache-control", "max-age=600"), ("age", "601")], MIN),
        (&[("cache-control", "max-age=600"), ("age", "-5")], MIN),
        (
            &[("cache-control", "max-age=600"), ("age", "1"), ("age", "2")],
            MIN,
        ),
        (
            &[
                ("cache-control", "max-age=600"),
                ("age", "99999999999999999999"),
            ],
            MIN,
        ),
        (&[("expires", "0")], MIN),
        (&[("expires", "-1")], MIN),
        (&[("expires", "tomorrow")], MIN),
        (
            &[("expires", IN_TEN_MINUTES), ("expires", IN_TEN_MINUTES)],
            MIN,
        ),
        (
            &[
                ("date", DATED),
                ("expires", "Sun, 22 Nov 2026 00:00:00 GMT"),
            ],
            MIN,
        ),
    ];

    #[test]
    fn the_issuers_wish_counts_within_the_operators_bounds() {
        let now = time::macros::datetime!(2026-11-22 01:00:00 UTC);
        let bounds = Duration::from_secs(MIN)..=Duration::from_secs(MAX);
        for (fields, want) in CASES {
            let mut headers = HeaderMap::new();
            for (name, value) in *fields {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(name.parse::<HeaderName>().unwrap(), value);
            }
            let lifetime = lifetime(&headers, now, &bounds);
            assert_eq!(lifetime, Duration::from_secs(*want), "{fields:?}");
        }
    }
}
