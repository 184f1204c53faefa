//! [`Wants`]: what the places of the configuration want of one agent, and its last answer.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use spiffe::X509Context;

use super::error::AgentError;
use super::{AgentSocket, intake};
use crate::identity::spiffe::{SpiffeId, TrustDomain};
use crate::trust::source::{Published, Source};
use crate::trust::{KeyPair, TrustBundle, TrustError};

/// What the places of the configuration want of one agent.
#[derive(Debug, Default)]
pub(super) struct Wants {
    key_pairs: Vec<Want<KeyPair, SvidWanted>>,
    bundles: Vec<Want<TrustBundle, TrustDomain>>,
    /// The last answer that could be read: a place that comes later is offered it at once.
    latest: Option<X509Context>,
}

/// What one place wants.
#[derive(Debug)]
struct Want<T, W> {
    /// The configuration holds it; gone with the last snapshot that names it.
    source: Weak<Source<T>>,
    what: W,
}

#[derive(Debug)]
struct SvidWanted {
    id: Option<SpiffeId>,
    /// The SPIFFE ID that was taken last.
    taken: Option<SpiffeId>,
}

/// An agent that is overdue is not asked more often than this.
const OVERDUE_LEAST: Duration = Duration::from_secs(5);
/// Where nothing ends.
const OVERDUE_MOST: Duration = Duration::from_secs(24 * 3600);

impl Wants {
    pub(super) fn key_pair(
        &mut self,
        source: &Arc<Source<KeyPair>>,
        id: Option<&SpiffeId>,
        origin: &Path,
        now: UnixTime,
    ) {
        if self.key_pairs.iter().any(|want| want.is_of(source)) {
            return;
        }
        let what = SvidWanted {
            id: id.cloned(),
            taken: None,
        };
        let mut want = Want::new(source, what);
        if let Some(latest) = &self.latest {
            want.offer_svid(latest, origin, now);
        }
        self.key_pairs.push(want);
    }

    pub(super) fn bundle(
        &mut self,
        source: &Arc<Source<TrustBundle>>,
        trust_domain: &TrustDomain,
        origin: &Path,
    ) {
        if self.bundles.iter().any(|want| want.is_of(source)) {
            return;
        }
        let want = Want::new(source, trust_domain.clone());
        if let Some(latest) = &self.latest {
            want.offer_bundle(latest, origin);
        }
        self.bundles.push(want);
    }

    /// Offers each place its part of an answer.
    pub(super) fn answered(&mut self, answer: X509Context, origin: &Path, now: UnixTime) {
        self.forget_gone();
        for want in &mut self.key_pairs {
            want.offer_svid(&answer, origin, now);
        }
        for want in &self.bundles {
            want.offer_bundle(&answer, origin);
        }
        self.latest = Some(answer);
    }

    /// Notes with each place that there is no answer.
    pub(super) fn failed(&mut self, socket: &AgentSocket, error: AgentError) {
        self.forget_gone();
        let offered = error.is_of_offer();
        let error = TrustError::Agent {
            agent: socket.to_string(),
            error: Box::new(error),
        };
        for want in &self.key_pairs {
            want.failed(&error, offered);
        }
        for want in &self.bundles {
            want.failed(&error, offered);
        }
    }

    /// Withdraws key pairs that have ended: they prove nothing any more.
    pub(super) fn withdraw_ended(&mut self, now: UnixTime) {
        let now = seconds(now);
        for want in &self.key_pairs {
            let Some(source) = want.source.upgrade() else {
                continue;
            };
            let ended = source.current().filter(|pair| pair.not_after() < now);
            if let Some(pair) = ended {
                source.withdraw(&pair.ended());
            }
        }
    }

    /// How long the agent may go without an answer: three quarters of the time that is left of the
    /// key pair that ends next. Agents renew at half of the whole.
    pub(super) fn overdue(&self, now: UnixTime) -> Duration {
        let now = seconds(now);
        let pairs = self
            .key_pairs
            .iter()
            .filter_map(|want| want.source.upgrade());
        let pairs = pairs.filter_map(|source| source.current());
        let left = pairs.map(|pair| pair.not_after().saturating_sub(now)).min();
        let left = left.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        let overdue = left.map_or(OVERDUE_MOST, |left| left.mul_f64(0.75));
        overdue.clamp(OVERDUE_LEAST, OVERDUE_MOST)
    }

    pub(super) fn any(&mut self) -> bool {
        self.forget_gone();
        !self.key_pairs.is_empty() || !self.bundles.is_empty()
    }

    fn forget_gone(&mut self) {
        self.key_pairs.retain(|want| want.source.strong_count() > 0);
        self.bundles.retain(|want| want.source.strong_count() > 0);
    }
}

fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl<T: Published, W> Want<T, W> {
    fn new(source: &Arc<Source<T>>, what: W) -> Self {
        Self {
            source: Arc::downgrade(source),
            what,
        }
    }

    fn is_of(&self, source: &Arc<Source<T>>) -> bool {
        std::ptr::eq(self.source.as_ptr(), Arc::as_ptr(source))
    }

    fn offer(&self, offered: Result<T, AgentError>, origin: &Path) {
        let Some(source) = self.source.upgrade() else {
            return;
        };
        source.offer(offered.map_err(|error| TrustError::Agent {
            agent: origin.display().to_string(),
            error: Box::new(error),
        }));
    }

    /// Notes that there is no answer, or one of which nothing can be taken.
    fn failed(&self, error: &TrustError, offered: bool) {
        let Some(source) = self.source.upgrade() else {
            return;
        };
        match offered {
            true => source.refuse(error),
            false => source.unreachable(error),
        }
    }
}

impl Want<KeyPair, SvidWanted> {
    fn offer_svid(&mut self, answer: &X509Context, origin: &Path, now: UnixTime) {
        let SvidWanted { id, taken } = &self.what;
        let found = intake::key_pair(answer, id.as_ref(), taken.as_ref(), origin, now);
        let offered = found.map(|(id, pair)| {
            self.what.taken = Some(id);
            pair
        });
        self.offer(offered, origin);
    }
}

impl Want<TrustBundle, TrustDomain> {
    fn offer_bundle(&self, answer: &X509Context, origin: &Path) {
        self.offer(intake::bundle(answer, &self.what, origin), origin);
    }
}
