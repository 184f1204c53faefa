//! Names of services become addresses, again and again while anybody needs them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::endpoints::Endpoints;

/// How long one look-up may take: as long as the resolver of glibc waits for one server.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often names are looked up: what a record of a cluster's DNS usually lives.
const EVERY: Duration = Duration::from_secs(30);
/// How soon after a look-up that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The least time between two: bounds how often failing services can make us ask.
const LEAST: Duration = Duration::from_secs(1);
/// More addresses of one name are not used: they are no longer a list that one chooses from.
const ADDRESSES_MAX: usize = 64;

/// Where the addresses of a name come from: the system's resolver, and a test's.
#[async_trait]
pub(super) trait Lookup: Send + Sync {
    /// The addresses of `host`, each with `port`.
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the system (`/etc/hosts`, `/etc/resolv.conf`).
pub(super) struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// One name to look up.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Which endpoint of the list.
    pub(super) index: usize,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
}

/// An answer: sorted, at most [`ADDRESSES_MAX`]; or `None` if there was none, or an empty one.
pub(super) type Answer = (usize, Option<Vec<SocketAddr>>);

/// Looks names up until nobody holds `endpoints` any more.
///
/// `again` asks for a round before its time; whoever drops the endpoints notifies it as well.
pub(super) async fn keep_resolving(
    endpoints: Weak<Endpoints>,
    questions: Vec<Question>,
    lookup: Arc<dyn Lookup>,
    again: Arc<Notify>,
) {
    let _running = Running(Weak::clone(&endpoints));
    while endpoints.strong_count() > 0 {
        let answers = ask_all(&questions, &lookup).await;
        let answered = answers.iter().filter(|(_, addresses)| addresses.is_some());
        let all_answered = answered.count() == questions.len();
        let Some(held) = endpoints.upgrade() else {
            return;
        };
        held.learn(answers);
        drop(held);
        let pause = if all_answered { EVERY } else { AFTER_FAILURE };
        tokio::select! {
            () = sleep(with_jitter(pause)) => {}
            () = again.notified() => {
                if endpoints.strong_count() > 0 {
                    sleep(with_jitter(LEAST)).await;
                }
            }
        }
    }
}

/// Says when the task ends before its endpoints: the runtime that it ran on is gone. Another one
/// begins again.
struct Running(Weak<Endpoints>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(endpoints) = self.0.upgrade() {
            endpoints.resolving_ended();
        }
    }
}

async fn ask_all(questions: &[Question], lookup: &Arc<dyn Lookup>) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    for question in questions.iter().cloned() {
        let lookup = Arc::clone(lookup);
        asked.spawn(async move { ask(question, &*lookup).await });
    }
    let mut answers = Vec::new();
    while let Some(ended) = asked.join_next().await {
        answers.extend(ended.ok()); // one that was cancelled is no answer
    }
    answers
}

async fn ask(question: Question, lookup: &dyn Lookup) -> Answer {
    let Question { index, host, port } = question;
    let answer = timeout(LOOKUP_TIMEOUT, lookup.lookup(&host, port)).await;
    let addresses = match answer {
        Ok(Ok(mut addresses)) => {
            addresses.sort_unstable();
            addresses.dedup();
            addresses.truncate(ADDRESSES_MAX);
            Some(addresses).filter(|addresses| !addresses.is_empty())
        }
        Ok(Err(error)) => {
            tracing::warn!(%host, %error, "a service's name cannot be resolved");
            None
        }
        Err(_elapsed) => {
            tracing::warn!(%host, "a service's name was not resolved in time");
            None
        }
    };
    (index, addresses)
}

/// Nine to eleven tenths of `time`, so that gateways do not ask in step.
fn with_jitter(time: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let tenth = time / 10;
    let spread = u32::try_from(random % 200).unwrap_or(100);
    time.saturating_sub(tenth) + tenth * spread / 100
}
