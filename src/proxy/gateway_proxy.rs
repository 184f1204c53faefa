//! [`GatewayProxy`]: pingora's face. No policy lives here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use rustls::pki_types::UnixTime;

use super::admit::{Admitted, Decision, admit};
use super::back_channel;
use super::errors::{Ending, abuse, carry, sort, waits_for_body};
use super::external;
use super::forward;
use super::head::RequestHead;
use super::headers::strip_forged;
use super::ids::RequestIds;
use super::journey::{Journey, Stage};
use super::log;
use super::respond::{reply, respond, set_rate_limit, set_told};
use crate::edge::facts::ConnectionFacts;
use crate::identity::certificate::PeerIdentity;
use crate::observe::{ConnectionAbuse, HandshakeLog, Metrics};
use crate::refusal::Refusal;
use crate::snapshot::Live;
use crate::transport::facts_of;
use crate::upstream::{
    ConnectFailure, Upgrades, UpstreamFacts, connect_failure, connection_gone,
    late_handshake_failure, peer,
};

/// What pingora asks at each phase of a request.
#[derive(Debug)]
pub struct GatewayProxy {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    handshakes: Arc<HandshakeLog>,
}

/// The request was not answered yet; pingora goes on.
const GO_ON: bool = false;
/// The request was answered; pingora does nothing more with it.
const ANSWERED: bool = true;

/// Endpoints that one request may try to connect to. No byte of it was sent before the last.
const ATTEMPTS_MAX: u32 = 3;

/// How long the rest of a body may come in after the answer was sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

impl GatewayProxy {
    /// Decides by `live`, and counts in `metrics`. `handshakes` hears of services that refuse our
    /// certificate only when they are asked.
    #[must_use]
    pub const fn new(
        live: Arc<Live>,
        metrics: Arc<Metrics>,
        handshakes: Arc<HandshakeLog>,
    ) -> Self {
        Self {
            live,
            metrics,
            handshakes,
        }
    }

    /// Who asks, under which snapshot, and may they?
    async fn decide(session: &Session, journey: &mut Journey) -> Result<Decision, Refusal> {
        let now = journey.now.clone().ok_or(Refusal::Internal)?;
        let facts = journey.story.facts.clone().ok_or(Refusal::Internal)?;
        let limits = &journey.listener()?.edge.limits;
        let head = RequestHead::read(session.req_header(), limits)?;
        let story = &mut journey.story;
        story.host = Some(head.authority.host.to_string());
        story.path = Some(head.path.as_str().to_owned());
        admit(&head, &facts, &now, story).await
    }
}

/// Whether the certificate of a pooled connection has ended since it was verified.
fn has_ended(identity: &PeerIdentity) -> bool {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX) > identity.not_after
}

#[async_trait]
impl ProxyHttp for GatewayProxy {
    type CTX = Journey;

    fn new_ctx(&self) -> Journey {
        Journey::new(Instant::now())
    }

