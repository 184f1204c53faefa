//! Stopping: the signals that say so, and the end of what is under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::StartError;
use crate::config::spec::ShutdownSpec;
use crate::edge::caps::Caps;

/// How often a draining gateway looks whether it is done.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Goes on for the delay, then takes no new connections and waits for those that are open.
pub(super) async fn wind_down(
    how: ShutdownSpec,
    reloader: JoinHandle<()>,
    stop: &watch::Sender<bool>,
    caps: &[Arc<Caps>],
) {
    sleep(how.delay).await;
    reloader.abort();
    stop.send_replace(true);
    drain(caps, how.deadline).await;
}

/// Waits until no connection is open, or the deadline has passed.
async fn drain(caps: &[Arc<Caps>], deadline: Duration) {
    let end = Instant::now() + deadline;
    loop {
        let open = open(caps);
        if open == 0 {
            return tracing::info!("stopped: every connection has ended");
        }
        if Instant::now() >= end {
            return tracing::warn!(
                open,
                "stopped: the deadline has passed with connections open"
            );
        }
        sleep(DRAIN_STEP).await;
    }
}

/// Connections that are open on all listeners.
pub(super) fn open(caps: &[Arc<Caps>]) -> usize {
    caps.iter().map(|caps| caps.open()).sum()
}

/// The signals that we act on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    pub(super) reload: Arc<Notify>,
}

impl Signals {
    pub(super) fn watch() -> Result<Self, StartError> {
        let on = |kind| signal(kind).map_err(StartError::Signals);
        let mut hangup = on(SignalKind::hangup())?;
        let reload = Arc::new(Notify::new());
        let tell = Arc::clone(&reload);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                tell.notify_one();
            }
        });
        let terminate = on(SignalKind::terminate())?;
        Ok(Self {
            terminate,
            interrupt: on(SignalKind::interrupt())?,
            reload,
        })
    }

    /// Ends at SIGTERM or SIGINT.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
