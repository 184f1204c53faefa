//! What browsers and servers say in queries and forms, each name once; and addresses with a query.

use form_urlencoded::{Serializer, parse};
use http::Uri;

/// More than any server sends.
const PAIRS_MAX: usize = 32;

/// The values of these names. `None` if one of them stands there twice, or there are too many.
pub(super) fn values<const N: usize>(text: &str, names: [&str; N]) -> Option<[Option<String>; N]> {
    let mut found: [Option<String>; N] = [const { None }; N];
    let mut pairs = 0;
    for (name, value) in parse(text.as_bytes()) {
        pairs += 1;
        let place = names.iter().position(|own| *own == name);
        let Some(slot) = place.and_then(|place| found.get_mut(place)) else {
            continue;
        };
        if slot.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    (pairs <= PAIRS_MAX).then_some(found)
}

/// An address with more in its query.
pub(super) fn with_query(address: &Uri, pairs: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(name, value);
    }
    let sign = if address.query().is_some() { '&' } else { '?' };
    format!("{address}{sign}{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_there_once() {
        let read = |text: &str| values(text, ["code", "state"]);
        let both = Some([Some("a b".to_owned()), Some("c".to_owned())]);
        assert_eq!(read("code=a+b&x=1&x=2&state=c"), both);
        assert_eq!(read("c%6Fde=a%20b&state=c"), both);
        assert_eq!(read("state="), Some([None, Some(String::new())]));
        assert_eq!(read("code=a&code=a"), None);
        assert_eq!(read("code=a&c%6fde=b"), None);
        assert_eq!(read(&"x&".repeat(PAIRS_MAX + 1)), None);
    }

    #[test]
    fn a_query_that_is_there_stays() {
        let of = |text: &str| with_query(&text.parse().unwrap(), &[("a", "b c&"), ("d", "é")]);
        assert_eq!(
            of("https://x.example/auth"),
            "https://x.example/auth?a=b+c%26&d=%C3%A9"
        );
        assert_eq!(
            of("https://x.example/auth?p=1"),
            "https://x.example/auth?p=1&a=b+c%26&d=%C3%A9"
        );
    }
}
