//! [`Refreshes`]: tokens that are renewed, each once, however many requests ask for it.
//!
//! A refresh token is commonly good once, and using it twice ends the user's session at the server.
//! A browser asks for many things at a time, all with the same cookie, and for a while after: what
//! came of a refresh is kept for those who come with the token of before, also at another gateway.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::watch;

use super::session::Session;

/// Refreshes of one login, under way and just over. Outlives reloads that do not touch the login.
#[derive(Default)]
pub(super) struct Refreshes(Mutex<HashMap<[u8; 32], Refresh>>);

struct Refresh {
    outcome: watch::Receiver<Option<Outcome>>,
    since: Instant,
}

/// The session with its new tokens, or why there is none.
pub(super) type Outcome = Result<Arc<Session>, NotRefreshed>;

/// Why a session has no new tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRefreshed {
    /// The server does not give any: the user must log in again.
    Ended,
    /// The server, or what is shared, cannot be reached.
    Unavailable,
}

/// For so long a browser may come with the token of before.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// For so long a server that did not answer is not asked again with the same token.
const KEPT_IN_VAIN: Duration = Duration::from_secs(2);
/// Sessions that are renewed within a minute. Each takes some kilobytes.
const REFRESHES_MAX: usize = 10_000;

impl Refreshes {
    /// What comes, or came, of refreshing with this token. `refresh` is begun if nobody has; it
    /// goes on if whoever waits is gone, for the token may be used up.
    pub(super) async fn outcome<F>(
        &self,
        token: &str,
        refresh: impl FnOnce() -> F + Send,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let Some(mut outcome) = self.join(token, refresh) else {
            return Err(NotRefreshed::Unavailable);
        };
        let came = outcome.wait_for(Option::is_some).await;
        let came = came.ok().and_then(|came| came.clone());
        came.unwrap_or(Err(NotRefreshed::Unavailable))
    }

    fn join<F>(
        &self,
        token: &str,
        refresh: impl FnOnce() -> F,
    ) -> Option<watch::Receiver<Option<Outcome>>>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let hash = hash(token);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&hash).filter(|known| known.counts()) {
            return Some(known.outcome.clone());
        }
        if all.len() >= REFRESHES_MAX {
            all.retain(|_, refresh| refresh.counts());
        }
        if all.len() >= REFRESHES_MAX {
            return None;
        }
        let (tell, outcome) = watch::channel(None);
        let refresh = refresh();
        // It ends by its own timeouts; whoever waits for it is waited for at shutdown.
        tokio::spawn(async move { tell.send_replace(Some(refresh.await)) });
        let since = Instant::now();
        let kept = outcome.clone();
        all.insert(hash, Refresh { outcome, since });
        Some(kept)
    }
}

impl Refresh {
    fn counts(&self) -> bool {
        let kept = match *self.outcome.borrow() {
            None => return !matches!(self.outcome.has_changed(), Err(_gone)),
            Some(Ok(_) | Err(NotRefreshed::Ended)) => KEPT,
            Some(Err(NotRefreshed::Unavailable)) => KEPT_IN_VAIN,
        };
        self.since.elapsed() < kept
    }
}

/// By what a refresh token is known.
pub(super) fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

impl fmt::Debug for Refreshes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshes").finish_non_exhaustive()
    }
}
