//! What the gateway itself answers: a small `application/problem+json` (RFC 9457), or a page where a
//! person logs in, and the fields that a client needs to do better.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE,
    WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use tokio::time::timeout;

use super::ids::RequestIds;
use super::journey::Story;
use super::page;
use crate::authenticate::told::{DPOP_NONCE, Reply, Shown, Told};
use crate::identity::subject::{Credential, Subject};
use crate::limit::fields::{RATE_LIMIT, RATE_LIMIT_POLICY, header_fields, retry_after_seconds};
use crate::limit::store::Taken;
use crate::refusal::Refusal;

/// Answers a request with a refusal.
///
/// # Errors
///
/// pingora's, if the client is gone.
pub(super) async fn respond(
    session: &mut ServerSession,
    refusal: Refusal,
    story: &Story,
) -> pingora::Result<()> {
    if let (Refusal::ExternalAuthorizationDenied, Some(denial)) = (refusal, &story.denial) {
        return reply(session, denial, story).await;
    }
    let ids = story.ids.as_ref();
    let (kind, body) = match story.told.shown {
        Shown::Problem => ("application/problem+json", problem(refusal, ids)),
        Shown::Page => (page::TYPE, page::of(refusal, ids)),
    };
    let body = Bytes::from(body);
    let mut response = head(refusal.status(), &body, story)?;
    response.insert_header(CONTENT_TYPE, kind)?;
    if story.told.shown == Shown::Page {
        response.insert_header(CONTENT_SECURITY_POLICY, page::POLICY)?;
    }
    if let Some(challenge) = challenge(refusal, story) {
        response.insert_header(WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(seconds) = retry_after(refusal, story) {
        response.insert_header(RETRY_AFTER, seconds)?;
    }
    set_rate_limit(&mut response, &story.taken)?;
    set_told(&mut response, &story.told)?;
    if closes(refusal) {
        session.set_keepalive(None);
    }
    write(session, response, body).await
}

/// Gives an answer of the gateway that refuses nothing.
///
/// # Errors
///
/// pingora's, if the client is gone.
pub(super) async fn reply(
    session: &mut ServerSession,
    reply: &Reply,
    story: &Story,
) -> pingora::Result<()> {
    let mut response = head(reply.status, &reply.body, story)?;
    for (name, value) in &reply.fields {
        response.append_header(name.clone(), value.clone())?;
    }
    set_told(&mut response, &story.told)?; // last: whatever a service says beside it
    write(session, response, reply.body.clone()).await
}

/// What every answer of the gateway says. None may be kept by a cache.
fn head(status: StatusCode, body: &Bytes, story: &Story) -> pingora::Result<ResponseHeader> {
    let mut response = ResponseHeader::build(status, Some(8))?;
    response.insert_header(CONTENT_LENGTH, body.len())?;
    response.insert_header(CACHE_CONTROL, "no-store")?;
    if let Some(ids) = &story.ids {
        response.insert_header("x-request-id", ids.request.clone())?;
    }
    Ok(response)
}

/// What the answer must say, whoever gives it. One with a cookie or a nonce of ours is kept by no cache,
/// whatever the service says: it would give one user's session to others, and a nonce that is over
/// (RFC 9449, section 8.2). Of nonces there is one (section 8.1): ours, which we ask for.
pub(super) fn set_told(response: &mut ResponseHeader, told: &Told) -> pingora::Result<()> {
    for (name, value) in &told.fields {
        if name == DPOP_NONCE {
            response.insert_header(name.clone(), value.clone())?;
        } else {
            response.append_header(name.clone(), value.clone())?;
        }
        if name == SET_COOKIE || name == DPOP_NONCE {
            response.insert_header(CACHE_CONTROL, "no-store")?;
            for other in OF_CACHES {
                response.remove_header(other);
            }
        }
    }
    Ok(())
}

/// What caches of others take for more than `Cache-Control` (RFC 9213, and those that were there before
/// it), or in its place.
const OF_CACHES: [&str; 8] = [
    "cdn-cache-control",
    "surrogate-control",
    "cloudflare-cdn-cache-control",
    "netlify-cdn-cache-control",
    "vercel-cdn-cache-control",
    "akamai-cache-control",
    "x-accel-expires",
    "expires",
];

async fn write(
    session: &mut ServerSession,
    response: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    let head_only = session.req_header().method == Method::HEAD;
    let body = if head_only { Bytes::new() } else { body };
    let written = async {
        session.write_response_header(Box::new(response)).await?;
        session.write_response_body(body, true).await
    };
    // pingora does not say everywhere on which side it was.
    written.await.map_err(|error| error.into_down())?;
    if session.is_http2() {
        // Whether the rest came, or how the client broke off, changes nothing any more.
        drop(timeout(REST_TIME_MAX, drop_rest(session)).await);
    }
    Ok(())
}

/// Reads on for a moment after an answer over h2. To let the stream go while its body is on the way
/// resets it (RFC 9113, section 8.1), and clients then give up on the answer that they have.
async fn drop_rest(session: &mut ServerSession) -> pingora::Result<()> {
    let mut left = REST_BYTES_MAX;
    while let Some(piece) = session.read_request_body().await? {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            break;
        }
    }
    Ok(())
}

const REST_TIME_MAX: Duration = Duration::from_secs(1);
const REST_BYTES_MAX: usize = 1024 * 1024;

/// `RateLimit` and `RateLimit-Policy`, where the route has limits.
pub(super) fn set_rate_limit(
    response: &mut ResponseHeader,
    taken: &[(Arc<str>, Taken)],
) -> pingora::Result<()> {
    if taken.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = taken
        .iter()
        .map(|(name, taken)| (&**name, *taken))
        .collect();
    if let Some(fields) = header_fields(&named) {
        response.insert_header(RATE_LIMIT.clone(), fields.rate_limit)?;
        response.insert_header(RATE_LIMIT_POLICY.clone(), fields.policy)?;
    }
    Ok(())
}

/// An HTTP/1.1 answer in bytes, for a head that pingora never sees. The connection is closed.
pub(super) fn raw(refusal: Refusal, ids: &RequestIds) -> Vec<u8> {
    let status = refusal.status();
    let body = problem(refusal, Some(ids));
    format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Request-Id: {}\r\nConnection: close\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
        ids.request_text(),
    )
    .into_bytes()
}

