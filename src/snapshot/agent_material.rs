//! What agents of the SPIFFE Workload API give, gathered: the part of [`Gathering`] that reads no
//! files.
//!
//! An agent tells by itself, and each place has a source that it is offered to. Where there is
//! nothing yet, the place is absent: an identity is then refused with its own reason, a listener
//! has no such certificate, and a trust bundle trusts nobody.

use std::sync::Arc;

use super::material::Gathering;
use crate::config::workload_api::{AgentBundleSpec, AgentSocket, SvidSpec};
use crate::identity::name::Name;
use crate::trust::TrustBundle;

impl Gathering<'_> {
    /// Takes what the agent has given for this place, and from now on wants it.
    pub(super) fn svid(&mut self, place: String, wanted: &SvidSpec) {
        let Some(socket) = self.socket(&wanted.agent) else {
            return;
        };
        let id = wanted.spiffe_id.as_ref();
        let wish = format!("{socket} {}", id.map_or("", |id| id.as_str()));
        let source = self.sources.svid(&place, &wish);
        self.sources.agents.agent(socket).key_pair(&source, id);
        self.material.sources.push(source.status());
        match source.current() {
            Some(pair) => {
                self.note(&place, pair.certificates());
                self.material.key_pairs.insert(place, pair);
            }
            None => self.material.absent.push(source.status()),
        }
    }

    /// Takes the bundle that the agent has given for this place, and from now on wants it.
    pub(super) fn agent_bundle(&mut self, name: &Name, place: &str, wanted: &AgentBundleSpec) {
        let Some(socket) = self.socket(&wanted.agent) else {
            return;
        };
        let domain = &wanted.trust_domain;
        let wish = format!("{socket} {domain}");
        let source = self.sources.agent_bundle(place, &wish);
        self.sources.agents.agent(socket).bundle(&source, domain);
        self.material.sources.push(source.status());
        let bundle = source.current().unwrap_or_else(|| {
            self.material.absent.push(source.status());
            TrustBundle::nobody()
        });
        self.note(place, bundle.certificates());
        self.material
            .bundles
            .insert(name.clone(), Arc::clone(&bundle));
    }

    fn socket(&self, agent: &Name) -> Option<&AgentSocket> {
        self.spec.workload_api.get(agent).map(|agent| &agent.socket)
    }
}
