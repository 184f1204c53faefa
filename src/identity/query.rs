//! Parameters of a query: the values of one, and the query without it.
//!
//! A name is compared as a service may read it ([`is_read_as`]). Some services part parameters at `;`
//! as well as at `&`: both count.

/// The values of all parameters of this name, as they are written.
pub fn values<'q>(query: &'q str, name: &'q str) -> impl Iterator<Item = &'q str> {
    let pairs = query.split(['&', ';']);
    pairs.filter(move |pair| is_named(pair, name)).map(value)
}

/// The query without the parameters of this name, and all else as it was. `None` if nothing is left.
#[must_use]
pub fn without(query: &str, name: &str) -> Option<String> {
    let mut left = String::with_capacity(query.len());
    let mut before = "";
    let mut rest = query;
    loop {
        let end = rest.find(['&', ';']);
        let (pair, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !is_named(pair, name) {
            left.push_str(before);
            left.push_str(pair);
        }
        let Some((separator, next)) = after.split_at_checked(1) else {
            break;
        };
        before = if left.is_empty() { "" } else { separator };
        rest = next;
    }
    (!left.is_empty()).then_some(left)
}

fn value(pair: &str) -> &str {
    pair.split_once('=').map_or("", |(_, value)| value)
}

fn is_named(pair: &str, name: &str) -> bool {
    let written = pair.split_once('=').map_or(pair, |(name, _)| name);
    is_read_as(written.as_bytes(), name)
}

/// Whether some service may read the name `written`, of a parameter or of a cookie, as `name`.
///
/// It is percent-decoded, with `+` for a space; white space, controls and what is not ASCII count for
/// nothing at its ends; it ends at a zero byte; and case does not count (ASP.NET). To PHP `.`, a space
/// and `[` are `_`, and what stands in brackets is the key of an array.
#[must_use]
pub fn is_read_as(written: &[u8], name: &str) -> bool {
    let decoded: Vec<u8> = Decoded(written).collect();
    let text = decoded.split(|byte| *byte == 0).next().unwrap_or_default();
    let array = text.split(|byte| *byte == b'[').next().unwrap_or_default();
    let is = |text: &[u8]| {
        trimmed(text)
            .iter()
            .map(alike)
            .eq(name.as_bytes().iter().map(alike))
    };
    is(text) || is(array)
}

fn trimmed(text: &[u8]) -> &[u8] {
    let plain = |byte: &u8| byte.is_ascii_graphic();
    let from = text.iter().position(plain).unwrap_or(text.len());
    let to = text.iter().rposition(plain).map_or(from, |last| last + 1);
    text.get(from..to).unwrap_or_default()
}

const fn alike(byte: &u8) -> u8 {
    match *byte {
        b'.' | b' ' | b'[' => b'_',
        other => other.to_ascii_lowercase(),
    }
}

/// Bytes behind their percent-encoding. What is none stands for itself.
struct Decoded<'t>(&'t [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        let hex = |digit: u8| char::from(digit).to_digit(16);
        if let (b'%', [high, low, after @ ..]) = (first, rest)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.0 = after;
            return u8::try_from(high * 16 + low).ok();
        }
        self.0 = rest;
        Some(if first == b'+' { b' ' } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_in_every_spelling_and_taken_out_whole() {
        let cases: [(&str, &[&str], Option<&str>); 15] = [
            ("", &[], None),
            ("a=1&b=2", &[], Some("a=1&b=2")),
            ("t=x", &["x"], None),
            ("t=x&a=1", &["x"], Some("a=1")),
            ("a=1&t=x&b=2", &["x"], Some("a=1&b=2")),
            ("a=1&t=x", &["x"], Some("a=1")),
            ("t=x&t=y", &["x", "y"], None),
            ("a=1;t=x;b=2", &["x"], Some("a=1;b=2")),
            ("%74=x&a", &["x"], Some("a")),
            ("t", &[""], None),
            ("t=x=y", &["x=y"], None),
            ("T=x&tt=y&xt=z", &["x"], Some("tt=y&xt=z")),
            ("a=t=x&&b", &[], Some("a=t=x&&b")),
            ("a&&t=1&&b", &["1"], Some("a&&&b")),
            ("%7=1&%=2&%zz=3", &[], Some("%7=1&%=2&%zz=3")),
        ];
        for (query, found, left) in cases {
            assert_eq!(values(query, "t").collect::<Vec<_>>(), found, "{query}");
            assert_eq!(without(query, "t").as_deref(), left, "{query}");
            if let Some(left) = without(query, "t") {
                assert_eq!(values(&left, "t").count(), 0, "{query}");
            }
        }
        assert_eq!(values("a+b=1&a%20b=2&a b=3", "a b").count(), 3);
    }

    #[test]
    fn a_name_is_read_as_any_service_may_read_it() {
        let same = [
            "access_token",
            "Access_Token",
            "access.token",
            "access%2etoken",
            "access+token",
            "access%20token",
            "access[token",
            "access%5Btoken",
            "access_token[]",
            "access_token[x][y]",
            "access_token%5B%5D",
            "access.token[0]",
            "+access_token",
            "%20access_token",
            "access_token%00",
            "access_token%00x",
            "%09access_token",
            "access_token%C2%A0",
            "access_token\u{a0}",
            "%61ccess_token",
        ];
        for name in same {
            assert!(is_read_as(name.as_bytes(), "access_token"), "{name}");
        }
        let others = [
            "",
            "[]",
            "access",
            "token",
            "access-token",
            "accesstoken",
            "access__token",
            "access_tokens",
            "xaccess_token",
            "x[access_token]",
            "access_token]",
            "access%255Ftoken",
            "access_token.x",
            "%00access_token",
        ];
        for name in others {
            assert!(!is_read_as(name.as_bytes(), "access_token"), "{name}");
        }
        assert!(is_read_as(b"my_token", "my.token"));
    }
}
