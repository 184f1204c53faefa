//! The end of a request: one access line, and its counts. And the line for what went wrong on the
//! way to a service.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pingora::Error;
use pingora::proxy::Session;

use super::errors::words;
use super::ids::RequestIds;
use super::journey::{Journey, Story};
use crate::edge::facts::ConnectionFacts;
use crate::handshake_failure::HandshakeFailure;
use crate::observe::{
    AccessLine, ConnectionAbuse, HandshakeFailureLine, HandshakeLog, Metrics, RouteMetrics, Side,
    access,
};
use crate::refusal::Refusal;

/// What nginx and others write for a client that went away before it was answered.
const CLIENT_CLOSED: u16 = 499;

/// What the line of a request says that ended because its client lost its standing.
const REVOKED: &str = "revoked";

/// Counts a request and writes its line.
pub(super) fn end(session: &Session, journey: &Journey, client_gone: bool, metrics: &Metrics) {
    let took = journey.arrived.elapsed();
    let story = &journey.story;
    let answered = session.response_written().map(|response| response.status);
    let refusal = journey.refusal();
    let status = match (answered, refusal) {
        (Some(status), _) => status.as_u16(),
        (None, Some(refusal)) => refusal.status().as_u16(),
        (None, None) if client_gone => CLIENT_CLOSED,
        (None, None) => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
    };
    match &story.route {
        Some(route) => {
            route.metrics.request(status, refusal, took);
            if story.certificate_over > 0 {
                route.metrics.request_in_grace();
            }
        }
        None => metrics.unrouted().request(status, refusal, took),
    }
    let upstream_took = journey.upstream.begun.map(|begun| begun.elapsed());
    if let (Some(route), Some(upstream_took)) = (&story.route, upstream_took) {
        route.metrics.upstream_took(upstream_took);
        route.upstream.metrics.request_seconds(upstream_took);
    }
    if let (true, Some(facts)) = (client_gone && session.is_http2(), &story.facts) {
        facts.counts.reset();
    }
    if journey.now.as_ref().is_none_or(|now| now.spec.logs.access) {
        line(session, journey, status, took, upstream_took);
    }
}

fn line(
    session: &Session,
    journey: &Journey,
    status: u16,
    took: Duration,
    upstream_took: Option<Duration>,
) {
    let (story, upstream) = (&journey.story, &journey.upstream);
    let (Some(facts), Some(ids)) = (&story.facts, &story.ids) else {
        return;
    };
    let request = session.req_header();
    let raw_path = String::from_utf8_lossy(request.raw_path());
    let identity = facts.identity();
    let proved = upstream
        .identity
        .as_ref()
        .map(|identity| identity.display());
    let refusal = journey.refusal();
    let whose = Whose::of(story, refusal);
    let api_key = story.told.api_key.map(u64::from_be_bytes);
    let api_key = api_key.map(|id| format!("{id:016x}")); // as in the file of the list
    let reported = story.told.reported.join(",");
    let policy_failure = story.policy.failure.as_ref().map(ToString::to_string);
    let would_refuse = story.policy.would_refuse.join(",");
    access(&AccessLine {
        request_id: ids.request_text(),
        trace_id: Some(ids.trace_text()),
        listener: facts.listener.as_str(),
        source: facts.source,
        sni: facts.server_name.as_ref().and_then(|name| name.dns_name()),
        peer: facts.identity_text(),
        common_name: identity.and_then(|identity| identity.shown.common_name.as_deref()),
        certificate_over: (story.certificate_over > 0).then_some(story.certificate_over),
        issuer: whose.issuer,
        subject: whose.sub,
        client_id: whose.client_id,
        api_key: api_key.as_deref(),
        possession_reported: (!reported.is_empty()).then_some(&reported),
        method: request.method.as_str(),
        host: story.host.as_deref(),
        path: story.path.as_deref().unwrap_or(&raw_path),
        route: story.route.as_ref().map(|route| route.name.as_str()),
        status,
        external_authorization: story.external_authorization,
        refusal,
        detail: story.told.detail.as_ref().filter(|_| refusal.is_some()),
        policy_rule: story.policy.refused_by.as_deref(),
        policy_failure: policy_failure.as_deref(),
        policy_would_refuse: (!would_refuse.is_empty()).then_some(&would_refuse),
        closed: journey
            .abuse
            .map(ConnectionAbuse::label)
            .or_else(|| facts.standing.is_cut().then_some(REVOKED)),
        upstream: story
            .route
            .as_ref()
            .map(|route| route.upstream.name.as_str()),
        endpoint: upstream.endpoint.as_deref(),
        endpoint_identity: proved.as_deref().or(upstream.imposter.as_deref()),
        tls: &facts.tls,
        bytes_in: journey.body,
        bytes_out: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
        duration: took,
        upstream_duration: upstream_took,
    });
}

