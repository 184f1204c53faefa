//! [`ClientConnection`]: what an open connection tells the record of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::client_record::{Client, ClientRecord};
use crate::identity::certificate::PeerIdentity;
use crate::identity::name::Name;

/// Routes of one client that are remembered.
const ROUTES_MAX: usize = 32;
/// Seconds after which a connection that is used says again that its client is here.
const REFRESH: i64 = 60;
/// Routes that a connection knows to have told of.
const ROUTES_TOLD: usize = 4;

/// One open connection of a client; counts as open until it is dropped.
#[derive(Debug)]
#[must_use = "the connection counts as open only while this lives"]
pub struct ClientConnection {
    pub(super) record: Arc<ClientRecord>,
    pub(super) client: Arc<Client>,
    pub(super) told: [AtomicU32; ROUTES_TOLD],
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.client.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ClientConnection {
    /// A route let a request of this connection through. Costs a few relaxed loads, but for the first
    /// request to a route, and one in a minute.
    pub fn used(&self, route: u32, name: &Name, identity: &PeerIdentity, now: i64) {
        let told = self
            .told
            .iter()
            .any(|told| told.load(Ordering::Relaxed) == route);
        let fresh = now
            < self
                .client
                .last
                .load(Ordering::Relaxed)
                .saturating_add(REFRESH);
        if told && fresh {
            return;
        }
        self.tell(route, name, identity, now);
    }

    #[cold]
    fn tell(&self, route: u32, name: &Name, identity: &PeerIdentity, now: i64) {
        self.client.last.fetch_max(now, Ordering::Relaxed);
        let ends = self.client.with(|facts| {
            if !facts.routes.contains(name) {
                match facts.routes.len() {
                    0..ROUTES_MAX => facts.routes.push(name.clone()),
                    _full => facts.more_routes = true,
                }
            }
            let mut known = facts.certificates.iter_mut();
            let known = known.find(|known| known.fingerprint == identity.fingerprint);
            if let Some(known) = known {
                known.last = known.last.max(now);
            }
            facts.ends(now)
        });
        self.client.ends.store(ends, Ordering::Relaxed);
        let place = usize::try_from(route).unwrap_or_default() % ROUTES_TOLD;
        if let Some(told) = self.told.get(place) {
            told.store(route, Ordering::Relaxed);
        }
        if !self.client.listed.load(Ordering::Relaxed) {
            // It was forgotten for want of room, and is here again.
            self.record.with(|table| {
                if !table.clients.contains_key(&self.client.identity) {
                    table.list(&self.client, now);
                }
            });
        }
    }
}
