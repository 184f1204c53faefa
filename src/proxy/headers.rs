//! Header fields: what only the gateway may say is removed from every request, then set from what
//! was verified, as the route asks; what belongs to one hop ends at it.

use std::time::Instant;

use http::header::{CONNECTION, COOKIE, HOST, SET_COOKIE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use rustls::pki_types::UnixTime;

use super::admit::Admitted;
use super::client_cert;
use super::credentials;
use super::ids::RequestIds;
use super::xfcc::xfcc;
use crate::assertion::Statement;
use crate::authenticate::login::OwnCookies;
use crate::edge::facts::{ConnectionFacts, Presented};
use crate::identity::fields::{HOP_BY_HOP, IDENTITY_TOKEN, folded, is_ours, is_protected};

/// Removes what the service is not to get, before it can choose a route or count for a limit: every
/// spelling of the fields that only we may set, and what `Connection` names. What is protected
/// stays, to be refused.
pub(super) fn strip_forged(request: &mut RequestHeader) {
    let forged: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_ours(&folded(name.as_str())))
        .cloned()
        .collect();
    let ends_here = |name: &HeaderName| !is_protected(name.as_str()) && name != UPGRADE;
    let nominated = nominated(&request.headers).into_iter().filter(ends_here);
    for name in forged.into_iter().chain(nominated) {
        request.remove_header(&name);
    }
}

/// Puts the crumbs of `Cookie`, which h2 may send one by one, together (RFC 9113, section 8.2.3): a
/// service of HTTP/1.1 may read the first field or the last.
///
/// # Errors
///
/// pingora's, if the value is no header value; its parts are.
pub(super) fn join_cookies(request: &mut RequestHeader) -> pingora::Result<()> {
    let crumbs: Vec<_> = request.headers.get_all(COOKIE).iter().collect();
    if crumbs.len() < 2 {
        return Ok(());
    }
    let crumbs: Vec<_> = crumbs.into_iter().map(HeaderValue::as_bytes).collect();
    let joined = crumbs.join(&b"; "[..]);
    request.insert_header(COOKIE, joined)
}

/// Takes the gateway's own cookies out: services would hold the key to other services.
///
/// # Errors
///
/// pingora's, if the value is no header value; its parts are.
pub(super) fn strip_own_cookies(
    request: &mut RequestHeader,
    own: &OwnCookies,
) -> pingora::Result<()> {
    let Some(cookies) = request.headers.get(COOKIE) else {
        return Ok(());
    };
    match own.without(cookies.as_bytes()) {
        Some(left) if left == cookies.as_bytes() => Ok(()),
        Some(left) => request.insert_header(COOKIE, left),
        None => {
            request.remove_header(&COOKIE);
            Ok(())
        }
    }
}

/// Takes out of a service's answer what would set the gateway's own cookies: a service could give a
/// browser somebody else's session.
///
/// # Errors
///
/// pingora's, if a value is no header value; it was one before.
pub(super) fn strip_own_set_cookies(
    response: &mut ResponseHeader,
    own: &OwnCookies,
) -> pingora::Result<()> {
    let set = |value: &&HeaderValue| own.is_set_by(value.as_bytes());
    let all = response.headers.get_all(SET_COOKIE);
    if !all.iter().any(|value| set(&value)) {
        return Ok(());
    }
    let left: Vec<_> = all.iter().filter(|value| !set(value)).cloned().collect();
    response.remove_header(&SET_COOKIE);
    for value in left {
        response.append_header(SET_COOKIE, value)?;
    }
    Ok(())
}