    /// No modules: compression would touch bodies that are none of our business.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        journey: &mut Journey,
    ) -> Result<()> {
        let facts: Option<&Arc<ConnectionFacts>> = facts_of(session.digest());
        journey.story.facts = facts.cloned();
        journey.story.ids = Some(RequestIds::of(&session.req_header().headers));
        journey.now = Some(self.live.now());
        let facts = journey.story.facts.as_ref();
        if let (Ok(listener), Some(facts)) = (journey.listener(), facts) {
            let limits = &listener.edge.limits;
            let rate = usize::try_from(limits.min_rate.get()).unwrap_or(usize::MAX);
            session.set_read_timeout(Some(limits.body_timeout));
            session.set_write_timeout(Some(limits.body_timeout));
            session.set_min_send_rate(Some(rate));
            if facts.counts.requests() >= limits.requests_per_connection.get() {
                session.set_keepalive(None); // pingora has set it anew from the head
            }
        }
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        session.set_ignore_info_resp(true);
        session.set_close_on_response_before_downstream_finish(true);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, journey: &mut Journey) -> Result<bool> {
        strip_forged(session.req_header_mut());
        let decision = match Self::decide(session, journey).await {
            Ok(Decision::EndsSessions(login, under_way)) => {
                let decision = back_channel::decide(session, &login).await;
                drop(under_way);
                decision
            }
            other => other,
        };
        match decision {
            Ok(Decision::Admitted(admitted)) => {
                journey.stage = Stage::Admitted(admitted);
                Ok(GO_ON)
            }
            Ok(Decision::Answered(answer)) => {
                journey.stage = Stage::Answered;
                reply(session, &answer, &journey.story).await?;
                Ok(ANSWERED)
            }
            Ok(Decision::EndsSessions(..)) => Err(carry(Refusal::Internal)), // decided above
            Err(refusal) => {
                journey.stage = Stage::Refused(refusal);
                respond(session, refusal, &journey.story).await?;
                Ok(ANSWERED)
            }
        }
    }

    async fn upstream_peer(&self, _: &mut Session, journey: &mut Journey) -> Result<Box<HttpPeer>> {
        journey.attempts += 1;
        // What an attempt before had of the body is sent, and counted, once more.
        (journey.body, journey.body_began) = (0, None);
        let admitted = journey.admitted().map_err(carry)?;
        let (route, policy) = (admitted.route(), admitted.policy());
        let endpoint = route
            .upstream
            .endpoints
            .choose_or_wait()
            .await
            .ok_or_else(|| carry(Refusal::UpstreamNoEndpoint))?;
        let upgrades = if route.websocket {
            Upgrades::WebSocket
        } else {
            Upgrades::Refused
        };
        let peer = peer(&endpoint, policy, &route.upstream.timeouts, upgrades);
        let (text, address) = (endpoint.text, endpoint.address);
        let metrics = Arc::clone(&route.upstream.metrics);
        journey.upstream.begun.get_or_insert_with(Instant::now);
        journey
            .upstream
            .under_way
            .get_or_insert_with(|| metrics.request_started());
        journey.upstream.endpoint = Some(text);
        journey.upstream.address = Some(address);
        Ok(peer)
    }

    /// The last look before the first byte: the connection, new or from the pool, must be one that
    /// was verified for this route.
    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _reused: bool,
        _: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        journey: &mut Journey,
    ) -> Result<()> {
        let expected = journey.admitted().map_err(carry)?.policy().group_key;
        let facts: &UpstreamFacts =
            facts_of(digest).ok_or_else(|| carry(Refusal::UpstreamIdentityMismatch))?;
        if facts.group_key != expected || has_ended(&facts.identity) {
            return Err(carry(Refusal::UpstreamIdentityMismatch));
        }
        let upstream = &journey.admitted().map_err(carry)?.route().upstream;
        facts
            .deadline
            .set(journey.arrived + upstream.timeouts.total);
        upstream.endpoints.answered(&facts.endpoint);
        journey.upstream.in_use = Some(facts.lease.take());
        journey.upstream.identity = Some(Arc::clone(&facts.identity));
        journey.upstream.sent = Some(Instant::now());
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        journey: &mut Journey,
    ) -> Result<()> {
        forward::rewrite(request, journey)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        journey: &mut Journey,
    ) -> Result<()> {
        // An empty last piece (h2: DATA without data) would be written as the last chunk, and then the
        // last chunk once more: the next request on that connection would begin with it.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        let now = journey.now.clone();
        let listener = journey.story.facts.as_ref().zip(now.as_ref());
        let listener = listener.and_then(|(facts, now)| now.listener(&facts.listener));
        let listener = listener.ok_or_else(|| carry(Refusal::Internal))?;
        forward::request_body(body.as_ref(), end, journey, &listener.edge.limits)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        journey: &mut Journey,
    ) -> Result<()> {
        let asked = session.req_header().headers.get(http::header::UPGRADE);
        let asked = asked.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        forward::response_head(response, asked, journey)?;
        if journey.upgraded {
            let idle = journey.listener().map_err(carry)?.edge.limits.idle_timeout;
            session.set_read_timeout(Some(idle)); // who has nothing to say is not slow
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        _end: bool,
        journey: &mut Journey,
    ) -> Result<Option<Duration>> {
        forward::in_total_time(journey)?;
        Ok(None)
    }

    fn upstream_response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        _: &mut Journey,
    ) -> Result<()> {
        trailers.clear(); // HTTP/1.1 services have none that pingora hands on; nothing is guessed
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        journey: &mut Journey,
    ) -> Result<()> {
        if session.is_process_shutting_down() {
            session.set_keepalive(None); // the client should not ask here again
        }
        if let Some(ids) = &journey.story.ids {
            response.insert_header("x-request-id", ids.request.clone())?;
        }
        if let Some(changes) = journey.admitted().ok().and_then(Admitted::changes) {
            external::change_answer(response, changes)?;
        }
        set_told(response, &journey.story.told)?; // last: what it says of caches stands
        set_rate_limit(response, &journey.story.taken)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        journey: &mut Journey,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let attempts = journey.attempts;
        let failure = connect_failure(&error);
        if let Some(ConnectFailure::Handshake { who, .. }) = failure {
            journey.upstream.imposter.clone_from(who);
        }
        let elsewhere = failure.is_some_and(ConnectFailure::is_silence); // nothing was sent
        if let (Ok(admitted), Some(address)) = (journey.admitted(), journey.upstream.address) {
            let endpoints = &admitted.route().upstream.endpoints;
            endpoints.failed(&address, Instant::now());
            error.set_retry(elsewhere && attempts < ATTEMPTS_MAX && endpoints.several());
        }
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        journey: &mut Journey,
        client_reused: bool,
    ) -> Box<Error> {
        let again = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated()
            && journey.attempts < ATTEMPTS_MAX;
        // A connection of the pool that is not good for this route any more was told nothing.
        let unused = Ending::Refused(Refusal::UpstreamIdentityMismatch);
        if client_reused && sort(&error) == unused {
            error.set_retry(true);
        } else if again && client_reused && journey.answers == 0 && connection_gone(&error) {
            // pingora does so where the service closed politely; others cut, or reset.
            error.set_retry(true);
        } else if again {
            // Only what a pooled connection suffers that the service had closed meanwhile.
            error.retry.decide_reuse(client_reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        journey: &mut Journey,
    ) -> FailToProxy {
        journey.abuse = abuse(error);
        let mut ending = sort(error);
        if !journey.body_ended && waits_for_body(error) {
            journey.abuse = Some(ConnectionAbuse::BodyTimeout);
            ending = Ending::Refused(Refusal::BodyTimeout);
        }
        let Ending::Refused(refusal) = ending else {
            return FailToProxy {
                error_code: 0,
                can_reuse_downstream: false,
            };
        };
        if let Some(reason) = late_handshake_failure(error) {
            log::refused_by_service(reason, error, journey, &self.handshakes);
        }
        log::fault(refusal, error, &journey.story);
        journey.stage = Stage::Refused(refusal);
        if session.response_written().is_none() {
            session.set_keepalive(None);
            let told = respond(session, refusal, &journey.story).await;
            journey.client_gone = told.is_err_and(|error| sort(&error) == Ending::ClientGone);
        }
        FailToProxy {
            error_code: refusal.status().as_u16(),
            can_reuse_downstream: false,
        }
    }

    fn suppress_error_log(&self, _: &Session, _: &Journey, _: &Error) -> bool {
        true // the access log says it, with names
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, journey: &mut Journey) {
        let client_gone =
            journey.client_gone || error.is_some_and(|error| sort(error) == Ending::ClientGone);
        if let (Some(abuse), Ok(listener)) = (journey.abuse, journey.listener()) {
            listener.edge.metrics.connection_closed_for(abuse);
        }
        log::end(session, journey, client_gone, &self.metrics);
    }
}
