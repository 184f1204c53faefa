//! [`UnderWay`]: questions that a server was sent. Each goes on to its end, whoever still waits for the
//! answer: given up half way it would be work for the server all the same, and its turn
//! ([`places`](super::places)) would go to another one meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The questions that are with one server. There are never more than turns.
pub struct UnderWay<K: Eq + Hash, T>(Mutex<HashMap<K, Told<T>>>);

type Told<T> = watch::Receiver<Option<T>>;

/// A question that is taken away when this is dropped.
struct Sent<K: Copy + Eq + Hash, T> {
    under_way: Arc<UnderWay<K, T>>,
    about: K,
}

impl<K, T> UnderWay<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The answer to the question about this that is under way. `None`: none is, or it ended without.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn answer(&self, about: &K) -> Option<T> {
        let told = self.0.lock().get(about)?.clone();
        answered(told).await
    }

    /// Asks, in a task of its own, and waits for the answer. `None`: it ended without one, which is a
    /// fault of ours.
    ///
    /// # Cancel safety
    ///
    /// Safe: the question goes on, and [`Self::answer`] finds it.
    pub async fn send(
        self: &Arc<Self>,
        about: K,
        ask: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = watch::channel(None);
        self.0.lock().insert(about, told.clone());
        let sent = Sent {
            under_way: Arc::clone(self),
            about,
        };
        drop(tokio::spawn(async move {
            let answer = ask.await;
            // Before it is told: whoever is told finds the server free again.
            drop(sent);
            tell.send_replace(Some(answer));
        }));
        answered(told).await
    }
}

async fn answered<T: Clone>(mut told: Told<T>) -> Option<T> {
    let answer = told.wait_for(Option::is_some).await.ok()?;
    answer.clone()
}

impl<K: Copy + Eq + Hash, T> Drop for Sent<K, T> {
    fn drop(&mut self) {
        self.under_way.0.lock().remove(&self.about);
    }
}

impl<K: Eq + Hash, T> Default for UnderWay<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T> fmt::Debug for UnderWay<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnderWay({})", self.0.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_question_goes_on_when_who_asked_is_gone_and_another_hears_the_answer() {
        let under_way = Arc::new(UnderWay::default());
        assert_eq!(under_way.answer(&1).await, None);
        let go = Arc::new(Notify::new());
        let held = Arc::clone(&go);
        let mut asks = Box::pin(under_way.send(1, async move {
            held.notified().await;
            7
        }));
        assert!(poll!(asks.as_mut()).is_pending());
        drop(asks);
        let mut waits = Box::pin(under_way.answer(&1));
        assert!(poll!(waits.as_mut()).is_pending());
        go.notify_one();
        assert_eq!(waits.await, Some(7));
        assert_eq!(under_way.answer(&1).await, None, "it is over");
    }

    #[tokio::test]
    async fn a_question_that_ends_in_a_fault_leaves_nothing_behind() {
        let under_way: Arc<UnderWay<u8, u8>> = Arc::default();
        let asks = under_way.send(1, async { panic!("a fault") });
        assert_eq!(asks.await, None);
        assert!(under_way.0.lock().is_empty());
    }
}
