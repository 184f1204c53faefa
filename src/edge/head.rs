//! The raw head of an HTTP/1.1 request: whole, in bounds, and written in the one way that no two
//! parsers read differently (RFC 9112, sections 2 to 5).

use crate::config::spec::ListenerLimits;

/// What a look at the bytes says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The head is whole and well formed.
    Whole,
    /// More bytes are needed.
    Partial,
    /// The head is refused.
    Refused(HeadProblem),
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadProblem {
    /// A line ends in a bare CR or LF, a field is folded, a name has a space before its colon, a
    /// byte is a control character, the request line does not have three parts.
    Malformed,
    /// The request target is not a path: absolute-form, `*`, a fragment, bytes that a URI lacks.
    Target,
    /// The head, or the number of its fields, is larger than the listener takes.
    TooLarge,
    /// The request target is longer than the listener takes.
    UriTooLong,
    /// The length of the body is said in more than one way, or in none that is well formed.
    Framing,
    /// There is not exactly one `Host`.
    Host,
    /// The head was not whole in time.
    Slow,
}

/// Looks at the bytes of a head, from its first one.
pub(super) fn scan(bytes: &[u8], limits: &ListenerLimits) -> Scan {
    // RFC 9112, section 2.2: an empty line before the request line is ignored.
    let lines = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let verdict = scan_lines(lines, limits);
    let too_large = match verdict {
        Scan::Partial => bytes.len() > limits.header_bytes.get(),
        Scan::Whole | Scan::Refused(_) => false,
    };
    if too_large {
        Scan::Refused(HeadProblem::TooLarge)
    } else {
        verdict
    }
}

fn scan_lines(bytes: &[u8], limits: &ListenerLimits) -> Scan {
    let mut rest = bytes;
    let mut fields = 0_usize;
    let mut first = true;
    let mut seen = Seen::default();
    loop {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return unfinished(rest, first, limits);
        };
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Scan::Refused(HeadProblem::Malformed);
        };
        if line.is_empty() && !first {
            let whole = bytes.len() - rest.len();
            let fits = whole <= limits.header_bytes.get();
            return match seen.judge() {
                _ if !fits => Scan::Refused(HeadProblem::TooLarge),
                Ok(()) => Scan::Whole,
                Err(problem) => Scan::Refused(problem),
            };
        }
        let checked = if first {
            seen.old = line.ends_with(b"1.0");
            request_line(line, limits)
        } else {
            field_line(line, &mut seen)
        };
        if let Err(problem) = checked {
            return Scan::Refused(problem);
        }
        if !first {
            fields += 1;
        }
        if fields > limits.header_fields.get() {
            return Scan::Refused(HeadProblem::TooLarge);
        }
        first = false;
    }
}

/// A line whose end has not come: what can be refused without it is refused at once.
fn unfinished(line: &[u8], first: bool, limits: &ListenerLimits) -> Scan {
    if first
        && line.iter().take(METHOD_BYTES_MAX + 1).all(is_token)
        && line.len() > METHOD_BYTES_MAX
    {
        return Scan::Refused(HeadProblem::Malformed); // no method is that long
    }
    // The method and its space come before the target.
    if first && line.len() > limits.uri_bytes.get() + METHOD_BYTES_MAX {
        return Scan::Refused(HeadProblem::UriTooLong);
    }
    let only_last_may_be_cr = line
        .split_last()
        .is_none_or(|(_, before)| !before.contains(&b'\r'));
    if only_last_may_be_cr {
        Scan::Partial
    } else {
        Scan::Refused(HeadProblem::Malformed)
    }
}

/// Longer methods are known to nobody.
const METHOD_BYTES_MAX: usize = 32;

fn request_line(line: &[u8], limits: &ListenerLimits) -> Result<(), HeadProblem> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
        return Err(HeadProblem::Malformed);
    };
    let version = parts.next();
    if target.len() > limits.uri_bytes.get() {
        return Err(HeadProblem::UriTooLong);
    }
    let known_version = matches!(version, Some(b"HTTP/1.1" | b"HTTP/1.0"));
    let method_fits = (1..=METHOD_BYTES_MAX).contains(&method.len());
    if !known_version || parts.next().is_some() || !method_fits || !method.iter().all(is_token) {
        return Err(HeadProblem::Malformed);
    }
    let visible = |b: &u8| (0x21..=0x7e).contains(b) && !b"#\"<>\\^`{|}".contains(b);
    let path = target.first() == Some(&b'/') && target.iter().all(visible);
    if path {
        Ok(())
    } else {
        Err(HeadProblem::Target)
    }
}

/// The fields that say whom a request is for and where it ends. pingora repairs some of them, or
/// answers where nobody counts it; so they are judged before.
#[derive(Debug, Default)]
struct Seen {
    /// The version is HTTP/1.0, which has no transfer codings.
    old: bool,
    hosts: usize,
    lengths: usize,
    codings: usize,
    malformed: bool,
}

impl Seen {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            let number = (1..=LENGTH_DIGITS_MAX).contains(&value.len());
            self.malformed |= !number || !value.iter().all(u8::is_ascii_digit);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            self.malformed |= !value.eq_ignore_ascii_case(b"chunked");
        }
    }

    /// RFC 9112, sections 3.2 and 6.3.
    fn judge(&self) -> Result<(), HeadProblem> {
        if self.malformed || self.lengths + self.codings > 1 || (self.old && self.codings > 0) {
            return Err(HeadProblem::Framing);
        }
        if self.hosts == 1 {
            Ok(())
        } else {
            Err(HeadProblem::Host)
        }
    }
}

