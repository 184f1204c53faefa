//! What was compiled for each listener, route and upstream.

use std::sync::Arc;

use http::HeaderMap;

use super::external_authorization::ExternalAuthorizationPlan;
use crate::assertion::Asserter;
use crate::authenticate::authenticator::Authenticator;
use crate::authorize::policy::RoutePolicy;
use crate::authorize::rules::Rules;
use crate::config::spec::{ForwardSpec, LimitKey, UpstreamTimeouts, UpstreamTlsSpec};
use crate::edge::listener::Listener;
use crate::exchange::Exchange;
use crate::identity::fields::has_twin;
use crate::identity::name::Name;
use crate::limit::in_flight::InFlight;
use crate::limit::store::Limiter;
use crate::observe::{RouteMetrics, UpstreamMetrics};
use crate::refusal::Refusal;
use crate::upstream::{Endpoints, Protocol};

/// One listener.
#[derive(Debug)]
pub struct ListenerPlan {
    /// Its TLS and its bounds.
    pub edge: Arc<Listener>,
    /// The limit in front of the token check.
    pub peers: Arc<Limiter>,
    /// Requests under way of each peer.
    pub in_flight: InFlight,
}

/// One route: who may, how often, and to where.
#[derive(Debug)]
pub struct RoutePlan {
    /// Its name in the configuration.
    pub name: Name,
    /// How a caller shows whom it acts for.
    pub authenticator: Authenticator,
    /// The only listeners that may reach it; none: every listener.
    pub listeners: Option<Box<[Name]>>,
    /// Which peers and subjects may.
    pub rules: Rules,
    /// What else must hold.
    pub route_policy: RoutePolicy,
    /// For how many seconds after its end a client's certificate is let in: commonly 0.
    pub grace_seconds: u32,
    /// How often.
    pub limits: Box<[LimitPlan]>,
    /// To where.
    pub upstream: Arc<UpstreamPlan>,
    /// Who may answer there: the upstream's policy, or one that this route narrowed.
    pub policy: PolicyId,
    /// What the service is told.
    pub forward: ForwardSpec,
    /// Who signs what the service is told, if the route wants that.
    pub asserter: Option<Arc<Asserter>>,
    /// Who else is asked whether a request may pass.
    pub external_authorization: Option<ExternalAuthorizationPlan>,
    /// What becomes of the client's token.
    pub exchange: Option<Arc<Exchange>>,
    /// The largest body, in bytes.
    pub max_body: u64,
    /// Whether WebSocket may be spoken.
    pub websocket: bool,
    /// Its counters.
    pub metrics: Arc<RouteMetrics>,
}

impl RoutePlan {
    /// Whether requests that come to this listener may reach the route. Where they may not, no
    /// other route is looked for: what a listener may not have, it does not get under a wider rule.
    ///
    /// # Errors
    ///
    /// [`Refusal::ListenerNotAllowed`].
    pub fn check_listener(&self, listener: &Name) -> Result<(), Refusal> {
        let allowed = match &self.listeners {
            None => true,
            Some(listeners) => listeners.contains(listener),
        };
        allowed.then_some(()).ok_or(Refusal::ListenerNotAllowed)
    }

    /// Whether a field that a limit or a rule names is there in another spelling.
    pub(super) fn has_twin(&self, headers: &HeaderMap) -> bool {
        let of_limits = self.limits.iter().filter_map(|limit| match &limit.key {
            LimitKey::Header(name) => Some(name),
            LimitKey::Client | LimitKey::Subject | LimitKey::Source => None,
        });
        let mut named = of_limits.chain(self.route_policy.fields());
        named.any(|name| has_twin(headers, name))
    }

    /// Whether a certificate that has been over for so many seconds is let in.
    ///
    /// # Errors
    ///
    /// [`Refusal::CertificateExpired`].
    pub const fn check_seconds_over(&self, seconds: u32) -> Result<(), Refusal> {
        if seconds <= self.grace_seconds {
            Ok(())
        } else {
            Err(Refusal::CertificateExpired)
        }
    }
}

/// Which of the snapshot's policies: our key pair and whom we believe may change while the route
/// stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyId(pub(super) usize);

/// What a policy is made from, beside key material.
#[derive(Clone, Debug)]
pub(super) struct PolicyTerms {
    /// The upstream, or whoever else is asked.
    pub(super) upstream: Name,
    /// Who we are there, and who may answer.
    pub(super) tls: UpstreamTlsSpec,
    /// What is spoken with it.
    pub(super) protocol: Protocol,
    /// Where its handshakes are counted.
    pub(super) metrics: Arc<UpstreamMetrics>,
    /// The place in the configuration that says so.
    pub(super) place: String,
}

/// One limit of a route.
#[derive(Debug)]
pub struct LimitPlan {
    /// By what name clients know it.
    pub name: Arc<str>,
    /// The counters.
    pub limiter: Arc<Limiter>,
    /// Whose requests count together.
    pub key: LimitKey,
}

/// One upstream.
#[derive(Debug)]
pub struct UpstreamPlan {
    /// Its name in the configuration.
    pub name: Name,
    /// Where it listens.
    pub endpoints: Arc<Endpoints>,
    /// Its timeouts.
    pub timeouts: UpstreamTimeouts,
    /// Requests under way.
    pub in_flight: InFlight,
    /// Its counters.
    pub metrics: Arc<UpstreamMetrics>,
}
