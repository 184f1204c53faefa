//! [`HostPattern`] and [`PathPattern`] from their texts, and back.

use std::fmt;
use std::str::FromStr;

use crate::config::spec::{HostPattern, PathPattern, SegmentPattern};
use crate::identity::host::{Host, InvalidHost};
use crate::identity::path::{PATTERN_SEGMENTS_MAX, normal_segment};

/// Why a text is no [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostPattern {
    /// It has a port: routes are found by host alone.
    #[error("a host stands here without its port")]
    Port,
    /// The `*` is anywhere but alone in the first label, or below an address.
    #[error("`*` stands for one whole label, in front of a DNS name: `*.example.com`")]
    Wildcard,
    /// It is no host.
    #[error(transparent)]
    Host(#[from] InvalidHost),
}

/// Why a text is no [`PathPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPathPattern {
    /// It does not begin with `/`.
    #[error("a path begins with `/`")]
    Start,
    /// It has a `?` or `#`.
    #[error("a path has no query and no fragment; routes do not look at them")]
    Query,
    /// `*` is anywhere but in a last segment `**`.
    #[error("`*` stands only in a last segment `/**`; `{{name}}` means any one segment")]
    Wildcard,
    /// A brace is anywhere but around a whole segment, or the name in it is not one.
    #[error("`{{name}}` is a whole segment, and the name is letters, digits and `_`")]
    Brace,
    /// Two segments have one name.
    #[error("two segments have the same `{{name}}`")]
    NameTwice,
    /// No request would match: requests are refused or brought into the normal form first.
    #[error(
        "it is not in the normal form of paths, so no request would match: no empty, `.` or `..` \
         segment, no `\\` and `;`, and `%XX` in upper case only for what cannot stand plainly"
    )]
    NotNormal,
    /// It has more segments than any API has.
    #[error("a path has at most {PATTERN_SEGMENTS_MAX} segments")]
    TooDeep,
    /// It is longer than any request target that listeners take.
    #[error("a path has at most {PATH_BYTES_MAX} bytes")]
    TooLong,
}

/// The most that `uri_bytes` of a listener can be set to.
const PATH_BYTES_MAX: usize = 64 << 10;
const PARAMETER_BYTES_MAX: usize = 64;

impl FromStr for HostPattern {
    type Err = InvalidHostPattern;

    fn from_str(text: &str) -> Result<Self, InvalidHostPattern> {
        if let Some(name) = text.strip_prefix("*.") {
            let host: Host = name.parse().map_err(|_bad| InvalidHostPattern::Wildcard)?;
            return match host.dns_name() {
                Some(_) => Ok(Self::Below(host)),
                None => Err(InvalidHostPattern::Wildcard),
            };
        }
        if text.contains('*') {
            return Err(InvalidHostPattern::Wildcard);
        }
        match text.parse() {
            Ok(host) => Ok(Self::Exact(host)),
            Err(_) if text.contains(':') && !text.contains('/') => Err(InvalidHostPattern::Port),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Below(host) => write!(f, "*.{host}"),
        }
    }
}

impl FromStr for PathPattern {
    type Err = InvalidPathPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPathPattern> {
        if text.len() > PATH_BYTES_MAX {
            return Err(InvalidPathPattern::TooLong);
        }
        let path = text.strip_prefix('/').ok_or(InvalidPathPattern::Start)?;
        if path.contains(['?', '#']) {
            return Err(InvalidPathPattern::Query);
        }
        let (path, rest) = match path {
            "**" => (None, true),
            path => match path.strip_suffix("/**") {
                Some(path) => (Some(path), true),
                None => (Some(path), false),
            },
        };
        let mut segments = Vec::new();
        let mut parts = path.into_iter().flat_map(|path| path.split('/')).peekable();
        while let Some(part) = parts.next() {
            // Only a trailing slash makes an empty segment, and `/**` takes that in.
            let last = parts.peek().is_none() && !rest;
            let segment = segment(part, last)?;
            let twice = matches!(segment, SegmentPattern::Any(_)) && segments.contains(&segment);
            if twice {
                return Err(InvalidPathPattern::NameTwice);
            }
            segments.push(segment);
            if segments.len() > PATTERN_SEGMENTS_MAX {
                return Err(InvalidPathPattern::TooDeep);
            }
        }
        Ok(Self { segments, rest })
    }
}

