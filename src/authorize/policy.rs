//! [`RoutePolicy`]: what must hold of a request beside `clients` and `token` of its route.
//!
//! Each rule must hold. One that is wrong about a request, or cannot be answered, refuses it, unless
//! it is `report_only`: then it is counted and logged, so that an operator sees what it would refuse.

use std::sync::Arc;

use http::HeaderName;

use crate::config::policy::{AllowSpec, PolicySpec, RuleAsks};
use crate::expression::{Expression, Failure, Question, Seen};
use crate::identity::name::Name;
use crate::identity::spiffe_template::SpiffeTemplate;
use crate::observe::{RouteMetrics, RuleMetrics, RuleResult};
use crate::refusal::Refusal;

/// The rules of a route.
#[derive(Debug, Default)]
pub struct RoutePolicy {
    rules: Box<[Rule]>,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    asks: Asks,
    report_only: bool,
    metrics: Arc<RuleMetrics>,
}

#[derive(Debug)]
enum Asks {
    SubjectIsPeer(SpiffeTemplate),
    Allow(Box<[AllowSpec]>),
    Cel(Arc<Expression>),
}

/// What the rules said of one request.
#[derive(Debug, Default)]
pub struct Heard {
    /// The rule that refused it.
    pub refused_by: Option<Arc<str>>,
    /// Why that rule could not be answered.
    pub failure: Option<Failure>,
    /// The rules that would have refused it, and only report; of those that could not be answered, why.
    pub would_refuse: Vec<(Arc<str>, Option<Failure>)>,
    results: Vec<RuleResult>,
}

/// Under this name `subject_is_peer` is counted and logged; no rule has it.
const SUBJECT_IS_PEER: &str = "subject_is_peer";

impl RoutePolicy {
    /// The rules that a route's configuration states, with their counters.
    #[must_use]
    pub fn new(spec: &PolicySpec, metrics: &RouteMetrics) -> Self {
        let subject_is_peer = spec.subject_is_peer.iter().map(|it| {
            let asks = Asks::SubjectIsPeer(it.template.clone());
            (SUBJECT_IS_PEER, asks, it.report_only)
        });
        let others = spec.rules.iter().map(|rule| {
            let asks = match &rule.asks {
                RuleAsks::Allow(any) => Asks::Allow(any.clone().into()),
                RuleAsks::Cel(expression) => Asks::Cel(Arc::clone(expression)),
            };
            (rule.name.as_str(), asks, rule.report_only)
        });
        let rules: Vec<_> = subject_is_peer.chain(others).collect();
        let named = rules
            .iter()
            .map(|(name, _, report_only)| (*name, *report_only));
        let counters = metrics.set_rules(named);
        let rules = rules.into_iter().zip(counters);
        Self {
            rules: rules
                .map(|((name, asks, report_only), metrics)| Rule {
                    name: name.into(),
                    asks,
                    report_only,
                    metrics,
                })
                .collect(),
        }
    }

    /// Whether the rules let a request through. What they said goes to `heard`.
    ///
    /// # Errors
    ///
    /// [`Refusal::SubjectNotPeer`] or [`Refusal::PolicyRefused`], of the first rule that refuses; those
    /// behind it are not asked.
    pub fn check(&self, question: Question<'_>, heard: &mut Heard) -> Result<(), Refusal> {
        let seen = Seen::new(question);
        for rule in &self.rules {
            let held = rule.asks.hold(&seen);
            heard.results.push(match held {
                Ok(true) => RuleResult::Allowed,
                Ok(false) => RuleResult::Refused,
                Err(_) => RuleResult::Failed,
            });
            let failure = match held {
                Ok(true) => continue,
                Ok(false) => None,
                Err(failure) => Some(failure),
            };
            let name = Arc::clone(&rule.name);
            if rule.report_only {
                heard.would_refuse.push((name, failure));
                continue;
            }
            heard.refused_by = Some(name);
            heard.failure = failure;
            return Err(match rule.asks {
                Asks::SubjectIsPeer(_) => Refusal::SubjectNotPeer,
                Asks::Allow(_) | Asks::Cel(_) => Refusal::PolicyRefused,
            });
        }
        Ok(())
    }

    /// The header fields that rules name.
    pub fn fields(&self) -> impl Iterator<Item = &HeaderName> {
        self.rules.iter().flat_map(|rule| match &rule.asks {
            Asks::Cel(expression) => expression.fields(),
            Asks::Allow(_) | Asks::SubjectIsPeer(_) => &[],
        })
    }

    /// Counts what the rules said. Apart from [`Self::check`], for a rehearsal is no request.
    pub fn count(&self, heard: &Heard) {
        for (rule, result) in self.rules.iter().zip(&heard.results) {
            rule.metrics.add(rule.report_only, *result);
        }
    }
}

impl Heard {
    /// For the log: why rules could not be answered. Of those that only report, each with its name.
    #[must_use]
    pub fn failures(&self) -> Option<String> {
        let reported = self.would_refuse.iter();
        let reported = reported.filter_map(|(name, failure)| {
            let failure = failure.as_ref()?;
            Some(format!("{name}: {failure}"))
        });
        let of_refusal = self.failure.iter().map(ToString::to_string);
        let all: Vec<String> = of_refusal.chain(reported).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// For the log: the rules that would have refused, and only report.
    #[must_use]
    pub fn reported(&self) -> Option<String> {
        let names: Vec<&str> = self.would_refuse.iter().map(|(name, _)| &**name).collect();
        (!names.is_empty()).then(|| names.join(","))
    }
}

impl Asks {
    /// Whether the request is as it must be.
    fn hold(&self, seen: &Seen<'_>) -> Result<bool, Failure> {
        let question = seen.question();
        match self {
            Self::Cel(expression) => expression.holds(seen),
            Self::Allow(any) => Ok(any.iter().any(|one| fits(one, question))),
            Self::SubjectIsPeer(template) => {
                let id = question.peer.and_then(|peer| peer.spiffe.as_ref());
                let both = id.zip(question.subject);
                Ok(both.is_some_and(|(id, subject)| template.matches(id, subject)))
            }
        }
    }
}

/// Whether a request has all that is asked.
fn fits(asked: &AllowSpec, question: &Question<'_>) -> bool {
    let is_client = asked.identities.is_empty()
        || question
            .peer
            .is_some_and(|peer| asked.identities.iter().any(|client| client.matches(peer)));
    let of_token = asked.issuer.is_some() || !asked.scopes.is_empty() || !asked.claims.is_empty();
    if !is_client || !of_token {
        return is_client;
    }
    question.subject.is_some_and(|subject| {
        let issuer = |issuer: &Name| *issuer == subject.issuer;
        let scopes = asked.scopes.iter();
        let mut claims = asked.claims.iter();
        asked.issuer.as_ref().is_none_or(issuer)
            && scopes
                .map(String::as_str)
                .all(|scope| subject.has_scope(scope))
            && claims.all(|(path, test)| {
                let claim = path.find(&subject.claims);
                claim.is_some_and(|claim| test.holds(claim))
            })
    })
}
