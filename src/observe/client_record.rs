//! [`ClientRecord`]: which clients were here in the last day, for `/tls/clients` and the metrics about
//! certificates that end.
//!
//! A handshake takes the lock for a moment. A request takes none: its connection knows its client's
//! entry and which routes it has told of, and looks at two or three atomics.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::client_connection::ClientConnection;
use super::clock::unix_now;
use super::escape::kept;
use super::heavy::DAY;
use super::next_trust::Rehearsed;
use super::tls_facts::TlsFacts;
use crate::identity::certificate::{Fingerprint, PeerIdentity};
use crate::identity::name::Name;

/// Identities that are remembered: some 7 MB.
pub(super) const CLIENTS_MAX: usize = 10_000;
/// When there is no room, one in so many is forgotten in one go: to look for who was not seen for
/// longest takes a look at all.
const FORGOTTEN_SHARE: usize = 16;
/// Certificates of one identity that are remembered: before and after a rotation, of a few instances.
const CERTIFICATES_MAX: usize = 4;
const LISTENERS_MAX: usize = 8;
/// The clients of the last day. Only who proved to have a certificate of a CA that we trust is here.
#[derive(Debug)]
pub struct ClientRecord {
    table: Mutex<Table>,
    /// What is rehearsed at each listener, by its digest: what was found under another says nothing.
    rehearsed: Mutex<Rehearsals>,
}

/// Digests of what is to come, by listener. A listener that rehearses nothing is in none.
pub type Rehearsals = BTreeMap<Name, [u8; 32]>;

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) clients: HashMap<Arc<str>, Arc<Client>>,
    /// Clients of the last day that were forgotten because there were too many.
    pub(super) evicted: u64,
}

/// What is known of one client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) identity: Arc<str>,
    pub(super) first: i64,
    /// The last handshake or request; of requests to the minute.
    pub(super) last: AtomicI64,
    /// When the certificate ends that ends last, of those seen in the last day.
    pub(super) ends: AtomicI64,
    pub(super) open: AtomicU32,
    pub(super) listed: AtomicBool,
    pub(super) facts: Mutex<ClientFacts>,
}

/// What changes with a handshake or a new route.
#[derive(Clone, Debug)]
pub(super) struct ClientFacts {
    pub(super) certificates: Vec<SeenCertificate>,
    pub(super) listeners: Vec<Name>,
    pub(super) routes: Vec<Name>,
    /// Whether there were more routes than are remembered.
    pub(super) more_routes: bool,
    pub(super) handshakes: u64,
    pub(super) resumed: u64,
    pub(super) version: &'static str,
    pub(super) group: &'static str,
    pub(super) post_quantum: bool,
}

/// One certificate of a client. Texts are clean and cut.
#[derive(Clone, Debug)]
pub(super) struct SeenCertificate {
    pub(super) fingerprint: Fingerprint,
    pub(super) subject: Box<str>,
    pub(super) issuer: Box<str>,
    pub(super) serial: Box<str>,
    pub(super) not_after: i64,
    pub(super) last: i64,
    /// What would become of it under the bundle that is to come, if one is rehearsed.
    pub(super) next: Option<Rehearsed>,
}

/// A handshake with a client that proved who it is.
#[derive(Clone, Copy, Debug)]
pub struct ClientHandshake<'a> {
    /// The identity as a text.
    pub text: &'a str,
    /// The identity.
    pub identity: &'a PeerIdentity,
    /// The listener.
    pub listener: &'a Name,
    /// What was agreed on.
    pub tls: &'a TlsFacts,
    /// Whether the client offered a post-quantum key exchange.
    pub post_quantum: bool,
    /// What would become of its certificate under the bundle that is to come.
    pub next: Option<Rehearsed>,
    /// Under which, where something is rehearsed.
    pub rehearsed: Option<[u8; 32]>,
}

