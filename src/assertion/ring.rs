//! [`Ring`]: the keys that the process makes, one after the other.
//!
//! Three kinds are published: the key that signs; the next one, which was made when this one began
//! and is known to every service by the time it signs; and those that have signed, until the last
//! of their tokens has ended. Time comes in as an argument; nothing runs in the background, for
//! whoever asks for a key after its time makes the ring turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::error::Unspecified;
use parking_lot::RwLock;

use super::key::AssertionKey;

/// How far the clock of a service may be behind: it takes a token for this much longer.
const LEEWAY: Duration = Duration::from_secs(30);

/// When keys change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long a key signs.
    pub(super) rotate: Duration,
    /// How long a token lasts.
    pub(super) lifetime: Duration,
}

/// Keys that take turns. Empty until it is first asked.
#[derive(Debug, Default)]
pub(super) struct Ring(RwLock<Option<Turn>>);

#[derive(Debug)]
struct Turn {
    signs: Arc<AssertionKey>,
    since: Instant,
    next: Arc<AssertionKey>,
    /// With the time until which each is published.
    retired: Vec<(Arc<AssertionKey>, Instant)>,
}

impl Ring {
    /// The key that signs at `now`.
    pub(super) fn signing(
        &self,
        now: Instant,
        pace: Pace,
    ) -> Result<Arc<AssertionKey>, Unspecified> {
        self.at(now, pace, |turn| Arc::clone(&turn.signs))
    }

    /// Every key that is published at `now`, the one that signs first.
    pub(super) fn published(
        &self,
        now: Instant,
        pace: Pace,
    ) -> Result<Vec<Arc<AssertionKey>>, Unspecified> {
        self.at(now, pace, |turn| {
            let live = turn.retired.iter().filter(|(_, until)| now < *until);
            let retired = live.map(|(key, _)| key);
            [&turn.signs, &turn.next]
                .into_iter()
                .chain(retired)
                .map(Arc::clone)
                .collect()
        })
    }

    fn at<T>(
        &self,
        now: Instant,
        pace: Pace,
        read: impl FnOnce(&Turn) -> T,
    ) -> Result<T, Unspecified> {
        if let Some(turn) = &*self.0.read()
            && !turn.is_over(now, pace)
        {
            return Ok(read(turn));
        }
        let mut ring = self.0.write();
        match &mut *ring {
            Some(turn) => {
                // Another may have been here first.
                if turn.is_over(now, pace) {
                    turn.turn(now, pace)?;
                }
                Ok(read(turn))
            }
            None => Ok(read(ring.insert(Turn::first(now)?))),
        }
    }
}

impl Turn {
    fn first(now: Instant) -> Result<Self, Unspecified> {
        Ok(Self {
            signs: Arc::new(AssertionKey::generate()?),
            since: now,
            next: Arc::new(AssertionKey::generate()?),
            retired: Vec::new(),
        })
    }

    fn is_over(&self, now: Instant, pace: Pace) -> bool {
        now.saturating_duration_since(self.since) >= pace.rotate
    }

    /// The next key signs from `now` on, however long ago its turn began: the one after it is
    /// published only now.
    fn turn(&mut self, now: Instant, pace: Pace) -> Result<(), Unspecified> {
        let after = Arc::new(AssertionKey::generate()?);
        let signs = std::mem::replace(&mut self.next, after);
        let before = std::mem::replace(&mut self.signs, signs);
        self.retired.retain(|(_, until)| now < *until);
        self.retired.push((before, now + pace.lifetime + LEEWAY));
        self.since = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        rotate: Duration::from_secs(100),
        lifetime: Duration::from_secs(60),
    };

    fn kids(ring: &Ring, now: Instant) -> Vec<String> {
        let published = ring.published(now, PACE).unwrap();
        published.iter().map(|key| key.kid().to_owned()).collect()
    }

    #[test]
    fn keys_are_published_before_and_after_they_sign() {
        let (ring, begin) = (Ring::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        let [first, second] = kids(&ring, begin).try_into().unwrap();
        assert_eq!(kids(&ring, after(99)), [first.clone(), second.clone()]);
        // (seconds, who signs, whether the first is published)
        for (seconds, signs, first_is_there) in [
            (99, &first, true),
            (100, &second, true),
            (189, &second, true),
            (190, &second, false),
        ] {
            let now = after(seconds);
            assert_eq!(ring.signing(now, PACE).unwrap().kid(), signs, "{seconds}");
            assert_eq!(
                kids(&ring, now).contains(&first),
                first_is_there,
                "{seconds}"
            );
        }
        let third = kids(&ring, after(190))[1].clone();
        // Nobody asked for ten turns: the key that services know signs, not one they never saw.
        let late = after(1_200);
        assert_eq!(ring.signing(late, PACE).unwrap().kid(), third);
        assert_eq!(kids(&ring, late).len(), 3);
        assert!(kids(&ring, late).contains(&second), "it signed until now");
    }

    #[test]
    fn debug_says_nothing_of_a_private_key() {
        let ring = Ring::default();
        let key = ring.signing(Instant::now(), PACE).unwrap();
        let text = format!("{ring:?}");
        assert!(text.contains(key.kid()));
        assert!(text.len() < 400, "{text}");
    }
}
