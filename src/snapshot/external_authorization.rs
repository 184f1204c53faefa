//! Who is asked whether requests may pass: the plans of `external_authorization`.

use std::sync::Arc;

use super::Snapshot;
use super::plan::{PolicyId, PolicyTerms};
use super::planner::Planner;
use crate::config::external_authorization::WhenAway;
use crate::config::spec::{RouteSpec, Spec};
use crate::external_authorization::Authorizer;
use crate::upstream::{MtlsConnector, Policy, Protocol};

/// Who is asked, and what the answer counts.
#[derive(Clone, Debug)]
pub struct ExternalAuthorizationPlan {
    /// Who is asked.
    pub authorizer: Arc<Authorizer>,
    /// Whether the answer is only counted.
    pub report_only: bool,
    policy: PolicyId,
}

const OPEN: &str = "`allow` lets requests pass unasked while no endpoint takes a connection: \
     whoever can bring the service down, or cut it off, decides that. `refuse` is for rules that \
     keep somebody out";

impl Planner<'_> {
    /// Plans all of them, for the routes to name.
    pub(super) fn external_authorizations(&mut self, spec: &Spec) {
        for (name, asked) in &spec.external_authorization {
            if asked.when_away == WhenAway::Allow {
                self.warnings
                    .push(format!("external_authorization.{name}.when_away: {OPEN}"));
            }
            let metrics = self.stores.metrics.upstream(name);
            let endpoints = self
                .stores
                .endpoints
                .endpoints(name, &asked.endpoints, &metrics);
            let connector = MtlsConnector::new(
                Arc::clone(&self.stores.policies),
                Arc::clone(&self.stores.handshakes),
            );
            let before = self
                .previous
                .and_then(|before| before.external_authorizations.get(name));
            let authorizer = Authorizer::new(
                name,
                asked,
                endpoints,
                connector,
                self.stores.metrics.external_authorization(name),
                before.map(|before| &*before.authorizer),
            );
            let policy = self.add_terms(PolicyTerms {
                upstream: name.clone(),
                tls: asked.tls.clone(),
                protocol: Protocol::Http2,
                metrics,
                place: format!("external_authorization.{name}.tls"),
            });
            let plan = ExternalAuthorizationPlan {
                authorizer: Arc::new(authorizer),
                report_only: false,
                policy,
            };
            self.external_authorizations.insert(name.clone(), plan);
        }
    }

    /// That of a route, if it names one.
    pub(super) fn external_authorization(
        &self,
        route: &RouteSpec,
    ) -> Option<ExternalAuthorizationPlan> {
        let named = route.external_authorization.as_ref()?;
        let plan = self.external_authorizations.get(&named.by)?;
        Some(ExternalAuthorizationPlan {
            report_only: named.report_only,
            ..plan.clone()
        })
    }
}

impl Snapshot {
    /// On what terms an authorization service is spoken to. `None` while the source of our key pair has
    /// given none.
    #[must_use]
    pub fn external_policy(&self, plan: &ExternalAuthorizationPlan) -> Option<&Arc<Policy>> {
        self.policies.get(plan.policy.0)?.as_ref()
    }
}
