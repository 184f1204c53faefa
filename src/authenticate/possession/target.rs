//! What a proof must be for: the URL of the request, as the gateway itself reads it (`htu` of RFC
//! 9449, section 4.2), compared in normal form (section 4.3; RFC 3986, sections 6.2.2 and 6.2.3).
//!
//! The gateway's side is never a text from the wire: it is the canonical authority and the
//! [`NormalPath`] that the route was found by.

use crate::identity::host::Authority;
use crate::identity::path::NormalPath;

/// The port of `https`, which a URL need not name (RFC 9110, section 4.2.2).
const HTTPS_PORT: u16 = 443;
/// Longer targets are asked by nobody: as much as a listener takes of a request target by default.
const HTU_BYTES_MAX: usize = 8 * 1024;

/// Whether `htu` is the URL of a request to `authority` for `path`.
///
/// Query and fragment are not looked at. The scheme is `https`: the gateway speaks nothing else.
pub(super) fn is_for(htu: &str, authority: &Authority, path: &NormalPath) -> bool {
    let Some((its_authority, its_path)) = normal(htu) else {
        return false;
    };
    let port = |of: &Authority| of.port.unwrap_or(HTTPS_PORT);
    its_authority.host == authority.host
        && port(&its_authority) == port(authority)
        && its_path == *path
}

/// The URL of a request to `authority` for `path`, as [`is_for`] wants it.
pub(super) fn of(authority: &Authority, path: &NormalPath) -> String {
    let port = authority.port.filter(|port| *port != HTTPS_PORT);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("https://{}{port}{path}", authority.host)
}

/// Authority and path of an `https` URL. `None` for what is none, and for a path that the gateway
/// lets no request have.
fn normal(htu: &str) -> Option<(Authority, NormalPath)> {
    if htu.len() > HTU_BYTES_MAX {
        return None;
    }
    let (scheme, rest) = htu.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, "/"), // an empty path is `/`: RFC 3986, section 6.2.3
    };
    // An empty port is the scheme's own: section 6.2.3.
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    let authority = Authority::parse(authority).ok()?;
    let path = without_dot_segments(path);
    Some((authority, NormalPath::parse(path.as_bytes()).ok()?))
}

/// RFC 3986, section 5.2.4, for a path that begins with `/`. Encoded dots are dots: they are
/// unreserved (section 6.2.2.2).
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match dots(segment) {
            None => kept.push(segment),
            Some(dots) => {
                if dots == 2 {
                    kept.pop();
                }
                if last {
                    kept.push(""); // `/a/..` and `/a/.` end in a slash
                }
            }
        }
    }
    format!("/{}", kept.join("/"))
}

/// 1 for `.` and 2 for `..`, in whatever spelling.
fn dots(segment: &str) -> Option<usize> {
    if segment.is_empty() || segment.len() > "%2e%2e".len() {
        return None;
    }
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    match plain.as_str() {
        "." => Some(1),
        ".." => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(htu: &str, authority: &str, path: &str) -> bool {
        let authority = Authority::parse(authority).unwrap();
        is_for(
            htu,
            &authority,
            &NormalPath::parse(path.as_bytes()).unwrap(),
        )
    }

    #[test]
    fn spellings_of_one_url_are_the_same() {
        let path = "/orders/7~a";
        let same = [
            "https://api.example.com/orders/7~a",
            "HTTPS://API.Example.COM/orders/7~a",
            "https://api.example.com:443/orders/7~a",
            "https://api.example.com:/orders/7~a",
            "https://api.example.com./orders/7~a",
            "https://api.example.com/orders/7%7ea",
            "https://api.example.com/orders/%37%7Ea",
            "https://api.example.com/orders/7~a?x=1",
            "https://api.example.com/orders/7~a#x",
            "https://api.example.com/orders/7~a?",
            "https://api.example.com/orders/../orders/7~a",
            "https://api.example.com/orders/x/%2E%2e/7~a",
            "https://api.example.com/./orders/%2e/7~a",
            "https://api.example.com/../../orders/7~a",
        ];
        for htu in same {
            assert!(matches(htu, "api.example.com", path), "{htu}");
            assert!(matches(htu, "api.example.com:443", path), "{htu}");
            assert!(!matches(htu, "api.example.com:8443", path), "{htu}");
        }
        assert!(matches("https://api.example.com", "api.example.com", "/"));
        assert!(matches("https://api.example.com?x", "api.example.com", "/"));
        assert!(matches("https://[::1]:8443/", "[0:0::1]:8443", "/"));
        assert!(matches("https://a.example/b/.", "a.example", "/b/"));
        assert!(matches("https://a.example/b/c/..", "a.example", "/b/"));
        assert!(matches(
            "https://a.example/b/%c3%a9",
            "a.example",
            "/b/%C3%A9"
        ));
        assert!(matches(
            "https://bücher.example/",
            "xn--bcher-kva.example",
            "/"
        ));
    }

    #[test]
    fn another_url_is_another_one() {
        let other = [
            "",
            "/orders/7",
            "orders/7",
            "api.example.com/orders/7",
            "//api.example.com/orders/7",
            "https:/api.example.com/orders/7",
            "https:api.example.com/orders/7",
            "http://api.example.com/orders/7",
            "http://api.example.com:443/orders/7",
            "httpss://api.example.com/orders/7",
            " https://api.example.com/orders/7",
            "https://api.example.com/orders/7 ",
            "https://api.example.com:8443/orders/7",
            "https://api.example.com:80/orders/7",
            "https://api.example.com:0443x/orders/7",
            "https://evil.example/orders/7",
            "https://api.example.com@evil.example/orders/7",
            "https://user@api.example.com/orders/7",
            "https://evil.example?@api.example.com/orders/7",
            "https://evil.example#@api.example.com/orders/7",
            "https://evil.example\\@api.example.com/orders/7",
            "https://api.example.com.evil.example/orders/7",
            "https://api.example.com/orders/8",
            "https://api.example.com/orders/7/",
            "https://api.example.com/orders//7",
            "https://api.example.com//orders/7",
            "https://api.example.com/Orders/7",
            "https://api.example.com/orders",
            "https://api.example.com/orders/7/..",
            "https://api.example.com/orders%2f7",
            "https://api.example.com/orders/7;x=1",
            "https://api.example.com/orders/%377",
            "https://api.example.com/orders/7%00",
            "https://api.example.com/orders\\7",
            "https://api.example.com/orders/%2537",
            "https://api.example.com/%2e%2e%2forders/7",
            "https://api.example.com?/orders/7",
        ];
        for htu in other {
            assert!(!matches(htu, "api.example.com", "/orders/7"), "{htu}");
        }
        let long = format!(
            "https://api.example.com/orders/7?{}",
            "x".repeat(HTU_BYTES_MAX)
        );
        assert!(!matches(&long, "api.example.com", "/orders/7"));
    }
}
