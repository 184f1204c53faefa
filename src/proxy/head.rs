//! [`RequestHead`]: what a request asks for, in the one form in which it is decided about.
//!
//! Everything that two parties could read in two ways is refused here, for HTTP/1.1 and h2 alike.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Version};
use pingora::http::RequestHeader;

use crate::config::spec::ListenerLimits;
use crate::identity::field::{folded, is_ours, is_protected, overrides_method};
use crate::identity::host::Authority;
use crate::identity::path::{NormalPath, query_is_plain, split_target};
use crate::refusal::Refusal;

/// A request's head, made normal.
#[derive(Debug)]
pub struct RequestHead<'r> {
    /// The method: one that we forward.
    pub method: &'r Method,
    /// The host, canonical, and the port if one was named.
    pub authority: Authority,
    /// The path in normal form.
    pub path: NormalPath,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
    /// The header fields.
    pub headers: &'r HeaderMap,
    /// HTTP/1.1 or h2.
    pub version: Version,
}

impl<'r> RequestHead<'r> {
    /// Reads a request's head.
    ///
    /// # Errors
    ///
    /// The first refusal; see each step.
    pub fn read(request: &'r RequestHeader, limits: &ListenerLimits) -> Result<Self, Refusal> {
        let headers = &request.headers;
        method(&request.method)?;
        if request.version == Version::HTTP_2 {
            sizes(request, limits)?;
            scheme(request)?;
        }
        fields(headers)?;
        framing(request)?;
        let (path, query) =
            split_target(request.raw_path()).map_err(|_ambiguous| Refusal::PathAmbiguous)?;
        let path = NormalPath::parse(path).map_err(|_ambiguous| Refusal::PathAmbiguous)?;
        let query = match query {
            Some(query) if query_is_plain(query) => std::str::from_utf8(query).ok(),
            Some(_) => return Err(Refusal::RequestMalformed),
            None => None,
        };
        let authority = authority(request)?;
        Ok(Self {
            method: &request.method,
            authority,
            path,
            query,
            headers,
            version: request.version,
        })
    }
}

/// `path?query` in the form that was matched.
pub(super) fn target(path: &NormalPath, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{}?{query}", path.as_str()),
        None => path.as_str().to_owned(),
    }
}

/// TRACE echoes credentials, CONNECT opens tunnels, and unknown methods are framed by nobody's
/// rules (RFC 9110, section 9.1).
fn method(method: &Method) -> Result<(), Refusal> {
    let forwarded = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    forwarded
        .contains(method)
        .then_some(())
        .ok_or(Refusal::MethodRefused)
}

/// For h2, what `edge::head` counts for HTTP/1.1.
fn sizes(request: &RequestHeader, limits: &ListenerLimits) -> Result<(), Refusal> {
    if request.raw_path().len() > limits.uri_bytes.get() {
        return Err(Refusal::UriTooLong);
    }
    let bytes: usize = request
        .headers
        .iter()
        .map(|(n, v)| n.as_str().len() + v.len() + 32)
        .sum();
    let too_large =
        request.headers.len() > limits.header_fields.get() || bytes > limits.header_bytes.get();
    if too_large {
        Err(Refusal::HeadersTooLarge)
    } else {
        Ok(())
    }
}

/// Over TLS there is one scheme (RFC 9113, section 8.3.1). h2 tells it only beside `:authority`.
fn scheme(request: &RequestHeader) -> Result<(), Refusal> {
    let https = request.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    (https || request.uri.authority().is_none())
        .then_some(())
        .ok_or(Refusal::RequestMalformed)
}

fn fields(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in headers.keys() {
        let text = name.as_str();
        let folded = folded(text);
        // `Content_Length` becomes `Content-Length` in a service that reads CGI variables.
        let twin = text.contains(['_', '.']) && is_protected(&folded);
        if twin || overrides_method(&folded) {
            return Err(Refusal::HeaderAmbiguous);
        }
    }
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Refusal::HeaderAmbiguous);
    }
    let nominated = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|v| v.as_bytes().split(|b| *b == b','));
    for name in nominated {
        let name = std::str::from_utf8(name).map_err(|_bytes| Refusal::ConnectionNominates)?;
        let name = folded(name.trim_matches([' ', '\t']));
        if is_protected(&name) || is_ours(&name) {
            return Err(Refusal::ConnectionNominates);
        }
    }
    Ok(())
}

/// The length of the body is stated in one way (RFC 9112, section 6.3). pingora repairs what is
/// ambiguous; we refuse it, for a service behind may have been told something else.
fn framing(request: &RequestHeader) -> Result<(), Refusal> {
    let headers = &request.headers;
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::FramingAmbiguous); // h2 lets pass what is equal
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else {
        return Ok(());
    };
    let plain_chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && encodings.next().is_none()
        && request.version == Version::HTTP_11
        && !headers.contains_key(CONTENT_LENGTH);
    plain_chunked.then_some(()).ok_or(Refusal::FramingAmbiguous)
}

/// Exactly one host: `Host`, or `:authority` and no other `Host` beside it.
fn authority(request: &RequestHeader) -> Result<Authority, Refusal> {
    let malformed = Refusal::HostMalformed;
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(malformed);
    }
    let written = host
        .map(|h| h.to_str())
        .transpose()
        .map_err(|_not_ascii| malformed)?;
    let written = written
        .map(Authority::parse)
        .transpose()
        .map_err(|_no_host| malformed)?;
    let pseudo = request
        .uri
        .authority()
        .map(|a| Authority::parse(a.as_str()));
    let pseudo = pseudo.transpose().map_err(|_no_host| malformed)?;
    match (pseudo, written) {
        (Some(pseudo), Some(written)) if pseudo != written => Err(malformed),
        (Some(authority), _) | (None, Some(authority)) => Ok(authority),
        (None, None) => Err(malformed),
    }
}