impl ClientRecord {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            rehearsed: Mutex::default(),
        })
    }

    /// Says what is rehearsed. What was found of each client under another is forgotten: an `ok` of
    /// yesterday's rehearsal is none of today's.
    pub fn rehearsing(&self, now: Rehearsals) {
        let mut rehearsed = self
            .rehearsed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *rehearsed == now {
            return;
        }
        *rehearsed = now;
        // With the lock held: a handshake that ends now is noted after this, and looks again.
        self.with(|table| {
            for client in table.clients.values() {
                client.with(|facts| {
                    facts
                        .certificates
                        .iter_mut()
                        .for_each(|seen| seen.next = None)
                });
            }
        });
    }

    /// Notes a handshake, and that its connection is open.
    pub fn connected(self: &Arc<Self>, handshake: &ClientHandshake<'_>) -> ClientConnection {
        self.connected_at(handshake, unix_now())
    }

    pub(super) fn connected_at(
        self: &Arc<Self>,
        handshake: &ClientHandshake<'_>,
        now: i64,
    ) -> ClientConnection {
        let client = self.with(|table| table.client(handshake.text, now));
        let rehearsed = self
            .rehearsed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let holds = rehearsed.get(handshake.listener) == handshake.rehearsed.as_ref();
        client.note(handshake, handshake.next.filter(|_| holds), now);
        drop(rehearsed);
        client.open.fetch_add(1, Ordering::Relaxed);
        ClientConnection {
            record: Arc::clone(self),
            client,
            told: Default::default(),
        }
    }

    /// How many clients were seen in the last day; then, for each of these many seconds, how many of
    /// them have no certificate that ends later.
    pub(super) fn expiring<const N: usize>(&self, within: [i64; N], now: i64) -> (usize, [u64; N]) {
        let mut counts = [0; N];
        let seen = self.with(|table| {
            table.forget_absent(now);
            for client in table.clients.values() {
                let ends = client.ends.load(Ordering::Relaxed);
                for (count, within) in counts.iter_mut().zip(within) {
                    *count += u64::from(ends <= now.saturating_add(within));
                }
            }
            table.clients.len()
        });
        (seen, counts)
    }

    /// The clients of the last day, and how many were forgotten for want of room.
    pub(super) fn seen(&self, now: i64) -> (Vec<Arc<Client>>, u64) {
        self.with(|table| {
            table.forget_absent(now);
            (table.clients.values().cloned().collect(), table.evicted)
        })
    }

    #[cfg(test)]
    pub(super) fn forget_all(&self) {
        self.with(|table| {
            for (_, client) in table.clients.drain() {
                client.listed.store(false, Ordering::Relaxed);
            }
        });
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Table {
    fn client(&mut self, identity: &str, now: i64) -> Arc<Client> {
        if let Some(client) = self.clients.get(identity) {
            return Arc::clone(client);
        }
        let client = Arc::new(Client::new(identity, now));
        self.list(&client, now);
        client
    }

    pub(super) fn list(&mut self, client: &Arc<Client>, now: i64) {
        self.make_room(now);
        client.listed.store(true, Ordering::Relaxed);
        self.clients
            .insert(Arc::clone(&client.identity), Arc::clone(client));
    }

    /// Clients that were not here for a day and have no open connection.
    fn forget_absent(&mut self, now: i64) {
        self.clients.retain(|_, client| {
            let here = client.presence() > now - DAY;
            client.listed.store(here, Ordering::Relaxed);
            here
        });
    }

    fn make_room(&mut self, now: i64) {
        if self.clients.len() < CLIENTS_MAX {
            return;
        }
        self.forget_absent(now);
        if self.clients.len() < CLIENTS_MAX {
            return;
        }
        let mut seen: Vec<_> = self
            .clients
            .values()
            .map(|client| (client.presence(), Arc::clone(&client.identity)))
            .collect();
        let share = seen.len() / FORGOTTEN_SHARE;
        seen.select_nth_unstable(share);
        for (_, identity) in seen.iter().take(share.max(1)) {
            if let Some(client) = self.clients.remove(identity) {
                client.listed.store(false, Ordering::Relaxed);
                self.evicted += 1;
            }
        }
    }
}

impl Client {
    fn new(identity: &str, now: i64) -> Self {
        Self {
            identity: identity.into(),
            first: now,
            last: AtomicI64::new(now),
            ends: AtomicI64::new(i64::MIN),
            open: AtomicU32::new(0),
            listed: AtomicBool::new(false),
            facts: Mutex::new(ClientFacts {
                certificates: Vec::with_capacity(1),
                listeners: Vec::with_capacity(1),
                routes: Vec::new(),
                more_routes: false,
                handshakes: 0,
                resumed: 0,
                version: "",
                group: "",
                post_quantum: false,
            }),
        }
    }

    /// When it was here last: who is connected is here.
    fn presence(&self) -> i64 {
        match self.open.load(Ordering::Relaxed) {
            0 => self.last.load(Ordering::Relaxed),
            _open => i64::MAX,
        }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut ClientFacts) -> T) -> T {
        work(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, handshake: &ClientHandshake<'_>, next: Option<Rehearsed>, now: i64) {
        self.last.fetch_max(now, Ordering::Relaxed);
        let ends = self.with(|facts| {
            facts.handshakes += 1;
            facts.resumed += u64::from(handshake.tls.resumed);
            facts.version = handshake.tls.version;
            facts.group = handshake.tls.group;
            facts.post_quantum = handshake.post_quantum;
            if !facts.listeners.contains(handshake.listener)
                && facts.listeners.len() < LISTENERS_MAX
            {
                facts.listeners.push(handshake.listener.clone());
            }
            facts.certificate(handshake.identity, next, now);
            facts.ends(now)
        });
        self.ends.store(ends, Ordering::Relaxed);
    }
}

impl ClientFacts {
    fn certificate(&mut self, identity: &PeerIdentity, next: Option<Rehearsed>, now: i64) {
        let fingerprint = identity.fingerprint;
        let known = self.certificates.iter_mut();
        if let Some(known) = { known }.find(|known| known.fingerprint == fingerprint) {
            known.last = known.last.max(now);
            known.next = next;
            return;
        }
        if self.certificates.len() >= CERTIFICATES_MAX {
            let places = self.certificates.iter().enumerate();
            let oldest = places.min_by_key(|(_, known)| known.last).map(|(at, _)| at);
            self.certificates.swap_remove(oldest.unwrap_or_default());
        }
        self.certificates.push(SeenCertificate {
            fingerprint,
            subject: kept(&identity.shown.subject),
            issuer: kept(&identity.shown.issuer),
            serial: kept(&identity.shown.serial),
            not_after: identity.not_after,
            last: now,
            next,
        });
    }

    /// When the last certificate ends of those that were seen in the last day.
    pub(super) fn ends(&self, now: i64) -> i64 {
        let current = self
            .certificates
            .iter()
            .filter(|seen| seen.last > now - DAY);
        current.map(|seen| seen.not_after).max().unwrap_or(i64::MIN)
    }
}
