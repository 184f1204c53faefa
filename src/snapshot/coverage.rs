//! Which hosts of routes no certificate of ours is for: nobody can ask for them, for the handshake
//! comes first. Not a mistake by itself (a certificate may be on its way), but nobody means it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::plan::ListenerPlan;
use super::reach::reaches;
use crate::config::spec::{HostPattern, RouteSpec};
use crate::edge::listener::NotServed;
use crate::identity::host::Host;
use crate::identity::name::Name;

/// More are counted, not told: one forgotten name is commonly that of many routes.
const TOLD_MAX: usize = 20;

/// A warning for each host that no listener has a certificate for, with the first route of it.
pub(super) fn uncovered(
    routes: &BTreeMap<Name, RouteSpec>,
    listeners: &HashMap<Name, Arc<ListenerPlan>>,
) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    let mut more = 0_usize;
    for (name, route) in routes {
        let host = &route.matches.host;
        let mut reached = listeners.iter().filter(|(name, _)| reaches(name, route));
        if !seen.insert((host, &route.listeners)) || reached.any(|(_, plan)| serves(plan, host)) {
            continue;
        }
        if warnings.len() == TOLD_MAX {
            more += 1;
            continue;
        }
        let which = match route.listeners.is_empty() {
            true => "no listener",
            false => "none of its listeners",
        };
        warnings.push(format!(
            "routes.{name}.match.host: {which} has a certificate for {host}; whoever asks for it \
             fails in the handshake (unknown_server_name)"
        ));
    }
    if more > 0 {
        warnings.push(format!("and {more} more hosts that no certificate is for"));
    }
    warnings
}

pub(super) fn serves(listener: &ListenerPlan, pattern: &HostPattern) -> bool {
    let served = |host: &Host| match listener.edge.served_for(Some(host)) {
        Ok(_) | Err(NotServed::Awaited) => true,
        Err(NotServed::Unknown) => false,
    };
    match pattern {
        HostPattern::Exact(host) => served(host),
        // Any one name below stands for all: a certificate that covers them has the wildcard. One
        // that names some of them is not worth a warning either, but cannot be told from none.
        HostPattern::Below(parent) => {
            Host::parse_name(&format!("any.{parent}")).is_ok_and(|host| served(&host))
        }
    }
}
