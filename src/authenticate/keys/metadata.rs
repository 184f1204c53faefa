//! [`jwks_uri`]: where an issuer says that its keys are (OpenID Connect Discovery 1.0, section 3; RFC
//! 8414, section 2).

use http::Uri;
use serde_json::Value;

use crate::json;

/// Why metadata is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetadataError {
    #[error("the metadata is not a JSON object with each member once ({0})")]
    NotJson(String),
    #[error("the metadata has no text `issuer`")]
    NoIssuer,
    /// Believing it would let one issuer speak for another (RFC 8414, section 3.3).
    #[error("the metadata is that of the issuer {0:?}, and another was asked for")]
    OfAnother(Box<str>),
    #[error("the metadata has no text `jwks_uri`")]
    NoKeys,
    #[error("the `jwks_uri` {0:?} is not https with a host, or has a user or a fragment in it")]
    NotHttps(Box<str>),
}

/// A real one has some 10 KiB.
pub(super) const METADATA_BYTES_MAX: usize = 256 * 1024;
/// How much of a foreign text is shown.
const SHOWN_CHARS_MAX: usize = 128;
/// Longer than any that is meant.
const URL_BYTES_MAX: usize = 2_048;

/// The URL of the keys of `issuer`, by its metadata. It may be on another host: the metadata came
/// over TLS from who the operator named.
///
/// # Errors
///
/// [`MetadataError`].
pub(super) fn jwks_uri(metadata: &[u8], issuer: &str) -> Result<Uri, MetadataError> {
    let metadata =
        json::object(metadata).map_err(|error| MetadataError::NotJson(error.to_string()))?;
    let text = |name| metadata.get(name).and_then(Value::as_str);
    let own = text("issuer").ok_or(MetadataError::NoIssuer)?;
    // Byte by byte: RFC 8414, section 3.3; a slash at the end makes another issuer.
    if own != issuer {
        return Err(MetadataError::OfAnother(cut(own)));
    }
    let url = text("jwks_uri").ok_or(MetadataError::NoKeys)?;
    https(url).ok_or_else(|| {
        let shown = if url.contains('@') {
            "(with a user)"
        } else {
            url
        };
        MetadataError::NotHttps(cut(shown))
    })
}

/// An absolute URL with the scheme https and a host, and without user information and fragment.
fn https(text: &str) -> Option<Uri> {
    if text.len() > URL_BYTES_MAX || text.contains('#') {
        return None;
    }
    let url: Uri = text.parse().ok()?;
    let authority = url.authority()?;
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    (plain && url.scheme_str() == Some("https")).then_some(url)
}

fn cut(text: &str) -> Box<str> {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://id.example.com/realms/shop";

    #[test]
    fn only_the_issuer_that_was_asked_for_is_believed_byte_by_byte() {
        let of = |issuer: Value| {
            let metadata = json!({"issuer": issuer, "jwks_uri": "https://id.example.com/jwks"});
            jwks_uri(metadata.to_string().as_bytes(), ISSUER)
        };
        assert_eq!(
            of(json!(ISSUER)),
            Ok(Uri::from_static("https://id.example.com/jwks"))
        );
        let others = [
            "https://id.example.com/realms/shop/",
            "https://ID.example.com/realms/shop",
            "https://id.example.com:443/realms/shop",
            "https://id.example.com/realms/Shop",
            "https://id.example.com/realms/%73hop",
            "http://id.example.com/realms/shop",
            "https://evil.example/realms/shop",
            " https://id.example.com/realms/shop",
            "",
        ];
        for other in others {
            let want = MetadataError::OfAnother(other.into());
            assert_eq!(of(json!(other)), Err(want), "{other}");
        }
        for other in [json!(null), json!([ISSUER]), json!({}), json!(1)] {
            assert_eq!(of(other), Err(MetadataError::NoIssuer));
        }
    }

    #[test]
    fn keys_are_asked_for_over_https_alone() {
        let of = |url: Value| {
            let metadata = json!({"issuer": ISSUER, "jwks_uri": url}).to_string();
            jwks_uri(metadata.as_bytes(), ISSUER)
        };
        let elsewhere = "https://keys.example.net:8443/a?b=c";
        assert_eq!(of(json!(elsewhere)).unwrap().to_string(), elsewhere);
        let long = format!("https://id.example.com/{}", "a".repeat(3_000));
        let refused = [
            "http://id.example.com/jwks",
            "HTTP://id.example.com/jwks",
            "//id.example.com/jwks",
            "/jwks",
            "jwks",
            "id.example.com",
            "https://",
            "https:///jwks",
            "https://:443/jwks",
            "https://user:secret@id.example.com/jwks",
            "https://id.example.com@evil.example/jwks",
            "https://id.example.com/jwks#keys",
            "file:///etc/passwd",
            "data:application/json,{}",
            "https://id.example.com/a b",
            "https://id.example.com/\r\nx: y",
            "",
            &long,
        ];
        for url in refused {
            let error = of(json!(url)).unwrap_err();
            assert!(matches!(error, MetadataError::NotHttps(_)), "{url} {error}");
            assert!(error.to_string().len() < 512);
        }
        assert_eq!(of(json!(7)), Err(MetadataError::NoKeys));
        assert_eq!(of(json!(null)), Err(MetadataError::NoKeys));
    }

    #[test]
    fn metadata_with_two_meanings_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let twice = format!(
            "{{\"issuer\":\"https://evil.example\",\"jwks_uri\":\"https://a/\",\"issuer\":\"{ISSUER}\"}}"
        );
        for text in ["", "<html>", "[]", "{", &deep, &twice] {
            let error = jwks_uri(text.as_bytes(), ISSUER).unwrap_err();
            assert!(matches!(error, MetadataError::NotJson(_)), "{error}");
        }
        assert_eq!(jwks_uri(b"{}", ISSUER), Err(MetadataError::NoIssuer));
    }
}