/// Whom a request acts for; of one that was refused, also whose good credential it was refused with.
#[derive(Default)]
struct Whose<'s> {
    issuer: Option<&'s str>,
    sub: Option<&'s str>,
    client_id: Option<&'s str>,
}

impl<'s> Whose<'s> {
    fn of(story: &'s Story, refusal: Option<Refusal>) -> Self {
        if let Some(subject) = &story.subject {
            return Self {
                issuer: Some(subject.issuer.as_str()),
                sub: subject.sub.as_deref(),
                client_id: subject.client_id(),
            };
        }
        let refused = story.told.whose.as_ref().filter(|_| refusal.is_some());
        refused.map_or_else(Self::default, |whose| Self {
            issuer: Some(whose.issuer.as_str()),
            sub: whose.sub.as_deref(),
            client_id: whose.client_id.as_deref(),
        })
    }
}

/// A request whose head was refused before it could be read as one.
pub(super) fn unread(
    refusal: Refusal,
    facts: &Arc<ConnectionFacts>,
    ids: &RequestIds,
    unrouted: &RouteMetrics,
    took: Duration,
) {
    let status = refusal.status().as_u16();
    unrouted.request(status, Some(refusal), took);
    let identity = facts.identity();
    access(&AccessLine {
        request_id: ids.request_text(),
        trace_id: None,
        listener: facts.listener.as_str(),
        source: facts.source,
        sni: facts.server_name.as_ref().and_then(|name| name.dns_name()),
        peer: facts.identity_text(),
        common_name: identity.and_then(|identity| identity.shown.common_name.as_deref()),
        certificate_over: None,
        issuer: None,
        subject: None,
        client_id: None,
        api_key: None,
        possession_reported: None,
        method: "-",
        host: None,
        path: "-",
        route: None,
        status,
        external_authorization: None,
        refusal: Some(refusal),
        detail: None,
        policy_rule: None,
        policy_failure: None,
        policy_would_refuse: None,
        closed: (refusal == Refusal::HeadTimeout).then_some(ConnectionAbuse::HeaderTimeout.label()),
        upstream: None,
        endpoint: None,
        endpoint_identity: None,
        tls: &facts.tls,
        bytes_in: 0,
        bytes_out: 0,
        duration: took,
        upstream_duration: None,
    });
}

/// Says what lies behind a refusal that is not the client's fault: the client is not told.
pub(super) fn fault(refusal: Refusal, error: &Error, story: &Story) {
    if refusal.status().is_server_error() {
        tracing::warn!(
            request_id = story.ids.as_ref().map(RequestIds::request_text),
            route = story.route.as_ref().map(|route| route.name.as_str()),
            upstream = story
                .route
                .as_ref()
                .map(|route| route.upstream.name.as_str()),
            reason = refusal.reason(),
            error = words(error),
            "a request failed on its way to its service"
        );
    }
}

/// A service looks at our certificate when the handshake is complete for us (TLS 1.3): what it says
/// then counts, and is told, as a handshake that failed.
pub(super) fn refused_by_service(
    reason: HandshakeFailure,
    error: &Error,
    journey: &Journey,
    handshakes: &HandshakeLog,
) {
    let (Some(route), Ok(admitted)) = (&journey.story.route, journey.admitted()) else {
        return;
    };
    let sent = journey.upstream.sent;
    let took = sent.map_or(Duration::ZERO, |sent| sent.elapsed());
    route.upstream.metrics.handshake_failed(reason, took);
    handshakes.failed(&HandshakeFailureLine {
        side: Side::Upstream,
        name: route.upstream.name.as_str(),
        peer: journey.upstream.address,
        source: journey.upstream.address.map(|address| address.ip()),
        sni: Some(&admitted.policy().server_name.to_string()),
        reason,
        error: Some(&words(error)),
        leaf: None,
        chain_length: 0,
        took,
    });
}
