//! [`refresh`]: the same configuration with the key material of now.
//!
//! A certificate, a CA or a revocation list changes far more often than a route, and it must not
//! wait for a configuration file that somebody has half edited: nothing of the YAML is read here.

use std::collections::BTreeMap;

use rustls::pki_types::UnixTime;

use super::Snapshot;
use super::material::{How, Material};
use super::planner::listeners;
use super::policies::policies;
use super::reach::largest_grace;
use super::stores::Stores;

/// What came of a refresh.
#[derive(Debug)]
pub struct Refreshed {
    /// The snapshot that follows. `None` if nothing is new, or cannot be used.
    pub snapshot: Option<Snapshot>,
    /// Whether every source had something good. What was refused stands in the log.
    pub whole: bool,
}

/// Takes what the sources have now; `again`, if nothing has happened since the last time: what
/// was refused then is not told twice. Blocks on files.
#[must_use]
pub fn refresh(before: &Snapshot, stores: &Stores, again: bool, now: UnixTime) -> Refreshed {
    let how = if again { How::Again } else { How::Refresh };
    let gathered = Material::gather(&before.spec, &stores.sources, how, now);
    let (material, whole) = (gathered.material, gathered.whole);
    if material.is_same(&before.material) {
        let snapshot = None;
        return Refreshed { snapshot, whole };
    }
    let mut sound = true;
    let listeners = listeners(
        &before.spec,
        &material,
        stores,
        Some(before),
        |name| largest_grace(name, &before.plans),
        |place, error| {
            tracing::error!(place, %error, "new key material cannot be used, that of before stays");
            sound = false;
        },
    );
    let policies = policies(&before.terms, &material, stores, |place, error| {
        tracing::error!(place, %error, "new key material cannot be used, that of before stays");
        sound = false;
    });
    let sharing = before.sharing.as_ref().map(|before| before.with(&material));
    let snapshot = sound.then(|| Snapshot {
        generation: before.generation + 1,
        spec: before.spec.clone(),
        material,
        listeners,
        issuers: before.issuers.clone(),
        asserter: before.asserter.clone(),
        external_authorizations: before.external_authorizations.clone(),
        logins: before.logins.clone(),
        sharing,
        upstreams: BTreeMap::clone(&before.upstreams),
        routes: before.routes.clone(),
        plans: before.plans.clone(),
        terms: before.terms.clone(),
        policies,
    });
    Refreshed {
        snapshot,
        whole: whole && sound,
    }
}
