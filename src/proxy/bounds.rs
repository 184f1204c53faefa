//! What one request may take: the size of its body, the limits of its peer and of its route, its place
//! among those that are under way.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::head::RequestHead;
use super::journey::Story;
use crate::config::spec::LimitKey;
use crate::edge::facts::{ConnectionFacts, source_key};
use crate::identity::subject::Subject;
use crate::limit::in_flight::InFlightGuard;
use crate::limit::store::Limiter;
use crate::refusal::Refusal;
use crate::snapshot::plan::{ListenerPlan, RoutePlan};

/// Counts it as under way for its peer: before anything is waited for, be it the server of a login.
pub(super) fn under_way_of_peer(
    listener: &ListenerPlan,
    facts: &ConnectionFacts,
) -> Result<InFlightGuard, Refusal> {
    let of_peer = listener.in_flight.enter(&*facts.peer_key);
    of_peer.ok_or(Refusal::PeerInFlightExceeded)
}

/// Counts it as under way at its service.
pub(super) fn under_way_at_upstream(route: &RoutePlan) -> Result<InFlightGuard, Refusal> {
    let of_upstream = route.upstream.in_flight.enter(&());
    of_upstream.ok_or(Refusal::UpstreamInFlightExceeded)
}

/// The limit in front of everything that costs more. Clients hear of it when they run into it.
pub(super) fn peer_rate(
    facts: &ConnectionFacts,
    listener: &ListenerPlan,
    story: &mut Story,
) -> Result<(), Refusal> {
    of_peer(&listener.peers, PEER_LIMIT, facts, story)
}

/// The limit in front of what comes back from a login: it costs the server a question, whoever made
/// up the code.
pub(super) fn callback_rate(
    facts: &ConnectionFacts,
    limiter: &Limiter,
    story: &mut Story,
) -> Result<(), Refusal> {
    of_peer(limiter, CALLBACK_LIMIT, facts, story)
}

/// By what names clients know the limits that are no route's.
const PEER_LIMIT: &str = "peer";
const CALLBACK_LIMIT: &str = "login";

fn of_peer(
    limiter: &Limiter,
    name: &str,
    facts: &ConnectionFacts,
    story: &mut Story,
) -> Result<(), Refusal> {
    let taken = limiter.take(&*facts.peer_key);
    if taken.allowed {
        return Ok(());
    }
    story.taken.push((name.into(), taken));
    Err(Refusal::PeerRateExceeded)
}

/// A body that says beforehand that it is too large is refused before a byte of it is read.
pub(super) fn body_size(head: &RequestHead<'_>, route: &RoutePlan) -> Result<(), Refusal> {
    let Some(length) = head.headers.get(http::header::CONTENT_LENGTH) else {
        return Ok(());
    };
    let length = length
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match length {
        Some(length) if length <= route.max_body => Ok(()),
        Some(_) => Err(Refusal::BodyTooLarge),
        None => Err(Refusal::FramingAmbiguous),
    }
}

/// Takes the request from each limit of the route; what they said goes to `story`.
pub(super) fn limits(
    head: &RequestHead<'_>,
    facts: &ConnectionFacts,
    route: &RoutePlan,
    subject: Option<&Subject>,
    story: &mut Story,
) -> Result<(), Refusal> {
    for (index, limit) in route.limits.iter().enumerate() {
        let taken = match (&limit.key, subject.and_then(subject_key)) {
            (LimitKey::Client, _) | (LimitKey::Subject, None) => {
                limit.limiter.take(&*facts.peer_key)
            }
            (LimitKey::Subject, Some(subject)) => limit.limiter.take(&subject[..]),
            (LimitKey::Source, _) => limit
                .limiter
                .take(source_key(facts.source.ip()).to_string().as_bytes()),
            (LimitKey::Header(name), _) => limit.limiter.take(only_value(head.headers, name)),
        };
        let allowed = taken.allowed;
        story.taken.push((Arc::clone(&limit.name), taken));
        if !allowed {
            route.metrics.limit_refused(index);
            return Err(Refusal::RateExceeded);
        }
    }
    Ok(())
}

/// The value of a field. One that stands in the request twice has none, as for routes: a made-up
/// value in front of the one that the service reads would be a new bucket each time.
fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h [u8] {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes(),
        (None | Some(_), _) => &[],
    }
}

/// Issuer and subject: `sub` is unique only within its issuer (RFC 7519, section 4.1.2). None if the
/// token names no subject: those of all clients are not one subject.
fn subject_key(subject: &Subject) -> Option<Vec<u8>> {
    let sub = subject.sub.as_deref().filter(|sub| !sub.is_empty())?;
    Some([subject.issuer.as_str().as_bytes(), b"\0", sub.as_bytes()].concat())
}
