//! Header fields that mean something to the gateway itself, whatever a service makes of them: what it
//! alone may say, what decides about a request, and what belongs to one connection.
//!
//! Names are compared as services read them, [`folded`]: `X_Client.Identity` is `X-Client-Identity`.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

/// Fields that only the gateway may set, in their folded spelling. A client's are dropped, also
/// where we have nothing to put there.
const OURS: [&str; 15] = [
    "forwarded",
    "client-cert",
    "client-cert-chain",
    "x-client-identity",
    "x-client-certificate-expired",
    IDENTITY_TOKEN,
    "x-token-issuer",
    "x-token-subject",
    "x-real-ip",
    "x-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-envoy-external-address",
    "true-client-ip",
    "x-cluster-client-ip",
];

/// What we say of the client in a signed token.
pub const IDENTITY_TOKEN: &str = "x-client-identity-token";

/// `X-Forwarded-For`, `-Proto`, `-Host`, `-Client-Cert` and whatever else somebody reads.
const OUR_PREFIX: &str = "x-forwarded-";

/// Fields that decide who asks, what for, or where the message ends. `Connection` may not name
/// them, and a spelling that folds to one of them is refused.
const PROTECTED: [&str; 14] = [
    "host",
    "authorization",
    "proxy-authorization",
    "cookie",
    "content-length",
    "content-type",
    "transfer-encoding",
    "date",
    "expect",
    "x-request-id",
    "traceparent",
    "tracestate",
    "dpop",
    "connection",
];

/// Fields of one hop (RFC 9110, section 7.6.1) in answers. `Transfer-Encoding` is pingora's work;
/// `Upgrade` and `Connection` stay on a 101, which has been asked for.
pub const HOP_BY_HOP: [&str; 6] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
];

/// A field's name as a service might read it: lower case, and `_` and `.` as `-`.
#[must_use]
pub fn folded(name: &str) -> Cow<'_, str> {
    if name
        .bytes()
        .any(|b| b.is_ascii_uppercase() || b == b'_' || b == b'.')
    {
        Cow::Owned(name.to_ascii_lowercase().replace(['_', '.'], "-"))
    } else {
        Cow::Borrowed(name)
    }
}

/// Whether a field is there that a service may take for `name`, and that is not `name`.
#[must_use]
pub fn has_twin(headers: &HeaderMap, name: &HeaderName) -> bool {
    let is_twin = |other: &HeaderName| {
        let (name, other) = (name.as_str(), other.as_str());
        name.len() == other.len() && name != other && folded(name) == folded(other)
    };
    headers.keys().any(is_twin)
}

/// Whether only the gateway may set this field (folded spelling).
#[must_use]
pub fn is_ours(folded: &str) -> bool {
    folded.starts_with(OUR_PREFIX) || OURS.contains(&folded)
}

/// Whether the field belongs to one connection (folded spelling).
#[must_use]
pub fn is_of_one_hop(folded: &str) -> bool {
    HOP_BY_HOP.contains(&folded) || matches!(folded, "connection" | "transfer-encoding" | "upgrade")
}

/// Whether services take the field (folded spelling) for the method of the request: a route that
/// lets GET through would let DELETE through with it. Refused, not removed: who sends it means it.
#[must_use]
pub fn overrides_method(folded: &str) -> bool {
    matches!(
        folded,
        "x-http-method-override" | "x-http-method" | "x-method-override"
    )
}

/// Whether the field has a meaning that no other field may take away (folded spelling).
#[must_use]
pub fn is_protected(folded: &str) -> bool {
    PROTECTED.contains(&folded)
}

/// Whether an authorization service may set the field in a request, where the configuration names it.
#[must_use]
pub fn is_for_others(name: &HeaderName) -> bool {
    let folded = folded(name.as_str());
    // These two say who the client is: the configuration names them, or they stay.
    let credential = matches!(&*folded, "authorization" | "cookie");
    let ours = is_ours(&folded) || is_protected(&folded) || overrides_method(&folded);
    credential || !(ours || is_of_one_hop(&folded))
}

/// Whether the gateway reads, writes or logs the field (folded spelling) for a reason of its own: a
/// secret that stands there would be told, taken away or refused.
#[must_use]
pub fn is_spoken_for(folded: &str) -> bool {
    is_ours(folded)
        || is_protected(folded)
        || is_of_one_hop(folded)
        || overrides_method(folded)
        || READ.contains(&folded)
        || folded.starts_with(OF_BROWSERS)
}

/// Fields that say something of a request to the gateway, or by which it answers.
const READ: [&str; 7] = [
    "accept",
    "origin",
    "ratelimit",
    "ratelimit-policy",
    "referer",
    "set-cookie",
    "x-requested-with",
];

/// `Sec-Fetch-Mode`, `Sec-WebSocket-Protocol` and whatever else browsers say of themselves.
const OF_BROWSERS: &str = "sec-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_our_fields_is_ours() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded_Client.Cert",
            "FORWARDED",
            "Client_Cert",
            "X-Client-Identity",
            "x.token.subject",
            "X_Client_Identity_Token",
        ] {
            assert!(is_ours(&folded(name)), "{name}");
        }
        for name in [
            "x-forward",
            "client-certificate-note",
            "x-orders-id",
            "accept",
        ] {
            assert!(!is_ours(&folded(name)), "{name}");
        }
    }

    #[test]
    fn what_a_service_may_take_for_a_field_is_its_twin() {
        let cases = [
            ("x-plan", "x-plan", false),
            ("x-plan", "x_plan", true),
            ("x-plan", "x.plan", true),
            ("x_plan", "x-plan", true),
            ("x-my-plan", "x-my_plan", true),
            ("x-plan", "xplan", false),
            ("x-plan", "x-plan2", false),
        ];
        for (name, other, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(other), "1".parse().unwrap());
            let name = HeaderName::from_static(name);
            assert_eq!(has_twin(&headers, &name), want, "{name} {other}");
        }
    }
}
