//! [`Sweeper`]: closes the open connections of clients that lost their standing.
//!
//! A request that comes is judged by [`super::admit`]. This looks after the connections on which none
//! comes, or one goes on for long: after each change of what a listener trusts, and when the time of a
//! certificate is over. It does so beside the requests of others, and gives them room: chains are
//! verified on a thread of their own, a few at a time, and connections are closed a few at a time.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::connection::Door;
use crate::config::spec::ClientCertificate;
use crate::edge::facts::ConnectionFacts;
use crate::edge::listener::Listener;
use crate::edge::standing::Judged;
use crate::handshake_failure::HandshakeFailure;
use crate::observe::RevokedLine;

/// How often certificates that ended are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// What others have between two goes.
const PAUSE: Duration = Duration::from_millis(1);
/// Into so many goes a round over all connections is cut, each of which verifies, closes and pauses
/// once: so that it takes some two seconds.
const GOES: usize = 1_000;
/// Fewer connections in one go would only take longer.
const CLOSED_MIN: usize = 8;
/// Where there is no grace: what an idle client needs to be told goodbye.
const GOODBYE: Duration = Duration::from_millis(100);

/// Looks after the open connections of one listener.
#[derive(Debug)]
pub struct Sweeper {
    door: Arc<Door>,
    swaps: watch::Receiver<()>,
    /// What the listener trusted when all were looked at.
    under: Option<Terms>,
    /// Connections that are to end, by when they are cut at the latest.
    leaving: BTreeMap<(Instant, u64), Weak<ConnectionFacts>>,
    left: u64,
}

/// What the standing of a client depends on.
type Terms = ([u8; 32], ClientCertificate, Duration);

/// Which connections are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Every,
    /// Those in parts where the time of a certificate is over.
    Ended,
}

/// What was found of each chain in one sweep: many connections may show the same.
#[derive(Debug, Default)]
struct Found(HashMap<SameChain, Result<Judged, HandshakeFailure>>);

/// A connection, known by its chain.
#[derive(Debug)]
struct SameChain(Arc<ConnectionFacts>);

impl Sweeper {
    /// Looks after the connections of this listener.
    #[must_use]
    pub fn new(door: Arc<Door>) -> Self {
        let swaps = door.live.swaps();
        let mut sweeper = Self {
            door,
            swaps,
            under: None,
            leaving: BTreeMap::new(),
            left: 0,
        };
        sweeper.under = sweeper.listener().as_deref().map(terms);
        sweeper
    }

