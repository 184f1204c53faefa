//! The words of HTTP and of the network: addresses, endpoints, methods, header fields.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderName, HeaderValue, Method};

use crate::config::node::Node;
use crate::config::problem::{nearest, shown};
use crate::config::spec::EndpointSpec;
use crate::identity::fields::{folded, is_spoken_for};
use crate::identity::host::Authority;

/// Whom a header field's name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldUse {
    /// `match.headers`: its value decides about the route.
    Match,
    /// `per: header:NAME`: its value is the key of a counter.
    LimitKey,
    /// `tests[].request.headers`.
    Test,
    /// `external_authorization`: it is told to those who are asked, or set by them.
    Asked,
    /// Its value is a credential.
    Credential,
}

/// The methods that the gateway forwards.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Fields of one hop (RFC 9110, section 7.6.1), and those that say where a body ends.
const OF_ONE_HOP: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields whose values are secrets, which neither this file nor a counter's key may hold.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
];

/// `IP:PORT`.
pub(super) fn address(node: &Node<'_>) -> Option<SocketAddr> {
    let text = node.text("`0.0.0.0:8443`")?;
    let hint = "write IP:PORT, like `0.0.0.0:8443` or `\"[::]:8443\"`";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => node.refuse(
            format!("{} has port 0", shown(text)),
            "write a port from 1 to 65535",
        ),
        Ok(address) => Some(address),
        Err(_) if text.parse::<IpAddr>().is_ok() => {
            node.refuse(format!("{} has no port", shown(text)), hint)
        }
        Err(_) => node.refuse(format!("{} is no address", shown(text)), hint),
    }
}

/// `HOST:PORT`.
pub(super) fn endpoint(node: &Node<'_>) -> Option<EndpointSpec> {
    let text = node.text("`orders.internal:9443`")?;
    let hint = "write HOST:PORT, like `orders.internal:9443`, `10.0.0.7:9443` or `\"[::1]:9443\"`";
    match Authority::parse(text) {
        Ok(Authority {
            host,
            port: Some(port),
        }) => Some(EndpointSpec { host, port }),
        Ok(Authority { port: None, .. }) => {
            node.refuse(format!("{} has no port", shown(text)), hint)
        }
        Err(_) if text.contains("://") => node.refuse(
            format!("{} is a URL, and an endpoint is wanted", shown(text)),
            hint,
        ),
        Err(error) => node.refuse(format!("{} is no endpoint: {error}", shown(text)), hint),
    }
}

/// A method that the gateway forwards.
pub(super) fn method(node: &Node<'_>) -> Option<Method> {
    let text = node.text("`GET`")?;
    if let Some(method) = METHODS.iter().find(|method| method.as_str() == text) {
        return Some(method.clone());
    }
    let names = METHODS.iter().map(Method::as_str);
    let all = names.clone().collect::<Vec<_>>().join(", ");
    let hint = match nearest(text, names) {
        Some(near) => format!("did you mean {near:?}? Methods are {all}"),
        None => format!("methods are {all}"),
    };
    let what = if text == "TRACE" || text == "CONNECT" {
        format!("{text} is forwarded for nobody")
    } else {
        format!("{} is no method that the gateway forwards", shown(text))
    };
    node.refuse(what, hint)
}

/// The name of a header field: the text of `node`, or the key that it stands behind.
pub(super) fn field_name(node: &Node<'_>, text: &str, usage: FieldUse) -> Option<HeaderName> {
    let refuse = |what: String, hint: &str| match usage {
        FieldUse::LimitKey | FieldUse::Asked | FieldUse::Credential => node.refuse(what, hint),
        FieldUse::Match | FieldUse::Test => node.refuse_key(what, hint),
    };
    let Ok(name) = text.parse::<HeaderName>() else {
        let what = format!("{} is no name of a header field", shown(text));
        return refuse(what, "a name is letters, digits and `-`, like `x-tenant`");
    };
    if OF_ONE_HOP.contains(&name.as_str()) {
        let what = format!("`{name}` belongs to one connection, not to the request");
        return refuse(what, "name another field");
    }
    let own_key = match usage {
        FieldUse::Match => Some("write the host as `match.host`"),
        FieldUse::Test => Some("write the host in `url`"),
        FieldUse::Asked => Some("the host is told anyway, and nobody changes it"),
        FieldUse::Credential => Some("name the field that the credential stands in"),
        FieldUse::LimitKey => None,
    };
    if let Some(hint) = own_key.filter(|_| name == http::header::HOST) {
        return refuse("the host is not written as a header field".to_owned(), hint);
    }
    // Those two have a form of their own, which is said where they are read.
    let formed = matches!(name.as_str(), "authorization" | "cookie");
    if usage == FieldUse::Credential && !formed && is_spoken_for(&folded(name.as_str())) {
        let what = format!(
            "`{name}` means something to the gateway itself: what stands there is logged, told, taken away or refused"
        );
        return refuse(what, "name a field of its own, like `x-token`");
    }
    if CREDENTIALS.contains(&name.as_str()) && usage != FieldUse::Asked {
        let hint = match usage {
            FieldUse::Credential => return Some(name),
            FieldUse::Match => "no secret stands in this file: ask for a token with `token`",
            FieldUse::LimitKey => {
                "count by the token's subject with `per: subject`, or `per: client`"
            }
            FieldUse::Test | FieldUse::Asked => {
                "no secret stands in this file: write the token's content as `claims`"
            }
        };
        return refuse(format!("`{name}` carries a secret"), hint);
    }
    Some(name)
}

/// Header fields with the values that they must have.
pub(super) fn fields(node: &Node<'_>, usage: FieldUse) -> Option<Vec<(HeaderName, String)>> {
    let entries = node.entries("`x-tenant: acme`")?;
    let mut fields: Vec<(HeaderName, String)> = Vec::new();
    let mut complete = true;
    for (name, value) in entries {
        let read = (field_name(&value, name, usage), field_value(&value));
        let (Some(name), Some(text)) = read else {
            complete = false;
            continue;
        };
        if fields.iter().any(|(other, _)| *other == name) {
            let what = format!("`{name}` stands twice: case does not count in header fields");
            complete = value.refuse_key(what, "keep one of them").unwrap_or(false);
        }
        fields.push((name, text));
    }
    complete.then_some(fields)
}

fn field_value(node: &Node<'_>) -> Option<String> {
    let text = node.text("`acme`; a number in quotes")?;
    let plain = HeaderValue::from_str(text).is_ok_and(|value| value.to_str().is_ok());
    if plain && text.trim() == text {
        return Some(text.to_owned());
    }
    node.refuse(
        format!("{} cannot be the value of a header field", shown(text)),
        "write visible ASCII, without spaces at its ends",
    )
}

/// Whether two listeners cannot both listen: the same port, and an address in common.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` takes IPv4 as well, unless the system is told otherwise.
    let takes_all =
        |wide: IpAddr, other: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
    let (left, right) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() == b.port() && (left == right || takes_all(left, right) || takes_all(right, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_as_the_kernel_sees_it() {
        let cases = [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
        ];
        for (a, b, want) in cases {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!((overlap(a, b), overlap(b, a)), (want, want), "{a} {b}");
        }
    }
}
