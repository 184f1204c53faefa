//! [`NormalPath`]: the one normal form of a request path, which is matched, authorised, logged and
//! forwarded.
//!
//! Two parties that read one path in two ways are how rules are walked around. So a path is
//! accepted only if everybody reads it alike: what RFC 3986 calls equivalent is written in one way
//! (section 6.2.2), and a spelling that servers are known to disagree about is refused instead of
//! repaired: dot segments, empty segments, encoded slashes, backslashes, percent signs encoded
//! twice, parameters (`;`), control characters, bytes that are no UTF-8.
//!
//! Upper and lower case stay different, and so do Unicode's composed and decomposed letters.

use std::borrow::Cow;
use std::fmt;

/// The path of a request in normal form: it begins with `/`, percent-encodes exactly what must be
/// encoded (in upper case), and has no segment that is empty (but the last) or made of dots.
///
/// A trailing slash is part of the path: `/a` and `/a/` are different paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NormalPath(Box<str>);

/// Why a request target has no normal form. What a client is told does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AmbiguousPath {
    /// The target is not in origin-form (RFC 9112, section 3.2.1), or it has a fragment.
    #[error("the target is not a path that begins with one slash")]
    Target,
    /// A byte that paths do not have (RFC 3986, section 3.3), or `;`, which servers cut paths at.
    #[error("the path has a character that paths cannot have")]
    Character,
    /// A `%` without two hexadecimal digits, or an encoding of a character that must not be
    /// encoded: slash, backslash, percent sign, semicolon, control characters.
    #[error("the path has a percent-encoding that it cannot have")]
    Encoding,
    /// The encoded bytes are not UTF-8, or spell a control character.
    #[error("the encoded characters of the path are not UTF-8")]
    Utf8,
    /// A segment is `.` or `..` in any spelling, or looks like one to somebody.
    #[error("the path has a segment of dots")]
    Dots,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
}

/// How many segments a pattern of a route may have: more than any API has, and it bounds how deep
/// the search for a route goes.
pub const PATTERN_SEGMENTS_MAX: usize = 32;

impl NormalPath {
    /// Reads the bytes of a path, without the query.
    ///
    /// Characters that need no encoding are decoded (`%41` is `A`), triplets are written in upper
    /// case, and everything else stays as it is. Parsing a normal path gives the same path. The
    /// caller bounds the length.
    ///
    /// # Errors
    ///
    /// [`AmbiguousPath`] if somebody could read the path in another way than we do.
    pub fn parse(raw: &[u8]) -> Result<Self, AmbiguousPath> {
        let Some((b'/', mut rest)) = raw.split_first() else {
            return Err(AmbiguousPath::Target);
        };
        let mut normal = String::with_capacity(raw.len());
        normal.push('/');
        // The bytes that triplets outside ASCII stand for; `/` stands for what is between them.
        let mut encoded = Vec::new();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte == b'%' {
                let [high, low, after @ ..] = rest else {
                    return Err(AmbiguousPath::Encoding);
                };
                rest = after;
                let decoded = decode(*high, *low).ok_or(AmbiguousPath::Encoding)?;
                push_decoded(decoded, &mut normal, &mut encoded)?;
            } else if byte == b'/' || is_literal(byte) {
                normal.push(char::from(byte));
                separate(&mut encoded);
            } else {
                return Err(AmbiguousPath::Character);
            }
        }
        check_utf8(&encoded)?;
        let path = Self(normal.into_boxed_str());
        path.check_segments()?;
        Ok(path)
    }

    /// The path, in ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its first slash: its segments with slashes between them.
    #[must_use]
    pub fn below_root(&self) -> &str {
        self.0.strip_prefix('/').unwrap_or_default()
    }

    /// The path as routes compare it, segment by segment ([`comparable`]). Whoever decides by a path
    /// looks at this one: a rule about `/a:b` must not be walked around by `/a%3Ab`, which the route
    /// and most services take for the same.
    #[must_use]
    pub fn comparable(&self) -> Cow<'_, str> {
        comparable(&self.0) // no triplet of a normal path stands for a slash
    }

    /// The texts between the slashes: one empty segment for `/`, an empty last one for a trailing
    /// slash.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.below_root().split('/')
    }

    fn check_segments(&self) -> Result<(), AmbiguousPath> {
        let mut segments = self.segments().peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() && segments.peek().is_some() {
                return Err(AmbiguousPath::EmptySegment);
            }
            if looks_like_dots(segment) {
                return Err(AmbiguousPath::Dots);
            }
        }
        Ok(())
    }
}

