//! [`Lease`]: for how long a connection to a service may wait for another request.
//!
//! pingora's pool keeps connections by the number of their policy. When a snapshot is swapped in that
//! has the policy no more, nothing finds them there, but they would stay open for as long as idle
//! ones may. The pool reads from each connection that waits in it: so one that waits in vain ends by
//! itself.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Whether one connection is in use, and whether it may be used again.
#[derive(Debug, Default)]
pub struct Lease(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ended: bool,
    /// Requests that have it. More than one only between the end of one and its account.
    users: u32,
    reader: Option<Waker>,
}

/// A request has the connection until this is dropped.
#[must_use = "the connection counts as in use only while this lives"]
#[derive(Debug)]
pub struct InUse(Arc<Lease>);

impl Lease {
    /// Notes that a request has the connection.
    pub fn take(self: &Arc<Self>) -> InUse {
        self.0.lock().users += 1;
        InUse(Arc::clone(self))
    }

    fn end(&self, ended: bool) {
        let mut state = self.0.lock();
        state.ended = ended;
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Ready when the connection waits for a request that cannot come any more.
    pub(super) fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.ended && state.users == 0 {
            return Poll::Ready(());
        }
        match &mut state.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.users -= 1;
        let over = state.ended && state.users == 0;
        let reader = over.then(|| state.reader.take()).flatten();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }
}

/// The connections of one policy.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    ended: bool,
    open: Vec<Weak<Lease>>,
    /// How many were open when we last looked.
    alive: usize,
}

/// As many that are closed may stay in the list as are open, and these.
const CLOSED_MAX: usize = 64;

impl Leases {
    /// That of a new connection.
    pub(super) fn grant(&self) -> Arc<Lease> {
        let mut all = self.0.lock();
        if all.open.len() > 2 * all.alive + CLOSED_MAX {
            all.open.retain(|lease| lease.strong_count() > 0);
            all.alive = all.open.len();
        }
        let lease = Arc::new(Lease::default());
        lease.end(all.ended);
        all.open.push(Arc::downgrade(&lease));
        lease
    }

    /// Says whether the policy is one that no new request has any more. It may come back.
    pub(super) fn end(&self, ended: bool) {
        let mut all = self.0.lock();
        if all.ended == ended {
            return;
        }
        all.ended = ended;
        let open: Vec<_> = all.open.iter().filter_map(Weak::upgrade).collect();
        drop(all);
        open.iter().for_each(|lease| lease.end(ended));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_over_when_its_policy_ended_and_nobody_has_the_connection() {
        let leases = Leases::default();
        let lease = leases.grant();
        let cx = &Context::from_waker(Waker::noop());
        let over = |lease: &Lease| lease.poll_over(cx).is_ready();
        assert!(!over(&lease));
        let (first, second) = (lease.take(), lease.take());
        leases.end(true);
        drop(first);
        assert!(!over(&lease), "another request has it");
        drop(second);
        assert!(over(&lease));
        assert!(over(&leases.grant()), "one that was made late");
        leases.end(false);
        assert!(!over(&lease), "the policy came back");
    }

    #[test]
    fn closed_connections_are_forgotten() {
        let leases = Leases::default();
        for _ in 0..10 * CLOSED_MAX {
            drop(leases.grant());
        }
        assert!(leases.0.lock().open.len() <= 2 * CLOSED_MAX);
    }
}
