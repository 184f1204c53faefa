//! [`Places`]: how many may ask one server at a time, and how many may wait to.
//!
//! One client of ours has at most half of both, however many questions it brings about: whoever
//! comes then still finds room, and need not wait behind it.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places before one server.
pub struct Places {
    taken: Mutex<Taken>,
    all_max: usize,
    client_max: usize,
    turns: Arc<Semaphore>,
    client_turns: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Those that have a place.
    clients: HashMap<Box<str>, OfClient>,
}

struct OfClient {
    taken: usize,
    turns: Arc<Semaphore>,
}

/// Room for one question, until it is dropped.
#[must_use = "the place is given back when this is dropped"]
pub struct Place {
    places: Arc<Places>,
    client: Box<str>,
    turns: Arc<Semaphore>,
}

/// Leave to ask now, until it is dropped.
#[derive(Debug)]
#[must_use = "the turn is over when this is dropped"]
pub struct Turn {
    _of_client: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// Questions that have a place, for each that may be under way.
const PLACES_FOR_EACH: usize = 16;

impl Places {
    /// Places for 16 times as many questions as may be under way at a time.
    #[must_use]
    pub fn new(under_way: NonZeroUsize) -> Self {
        let under_way = under_way.get();
        let all_max = under_way.saturating_mul(PLACES_FOR_EACH);
        Self {
            taken: Mutex::default(),
            all_max,
            client_max: all_max.div_ceil(2),
            turns: Arc::new(Semaphore::new(under_way.min(Semaphore::MAX_PERMITS))),
            client_turns: under_way.div_ceil(2).min(Semaphore::MAX_PERMITS),
        }
    }

    /// A place for a question of this client. `None`: there is no room, or none for this one.
    #[must_use = "none means: refuse"]
    pub fn take(self: &Arc<Self>, client: &str) -> Option<Place> {
        let mut taken = self.taken.lock();
        if taken.all >= self.all_max {
            return None;
        }
        let turns = match taken.clients.get_mut(client) {
            Some(of_client) if of_client.taken >= self.client_max => return None,
            Some(of_client) => {
                of_client.taken += 1;
                Arc::clone(&of_client.turns)
            }
            None => {
                let turns = Arc::new(Semaphore::new(self.client_turns));
                let of_client = OfClient {
                    taken: 1,
                    turns: Arc::clone(&turns),
                };
                taken.clients.insert(client.into(), of_client);
                turns
            }
        };
        taken.all += 1;
        Some(Place {
            places: Arc::clone(self),
            client: client.into(),
            turns,
        })
    }
}

impl Place {
    /// Waits for the turn of this question. `None` does not happen: turns are never closed.
    ///
    /// # Cancel safety
    ///
    /// Safe; the place stays, and who asks again waits from the end.
    pub async fn turn(&self) -> Option<Turn> {
        // The client's own first: where all wait, there are never more of one client than may ask.
        let of_client = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.places.turns).acquire_owned().await.ok()?;
        Some(Turn {
            _of_client: of_client,
            _of_all: of_all,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        match taken.clients.get_mut(&self.client) {
            Some(of_client) if of_client.taken > 1 => of_client.taken -= 1,
            Some(_) | None => drop(taken.clients.remove(&self.client)),
        }
    }
}

impl fmt::Debug for Places {
    /// No clients: their names are long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({} of {})", self.taken.lock().all, self.all_max)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn places(under_way: usize) -> Arc<Places> {
        Arc::new(Places::new(NonZeroUsize::new(under_way).unwrap()))
    }

    #[test]
    fn no_client_has_more_than_half_of_the_places() {
        let places = places(2);
        let mut of_one: Vec<_> = (0..40).filter_map(|_| places.take("one")).collect();
        assert_eq!(of_one.len(), 16);
        let of_two: Vec<_> = (0..40).filter_map(|_| places.take("two")).collect();
        assert_eq!(of_two.len(), 16);
        assert!(places.take("three").is_none(), "all are taken");
        drop(of_one.pop());
        assert!(places.take("two").is_none());
        assert!(places.take("three").is_some(), "and given back at once");
        assert!(places.take("one").is_some());
        drop((of_one, of_two));
        assert!(places.taken.lock().clients.is_empty());
        assert_eq!(places.taken.lock().all, 0);
    }

    fn turn(place: &Place) -> Option<Turn> {
        place.turn().now_or_never().flatten()
    }

    #[test]
    fn who_comes_to_a_client_that_waits_need_not() {
        let places = places(4);
        let of_one: Vec<_> = (0..5).filter_map(|_| places.take("one")).collect();
        let mut waiting: Vec<_> = of_one.iter().map(|one| Box::pin(one.turn())).collect();
        let come = waiting.iter_mut().filter_map(|one| one.now_or_never());
        let come: Vec<_> = come.collect();
        assert_eq!(come.len(), 2);
        let (two, three) = (places.take("two").unwrap(), places.take("three").unwrap());
        let (of_two, of_three) = (turn(&two), turn(&three));
        assert!(of_two.is_some() && of_three.is_some());
        let four = places.take("four").unwrap();
        assert!(turn(&four).is_none(), "four are under way");
        drop(of_two);
        assert!(turn(&four).is_some());
    }

    #[test]
    fn one_at_a_time_is_enough_for_everybody() {
        let places = places(1);
        let (one, two) = (places.take("one").unwrap(), places.take("two").unwrap());
        let of_one = turn(&one);
        assert!(of_one.is_some());
        assert!(turn(&two).is_none());
        drop(of_one);
        assert!(turn(&two).is_some());
    }
}