/// Sets what the route wants its service to be told.
///
/// # Errors
///
/// pingora's, if a value is no header value; all are made of ASCII.
pub(super) fn set_ours(
    request: &mut RequestHeader,
    facts: &ConnectionFacts,
    admitted: &Admitted,
    ids: &RequestIds,
) -> pingora::Result<()> {
    let forward = admitted.route().forward;
    let source = facts.source.ip().to_canonical();
    let host = admitted.authority_text();
    if request.headers.get(HOST).map(HeaderValue::as_bytes) != Some(host.as_bytes()) {
        request.insert_header(HOST, host.as_str())?;
    }
    if forward.x_forwarded {
        request.insert_header("x-forwarded-for", source.to_string())?;
        request.insert_header("x-forwarded-proto", "https")?;
        request.insert_header("x-forwarded-host", host.as_str())?;
    }
    if forward.forwarded {
        let node = if source.is_ipv6() {
            format!("\"[{source}]\"")
        } else {
            source.to_string()
        };
        let value = format!("for={node};host=\"{host}\";proto=https");
        request.insert_header("forwarded", value)?;
    }
    if let Presented::Certificate { identity, chain } = &facts.peer {
        if forward.identity {
            request.insert_header("x-client-identity", &*facts.peer_key)?;
        }
        if let (true, Some((leaf, above))) = (forward.client_cert, chain.split_first()) {
            request.insert_header("client-cert", client_cert::leaf(leaf))?;
            let chain = forward.client_cert_chain.then(|| client_cert::chain(above));
            if let Some(chain) = chain.flatten() {
                request.insert_header("client-cert-chain", chain)?;
            }
        }
        if let (true, Some(leaf)) = (forward.xfcc, chain.first()) {
            let ours = facts.served.certified_key();
            let ours = ours.cert.first().map(AsRef::as_ref);
            let value = facts.xfcc.get_or_init(|| xfcc(ours, leaf, identity).into());
            request.insert_header("x-forwarded-client-cert", &**value)?;
        }
    }
    if admitted.certificate_over() > 0 {
        let seconds = admitted.certificate_over().to_string();
        request.insert_header("x-client-certificate-expired", seconds)?;
    }
    if let Some(token) = identity_token(facts, admitted) {
        request.insert_header(IDENTITY_TOKEN, token)?;
    }
    if let (true, Some(subject)) = (forward.identity, admitted.subject()) {
        request.insert_header("x-token-issuer", subject.issuer.as_str())?;
        if let Some(sub) = &subject.sub {
            request.insert_header("x-token-subject", visible(sub))?;
        }
    }
    if !forward.authorization {
        credentials::remove(request, &admitted.route().authenticator);
    }
    if !forward.api_key {
        credentials::remove_keys(request, &admitted.route().authenticator);
    }
    ids.set(request)
}

/// The signed token, if the route wants one and there is anybody to speak of.
fn identity_token(facts: &ConnectionFacts, admitted: &Admitted) -> Option<HeaderValue> {
    let route = admitted.route();
    let statement = Statement {
        audience: &route.upstream.name,
        route: &route.name,
        peer: facts.identity().map(AsRef::as_ref),
        subject: admitted.subject(),
        presenter: admitted.policy().certificate.as_ref(),
    };
    let asserter = route.asserter.as_ref()?;
    asserter.token(&statement, UnixTime::now().as_secs(), Instant::now())
}

/// A text from outside as a header value: what is not visible ASCII is percent-encoded.
fn visible(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x21..=0x7e).contains(&byte) && byte != b'%' {
            value.push(char::from(byte));
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    value
}

/// Removes the fields of a service's answer that end at us.
pub(super) fn strip_hop_by_hop(response: &mut ResponseHeader) {
    let switching = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
    for name in nominated(&response.headers) {
        let stays = is_protected(name.as_str()) || (switching && name == UPGRADE);
        if !stays {
            response.remove_header(&name);
        }
    }
    for name in HOP_BY_HOP {
        response.remove_header(name);
    }
    if !switching {
        response.remove_header(&CONNECTION);
        response.remove_header(&UPGRADE);
    }
}

fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_nothing_of_its_hop() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("connection", "x-secret, content-length, close"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("content-length", "3"),
            ("x-kept", "1"),
        ] {
            response.append_header(name, value).unwrap();
        }
        strip_hop_by_hop(&mut response);
        let mut names: Vec<_> = response.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x-kept"]);
    }
}
