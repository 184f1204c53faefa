//! [`AgentStore`]: the agents of the SPIFFE Workload API that the configuration names, by where they
//! listen. They outlive reloads, and end with the last place that wants something of them.
//!
//! Nobody is asked before [`AgentStore::start`]: `check` never calls it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::config::workload_api::AgentSocket as Configured;
use crate::trust::workload_api::{AgentSocket, WorkloadApi};

/// The agents of the process.
#[derive(Debug, Default)]
pub struct AgentStore {
    agents: Mutex<HashMap<AgentSocket, Running>>,
    runtime: OnceLock<Handle>,
}

#[derive(Debug)]
struct Running {
    agent: Arc<WorkloadApi>,
    /// `None` before the start.
    task: Option<AbortHandle>,
}

impl AgentStore {
    /// Begins to ask all agents, and those that come later. To be called once, inside the runtime
    /// that is to ask.
    pub fn start(&self) {
        let runtime = self.runtime.get_or_init(Handle::current);
        for running in self.agents().values_mut() {
            let agent = &running.agent;
            running.task.get_or_insert_with(|| ask(runtime, agent));
        }
    }

    /// The agent that listens there.
    pub(super) fn agent(&self, socket: &Configured) -> Arc<WorkloadApi> {
        let socket = match socket {
            Configured::Unix(path) => AgentSocket::Unix(path.clone()),
            Configured::Tcp(address) => AgentSocket::Tcp(*address),
        };
        let mut agents = self.agents();
        let running = agents.entry(socket.clone()).or_insert_with(|| {
            let agent = Arc::new(WorkloadApi::new(socket));
            let task = self.runtime.get().map(|runtime| ask(runtime, &agent));
            Running { agent, task }
        });
        Arc::clone(&running.agent)
    }

    /// Ends those of which nobody wants anything.
    pub(super) fn keep_wanted(&self) {
        self.agents().retain(|_, running| {
            let wanted = running.agent.is_wanted();
            if !wanted && let Some(task) = &running.task {
                task.abort();
            }
            wanted
        });
    }

    fn agents(&self) -> MutexGuard<'_, HashMap<AgentSocket, Running>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(runtime: &Handle, agent: &Arc<WorkloadApi>) -> AbortHandle {
    runtime.spawn(Arc::clone(agent).run()).abort_handle()
}
