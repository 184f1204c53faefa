//! [`policies`]: on what terms services are spoken to, under the key material of now.

use std::sync::Arc;

use super::material::Material;
use super::plan::PolicyTerms;
use super::stores::Stores;
use crate::upstream::{InvalidPolicy, Policy, PolicyParts};

/// The policies for these terms, in their order; `None` where our key pair is not there yet. What
/// could not be built is told to `failed`, by its place.
pub(super) fn policies(
    terms: &[PolicyTerms],
    material: &Material,
    stores: &Stores,
    mut failed: impl FnMut(&str, InvalidPolicy),
) -> Box<[Option<Arc<Policy>>]> {
    let policy = |terms: &PolicyTerms| {
        let tls = &terms.tls;
        let parts = PolicyParts {
            upstream: terms.upstream.clone(),
            key_pair: material.identity(&tls.identity)?,
            trust: material.trust_store(&tls.trust)?,
            server_name: tls.server_name.clone(),
            accept: tls.accept.clone(),
            protocol: terms.protocol,
            metrics: Arc::clone(&terms.metrics),
        };
        let policy = stores.policies.policy(&parts);
        policy.map_err(|error| failed(&terms.place, error)).ok()
    };
    terms.iter().map(policy).collect()
}
