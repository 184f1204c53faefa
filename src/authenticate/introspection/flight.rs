//! [`Flights`]: of all who ask about one token at a time, one asks for all.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::cache::TokenDigest;

/// The questions that are under way, or wait to be. There are never more than requests that ask.
pub(super) struct Flights<T> {
    cells: Mutex<HashMap<TokenDigest, Arc<OnceCell<T>>>>,
}

/// One who waits for an answer.
struct Seat<'f, T> {
    flights: &'f Flights<T>,
    token: TokenDigest,
    cell: Arc<OnceCell<T>>,
}

impl<T: Clone> Flights<T> {
    /// What `ask` comes to, or the same question of somebody who asked before.
    ///
    /// # Errors
    ///
    /// What `ask` fails with. That is this one's alone: the next who waits asks anew.
    ///
    /// # Cancel safety
    ///
    /// Whoever asks for others and gives up is followed by one of them, who asks anew.
    pub(super) async fn join<E>(
        &self,
        token: TokenDigest,
        ask: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let seat = self.seat(token);
        seat.cell.get_or_try_init(|| ask).await.cloned()
    }

    fn seat(&self, token: TokenDigest) -> Seat<'_, T> {
        let cell = Arc::clone(self.cells.lock().entry(token).or_default());
        Seat {
            flights: self,
            token,
            cell,
        }
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

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self {
            cells: Mutex::default(),
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

    type Never = std::convert::Infallible;

    #[tokio::test]
    async fn ten_thousand_who_ask_the_same_ask_once() {
        let flights = Flights::default();
        let (asked, go) = (AtomicUsize::new(0), Notify::new());
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            go.notified().await;
            Ok::<_, Never>(7)
        };
        let all = (0..10_000).map(|_| flights.join(token("a"), ask()));
        let all = futures_util::future::join_all(all);
        let (answers, ()) = tokio::join!(all, async { go.notify_one() });
        assert!(answers.iter().all(|answer| *answer == Ok(7)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(flights.cells.lock().is_empty());
        let anew = flights.join(token("a"), ready(Ok::<_, Never>(8)));
        assert_eq!(anew.await, Ok(8));
    }

    #[tokio::test]
    async fn who_gives_up_is_followed_by_another_and_leaves_nothing_behind() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.join(token("a"), pending::<Result<_, Never>>()));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let mut second = Box::pin(flights.join(token("a"), ready(Ok::<_, Never>(2))));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(second.await, Ok(2));
        let mut alone = Box::pin(flights.join(token("a"), pending::<Result<_, Never>>()));
        assert!(futures_util::poll!(alone.as_mut()).is_pending());
        drop(alone);
        assert!(flights.cells.lock().is_empty());
    }

    #[tokio::test]
    async fn what_keeps_one_from_asking_keeps_nobody_else() {
        let flights = Flights::default();
        let go = Notify::new();
        let mut first = Box::pin(flights.join(token("a"), async {
            go.notified().await;
            Err("no room")
        }));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let mut second = Box::pin(flights.join(token("a"), ready(Ok::<_, Never>(2))));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        go.notify_one();
        assert_eq!((first.await, second.await), (Err("no room"), Ok(2)));
        assert!(flights.cells.lock().is_empty());
    }
}
