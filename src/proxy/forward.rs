//! An admitted request on its way to a service and back: the bounds that hold while it flows.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use pingora::http::{RequestHeader, ResponseHeader};

use super::credentials;
use super::errors::carry;
use super::external;
use super::headers;
use super::journey::Journey;
use crate::config::spec::ListenerLimits;
use crate::refusal::Refusal;

/// Heads of answers to one request, informational ones included: a service that sends more is
/// broken or hostile.
const ANSWERS_MAX: u32 = 16;

/// Rewrites the request for the service: the normal path, our header fields, nothing forged.
///
/// # Errors
///
/// [`Refusal::NotAdmitted`], carried: nothing is sent then.
pub(super) fn rewrite(request: &mut RequestHeader, journey: &Journey) -> pingora::Result<()> {
    let admitted = journey.admitted().map_err(carry)?;
    let (Some(facts), Some(ids)) = (&journey.story.facts, &journey.story.ids) else {
        return Err(carry(Refusal::NotAdmitted));
    };
    headers::join_cookies(request)?;
    if let Some(now) = &journey.now {
        headers::strip_own_cookies(request, &now.logins().own)?;
    }
    let target = admitted.target();
    if request.raw_path() != target.as_bytes() {
        request.set_raw_path(target.as_bytes())?;
    }
    headers::set_ours(request, facts, admitted, ids)?;
    if let Some(authorization) = &journey.story.told.forwarded {
        request.insert_header(AUTHORIZATION, authorization.clone())?;
    }
    if let Some(changes) = admitted.changes() {
        external::change_request(request, changes)?;
    }
    if let Some(authorization) = admitted.authorization() {
        credentials::remove(request, &admitted.route().authenticator);
        request.remove_header("dpop"); // a proof for a token that stays here
        request.insert_header(AUTHORIZATION, authorization.clone())?;
    }
    Ok(())
}

/// Counts a piece of the request's body: its size, its speed and the time of the whole request.
///
/// # Errors
///
/// The refusal, carried.
pub(super) fn request_body(
    body: Option<&Bytes>,
    ended: bool,
    journey: &mut Journey,
    limits: &ListenerLimits,
) -> pingora::Result<()> {
    if journey.upgraded {
        return in_total_time(journey); // frames of a conversation: neither large nor slow
    }
    let length = body.map_or(0, Bytes::len);
    journey.body_ended |= ended;
    journey.body = journey
        .body
        .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    if journey.body > journey.admitted().map_err(carry)?.route().max_body {
        return Err(carry(Refusal::BodyTooLarge));
    }
    // Until the service was reached nobody read: that time is not the client's.
    let took = journey
        .body_began
        .get_or_insert_with(Instant::now)
        .elapsed();
    if !ended && took > limits.body_timeout && is_slow(journey.body, took, limits) {
        return Err(carry(Refusal::BodyTimeout));
    }
    in_total_time(journey)
}

fn is_slow(bytes: u64, took: Duration, limits: &ListenerLimits) -> bool {
    bytes / took.as_secs().max(1) < u64::from(limits.min_rate.get())
}

/// Looks at the head of an answer.
///
/// # Errors
///
/// The refusal, carried: an endless row of informational answers, a switch to a protocol that was
/// not asked for, or the total time is over.
pub(super) fn response_head(
    response: &mut ResponseHeader,
    asked_websocket: bool,
    journey: &mut Journey,
) -> pingora::Result<()> {
    journey.answers += 1;
    if journey.answers > ANSWERS_MAX {
        return Err(carry(Refusal::UpstreamProtocol));
    }
    in_total_time(journey)?;
    if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
        let to_websocket = response
            .headers
            .get(http::header::UPGRADE)
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let allowed = journey.admitted().map_err(carry)?.route().websocket;
        if !(allowed && asked_websocket && to_websocket) {
            return Err(carry(Refusal::UpstreamProtocol));
        }
        journey.upgraded = true;
    }
    if !response.status.is_informational() && journey.upstream.answered.is_none() {
        journey.upstream.answered = journey.upstream.sent.map(|sent: Instant| sent.elapsed());
    }
    // A length beside a transfer coding is repaired by pingora for itself, not for the client.
    if response
        .headers
        .contains_key(http::header::TRANSFER_ENCODING)
    {
        response.remove_header(&CONTENT_LENGTH);
    }
    headers::strip_hop_by_hop(response);
    if let Some(now) = &journey.now {
        headers::strip_own_set_cookies(response, &now.logins().own)?;
    }
    Ok(())
}

/// A service that drips resets the timeout between two pieces each time; this one it does not.
///
/// # Errors
///
/// [`Refusal::UpstreamResponseTimeout`], carried.
pub(super) fn in_total_time(journey: &Journey) -> pingora::Result<()> {
    let admitted = journey.admitted().map_err(carry)?;
    if journey.arrived.elapsed() > admitted.route().upstream.timeouts.total {
        return Err(carry(Refusal::UpstreamResponseTimeout));
    }
    Ok(())
}