/// All texts are ours or checked, so nothing needs to be escaped.
fn problem(refusal: Refusal, ids: Option<&RequestIds>) -> String {
    let status = refusal.status();
    format!(
        "{{\"title\":\"{}\",\"status\":{},\"detail\":\"{}\",\"request_id\":\"{}\"}}\n",
        status.canonical_reason().unwrap_or_default(),
        status.as_u16(),
        refusal.public_text(),
        ids.map(RequestIds::request_text).unwrap_or_default(),
    )
}

/// RFC 6750, section 3. The scopes that a route asks for are told to whoever has shown a valid
/// token; others learn only that one is needed.
fn challenge(refusal: Refusal, story: &Story) -> Option<String> {
    let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    if let Some(challenge) = &story.told.challenge
        && denied.contains(&refusal.status())
    {
        return Some(challenge.clone());
    }
    // The schemes below are those of tokens: no other one would do in place of an API key.
    let of_no_token = |subject: &Arc<Subject>| match subject.credential {
        Credential::Jwt | Credential::Introspected => false,
        Credential::ApiKey | Credential::Login => true,
    };
    if refusal == Refusal::ScopeMissing && story.subject.as_ref().is_some_and(of_no_token) {
        return None;
    }
    let scopes = || {
        let route = story.route.as_ref().zip(story.subject.as_ref());
        route.map(|(route, subject)| route.rules.scopes(subject).join(" "))
    };
    let bearer = bearer(refusal, scopes);
    let challenge = match &story.told.dpop {
        Some(dpop) => dpop.field(refusal, scopes, bearer),
        None => bearer,
    };
    match (challenge, &story.told.challenge_beside) {
        (Some(one), Some(other)) if refusal == Refusal::TokenMissing => {
            Some(format!("{one}, {other}"))
        }
        (challenge, _) => challenge,
    }
}

fn bearer(refusal: Refusal, scopes: impl Fn() -> Option<String>) -> Option<String> {
    if refusal == Refusal::ScopeMissing {
        return Some(match scopes() {
            Some(scopes) => format!("Bearer error=\"insufficient_scope\", scope=\"{scopes}\""),
            None => "Bearer error=\"insufficient_scope\"".to_owned(),
        });
    }
    if refusal.status() != StatusCode::UNAUTHORIZED {
        return None;
    }
    if refusal == Refusal::TokenMissing {
        // RFC 6750, section 3.1: no error code where no token was shown; section 3: but one
        // parameter at least.
        return Some("Bearer realm=\"api\"".to_owned());
    }
    let text = refusal.public_text();
    Some(format!(
        "Bearer error=\"invalid_token\", error_description=\"{text}\""
    ))
}

fn retry_after(refusal: Refusal, story: &Story) -> Option<u64> {
    match refusal.status() {
        StatusCode::TOO_MANY_REQUESTS => {
            let refused = story.taken.iter().filter(|(_, taken)| !taken.allowed);
            Some(
                refused
                    .map(|(_, taken)| retry_after_seconds(taken))
                    .max()
                    .unwrap_or(1),
            )
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            let known = story.told.retry_after;
            let seconds = known.map(|wait| wait.as_secs().clamp(1, RETRY_SECONDS_MAX));
            Some(seconds.unwrap_or(RETRY_UNAVAILABLE_SECONDS))
        }
        _another => None,
    }
}

const RETRY_UNAVAILABLE_SECONDS: u64 = 5;
/// Whatever is the matter, it may be mended sooner.
const RETRY_SECONDS_MAX: u64 = 300;

/// Whether the connection is of no more use: the rest of the request cannot be told from the next.
fn closes(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::RequestMalformed
            | Refusal::FramingAmbiguous
            | Refusal::HeaderAmbiguous
            | Refusal::BodyTooLarge
            | Refusal::BodyTimeout
            | Refusal::HeadTimeout
            | Refusal::HeadersTooLarge
            | Refusal::UriTooLong
            | Refusal::CertificateExpired
            | Refusal::CertificateUntrusted
    )
}