impl fmt::Display for NormalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cuts a request target in origin-form (RFC 9112, section 3.2.1) into the bytes of its path and,
/// behind the first `?`, of its query. Neither is judged; [`NormalPath::parse`] and
/// [`query_is_plain`] do that.
///
/// # Errors
///
/// [`AmbiguousPath::Target`] if it is in another form (`http://host/`, `*`, `host:443`, nothing),
/// begins with two slashes, which is a host to some (RFC 3986, section 4.2), or has a `#`.
pub fn split_target(target: &[u8]) -> Result<(&[u8], Option<&[u8]>), AmbiguousPath> {
    if !target.starts_with(b"/") || target.starts_with(b"//") || target.contains(&b'#') {
        return Err(AmbiguousPath::Target);
    }
    let mut parts = target.splitn(2, |&byte| byte == b'?');
    let path = parts.next().unwrap_or_default();
    Ok((path, parts.next()))
}

/// Whether a query can be forwarded as it is: visible ASCII without `#`. What it means is the
/// service's business.
#[must_use]
pub fn query_is_plain(query: &[u8]) -> bool {
    query
        .iter()
        .all(|&byte| byte.is_ascii_graphic() && byte != b'#')
}

/// The text as a literal segment of a route's path, if that is what it is: one segment, not empty,
/// and already in normal form. A segment that is written in another way would never match.
#[must_use]
pub fn normal_segment(text: &str) -> Option<Box<str>> {
    let one = !text.is_empty() && !text.contains('/');
    let path = NormalPath::parse(format!("/{text}").as_bytes()).ok()?;
    (one && path.below_root() == text).then(|| text.into())
}

/// The form in which segments are compared with those of routes.
///
/// RFC 3986 keeps `%40` and `@` apart (section 2.2), and so does the normal form: the difference
/// may mean something to the service. But most services read both alike. Were they different to
/// the routes, `/a%40b` would walk around the rules for `/a@b`.
#[must_use]
pub fn comparable(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut text = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let (triplet, tail) = after.split_at_checked(2).unwrap_or((after, ""));
        match triplet.as_bytes() {
            [high, low] if let Some(byte) = decode(*high, *low).filter(|&b| is_literal(b)) => {
                text.push(char::from(byte));
            }
            _ => {
                text.push('%');
                text.push_str(triplet);
            }
        }
        rest = tail;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// What a triplet becomes.
fn push_decoded(
    decoded: u8,
    normal: &mut String,
    encoded: &mut Vec<u8>,
) -> Result<(), AmbiguousPath> {
    match decoded {
        b'/' | b'\\' | b'%' | b';' | 0..=0x1f | 0x7f => return Err(AmbiguousPath::Encoding),
        _ if is_unreserved(decoded) => {
            normal.push(char::from(decoded));
            separate(encoded);
        }
        _ => {
            normal.push('%');
            normal.push(upper_hex(decoded >> 4));
            normal.push(upper_hex(decoded & 0xf));
            if decoded.is_ascii() {
                separate(encoded);
            } else {
                encoded.push(decoded);
            }
        }
    }
    Ok(())
}

/// Ends a character that has begun: the next byte stands behind something else.
fn separate(encoded: &mut Vec<u8>) {
    if encoded.last().is_some_and(|byte| !byte.is_ascii()) {
        encoded.push(b'/');
    }
}

fn check_utf8(encoded: &[u8]) -> Result<(), AmbiguousPath> {
    let text = str::from_utf8(encoded).map_err(|_not_utf8| AmbiguousPath::Utf8)?;
    if text.chars().any(char::is_control) {
        return Err(AmbiguousPath::Utf8);
    }
    Ok(())
}

/// `.` and `..`; more dots, which climb on some systems; and dots before something encoded (`..%20`,
/// `..%3F`), which vanishes on others.
fn looks_like_dots(segment: &str) -> bool {
    let rest = segment.trim_start_matches('.');
    let dots = segment.len() - rest.len();
    dots > 0 && (rest.is_empty() || rest.starts_with('%'))
}

/// RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands in a segment as it is: `pchar` of RFC 3986, section 3.3, without `%` and `;`.
const fn is_literal(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

fn decode(high: u8, low: u8) -> Option<u8> {
    Some(nibble(high)? << 4 | nibble(low)?)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn upper_hex(nibble: u8) -> char {
    match nibble {
        0..=9 => (b'0' + nibble) as char,
        _ => (b'A' + nibble - 10) as char,
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
