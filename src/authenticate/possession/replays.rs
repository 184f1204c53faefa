//! [`Replays`]: each proof counts once (RFC 9449, section 11.1), on whichever gateway it comes.
//!
//! What is remembered of a proof is a hash of its key and its `jti`, until it could not be used any
//! more. Where it is remembered is not this file's concern: in memory that outlives reloads, or in
//! a store that gateways share. In both cases who cannot say whether a proof was used refuses it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::refusal::Refusal;
use crate::shared_state::{Away, SharedState, Space};

/// The proofs that were used.
#[derive(Clone)]
pub struct Replays(Arc<SharedState>);

impl Replays {
    /// Remembers them there.
    #[must_use]
    pub const fn new(shared: Arc<SharedState>) -> Self {
        Self(shared)
    }

    /// Notes a proof of this owner that could come again for so many seconds.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProofReplayed`] if it was noted before; [`Refusal::ProofsOfOneFull`],
    /// [`Refusal::ProofsFull`] and [`Refusal::ProofsUnavailable`] if that is not known.
    ///
    /// # Cancel safety
    ///
    /// Whoever drops the future has perhaps used the proof up.
    pub(super) async fn first(
        &self,
        owner: &[u8],
        proof: &[u8; 32],
        seconds: u64,
    ) -> Result<(), Refusal> {
        // Whole seconds are compared: the last one lasts until its end.
        let time = Duration::from_secs(seconds.saturating_add(1));
        let noted = self.0.put_new_of(Space::DpopProof, owner, proof, time);
        match noted.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::ProofReplayed),
            Err(away) => Err(unknown(away)),
        }
    }
}

/// Nobody can say whether the proof was used.
const fn unknown(away: Away) -> Refusal {
    match away {
        Away::Full => Refusal::ProofsFull,
        Away::Share => Refusal::ProofsOfOneFull,
        Away::Busy
        | Away::Invalid
        | Away::Refused
        | Away::Slow
        | Away::TooLong
        | Away::Unreachable => Refusal::ProofsUnavailable,
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replays(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_proof_counts_once_and_each_for_itself() {
        let replays = Replays::new(Arc::new(SharedState::in_memory()));
        let first = |proof: u8| {
            let proof = [proof; 32];
            let first = replays.first(b"alice", &proof, 60);
            first.now_or_never().unwrap()
        };
        assert_eq!(first(1), Ok(()));
        assert_eq!(first(2), Ok(()));
        assert_eq!(first(1), Err(Refusal::ProofReplayed));
        assert_eq!(first(2), Err(Refusal::ProofReplayed));
        let again = replays.clone();
        let came = again.first(b"bob", &[1; 32], 60).now_or_never().unwrap();
        assert_eq!(came, Err(Refusal::ProofReplayed), "as after a reload");
    }

    #[test]
    fn who_cannot_say_whether_a_proof_was_used_refuses_it() {
        for away in Away::ALL {
            let want = match away {
                Away::Full => (503, "proofs_full"),
                Away::Share => (429, "proofs_of_one_full"),
                Away::Busy
                | Away::Invalid
                | Away::Refused
                | Away::Slow
                | Away::TooLong
                | Away::Unreachable => (503, "proofs_unavailable"),
            };
            let refusal = unknown(away);
            assert_eq!(
                (refusal.status().as_u16(), refusal.reason()),
                want,
                "{away}"
            );
        }
    }
}
