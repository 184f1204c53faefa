//! Which routes a listener reaches, and what follows from it: how long ago a certificate may have
//! ended for its handshake, and where routes of one host disagree about clients without one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::coverage::serves;
use super::plan::{ListenerPlan, RoutePlan};
use crate::config::possession::Demand;
use crate::config::spec::{ClientCertificate, ClientsSpec, HostPattern, RouteSpec, TokenSpec};
use crate::identity::host::Host;
use crate::identity::name::Name;

/// More are counted, not told: one open route beside many closed ones is told once for each host.
const TOLD_MAX: usize = 20;

/// Whether requests that come to a listener may reach a route.
pub(super) fn reaches(listener: &Name, route: &RouteSpec) -> bool {
    route.listeners.is_empty() || route.listeners.contains(listener)
}

/// For how many seconds after its end the route lets a certificate in.
pub(super) fn grace_seconds(route: &RouteSpec) -> u32 {
    let seconds = route.grace_after_expiry.map_or(0, |grace| grace.as_secs());
    u32::try_from(seconds).unwrap_or(u32::MAX) // at most 72 h
}

/// The largest grace among the routes that a listener reaches: handshakes let pass what one of them
/// might let in, and each request is held against its own route.
pub(super) fn largest_grace(listener: &Name, routes: &[Arc<RoutePlan>]) -> Duration {
    let reached = routes
        .iter()
        .filter(|route| route.check_listener(listener).is_ok());
    let seconds = reached.map(|route| route.grace_seconds).max();
    Duration::from_secs(seconds.unwrap_or(0).into())
}

/// Whether no client without a certificate gets through.
fn needs_certificate(route: &RouteSpec) -> bool {
    let bound = match &route.token {
        TokenSpec::None => false,
        TokenSpec::Wanted(tokens) => tokens
            .any
            .iter()
            .all(|jwt| jwt.bound_to_certificate == Demand::Required),
    };
    bound || route.clients != ClientsSpec::Any
}

/// The first routes of a host that need a certificate, and that do not.
#[derive(Clone, Copy, Default)]
struct Sides<'r> {
    closed: Option<&'r Name>,
    open: Option<&'r Name>,
}

impl<'r> Sides<'r> {
    fn or(self, other: Self) -> Self {
        Self {
            closed: self.closed.or(other.closed),
            open: self.open.or(other.open),
        }
    }

    fn both(self) -> Option<(&'r Name, &'r Name)> {
        self.open.zip(self.closed)
    }
}

/// A warning for each host, on each listener where a certificate is optional, that has a route which
/// needs one and another which does not: often one of the two was forgotten. A host's routes are
/// its own and those of the wildcard above it.
pub(super) fn disagreeing(
    routes: &BTreeMap<Name, RouteSpec>,
    listeners: &HashMap<Name, Arc<ListenerPlan>>,
) -> Vec<String> {
    let optional: BTreeMap<_, _> = listeners
        .iter()
        .filter(|(_, plan)| plan.edge.certificate == ClientCertificate::Optional)
        .collect();
    let mut warnings = Vec::new();
    let mut more = 0_usize;
    for (listener, plan) in optional {
        for (host, (open, closed)) in disagreeing_on(listener, routes) {
            if !serves(plan, host) {
                continue;
            }
            if warnings.len() == TOLD_MAX {
                more += 1;
                continue;
            }
            warnings.push(format!(
                "routes.{open}.clients: on listener {listener} clients without a certificate may \
                 use this route of {host}, and for {closed} they need one; if that is not meant, \
                 write `clients: any_certificate`, or name the `listeners` of each"
            ));
        }
    }
    if more > 0 {
        warnings.push(format!("and {more} more hosts whose routes disagree so"));
    }
    warnings
}

/// Hosts with an open and a closed route that the listener reaches, in their order.
fn disagreeing_on<'r>(
    listener: &Name,
    routes: &'r BTreeMap<Name, RouteSpec>,
) -> BTreeMap<&'r HostPattern, (&'r Name, &'r Name)> {
    let mut hosts: HashMap<&HostPattern, Sides<'_>> = HashMap::new();
    for (name, route) in routes.iter().filter(|(_, route)| reaches(listener, route)) {
        let sides = hosts.entry(&route.matches.host).or_default();
        let side = match needs_certificate(route) {
            true => &mut sides.closed,
            false => &mut sides.open,
        };
        side.get_or_insert(name);
    }
    let disagrees = |(host, sides): (&&'r HostPattern, &Sides<'r>)| {
        let above = above(host).and_then(|above| hosts.get(&above).copied());
        let both = sides.or(above.unwrap_or_default()).both()?;
        Some((*host, both))
    };
    hosts.iter().filter_map(disagrees).collect()
}

/// The wildcard whose routes are asked where those of a host do not match.
fn above(host: &HostPattern) -> Option<HostPattern> {
    let HostPattern::Exact(host) = host else {
        return None;
    };
    let (_, parent) = host.dns_name()?.split_once('.')?;
    Host::parse_name(parent).ok().map(HostPattern::Below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::{MatchSpec, PathPattern};

    fn route(host: &str, clients: ClientsSpec) -> RouteSpec {
        RouteSpec::plain(
            MatchSpec {
                host: host.parse().unwrap(),
                path: PathPattern {
                    segments: vec![],
                    rest: true,
                },
                methods: vec![],
                headers: vec![],
            },
            clients,
            TokenSpec::None,
            "orders".parse().unwrap(),
        )
    }

    #[test]
    fn a_hundred_thousand_routes_are_looked_through_once() {
        let routes: BTreeMap<Name, RouteSpec> = (0..100_000)
            .map(|number| {
                let clients = match number % 3 {
                    0 => ClientsSpec::Any,
                    _ => ClientsSpec::AnyCertificate,
                };
                let host = match number % 2 {
                    0 => format!("h{}.example.com", number / 4),
                    _ => format!("*.{}.example.com", number / 4),
                };
                let name = format!("r{number:06}").parse().unwrap();
                (name, route(&host, clients))
            })
            .collect();
        let began = std::time::Instant::now();
        let found = disagreeing_on(&"edge".parse().unwrap(), &routes);
        let took = began.elapsed();
        assert!(found.len() > 10_000, "{}", found.len());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}
