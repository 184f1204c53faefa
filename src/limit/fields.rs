//! What a client is told about its limits: `RateLimit-Policy`, `RateLimit` and `Retry-After`.
//!
//! The first two are those of draft-ietf-httpapi-ratelimit-headers-11: lists of strings with
//! parameters, in the syntax of structured fields (RFC 9651).

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::store::Taken;

/// What the limits of a route are.
pub static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of them for this client.
pub static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The values of [`RATE_LIMIT`] and [`RATE_LIMIT_POLICY`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitFields {
    /// `"NAME";r=REMAINING;t=SECONDS`, for each limit.
    pub rate_limit: HeaderValue,
    /// `"NAME";q=LIMIT;w=SECONDS`, for each limit.
    pub policy: HeaderValue,
}

/// The fields for what was taken, each with the name that clients know the limit by; none without
/// limits. Names are to differ from each other.
///
/// `t` is the time until the quota is whole again or, if the request was refused, the same as
/// `Retry-After`. All seconds are rounded up.
#[must_use]
pub fn header_fields(taken: &[(&str, Taken)]) -> Option<RateLimitFields> {
    let mut rate_limit = String::new();
    let mut policy = String::new();
    for (name, taken) in taken {
        let reset = match taken.allowed {
            true => seconds(taken.reset),
            false => retry_after_seconds(taken),
        };
        push_name(&mut rate_limit, name);
        write!(rate_limit, ";r={};t={reset}", taken.remaining).ok()?;
        push_name(&mut policy, name);
        write!(policy, ";q={};w={}", taken.limit, seconds(taken.window)).ok()?;
    }
    if taken.is_empty() {
        return None;
    }
    Some(RateLimitFields {
        rate_limit: HeaderValue::try_from(rate_limit).ok()?,
        policy: HeaderValue::try_from(policy).ok()?,
    })
}

/// `Retry-After` in whole seconds (RFC 9110, section 10.2.3): rounded up, so that who waits that
/// long is not refused again, and at least 1.
#[must_use]
pub fn retry_after_seconds(taken: &Taken) -> u64 {
    seconds(taken.retry_after).max(1)
}

/// Rounded up, and not more than structured fields can say (RFC 9651, section 3.3.1).
fn seconds(duration: Duration) -> u64 {
    let whole = duration.as_secs();
    let up = whole.saturating_add(u64::from(duration.subsec_nanos() > 0));
    up.min(999_999_999_999_999)
}

/// A member of a list, as a string (RFC 9651, section 4.1.6); what strings cannot have becomes `?`.
fn push_name(list: &mut String, name: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => list.extend(['\\', character]),
            ' '..='~' => list.push(character),
            _ => list.push('?'),
        }
    }
    list.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowed: bool, remaining: u32, milliseconds: u64) -> Taken {
        let wait = Duration::from_millis(milliseconds);
        Taken {
            allowed,
            limit: 100,
            remaining,
            reset: wait,
            retry_after: if allowed { Duration::ZERO } else { wait },
            window: Duration::from_secs(60),
        }
    }

    fn shown(taken: &[(&str, Taken)]) -> Option<(String, String)> {
        let fields = header_fields(taken)?;
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        Some((text(&fields.rate_limit), text(&fields.policy)))
    }

    #[test]
    fn the_fields_are_lists_of_strings_with_parameters() {
        type Case<'a> = (&'a [(&'a str, Taken)], &'a str, &'a str);
        let cases: &[Case<'_>] = &[
            (
                &[("client", taken(true, 50, 30_000))],
                r#""client";r=50;t=30"#,
                r#""client";q=100;w=60"#,
            ),
            (
                &[("a", taken(true, 99, 1)), ("b", taken(false, 0, 1_001))],
                r#""a";r=99;t=1, "b";r=0;t=2"#,
                r#""a";q=100;w=60, "b";q=100;w=60"#,
            ),
            (
                &[("x", taken(false, 0, 0))],
                r#""x";r=0;t=1"#,
                r#""x";q=100;w=60"#,
            ),
            (
                &[("a\"b\\c\u{e9}\n", taken(true, 1, 0))],
                r#""a\"b\\c??";r=1;t=0"#,
                r#""a\"b\\c??";q=100;w=60"#,
            ),
        ];
        for (taken, rate_limit, policy) in cases {
            let want = ((*rate_limit).to_owned(), (*policy).to_owned());
            assert_eq!(shown(taken), Some(want));
        }
        assert_eq!(shown(&[]), None);
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds_and_never_zero() {
        let cases = [
            (0, 1),
            (1, 1),
            (999, 1),
            (1_000, 1),
            (1_001, 2),
            (59_500, 60),
            (3_600_000, 3_600),
        ];
        for (milliseconds, want) in cases {
            assert_eq!(
                retry_after_seconds(&taken(false, 0, milliseconds)),
                want,
                "{milliseconds}"
            );
        }
        let longest = Taken {
            retry_after: Duration::MAX,
            ..taken(false, 0, 0)
        };
        assert_eq!(retry_after_seconds(&longest), 999_999_999_999_999);
    }
}
