//! [`Standing`]: whether a client that was let in may still be there.
//!
//! A connection lives longer than what it was opened under: a certificate may have ended, the trust
//! may be another, and no certificate may not be enough any more. Each request asks here, and so
//! does whoever looks after the connections that are open ([`super::open`]).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use rustls::pki_types::UnixTime;

use super::facts::{ConnectionFacts, Presented, good_until};
use super::listener::Listener;
use super::wire::Wire;
use crate::config::spec::ClientCertificate;
use crate::handshake_failure::HandshakeFailure;
use crate::trust::Usage;

/// What was found of a client's chain last, and whether the connection is to end.
#[derive(Debug)]
pub struct Standing {
    state: Mutex<State>,
    /// The connection itself. There is none in a test of requests alone.
    wire: Option<Arc<Wire>>,
}

#[derive(Debug)]
struct State {
    judged: Judged,
    lost: Option<HandshakeFailure>,
    /// The task of the connection, where it waits for the standing to be lost.
    waits: Option<Waker>,
}

/// A chain that was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The digest of the trust store under which it was.
    pub trust: [u8; 32],
    /// Until when that holds, in seconds since 1970.
    pub good_until: i64,
}

impl Judged {
    /// What a handshake found that is complete.
    #[must_use]
    pub fn in_handshake(peer: &Presented, listener: &Listener, now: UnixTime) -> Self {
        let (trust, grace) = (&listener.trust, listener.grace);
        Self {
            trust: trust.digest(),
            good_until: match peer {
                Presented::Certificate { chain, .. } => good_until(chain, trust, now, grace),
                Presented::Nothing => i64::MAX,
            },
        }
    }
}

impl Standing {
    /// That of a client whose handshake is complete.
    #[must_use]
    pub const fn new(judged: Judged, wire: Option<Arc<Wire>>) -> Self {
        Self {
            state: Mutex::new(State {
                judged,
                lost: None,
                waits: None,
            }),
            wire,
        }
    }

    /// The last judgement.
    #[must_use]
    pub fn judged(&self) -> Judged {
        self.state.lock().judged
    }

    /// Notes that the chain was found good.
    pub fn judge(&self, judged: Judged) {
        self.state.lock().judged = judged;
    }

    /// Why the client lost its standing, if it did.
    #[must_use]
    pub fn why_lost(&self) -> Option<HandshakeFailure> {
        self.state.lock().lost
    }

    /// Takes the standing away: whoever serves the connection ends it as soon as nothing is under
    /// way on it. False if it was taken before.
    pub fn take_away(&self, why: HandshakeFailure) -> bool {
        let mut state = self.state.lock();
        if state.lost.is_some() {
            return false;
        }
        state.lost = Some(why);
        let waits = state.waits.take();
        drop(state);
        waits.into_iter().for_each(Waker::wake);
        true
    }

    /// Ends when the standing is lost.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn lost(&self) {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.lost.is_some() {
                return Poll::Ready(());
            }
            match &mut state.waits {
                Some(waker) => waker.clone_from(cx.waker()),
                None => state.waits = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Cuts the connection with whatever is under way on it.
    pub fn cut(&self) {
        if let Some(wire) = &self.wire {
            wire.cut();
        }
    }

    /// Whether it was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.is_cut())
    }
}

impl ConnectionFacts {
    /// Whether the client may still be here, under the listener as it is now: judged again once for
    /// each change of what is trusted, and from the end of the first certificate in its chain or
    /// above it.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn stands(&self, listener: &Listener, now: UnixTime) -> Result<(), HandshakeFailure> {
        self.known(listener, now)
            .unwrap_or_else(|| self.note(self.verify(listener, now)))
    }

    /// The same as far as it can be said without verifying the chain.
    #[must_use]
    pub fn known(
        &self,
        listener: &Listener,
        now: UnixTime,
    ) -> Option<Result<(), HandshakeFailure>> {
        if let Some(why) = self.standing.why_lost() {
            return Some(Err(why));
        }
        let Presented::Certificate { identity, .. } = &self.peer else {
            // The listener may have said `optional` when the connection was opened.
            return Some(match listener.certificate {
                ClientCertificate::Optional => Ok(()),
                ClientCertificate::Required => Err(HandshakeFailure::CertificateMissing),
            });
        };
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if u64::from(identity.seconds_over(seconds)) > listener.grace.as_secs() {
            return Some(Err(HandshakeFailure::CertificateExpired));
        }
        let judged = self.standing.judged();
        let holds = judged.trust == listener.trust.digest() && seconds <= judged.good_until;
        holds.then_some(Ok(()))
    }

    /// Verifies the chain.
    ///
    /// # Errors
    ///
    /// Why it is not believed.
    pub fn verify(&self, listener: &Listener, now: UnixTime) -> Result<Judged, HandshakeFailure> {
        let chain = self.chain();
        let (leaf, intermediates) = chain
            .split_first()
            .ok_or(HandshakeFailure::CertificateMissing)?;
        let (trust, grace) = (&listener.trust, listener.grace);
        trust
            .verify_with_grace(leaf, intermediates, Usage::Client, now, grace)
            .map_err(|no_longer| no_longer.reason)?;
        // Which names count depends on who vouches: those of the handshake must still be the same.
        let names = trust.identity(leaf).map_err(|none| none.reason)?;
        if self.identity().is_none_or(|then| **then != names) {
            return Err(HandshakeFailure::UnknownTrustDomain);
        }
        Ok(Judged {
            trust: trust.digest(),
            good_until: good_until(chain, trust, now, grace),
        })
    }

    /// Remembers what [`Self::verify`] found, if it was good.
    ///
    /// # Errors
    ///
    /// What it found, if it was not.
    pub fn note(&self, found: Result<Judged, HandshakeFailure>) -> Result<(), HandshakeFailure> {
        found.map(|judged| self.standing.judge(judged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    const GOOD: Judged = Judged {
        trust: [0; 32],
        good_until: 0,
    };

    #[test]
    fn a_standing_is_lost_once_and_whoever_waits_hears_of_it() {
        let standing = Standing::new(GOOD, None);
        let mut lost = Box::pin(standing.lost());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(lost.as_mut().poll(cx).is_pending());
        assert!(standing.take_away(HandshakeFailure::UnknownIssuer));
        assert!(!standing.take_away(HandshakeFailure::CertificateExpired));
        assert_eq!(standing.why_lost(), Some(HandshakeFailure::UnknownIssuer));
        assert!(lost.as_mut().poll(cx).is_ready());
        standing.judge(GOOD);
        assert!(standing.why_lost().is_some(), "it does not come back");
    }
}
