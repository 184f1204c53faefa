//! [`Flights`]: of all who ask about one token at a time, one asks for all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::cache::TokenDigest;

/// The questions that are under way, or wait to be.
pub(super) struct Flights<T> {
    cells: Mutex<HashMap<TokenDigest, Arc<OnceCell<T>>>>,
    max: usize,
}

/// One who waits for an answer.
struct Seat<'f, T> {
    flights: &'f Flights<T>,
    token: TokenDigest,
    cell: Arc<OnceCell<T>>,
}

impl<T: Clone> Flights<T> {
    /// Room for questions about `max` different tokens.
    pub(super) fn new(max: usize) -> Self {
        Self {
            cells: Mutex::default(),
            max,
        }
    }

    /// What `ask` comes to, or the same question of somebody who asked before. `None`: there are too
    /// many questions.
    ///
    /// # Cancel safety
    ///
    /// Whoever asks for others and gives up is followed by one of them, who asks anew.
    pub(super) async fn join(
        &self,
        token: TokenDigest,
        ask: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let seat = self.seat(token)?;
        Some(seat.cell.get_or_init(|| ask).await.clone())
    }

    fn seat(&self, token: TokenDigest) -> Option<Seat<'_, T>> {
        let mut cells = self.cells.lock();
        let full = cells.len() >= self.max;
        let cell = match cells.entry(token) {
            Entry::Occupied(there) => Arc::clone(there.get()),
            Entry::Vacant(_) if full => return None,
            Entry::Vacant(free) => Arc::clone(free.insert(Arc::default())),
        };
        Some(Seat {
            flights: self,
            token,
            cell,
        })
    }
}

impl<T> Drop for Seat<'_, T> {
    /// The first who has the answer, or the last who gives up, takes the question away.
    fn drop(&mut self) {
        const MAP_AND_SELF: usize = 2;
        let mut cells = self.flights.cells.lock();
        // Given back before the lock is: who counts next does not count this seat.
        let cell = std::mem::take(&mut self.cell);
        let over = cell.initialized() || Arc::strong_count(&cell) == MAP_AND_SELF;
        let ours = |there: &Arc<OnceCell<T>>| Arc::ptr_eq(there, &cell);
        if over && cells.get(&self.token).is_some_and(ours) {
            cells.remove(&self.token);
        }
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flights({})", self.cells.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    fn token(name: &str) -> TokenDigest {
        TokenDigest::of(name)
    }

    #[tokio::test]
    async fn ten_thousand_who_ask_the_same_ask_once() {
        let flights = Flights::new(1);
        let (asked, go) = (AtomicUsize::new(0), Notify::new());
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            go.notified().await;
            7
        };
        let all = (0..10_000).map(|_| flights.join(token("a"), ask()));
        let all = futures_util::future::join_all(all);
        let (answers, ()) = tokio::join!(all, async { go.notify_one() });
        assert!(answers.iter().all(|answer| *answer == Some(7)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(flights.cells.lock().is_empty());
        assert_eq!(flights.join(token("a"), ready(8)).await, Some(8), "anew");
    }

    #[tokio::test]
    async fn who_gives_up_is_followed_by_another_and_leaves_nothing_behind() {
        let flights = Flights::new(1);
        let mut first = Box::pin(flights.join(token("a"), pending()));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let mut second = Box::pin(flights.join(token("a"), ready(2)));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(second.await, Some(2));
        let mut alone = Box::pin(flights.join(token("a"), pending::<i32>()));
        assert!(futures_util::poll!(alone.as_mut()).is_pending());
        drop(alone);
        assert!(flights.cells.lock().is_empty());
    }

    #[tokio::test]
    async fn questions_are_bounded_and_those_under_way_may_be_joined() {
        let flights = Flights::new(1);
        let mut first = Box::pin(flights.join(token("a"), pending()));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        assert_eq!(flights.join(token("b"), ready(1)).await, None);
        let mut joined = Box::pin(flights.join(token("a"), ready(2)));
        assert!(futures_util::poll!(joined.as_mut()).is_pending());
        drop(first);
        assert_eq!(joined.await, Some(2));
        assert_eq!(flights.join(token("b"), ready(1)).await, Some(1));
    }
}
