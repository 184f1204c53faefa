//! Requests of a login server that end sessions: the one case in which the gateway reads a body.

use std::time::Duration;

use http::Version;
use http::header::EXPECT;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use rustls::pki_types::UnixTime;
use tokio::time::timeout;

use super::admit::Decision;
use crate::authenticate::login::{BODY_BYTES_MAX, Login};
use crate::authenticate::told::Told;
use crate::refusal::Refusal;

/// A few kilobytes from one server to another.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

/// Reads the body, and ends what it names.
///
/// # Errors
///
/// [`Refusal::BodyTooLarge`], [`Refusal::BodyTimeout`], or what the login says of the body.
pub(super) async fn decide(
    session: &mut ServerSession,
    login: &Login,
    told: &mut Told,
) -> Result<Decision, Refusal> {
    let body = timeout(BODY_TIME_MAX, body(session)).await;
    let body = body.unwrap_or(Err(Refusal::BodyTimeout))?;
    let headers = &session.req_header().headers;
    let now = UnixTime::now().as_secs();
    let answer = login.back_channel(headers, &body, now, told).await?;
    Ok(Decision::Answered(answer))
}

async fn body(session: &mut ServerSession) -> Result<Vec<u8>, Refusal> {
    if waits(session.req_header()) {
        let told = session.write_continue_response().await;
        told.map_err(|_broken_off| Refusal::RequestMalformed)?;
    }
    let mut body = Vec::new();
    loop {
        let piece = session.read_request_body().await;
        let Some(piece) = piece.map_err(|_broken_off| Refusal::RequestMalformed)? else {
            return Ok(body);
        };
        if body.len() + piece.len() > BODY_BYTES_MAX {
            return Err(Refusal::BodyTooLarge);
        }
        body.extend_from_slice(&piece);
    }
}

/// Whether the body comes only when we ask for it (RFC 9110, section 10.1.1).
fn waits(request: &RequestHeader) -> bool {
    let expected = request.headers.get(EXPECT);
    let waits = expected.is_some_and(|what| what.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    waits && request.version != Version::HTTP_10
}
