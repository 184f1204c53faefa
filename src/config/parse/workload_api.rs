//! `workload_api`: agents of the SPIFFE Workload API, and the places that name one.

use super::Around;
use crate::config::file::WorkloadApiFile;
use crate::config::node::{Field, Node};
use crate::config::workload_api::{AgentBundleSpec, SvidSpec, WorkloadApiSpec};

const SOCKET: &str = "`unix:///run/spire/agent.sock`";

/// One entry of `workload_api`.
pub(super) fn agent(node: &Node<'_>) -> Option<WorkloadApiSpec> {
    let file = WorkloadApiFile::read(node)?;
    let socket = file.socket.needed(
        "write `socket: unix:///run/spire/agent.sock`, where the agent listens",
        |node| node.parse(SOCKET),
    )?;
    Some(WorkloadApiSpec { socket })
}

/// A place that wants a key pair: `workload_api` and `spiffe_id` beside what stands for files.
pub(super) fn svid(
    agent: &Node<'_>,
    spiffe_id: &Field<'_>,
    files: &[&Field<'_>],
    around: &Around<'_>,
) -> Option<SvidSpec> {
    if files.iter().any(|field| field.written().is_some()) {
        return agent.refuse(
            "a key pair comes from files or from an agent, and both stand here",
            "write `cert` and `key`, or `workload_api`",
        );
    }
    let name = agent.reference("agent", &around.workload_api);
    let id = spiffe_id.optional(|node| node.parse("`spiffe://mesh.example/gateway`"));
    Some(SvidSpec {
        agent: name?,
        spiffe_id: id?,
    })
}

/// `spiffe_id` says nothing about files.
pub(super) fn no_spiffe_id(spiffe_id: &Field<'_>) -> Option<()> {
    match spiffe_id.written() {
        None => Some(()),
        Some(node) => node.refuse_key(
            "`spiffe_id` says which key pair of an agent is meant, and no agent is named",
            "write `workload_api: NAME` beside it, or remove it",
        ),
    }
}

/// A place that wants a bundle: `workload_api` and `trust_domain` beside what stands for files.
pub(super) fn bundle(
    agent: &Node<'_>,
    trust_domain: &Field<'_>,
    ca: &Field<'_>,
    around: &Around<'_>,
) -> Option<AgentBundleSpec> {
    if ca.written().is_some() {
        return agent.refuse(
            "a trust bundle comes from files or from an agent, and both stand here",
            "write `ca`, or `workload_api` with `trust_domain`",
        );
    }
    let name = agent.reference("agent", &around.workload_api);
    let trust_domain = trust_domain.needed(
        "write `trust_domain: mesh.example`: an agent has a bundle for each",
        |node| node.parse("`mesh.example`"),
    );
    Some(AgentBundleSpec {
        agent: name?,
        trust_domain: trust_domain?,
    })
}
