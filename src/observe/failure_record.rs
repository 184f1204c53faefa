//! [`FailureRecord`]: who fails in the handshake, and why: for `/tls/failures`.
//!
//! Anybody who can connect can make a handshake fail, as often as he likes and with what he likes.
//! So each failure is counted, by keys that bound themselves ([`Heavy`]), and a certificate is read
//! only for some a second of each reason: who fails often is among them soon, and is counted in full
//! from then on, for his certificate is known by its hash.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use super::escape::kept;
use super::handshake_log::HandshakeFailureLine;
use super::heavy::Heavy;
use super::labels::Side;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate_facts::CertificateFacts;

/// Identities, issuers and sources that are told apart, each.
const KEYS_MAX: usize = 100;
/// The last failures that are shown.
const SAMPLES_MAX: usize = 32;
/// Failures of one reason that are looked at in one second: reading a certificate costs some 20 µs.
const SAMPLES_PER_SECOND: u8 = 10;
/// Certificates that are known by their hash. More would not help: identities are [`KEYS_MAX`].
const LEAVES_MAX: usize = 2 * KEYS_MAX;
/// Bytes at the end of a certificate that are hashed: the signature is among them.
const HASHED_BYTES: usize = 1024;

/// What failed, how often and why. Bounded in memory and in work.
#[derive(Debug)]
pub struct FailureRecord {
    counts: Mutex<Counts>,
    /// Of this process alone: nobody outside can make two certificates look alike.
    hasher: RandomState,
}

#[derive(Debug)]
pub(super) struct Counts {
    pub(super) since: i64,
    pub(super) total: u64,
    /// Failures with a certificate that was neither read nor known.
    pub(super) unread: u64,
    /// By side, then by reason.
    reasons: Vec<Tally>,
    pub(super) identities: Heavy<Arc<str>, Arc<Sample>>,
    pub(super) issuers: Heavy<Arc<str>, Side>,
    pub(super) sources: Heavy<(Side, IpAddr), ()>,
    leaves: HashMap<u64, Leaf>,
    pub(super) samples: VecDeque<Arc<Sample>>,
}

/// Failures of one side for one reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    /// How many were looked at in the second `last`.
    looked_at: u8,
}

/// Whether a failure is looked at, beyond being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// No: enough of this second's were.
    No,
    /// Its certificate, if it has one, is still to be read and counted.
    New,
    /// Its certificate was known and is counted; only what is shown of it is new.
    Counted,
}

/// Who a certificate that was read says it is.
#[derive(Clone, Debug)]
struct Leaf {
    identity: Arc<str>,
    issuer: Arc<str>,
}

/// One failure in full. All texts are clean and cut.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: i64,
    pub(super) side: Side,
    pub(super) name: Box<str>,
    pub(super) reason: HandshakeFailure,
    pub(super) peer: Option<SocketAddr>,
    pub(super) sni: Option<Box<str>>,
    pub(super) detail: Option<Box<str>>,
    pub(super) seconds: f64,
    pub(super) certificate: Option<Certificate>,
}

/// What a refused certificate says.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) identity: Box<str>,
    pub(super) subject: Box<str>,
    pub(super) issuer: Box<str>,
    pub(super) serial: Box<str>,
    pub(super) names: Vec<Box<str>>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) fingerprint: String,
    pub(super) key: Box<str>,
    /// Certificates that the peer showed, this one included.
    pub(super) chain_length: usize,
}

impl FailureRecord {
    /// Nothing has failed since `now`, in seconds since 1970.
    #[must_use]
    pub fn new(now: i64) -> Arc<Self> {
        let reasons = vec![Tally::default(); Side::ALL.len() * HandshakeFailure::ALL.len()];
        Arc::new(Self {
            counts: Mutex::new(Counts {
                since: now,
                total: 0,
                unread: 0,
                reasons,
                identities: Heavy::new(KEYS_MAX),
                issuers: Heavy::new(KEYS_MAX),
                sources: Heavy::new(KEYS_MAX),
                leaves: HashMap::with_capacity(LEAVES_MAX),
                samples: VecDeque::with_capacity(SAMPLES_MAX),
            }),
            hasher: RandomState::new(),
        })
    }

