//! [`Authorizer`]: asks one authorization service.

use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use http::HeaderName;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, FieldRules, Verdict};
use super::connection::{Connection, Ended};
use super::failure::Failure;
use super::line::Line;
use super::question::{Question, Telling, is_credential};
use super::shares::Shares;
use crate::config::external_authorization::{ExternalAuthorizationSpec, WhenAway};
use crate::identity::name::Name;
use crate::observe::{CheckResult, ExternalAuthorizationMetrics};
use crate::upstream::{Endpoints, MtlsConnector, Policy};

/// One entry of `external_authorization`.
#[derive(Debug)]
pub struct Authorizer {
    name: Name,
    /// What it is called in its requests.
    authority: Box<str>,
    timeout: Duration,
    when_away: WhenAway,
    telling: Telling,
    shares: Arc<Shares>,
    line: Arc<Line>,
    metrics: Arc<ExternalAuthorizationMetrics>,
}

/// A question is put once more where its connection ended: it changes nothing.
const TRIES: usize = 2;

impl Authorizer {
    /// What the configuration says. Connection and counts of `before` go on, if it is about the same
    /// endpoints.
    #[must_use]
    pub fn new(
        name: &Name,
        spec: &ExternalAuthorizationSpec,
        endpoints: Arc<Endpoints>,
        connector: MtlsConnector,
        metrics: Arc<ExternalAuthorizationMetrics>,
        before: Option<&Self>,
    ) -> Self {
        let same = before.filter(|before| Arc::ptr_eq(&before.line.endpoints, &endpoints));
        let alike = same.filter(|before| before.shares.in_flight == spec.in_flight);
        Self {
            name: name.clone(),
            authority: spec.tls.server_name.to_string().into(),
            timeout: spec.timeout,
            when_away: spec.when_away,
            telling: Telling {
                certificate: spec.certificate,
                credentials: spec.send_credentials.as_slice().into(),
                of_answer: spec.may_set.as_slice().into(),
            },
            shares: alike.map_or_else(
                || Arc::new(Shares::new(spec.in_flight)),
                |before| Arc::clone(&before.shares),
            ),
            line: same.map_or_else(
                || Line::new(endpoints, connector),
                |before| Arc::clone(&before.line),
            ),
            metrics,
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.line.endpoints
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> &ExternalAuthorizationMetrics {
        &self.metrics
    }

    /// The fields of clients that do not reach the service, for only an answer sets them.
    #[must_use]
    pub fn dropped(&self) -> Vec<HeaderName> {
        let names = self.telling.of_answer.iter();
        names.filter(|name| !is_credential(name)).cloned().collect()
    }

    /// Whether a request goes on to its service although there is no answer.
    #[must_use]
    pub fn lets_pass(&self, failure: Failure) -> bool {
        failure.is_away() && self.when_away == WhenAway::Allow
    }

    /// Asks, under the policy of now; there is none while the source of our key pair has given none.
    ///
    /// # Errors
    ///
    /// [`Failure`]: there is no answer that could be followed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the question back.
    pub async fn check(
        &self,
        policy: Option<&Arc<Policy>>,
        question: &Question<'_>,
        rules: &FieldRules<'_>,
    ) -> Result<Verdict, Failure> {
        let began = StdInstant::now();
        let under_way = self.metrics.check_started();
        let outcome = self.ask(policy, question, rules).await;
        drop(under_way);
        let result = match &outcome {
            Ok(Verdict::Allowed(_)) => CheckResult::Allowed,
            Ok(Verdict::Denied(_)) => CheckResult::Denied,
            Err(failure) => failure.result(),
        };
        self.metrics.check_ended(result, began.elapsed());
        outcome
    }

    async fn ask(
        &self,
        policy: Option<&Arc<Policy>>,
        question: &Question<'_>,
        rules: &FieldRules<'_>,
    ) -> Result<Verdict, Failure> {
        let policy = policy.ok_or(Failure::NotProven)?;
        let deadline = Instant::now() + self.timeout;
        let places = self.shares.now(|| self.line.streams());
        let place = places.take(question.client).ok_or(Failure::Busy)?;
        let message = question.encode(&self.telling);
        // Whether anybody is there is known without a turn, and how many he takes at a time only then.
        drop(self.line.connection(policy, deadline).await?);
        let turn = match timeout_at(deadline, place.turn()).await {
            Ok(turn) => turn.ok_or(Failure::Busy)?,
            // Nobody was asked: others were first, and many of them this client's own.
            Err(_elapsed) => return Err(Failure::Busy),
        };
        let answer = self.put(policy, &message, deadline).await;
        drop(turn);
        answer::read(&answer?, rules, &self.telling.of_answer).map_err(Failure::Unusable)
    }

    async fn put(
        &self,
        policy: &Arc<Policy>,
        message: &Bytes,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let mut tries = TRIES;
        let mut reset: Option<Arc<Connection>> = None;
        let mut told = false;
        while tries > 0 {
            tries -= 1;
            let connection = self.line.connection(policy, deadline).await;
            // Who was told the question was there, and is gone since: it may be the reason.
            let connection = connection.map_err(|failure| match told && failure.is_away() {
                true => Failure::Unavailable,
                false => failure,
            })?;
            told = true;
            let (before, asked_at) = (connection.answers(), Instant::now());
            let asked = connection.ask(&self.authority, message.clone(), self.timeout);
            match timeout_at(deadline, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Ended::Failed(failure))) => return Err(failure),
                Ok(Err(Ended::Reset)) => reset = Some(connection),
                Ok(Err(Ended::Broken)) => {
                    self.line.leave(&connection);
                    // The reset was the first sign of this connection's end: that was one try.
                    let known = reset.take_if(|reset| Arc::ptr_eq(reset, &connection));
                    tries += usize::from(known.is_some());
                }
                Err(_elapsed) => {
                    // Nobody has heard of it for as long: it may be gone without a word. A question that
                    // had to wait for its turn says nothing about that.
                    let long = asked_at.elapsed() >= self.timeout / 2;
                    if long && connection.answers() == before {
                        self.line.leave(&connection);
                    }
                    return Err(Failure::TimedOut);
                }
            }
        }
        Err(Failure::Unavailable)
    }
}