fn segment(text: &str, may_be_empty: bool) -> Result<SegmentPattern, InvalidPathPattern> {
    if text.contains('*') {
        return Err(InvalidPathPattern::Wildcard);
    }
    if text.contains(['{', '}']) {
        let name = text
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        return match name {
            Some(name)
                if (1..=PARAMETER_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain) =>
            {
                Ok(SegmentPattern::Any(name.into()))
            }
            Some(_) | None => Err(InvalidPathPattern::Brace),
        };
    }
    if text.is_empty() && may_be_empty {
        return Ok(SegmentPattern::Exact(text.into()));
    }
    normal_segment(text)
        .map(SegmentPattern::Exact)
        .ok_or(InvalidPathPattern::NotNormal)
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                SegmentPattern::Exact(text) => write!(f, "/{text}")?,
                SegmentPattern::Any(name) => write!(f, "/{{{name}}}")?,
            }
        }
        if self.rest {
            f.write_str("/**")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_patterns_parse_strictly_and_round_trip() {
        for text in ["api.example.com", "*.example.com", "192.0.2.1", "localhost"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
        let cases = [
            ("*", InvalidHostPattern::Wildcard),
            ("*.", InvalidHostPattern::Wildcard),
            ("*.*.example.com", InvalidHostPattern::Wildcard),
            ("a.*.example.com", InvalidHostPattern::Wildcard),
            ("a*.example.com", InvalidHostPattern::Wildcard),
            ("*.192.0.2.1", InvalidHostPattern::Wildcard),
            ("*.::1", InvalidHostPattern::Wildcard),
            ("api.example.com:8443", InvalidHostPattern::Port),
            ("", InvalidHostPattern::Host(InvalidHost::Empty)),
            ("a/b", InvalidHostPattern::Host(InvalidHost::Malformed)),
            (
                "https://a",
                InvalidHostPattern::Host(InvalidHost::Malformed),
            ),
            ("a,b", InvalidHostPattern::Host(InvalidHost::Malformed)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<HostPattern>(), Err(want), "{text}");
        }
        assert_eq!(
            "API.Example.com.".parse::<HostPattern>(),
            "api.example.com".parse()
        );
    }

    #[test]
    fn path_patterns_parse_strictly_and_round_trip() {
        let good = [
            "/",
            "/orders",
            "/orders/",
            "/orders/{id}",
            "/orders/{id}/items/{item}",
            "/**",
            "/orders/**",
            "/orders/{id}/**",
            "/a:b@c/~x",
            "/caf%C3%A9",
            "/a%20b",
            "/.well-known/x",
            "/a=b,c",
        ];
        for text in good {
            assert_eq!(text.parse::<PathPattern>().unwrap().to_string(), text);
        }
        let cases = [
            ("", InvalidPathPattern::Start),
            ("orders", InvalidPathPattern::Start),
            ("**", InvalidPathPattern::Start),
            ("https://a/b", InvalidPathPattern::Start),
            ("/a?b", InvalidPathPattern::Query),
            ("/a#b", InvalidPathPattern::Query),
            ("/*", InvalidPathPattern::Wildcard),
            ("/**/a", InvalidPathPattern::Wildcard),
            ("/a**", InvalidPathPattern::Wildcard),
            ("/a/*/b", InvalidPathPattern::Wildcard),
            ("/**/**", InvalidPathPattern::Wildcard),
            ("/***", InvalidPathPattern::Wildcard),
            ("/{}", InvalidPathPattern::Brace),
            ("/{id", InvalidPathPattern::Brace),
            ("/x{id}", InvalidPathPattern::Brace),
            ("/{id}x", InvalidPathPattern::Brace),
            ("/{a}{b}", InvalidPathPattern::Brace),
            ("/{a-b}", InvalidPathPattern::Brace),
            ("/{id}/{id}", InvalidPathPattern::NameTwice),
            ("//", InvalidPathPattern::NotNormal),
            ("//**", InvalidPathPattern::NotNormal),
            ("/a//b", InvalidPathPattern::NotNormal),
            ("/a//**", InvalidPathPattern::NotNormal),
            ("/a/../b", InvalidPathPattern::NotNormal),
            ("/a/.", InvalidPathPattern::NotNormal),
            ("/...", InvalidPathPattern::NotNormal),
            ("/a/%2e%2e", InvalidPathPattern::NotNormal),
            ("/a%2Fb", InvalidPathPattern::NotNormal),
            ("/a%5Cb", InvalidPathPattern::NotNormal),
            ("/a%00", InvalidPathPattern::NotNormal),
            ("/a%252E", InvalidPathPattern::NotNormal),
            ("/a%c3%a9", InvalidPathPattern::NotNormal),
            ("/%41", InvalidPathPattern::NotNormal),
            ("/a%", InvalidPathPattern::NotNormal),
            ("/a%2", InvalidPathPattern::NotNormal),
            ("/a;b", InvalidPathPattern::NotNormal),
            ("/a\\b", InvalidPathPattern::NotNormal),
            ("/a b", InvalidPathPattern::NotNormal),
            ("/café", InvalidPathPattern::NotNormal),
            ("/a\0", InvalidPathPattern::NotNormal),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<PathPattern>(), Err(want), "{text}");
        }
        let deep = "/a".repeat(PATTERN_SEGMENTS_MAX + 1);
        assert_eq!(
            deep.parse::<PathPattern>(),
            Err(InvalidPathPattern::TooDeep)
        );
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        assert_eq!(
            long.parse::<PathPattern>(),
            Err(InvalidPathPattern::TooLong)
        );
    }
}