/// More would not fit into 64 bits.
const LENGTH_DIGITS_MAX: usize = 19;

fn field_line(line: &[u8], seen: &mut Seen) -> Result<(), HeadProblem> {
    let colon = memchr::memchr(b':', line).ok_or(HeadProblem::Malformed)?;
    let (name, value) = line.split_at(colon);
    // A space before the colon, or at the beginning (a folded line), is no token.
    let name_well_formed = !name.is_empty() && name.iter().all(is_token);
    let value_well_formed = value
        .iter()
        .all(|b| *b >= b' ' && *b != 0x7f || *b == b'\t');
    if name_well_formed && value_well_formed {
        let value = value.get(1..).unwrap_or_default();
        seen.field(name, value.trim_ascii());
        Ok(())
    } else {
        Err(HeadProblem::Malformed)
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::Rate;
    use std::num::{NonZeroU32, NonZeroUsize};
    use std::time::Duration;

    fn limits() -> ListenerLimits {
        let many = NonZeroUsize::new(100).unwrap();
        let count = NonZeroU32::new(100).unwrap();
        let second = Duration::from_secs(1);
        ListenerLimits {
            connections: many,
            connections_per_source: many,
            handshakes: many,
            handshake_timeout: second,
            header_timeout: second,
            idle_timeout: second,
            body_timeout: second,
            revocation_grace: second,
            min_rate: count,
            header_fields: NonZeroUsize::new(4).unwrap(),
            header_bytes: NonZeroUsize::new(256).unwrap(),
            uri_bytes: NonZeroUsize::new(64).unwrap(),
            requests_per_connection: count,
            http2_streams: count,
            http2_resets: count,
            http2_idle_frames: count,
            in_flight_per_peer: many,
            requests_per_peer: Rate {
                count,
                per: second,
                burst: count,
            },
        }
    }

    #[test]
    fn a_head_is_whole_in_bounds_and_written_in_one_way_only() {
        use HeadProblem::{Malformed, Target, TooLarge, UriTooLong};
        let long_uri = format!("GET /{} HTTP/1.1\r\n", "a".repeat(64));
        let long_start = format!("GET /{}", "a".repeat(200));
        let large = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(250));
        let cases: &[(&str, Scan)] = &[
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Scan::Whole),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Scan::Whole),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", Scan::Whole),
            (
                "GET /?a=%2f HTTP/1.0\r\nA:\r\nB: \u{e9}\r\nhost:\r\n\r\n",
                Scan::Whole,
            ),
            ("", Scan::Partial),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Scan::Partial),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r", Scan::Partial),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Scan::Refused(Malformed)),
            ("GET / HTTP/1.1\nHost: a\n\n", Scan::Refused(Malformed)),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Scan::Refused(Malformed)),
            (
                "GET / HTTP/1.1\r\nA: a\rB: b\r\n\r\n",
                Scan::Refused(Malformed),
            ),
            (
                "GET / HTTP/1.1\r\nA: a\r\n b\r\n\r\n",
                Scan::Refused(Malformed),
            ),
            ("GET / HTTP/1.1\r\nA : a\r\n\r\n", Scan::Refused(Malformed)),
            ("GET / HTTP/1.1\r\n A: a\r\n\r\n", Scan::Refused(Malformed)),
            ("GET / HTTP/1.1\r\n: a\r\n\r\n", Scan::Refused(Malformed)),
            ("GET / HTTP/1.1\r\nA\r\n\r\n", Scan::Refused(Malformed)),
            ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", Scan::Refused(Malformed)),
            (
                "GET / HTTP/1.1\r\nA: \u{7f}\r\n\r\n",
                Scan::Refused(Malformed),
            ),
            ("GET / HTTP/2.0\r\n\r\n", Scan::Refused(Malformed)),
            ("GET /\r\n\r\n", Scan::Refused(Malformed)),
            ("GET / a HTTP/1.1\r\n\r\n", Scan::Refused(Malformed)),
            ("GET  / HTTP/1.1\r\n\r\n", Scan::Refused(Malformed)),
            ("G(T / HTTP/1.1\r\n\r\n", Scan::Refused(Malformed)),
            ("PRI * HTTP/2.0\r\n\r\n", Scan::Refused(Malformed)),
            ("GET * HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET http://a/ HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET foo HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET ?q HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET @evil HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET /a#b HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET /a\\b HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET /\u{e9} HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            ("GET /a\tb HTTP/1.1\r\n\r\n", Scan::Refused(Target)),
            (
                "GET / HTTP/1.1\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\n\r\n",
                Scan::Refused(TooLarge),
            ),
            (&large, Scan::Refused(TooLarge)),
            (&long_uri, Scan::Refused(UriTooLong)),
            (&long_start, Scan::Refused(UriTooLong)),
        ];
        for (head, want) in cases {
            assert_eq!(scan(head.as_bytes(), &limits()), *want, "{head:?}");
        }
    }

    #[test]
    fn host_and_length_are_said_once_and_in_one_way() {
        use HeadProblem::{Framing, Host};
        let cases: &[(&str, Scan)] = &[
            ("GET / HTTP/1.1\r\n\r\n", Scan::Refused(Host)),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n",
                Scan::Refused(Host),
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
                Scan::Refused(Framing),
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n",
                Scan::Refused(Framing),
            ),
            (
                "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                Scan::Refused(Framing),
            ),
        ];
        for (head, want) in cases {
            assert_eq!(scan(head.as_bytes(), &limits()), *want, "{head:?}");
        }
    }
}
