//! [`admit`]: everything that can say no to a request, in the order in which it is asked. This is
//! the table of contents of the gateway.

use std::sync::Arc;

use http::{HeaderValue, Method};
use rustls::pki_types::UnixTime;

use super::bounds::{
    body_size, callback_rate, limits, peer_rate, under_way_at_upstream, under_way_of_peer,
};
use super::credentials;
use super::external;
use super::head::{RequestHead, target};
use super::journey::Story;
use crate::authenticate::authenticator::{Asked, Authenticated};
use crate::authenticate::login::{Login, LoginPlace};
use crate::authenticate::told::Reply;
use crate::edge::facts::ConnectionFacts;
use crate::expression::Question;
use crate::external_authorization::Changes;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::host::Authority;
use crate::identity::path::NormalPath;
use crate::identity::subject::{Credential, Subject};
use crate::limit::in_flight::InFlightGuard;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;
use crate::snapshot::logins::OwnPlace;
use crate::snapshot::plan::RoutePlan;
use crate::upstream::Policy;

/// The proof that a request may go on: [`admit`] is its only maker, and whatever comes later asks
/// for it.
#[derive(Debug)]
#[must_use = "an admitted request counts as in flight until this is dropped"]
pub struct Admitted {
    route: Arc<RoutePlan>,
    policy: Arc<Policy>,
    subject: Option<Arc<Subject>>,
    authority: Authority,
    path: NormalPath,
    query: Option<Box<str>>,
    certificate_over: u32,
    changes: Option<Box<Changes>>,
    authorization: Option<HeaderValue>,
    _of_peer: InFlightGuard,
    _of_upstream: InFlightGuard,
}

impl Admitted {
    /// The route that lets it through.
    #[must_use]
    pub fn route(&self) -> &RoutePlan {
        &self.route
    }

    /// On what terms its service is spoken to.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whom the token speaks for, if the route wants a token.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_deref()
    }

    /// What the authorization service that was asked changes.
    #[must_use]
    pub fn changes(&self) -> Option<&Changes> {
        self.changes.as_deref()
    }

    /// What stands in place of the client's credential, if it was exchanged.
    #[must_use]
    pub const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// `path?query` as it is forwarded: the form that was matched.
    #[must_use]
    pub fn target(&self) -> String {
        target(&self.path, self.query.as_deref())
    }

    /// For how many seconds the client's certificate has been over: 0 unless the route has a grace.
    #[must_use]
    pub const fn certificate_over(&self) -> u32 {
        self.certificate_over
    }

    /// The host as it is forwarded, with the port if the client named one.
    #[must_use]
    pub fn authority_text(&self) -> String {
        authority_text(&self.authority)
    }
}

/// `HOST` or `HOST:PORT`.
pub(super) fn authority_text(authority: &Authority) -> String {
    match authority.port {
        Some(port) => format!("{}:{port}", authority.host),
        None => authority.host.to_string(),
    }
}

/// What was decided about a request that is not refused.
#[derive(Debug)]
pub enum Decision {
    /// It goes on to its service.
    Admitted(Box<Admitted>),
    /// The gateway answers by itself.
    Answered(Box<Reply>),
    /// The gateway answers by itself, once it has read the body: a server ends sessions. Until then it
    /// counts as under way.
    EndsSessions(Arc<Login>, InFlightGuard),
}

/// Decides about one request.
///
/// # Errors
///
/// The first refusal. Nothing has been sent upstream then. What was found out on the way stands in
/// `story`, for the log.
pub async fn admit(
    head: &RequestHead<'_>,
    facts: &ConnectionFacts,
    now: &Snapshot,
    story: &mut Story,
) -> Result<Decision, Refusal> {
    if !facts.is_for(&head.authority.host) {
        return Err(Refusal::Misdirected);
    }
    let listener = now.listener(&facts.listener).ok_or(Refusal::Internal)?;
    let time = UnixTime::now();
    facts.stands(&listener.edge, time).map_err(no_longer)?;
    let over = facts
        .identity()
        .map_or(0, |peer| peer.seconds_over(seconds(time)));
    peer_rate(facts, listener, story)?;
    let of_peer = under_way_of_peer(listener, facts)?;
    let peer = facts.identity().map(AsRef::as_ref);
    let asked = asked(head, facts, time);
    let own = now
        .logins()
        .place(&facts.listener, &head.authority.host, &head.path);
    if let Some(own) = own {
        if over > 0 {
            return Err(Refusal::CertificateExpired); // a grace is a route's
        }
        if own.place == LoginPlace::Callback {
            callback_rate(facts, own.callbacks, story)?;
        }
        return own_answer(&own, &asked, story, of_peer).await;
    }
    let route = now
        .route(&head.authority.host, &head.path, head.method, head.headers)
        .ok_or(Refusal::RouteUnknown)?;
    story.route = Some(Arc::clone(route));
    route.check_listener(&facts.listener)?;
    route.check_seconds_over(over)?;
    story.certificate_over = over;
    route.rules.check_peer(peer)?;
    let subject = match authenticated(&asked, route, story).await? {
        Authenticated::Anyone => None,
        Authenticated::As(subject) => Some(subject),
        Authenticated::Reply(reply) => return Ok(Decision::Answered(reply)),
    };
    let query = credentials::without_parameters(head.query, &route.authenticator);
    let question = question(&asked, query.as_deref(), (facts, route), subject.as_deref());
    authorized(question, subject.as_deref(), route, story)?;
    body_size(head, route)?;
    limits(head, facts, route, subject.as_deref(), story)?;
    let policy = now
        .policy(route)
        .ok_or(Refusal::UpstreamIdentityUnavailable)?;
    let of_upstream = under_way_at_upstream(route)?;
    let changes = external::authorize(head, facts, now, route, story).await?;
    let authorization = exchange(&asked, route, subject.as_deref()).await?;
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    facts.used(&route.metrics, &route.name, seconds);
    Ok(Decision::Admitted(Box::new(Admitted {
        route: Arc::clone(route),
        policy: Arc::clone(policy),
        subject,
        authority: head.authority.clone(),
        path: head.path.clone(),
        query: query.map(Into::into),
        certificate_over: over,
        changes,
        authorization,
        _of_peer: of_peer,
        _of_upstream: of_upstream,
    })))
}

