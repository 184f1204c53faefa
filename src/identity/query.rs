//! Parameters of a query: the values of one, and the query without it.
//!
//! A name is compared as a service would read it: percent-decoded, and with `+` for a space. Some
//! services part parameters at `;` as well as at `&`: both count.

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
    let mut decoded = Decoded(written.as_bytes());
    let mut wanted = name.bytes();
    loop {
        match (decoded.next(), wanted.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b => {}
            (Some(_) | None, _) => return false,
        }
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
            ("T=x&tt=y&xt=z", &[], Some("T=x&tt=y&xt=z")),
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
}
