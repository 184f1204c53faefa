//! [`Away`]: whether anybody need wait for the issuer, or it has just not answered.
//!
//! Whoever shows tokens has a hand in what is asked, and so perhaps in what fails: a made-up token
//! may be one that the issuer chokes on. So a failure counts for everybody only if no made-up token
//! can have brought it about; any other counts for the client that ran into it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What one issuer has not answered lately.
#[derive(Debug, Default)]
pub(super) struct Away(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// It is away for everybody, whatever is asked.
    all: Option<Instant>,
    /// It is away for those who ask about tokens that nobody here knows.
    clients: HashMap<Box<str>, Instant>,
    answered: Option<Instant>,
}

/// For whom a failure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts<'c> {
    /// It is the issuer's, or ours.
    ForAll,
    /// The token may have brought it about, and this client has shown it.
    For(&'c str),
}

/// For so long nobody tries again.
const PAUSE: Duration = Duration::from_secs(1);
/// Clients that are kept in mind. More have to wait for the issuer, each time.
const CLIENTS_MAX: usize = 1_000;

impl Away {
    /// For how long this client need not ask about a token that nobody knows.
    pub(super) fn for_unknown(&self, client: &str, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock();
        let of_all = state.all.and_then(|until| left(until, now));
        // Who tries in spite of an earlier failure tries for the client alone: what it shows may be
        // made to fail, and must not keep others waiting.
        of_all.or_else(|| try_again(state.clients.get_mut(client)?, now))
    }

    /// For how long nobody need ask about a token that the issuer has called good before. One tries
    /// when that is over.
    pub(super) fn for_known(&self, now: Instant) -> Option<Duration> {
        try_again(self.0.lock().all.as_mut()?, now)
    }

    /// It answered, whatever it said.
    pub(super) fn answered(&self, now: Instant) {
        let mut state = self.0.lock();
        state.all = None;
        state.clients.clear();
        state.answered = Some(now);
    }

    /// It was asked at `asked` and has not answered by `now`. Where it has answered others since, it
    /// is not away.
    pub(super) fn failed(&self, counts: Counts<'_>, asked: Instant, now: Instant) {
        let mut state = self.0.lock();
        if state.answered.is_some_and(|answered| answered >= asked) {
            return;
        }
        let until = now + PAUSE;
        match counts {
            Counts::ForAll => state.all = Some(until),
            Counts::For(client) => {
                if state.clients.len() >= CLIENTS_MAX {
                    state.clients.retain(|_, until| *until > now);
                }
                if state.clients.len() < CLIENTS_MAX {
                    state.clients.insert(client.into(), until);
                }
            }
        }
    }
}

fn left(until: Instant, now: Instant) -> Option<Duration> {
    let left = until.saturating_duration_since(now);
    (!left.is_zero()).then_some(left)
}

/// Once it is over, one tries, and others go on as if it were not.
fn try_again(until: &mut Instant, now: Instant) -> Option<Duration> {
    let left = left(*until, now);
    if left.is_none() {
        *until = now + PAUSE;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(300);

    #[test]
    fn what_a_token_may_have_brought_about_is_that_clients_alone() {
        let (away, now) = (Away::default(), Instant::now());
        assert_eq!(away.for_unknown("one", now), None);
        away.failed(Counts::For("one"), now, now);
        assert_eq!(away.for_unknown("one", now), Some(PAUSE));
        assert_eq!(away.for_unknown("one", now + MOMENT), Some(PAUSE - MOMENT));
        assert_eq!(away.for_unknown("two", now), None);
        assert_eq!(away.for_known(now), None);
        let later = now + PAUSE;
        assert_eq!(away.for_unknown("one", later), None, "it tries again");
        assert_eq!(away.for_unknown("one", later), Some(PAUSE), "once");
    }

    #[test]
    fn what_no_token_brings_about_is_everybodys_and_one_tries_again() {
        let (away, now) = (Away::default(), Instant::now());
        away.failed(Counts::ForAll, now, now);
        assert_eq!(away.for_unknown("one", now), Some(PAUSE));
        assert_eq!(away.for_known(now + MOMENT), Some(PAUSE - MOMENT));
        let later = now + PAUSE;
        assert_eq!(away.for_unknown("one", later), None);
        away.failed(Counts::For("one"), later, later);
        assert_eq!(away.for_unknown("two", later), None, "not kept up by it");
        assert_eq!(away.for_known(later), None, "it tries again");
        assert_eq!(away.for_known(later), Some(PAUSE), "once");
    }

    #[test]
    fn an_answer_to_anybody_ends_it_and_says_that_who_waits_is_not_the_only_one() {
        let (away, now) = (Away::default(), Instant::now());
        away.failed(Counts::ForAll, now, now);
        away.failed(Counts::For("one"), now, now);
        away.answered(now + MOMENT);
        assert_eq!(away.for_known(now + MOMENT), None);
        assert_eq!(away.for_unknown("one", now + MOMENT), None);
        away.failed(Counts::For("one"), now, now + PAUSE);
        assert_eq!(away.for_unknown("one", now + PAUSE), None);
        away.failed(Counts::For("one"), now + PAUSE, now + PAUSE);
        assert_eq!(away.for_unknown("one", now + PAUSE), Some(PAUSE));
    }

    #[test]
    fn so_many_clients_are_kept_in_mind() {
        let (away, now) = (Away::default(), Instant::now());
        let fail = |number: usize, at| {
            away.failed(Counts::For(&number.to_string()), at, at);
        };
        (0..=CLIENTS_MAX).for_each(|number| fail(number, now));
        assert_eq!(away.0.lock().clients.len(), CLIENTS_MAX);
        fail(CLIENTS_MAX, now + PAUSE);
        assert_eq!(away.0.lock().clients.len(), 1);
    }
}
