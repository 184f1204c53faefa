//! [`Journey`]: how far a request has come; pingora's context for each request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admit::Admitted;
use super::ids::RequestIds;
use crate::authenticate::told::{Reply, Told};
use crate::authorize::policy::Heard;
use crate::edge::facts::ConnectionFacts;
use crate::identity::certificate::PeerIdentity;
use crate::identity::subject::Subject;
use crate::limit::store::Taken;
use crate::observe::{ConnectionAbuse, UpstreamRequest};
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;
use crate::snapshot::plan::{ListenerPlan, RoutePlan};
use crate::upstream::InUse;

/// One request, from its head to its log line.
#[derive(Debug)]
pub struct Journey {
    /// When its head was read.
    pub(super) arrived: Instant,
    /// The configuration that decides about it from start to end.
    pub(super) now: Option<Arc<Snapshot>>,
    pub(super) stage: Stage,
    /// What was found out about it.
    pub(super) story: Story,
    /// Bytes of its body so far.
    pub(super) body: u64,
    /// When its first piece came.
    pub(super) body_began: Option<Instant>,
    /// Whether the whole body has come.
    pub(super) body_ended: bool,
    /// Whether the service agreed to speak WebSocket: what flows from then on is no body.
    pub(super) upgraded: bool,
    /// Which bound of its connection the client ran into.
    pub(super) abuse: Option<ConnectionAbuse>,
    /// Whether the client did not wait for the answer that says what went wrong.
    pub(super) client_gone: bool,
    /// Attempts to reach a service.
    pub(super) attempts: u32,
    /// Heads of answers so far, informational ones included.
    pub(super) answers: u32,
    pub(super) upstream: UpstreamStory,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Stage {
    Arrived,
    Admitted(Box<Admitted>),
    /// The gateway answered by itself, and refused nothing.
    Answered,
    Refused(Refusal),
}

/// What was found out about a request, for the log and for the answer.
#[derive(Debug, Default)]
pub struct Story {
    /// The connection that it came on.
    pub facts: Option<Arc<ConnectionFacts>>,
    /// Its identifiers.
    pub ids: Option<RequestIds>,
    /// The host, canonical.
    pub host: Option<String>,
    /// The path, normal; never the query.
    pub path: Option<String>,
    /// The route that matched, whether or not it let the request through.
    pub route: Option<Arc<RoutePlan>>,
    /// For how many seconds its certificate was over when a route let it in all the same.
    pub certificate_over: u32,
    /// Whom the token speaks for, once it was verified.
    pub subject: Option<Arc<Subject>>,
    /// What the answer must say about how the caller was authenticated.
    pub told: Told,
    /// What came of asking an authorization service.
    pub external_authorization: Option<&'static str>,
    /// What the client is told of its no.
    pub denial: Option<Box<Reply>>,
    /// What the rules of the route's policy said.
    pub policy: Heard,
    /// What the route's limits said.
    pub taken: Vec<(Arc<str>, Taken)>,
}

/// What is known of the service that answers.
#[derive(Debug, Default)]
pub(super) struct UpstreamStory {
    /// The endpoint that was chosen last, in the configuration's words.
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) address: Option<SocketAddr>,
    /// Who it proved to be; or who it said it was, where that was refused.
    pub(super) identity: Option<Arc<PeerIdentity>>,
    pub(super) imposter: Option<String>,
    /// When the service began to count, connecting included.
    pub(super) begun: Option<Instant>,
    /// Counts the request as under way there until it is dropped with the journey.
    pub(super) under_way: Option<UpstreamRequest>,
    /// Holds the connection that the request was handed to.
    pub(super) in_use: Option<InUse>,
    /// When the request was handed to a connection.
    pub(super) sent: Option<Instant>,
    /// How long the head of the answer took.
    pub(super) answered: Option<Duration>,
}

impl Journey {
    pub(super) fn new(arrived: Instant) -> Self {
        Self {
            arrived,
            now: None,
            stage: Stage::Arrived,
            story: Story::default(),
            body: 0,
            body_began: None,
            body_ended: false,
            upgraded: false,
            abuse: None,
            client_gone: false,
            attempts: 0,
            answers: 0,
            upstream: UpstreamStory::default(),
        }
    }

    /// # Errors
    ///
    /// [`Refusal::NotAdmitted`] if the request did not pass [`super::admit::admit`]: a phase that
    /// runs too early refuses.
    pub(super) fn admitted(&self) -> Result<&Admitted, Refusal> {
        match &self.stage {
            Stage::Admitted(admitted) => Ok(admitted),
            Stage::Arrived | Stage::Answered | Stage::Refused(_) => Err(Refusal::NotAdmitted),
        }
    }

    /// The listener that it came to, as its snapshot has it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Internal`] before the first phase of the request.
    pub(super) fn listener(&self) -> Result<&ListenerPlan, Refusal> {
        let (Some(now), Some(facts)) = (&self.now, &self.story.facts) else {
            return Err(Refusal::Internal);
        };
        now.listener(&facts.listener)
            .map(AsRef::as_ref)
            .ok_or(Refusal::Internal)
    }

    /// Why it was refused, if it was.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match &self.stage {
            Stage::Refused(refusal) => Some(*refusal),
            Stage::Arrived | Stage::Answered | Stage::Admitted(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_runs_before_admit_or_after_a_refusal_is_refused() {
        let mut journey = Journey::new(Instant::now());
        for stage in [
            Stage::Arrived,
            Stage::Answered,
            Stage::Refused(Refusal::RouteUnknown),
        ] {
            journey.stage = stage;
            assert_eq!(journey.admitted().err(), Some(Refusal::NotAdmitted));
        }
    }
}