    /// Counts a failed handshake. `facts` reads its certificate; it is asked only if need be.
    pub(super) fn failed<'f>(
        &self,
        line: &HandshakeFailureLine<'_>,
        now: i64,
        facts: impl FnOnce() -> Option<&'f CertificateFacts>,
    ) {
        let hash = line.leaf.map(|leaf| self.hash(leaf));
        let look = self.with(|counts| counts.count(line, hash, now));
        if look != Look::No {
            // A certificate takes a while to read: others count meanwhile.
            let sample = Arc::new(Sample::of(line, now, facts()));
            self.with(|counts| counts.keep(&sample, hash, look));
        }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Counts) -> T) -> T {
        work(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hash(&self, leaf: &[u8]) -> u64 {
        let begin = leaf.len().saturating_sub(HASHED_BYTES);
        self.hasher
            .hash_one((leaf.len(), leaf.get(begin..).unwrap_or_default()))
    }
}

impl Counts {
    /// Counts, and says whether the failure should be looked at.
    fn count(&mut self, line: &HandshakeFailureLine<'_>, hash: Option<u64>, now: i64) -> Look {
        self.total += 1;
        if let Some(source) = line.source {
            let key = (line.side, source);
            if self.sources.count(&key, line.reason, now).is_none() {
                self.sources.admit(key, (), line.reason, now);
            }
        }
        let look = self.tally(line.side, line.reason, now);
        let counted = hash.is_some_and(|hash| self.count_known(hash, line, now));
        match (look, counted) {
            (true, true) => Look::Counted,
            (true, false) => Look::New,
            (false, true) => Look::No,
            (false, false) => {
                self.unread += u64::from(hash.is_some());
                Look::No
            }
        }
    }

    /// Counts a certificate that was read before; whether it was.
    fn count_known(&mut self, hash: u64, line: &HandshakeFailureLine<'_>, now: i64) -> bool {
        let Some(leaf) = self.leaves.get(&hash).cloned() else {
            return false;
        };
        if self
            .identities
            .count(&leaf.identity, line.reason, now)
            .is_none()
        {
            self.leaves.remove(&hash); // its identity lost its place: it is as good as new
            return false;
        }
        self.count_issuer(&leaf.issuer, line.side, line.reason, now);
        true
    }

    fn count_issuer(&mut self, issuer: &Arc<str>, side: Side, why: HandshakeFailure, now: i64) {
        if self.issuers.count(issuer, why, now).is_none() {
            self.issuers.admit(Arc::clone(issuer), side, why, now);
        }
    }

    /// Counts by reason; whether another failure of this second may be looked at.
    fn tally(&mut self, side: Side, reason: HandshakeFailure, now: i64) -> bool {
        let place = side as usize * HandshakeFailure::ALL.len() + reason as usize;
        let Some(tally) = self.reasons.get_mut(place) else {
            return false; // cannot be: both are closed sets
        };
        if tally.count == 0 {
            tally.first = now;
        }
        if tally.last != now {
            tally.looked_at = 0;
        }
        tally.count += 1;
        tally.last = now;
        let look = tally.looked_at < SAMPLES_PER_SECOND;
        tally.looked_at += u8::from(look);
        look
    }

    /// Keeps a failure that was looked at.
    fn keep(&mut self, sample: &Arc<Sample>, hash: Option<u64>, look: Look) {
        self.samples.truncate(SAMPLES_MAX - 1);
        self.samples.push_front(Arc::clone(sample));
        let (Some(certificate), Some(hash)) = (&sample.certificate, hash) else {
            return;
        };
        if look == Look::Counted {
            // What is shown of an identity is the last of it.
            if let Some(entry) = self.identities.get_mut(&*certificate.identity) {
                entry.data = Arc::clone(sample);
            }
            return;
        }
        let (reason, now) = (sample.reason, sample.at);
        let identity: Arc<str> = Arc::from(&*certificate.identity);
        let issuer: Arc<str> = Arc::from(&*certificate.issuer);
        match self.identities.count(&identity, reason, now) {
            Some(entry) => entry.data = Arc::clone(sample),
            None => {
                let (key, data) = (Arc::clone(&identity), Arc::clone(sample));
                self.identities.admit(key, data, reason, now);
            }
        }
        self.count_issuer(&issuer, sample.side, reason, now);
        if self.identities.holds(&identity) {
            self.remember(hash, Leaf { identity, issuer });
        }
    }

    fn remember(&mut self, hash: u64, leaf: Leaf) {
        if self.leaves.len() >= LEAVES_MAX {
            let held = &self.identities;
            self.leaves.retain(|_, leaf| held.holds(&leaf.identity));
        }
        if self.leaves.len() >= LEAVES_MAX {
            self.leaves.clear(); // some have many certificates: those are read again
        }
        self.leaves.insert(hash, leaf);
    }

    /// Side, reason and tally of all that was seen, the most frequent first.
    pub(super) fn reasons(&self) -> Vec<(Side, HandshakeFailure, &Tally)> {
        let kinds = Side::ALL.iter().flat_map(|side| {
            let reasons = HandshakeFailure::ALL.iter();
            reasons.map(|reason| (*side, *reason))
        });
        let all = kinds
            .zip(&self.reasons)
            .map(|((side, why), t)| (side, why, t));
        let mut seen: Vec<_> = all.filter(|(_, _, tally)| tally.count > 0).collect();
        seen.sort_by_key(|(_, _, tally)| std::cmp::Reverse(tally.count));
        seen
    }
}

impl Sample {
    fn of(line: &HandshakeFailureLine<'_>, at: i64, facts: Option<&CertificateFacts>) -> Self {
        Self {
            at,
            side: line.side,
            name: kept(line.name),
            reason: line.reason,
            peer: line.peer,
            sni: line.sni.map(kept),
            detail: line.error.map(|error| kept(&error.to_string())),
            seconds: line.took.as_secs_f64(),
            certificate: facts.map(|facts| Certificate::of(facts, line.chain_length)),
        }
    }
}

impl Certificate {
    fn of(facts: &CertificateFacts, chain_length: usize) -> Self {
        Self {
            identity: kept(&facts.identity),
            subject: kept(&facts.shown.subject),
            issuer: kept(&facts.shown.issuer),
            serial: kept(&facts.shown.serial),
            names: facts.names.iter().map(|name| kept(name)).collect(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            fingerprint: facts.fingerprint.to_string(),
            key: kept(&facts.key),
            chain_length,
        }
    }
}
