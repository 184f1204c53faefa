//! [`ConnectionFacts`]: what a handshake established. What was verified counts, not what was
//! configured.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::standing::Standing;
use crate::identity::certificate::{PeerIdentity, not_after};
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::observe::{ClientConnection, RouteMetrics, TlsFacts};
use crate::trust::{KeyPair, TrustStore};

/// What is known of a client's connection. Every request on it is held against this.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// The listener that the connection came to.
    pub listener: Name,
    /// Where it came from.
    pub source: SocketAddr,
    /// The name that the client asked for (SNI), in canonical form.
    pub server_name: Option<Host>,
    /// The certificate that we served.
    pub served: Arc<KeyPair>,
    /// Who the client proved to be.
    pub peer: Presented,
    /// What was negotiated.
    pub tls: TlsFacts,
    /// By what limits count this client, and what logs call it: see [`peer_key`].
    pub peer_key: Box<str>,
    /// Its place in the record of clients, if it showed a certificate.
    pub client: Option<ClientConnection>,
    /// What services that read Envoy's header field are told of it; made when it is first asked for.
    pub xfcc: OnceLock<Box<str>>,
    /// What happened on the connection since.
    pub counts: ConnectionCounts,
    /// Whether the client may still be here.
    pub standing: Standing,
}

/// What the client presented and we verified.
#[derive(Debug)]
pub enum Presented {
    /// A certificate that verified.
    Certificate {
        /// Who it names.
        identity: Arc<PeerIdentity>,
        /// The leaf first, then what the client sent with it.
        chain: Box<[CertificateDer<'static>]>,
    },
    /// No certificate, on a listener where it is optional.
    Nothing,
}

/// Counters of one connection.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    requests: AtomicU32,
    resets: AtomicU32,
}

impl ConnectionFacts {
    /// The verified identity as a text, if there is one.
    #[must_use]
    pub fn identity_text(&self) -> Option<&str> {
        match &self.peer {
            Presented::Certificate { .. } => Some(&self.peer_key),
            Presented::Nothing => None,
        }
    }

    /// The verified identity, if there is one.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<PeerIdentity>> {
        match &self.peer {
            Presented::Certificate { identity, .. } => Some(identity),
            Presented::Nothing => None,
        }
    }

    /// The certificates that the client showed, the leaf first. None, if it showed none.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        match &self.peer {
            Presented::Certificate { chain, .. } => chain,
            Presented::Nothing => &[],
        }
    }

    /// Notes that a route let a request of this connection through, at `now` in seconds since 1970.
    pub fn used(&self, route: &RouteMetrics, name: &Name, now: i64) {
        if let (Some(client), Some(identity)) = (&self.client, self.identity()) {
            client.used(route.number(), name, identity, now);
        }
    }

    /// Whether the connection was opened for this host: by SNI, or without SNI, by the names of the
    /// certificate that we served (RFC 9110, section 15.5.20).
    #[must_use]
    pub fn is_for(&self, host: &Host) -> bool {
        match &self.server_name {
            Some(name) => name == host,
            None => self.served.serves(host),
        }
    }
}

/// Until when a chain that verifies now need not be looked at again: the first end of a certificate
/// in it or of a CA, or that of the grace of the leaf, in seconds since 1970. A certificate that is
/// over already plays no other part.
#[must_use]
pub fn good_until(
    chain: &[CertificateDer<'_>],
    trust: &TrustStore,
    now: UnixTime,
    grace: Duration,
) -> i64 {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let grace = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
    let leaf = chain.first().and_then(|leaf| not_after(leaf));
    let ends = chain
        .iter()
        .filter_map(|certificate| not_after(certificate));
    ends.filter(|end| *end >= seconds)
        .chain(leaf.map(|end| end.saturating_add(grace)))
        .fold(trust.next_end(now), i64::min)
}

/// By what limits count a client: the identity of its certificate, or its source without one.
#[must_use]
pub fn peer_key(peer: &Presented, source: IpAddr) -> Box<str> {
    let text = match peer {
        Presented::Certificate { identity, .. } => identity.display(),
        Presented::Nothing => format!("source:{}", source_key(source)),
    };
    text.into()
}

/// By what limits count a source: the address, or for IPv6 its /64, which one party commonly holds
/// as a whole.
#[must_use]
pub fn source_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        four @ IpAddr::V4(_) => four,
    }
}

impl ConnectionCounts {
    /// Counts a request and gives back how many there were, this one included.
    pub fn request(&self) -> u32 {
        self.requests
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts a stream that the client reset, or that ended in an error of the client's.
    pub fn reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    /// How many streams the client reset.
    #[must_use]
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }
}