    /// Goes on until it is dropped.
    pub async fn run(mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = self.leaving.first_key_value();
            let cut = first.map(|((at, _), _)| (*at).max(Instant::now() + PAUSE));
            let which = tokio::select! {
                swapped = self.swaps.changed() => match swapped {
                    Ok(()) if self.terms_changed() => Which::Every,
                    Ok(()) => continue,
                    Err(_gone) => return,
                },
                () = self.door.open.asked() => Which::Every,
                _ = look.tick() => Which::Ended,
                () = sleep_until(cut.unwrap_or_else(Instant::now)), if cut.is_some() => {
                    self.cut();
                    continue;
                }
            };
            self.look(which).await;
        }
    }

    fn listener(&self) -> Option<Arc<Listener>> {
        let now = self.door.live.now();
        now.listener(&self.door.name)
            .map(|plan| Arc::clone(&plan.edge))
    }

    fn terms_changed(&mut self) -> bool {
        let now = self.listener().as_deref().map(terms);
        now != std::mem::replace(&mut self.under, now)
    }

    /// One round over the connections. Each is held against the listener as it is when its turn
    /// comes; what is swapped in meanwhile gets a round of its own.
    async fn look(&mut self, which: Which) {
        let open = Arc::clone(&self.door.open);
        let pace = (open.count() / GOES).max(CLOSED_MIN);
        let mut found = (None, Found::default());
        for part in open.parts() {
            let seconds = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
            if which == Which::Ended && !open.may_have_ended(part, seconds) {
                continue;
            }
            for few in open.of_part(part).chunks(pace) {
                let Some(listener) = self.listener() else {
                    return;
                };
                if found.0 != Some(terms(&listener)) {
                    found = (Some(terms(&listener)), Found::default());
                }
                let lost;
                (found.1, lost) = judge(few, &listener, found.1).await;
                self.close(&lost, &listener, pace).await;
                self.cut(); // whose time is over does not wait for the end of a long round
            }
            open.settle(part);
        }
    }

    /// Takes their standing away from these. Their tasks do the rest; those that have something under
    /// way are cut when the grace is over.
    async fn close(&mut self, lost: &[Lost], listener: &Listener, pace: usize) {
        for few in lost.chunks(pace) {
            for (facts, why) in few {
                if !facts.standing.take_away(*why) {
                    continue;
                }
                let grace = listener.limits.revocation_grace.max(GOODBYE);
                self.left += 1;
                let key = (Instant::now() + grace, self.left);
                self.leaving.insert(key, Arc::downgrade(facts));
                listener.metrics.connection_revoked(*why);
                self.door.revocations.closed(&RevokedLine {
                    listener: facts.listener.as_str(),
                    source: facts.source,
                    peer: facts.identity_text(),
                    reason: *why,
                    requests: facts.counts.requests(),
                });
            }
            self.cut();
            sleep(PAUSE).await;
        }
    }

    /// Cuts a few of those whose time is over. Most of them have ended by then.
    fn cut(&mut self) {
        let now = Instant::now();
        for _ in 0..CLOSED_MIN {
            match self.leaving.first_entry() {
                Some(first) if first.key().0 <= now => {
                    if let Some(facts) = first.remove().upgrade() {
                        facts.standing.cut();
                    }
                }
                Some(_) | None => return,
            }
        }
    }
}

fn terms(listener: &Listener) -> Terms {
    (
        listener.trust.digest(),
        listener.certificate,
        listener.grace,
    )
}

/// A connection whose client lost its standing, and why.
type Lost = (Arc<ConnectionFacts>, HandshakeFailure);

/// Those of a few connections whose clients lost their standing. `found` goes in and comes out.
async fn judge(
    few: &[Arc<ConnectionFacts>],
    listener: &Arc<Listener>,
    mut found: Found,
) -> (Found, Vec<Lost>) {
    let now = UnixTime::now();
    let mut lost = Vec::new();
    let mut unknown = Vec::new();
    for facts in few {
        match facts.known(listener, now) {
            Some(Ok(())) => {}
            Some(Err(why)) => lost.push((Arc::clone(facts), why)),
            None => unknown.push(Arc::clone(facts)),
        }
    }
    if unknown.is_empty() {
        return (found, lost);
    }
    let listener = Arc::clone(listener);
    let verifying = tokio::task::spawn_blocking(move || {
        let judge = |facts| {
            found
                .judge(&facts, &listener, now)
                .err()
                .map(|why| (facts, why))
        };
        let refused: Vec<Lost> = unknown.into_iter().filter_map(judge).collect();
        (found, refused)
    });
    // A fault there leaves these to be judged at their next request.
    let (found, refused) = verifying.await.unwrap_or_default();
    lost.extend(refused);
    if lost.is_empty() {
        sleep(PAUSE).await; // where there are some, there is one behind closing them
    }
    (found, lost)
}

impl Found {
    fn judge(
        &mut self,
        facts: &Arc<ConnectionFacts>,
        listener: &Listener,
        now: UnixTime,
    ) -> Result<(), HandshakeFailure> {
        let same = self.0.entry(SameChain(Arc::clone(facts)));
        let found = *same.or_insert_with(|| facts.verify(listener, now));
        facts.note(found)
    }
}

impl Hash for SameChain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.chain().hash(state);
    }
}

impl PartialEq for SameChain {
    fn eq(&self, other: &Self) -> bool {
        self.0.chain() == other.0.chain()
    }
}

impl Eq for SameChain {}
