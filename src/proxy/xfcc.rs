//! [`xfcc`]: `X-Forwarded-Client-Cert`, as Envoy writes it with `sanitize_set` and its details
//! `subject`, `uri` and `dns`.
//!
//! Names in certificates are chosen by whoever asked for the certificate. They are written so that
//! nothing in a value can be read as its end, by a reader that minds quotes or by one that does
//! not: `"` and `\` stand in no URI, `\` in a subject only before two digits, `;` nowhere but
//! between values, and `,` in the subject alone, where a type of ours follows it.

use crate::identity::certificate::PeerIdentity;
use crate::identity::certificate_names::{subject, uris};

/// Names of one kind that are told; those behind are left out.
const NAMES_MAX: usize = 16;

/// A longer subject is told as an empty one: half of it would be somebody else.
const SUBJECT_BYTES_MAX: usize = 1024;

/// The value for a client with this certificate, on a connection where we showed `ours` (both DER).
pub(super) fn xfcc(ours: Option<&[u8]>, leaf: &[u8], identity: &PeerIdentity) -> String {
    let mut value = String::new();
    if let Some(by) = ours.and_then(|ours| uris(ours).into_iter().next()) {
        value.push_str("By=");
        push_uri(&mut value, &by);
        value.push(';');
    }
    let subject = subject(leaf).filter(|subject| subject.len() <= SUBJECT_BYTES_MAX);
    let subject = subject.unwrap_or_default();
    value.push_str(&format!(
        "Hash={};Subject=\"{subject}\"",
        identity.fingerprint
    ));
    match &identity.spiffe {
        Some(id) => {
            value.push_str(";URI=");
            push_uri(&mut value, id.as_str());
        }
        None => {
            // A name that is nearly a SPIFFE ID was not accepted as one: it is nobody's.
            let plain = uris(leaf).into_iter().filter(|uri| !begins_as_spiffe(uri));
            for uri in plain.take(NAMES_MAX) {
                value.push_str(";URI=");
                push_uri(&mut value, &uri);
            }
        }
    }
    for name in identity.dns.iter().take(NAMES_MAX) {
        value.push_str(&format!(";DNS={name}"));
    }
    value
}

fn begins_as_spiffe(uri: &str) -> bool {
    let scheme = uri.trim_start().get(..7);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}

/// A URI; what may not stand in one (RFC 3986, section 2), and `,` and `;`, percent-encoded; in
/// quotes where Envoy wants them.
fn push_uri(value: &mut String, uri: &str) {
    let quoted = uri.contains('=');
    if quoted {
        value.push('"');
    }
    for byte in uri.bytes() {
        let encoded = !byte.is_ascii_graphic() || matches!(byte, b'"' | b'\\' | b',' | b';');
        if encoded {
            value.push_str(&format!("%{byte:02X}"));
        } else {
            value.push(char::from(byte));
        }
    }
    if quoted {
        value.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_uri_ends_its_value() {
        for (uri, want) in [
            ("https://a.example/b", "https://a.example/b"),
            ("https://a.example/?b=c,d", "\"https://a.example/?b=c%2Cd\""),
            ("https://a/;URI=x", "\"https://a/%3BURI=x\""),
            ("https://a/\",By=x\\", "\"https://a/%22%2CBy=x%5C\""),
            ("a b\0\r\n\u{e9}", "a%20b%00%0D%0A%C3%A9"),
        ] {
            let mut value = String::new();
            push_uri(&mut value, uri);
            assert_eq!(value, want);
        }
    }
}
