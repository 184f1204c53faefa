//! [`trust_store`]: what a listener or an upstream believes, and what is rehearsed beside it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::identity::name::Name;
use crate::trust::{DenyList, Rehearsal, TrustBundle, TrustStore};

/// Bundles by name.
type Bundles = HashMap<Name, Arc<TrustBundle>>;

/// What the bundles `used` vouch for together, with each that has a `next` one rehearsed. `None` if one
/// is not there.
pub(super) fn trust_store(
    used: &[Name],
    bundles: &Bundles,
    next: &Bundles,
    deny: &Arc<DenyList>,
) -> Option<TrustStore> {
    let store = |bundles| TrustStore::new(bundles, Arc::clone(deny));
    let all = used.iter().map(|name| bundles.get(name).cloned());
    let all: Vec<_> = all.collect::<Option<_>>()?;
    let rehearsal = |(name, today): (&Name, &Arc<TrustBundle>)| {
        let to_come = next.get(name)?;
        let then = used.iter().zip(&all).map(|(other, bundle)| {
            let bundle = if other == name { to_come } else { bundle };
            Arc::clone(bundle)
        });
        let today = store(vec![Arc::clone(today)]);
        Some(Rehearsal::new(name.clone(), today, store(then.collect())))
    };
    let rehearsals = used.iter().zip(&all).filter_map(rehearsal).collect();
    Some(store(all.clone()).rehearsing(rehearsals))
}