/// For whom it asks, by what it shows.
async fn authenticated(
    asked: &Asked<'_>,
    route: &RoutePlan,
    story: &mut Story,
) -> Result<Authenticated, Refusal> {
    credentials::check_fields(asked.headers, &route.authenticator)?;
    let authenticator = &route.authenticator;
    let authenticated = authenticator.authenticate(asked, &mut story.told).await?;
    if let Authenticated::As(subject) = &authenticated {
        story.subject = Some(Arc::clone(subject));
    }
    Ok(authenticated)
}

/// Whether whoever it asks for may, by the rules and the policy of the route.
fn authorized(
    question: Question<'_>,
    subject: Option<&Subject>,
    route: &RoutePlan,
    story: &mut Story,
) -> Result<(), Refusal> {
    route.rules.check_subject(subject).inspect_err(|_refusal| {
        story.told.detail = subject.and_then(|subject| route.rules.lacking(subject));
    })?;
    let allowed = route.route_policy.check(question, &mut story.policy);
    route.route_policy.count(&story.policy);
    allowed
}

/// What a login answers on paths of its own, which no route has.
async fn own_answer(
    own: &OwnPlace<'_>,
    asked: &Asked<'_>,
    story: &mut Story,
    of_peer: InFlightGuard,
) -> Result<Decision, Refusal> {
    if own.place != LoginPlace::BackChannel {
        let answer = own.login.answer(own.place, asked, &mut story.told).await?;
        return Ok(Decision::Answered(answer));
    }
    if asked.method != Method::POST {
        return Err(Refusal::MethodRefused);
    }
    Ok(Decision::EndsSessions(Arc::clone(own.login), of_peer))
}

fn asked<'r>(head: &'r RequestHead<'r>, facts: &'r ConnectionFacts, time: UnixTime) -> Asked<'r> {
    Asked {
        method: head.method,
        authority: &head.authority,
        path: &head.path,
        query: head.query,
        headers: head.headers,
        peer: facts.identity().map(AsRef::as_ref),
        client: &facts.peer_key,
        now: time.as_secs(),
    }
}

/// What rules may ask about: the request as it goes on to the service.
fn question<'r>(
    asked: &Asked<'r>,
    query: Option<&'r str>,
    (facts, route): (&'r ConnectionFacts, &'r RoutePlan),
    subject: Option<&'r Subject>,
) -> Question<'r> {
    Question {
        peer: asked.peer,
        subject,
        method: asked.method,
        host: &asked.authority.host,
        path: asked.path,
        query,
        headers: asked.headers,
        credentials: route.authenticator.fields(),
        listener: Some(&facts.listener),
        now: asked.now,
    }
}

/// Seconds since 1970.
fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// What a client that lost its standing is told, by why it did.
fn no_longer(why: HandshakeFailure) -> Refusal {
    if why == HandshakeFailure::CertificateMissing {
        Refusal::CertificateMissing
    } else if why == HandshakeFailure::CertificateExpired {
        Refusal::CertificateExpired
    } else if why == HandshakeFailure::CertificateRevoked
        || why == HandshakeFailure::CertificateDenied
    {
        Refusal::CertificateRevoked
    } else {
        Refusal::CertificateUntrusted
    }
}

/// The token for the service, where the route wants that the client's is exchanged.
async fn exchange(
    asked: &Asked<'_>,
    route: &RoutePlan,
    subject: Option<&Subject>,
) -> Result<Option<HeaderValue>, Refusal> {
    let Some(exchange) = &route.exchange else {
        return Ok(None);
    };
    let subject = subject.ok_or(Refusal::TokenMissing)?;
    match subject.credential {
        Credential::Jwt | Credential::Introspected => {}
        Credential::ApiKey | Credential::Login => return Err(Refusal::TokenMissing), // no token
    }
    let token = route.authenticator.shown_token(asked)?;
    let authorization = exchange.authorization(token, subject, asked.client, asked.now);
    authorization.await.map(Some)
}
