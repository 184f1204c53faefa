//! [`Newcomer`]: what a ClientHello says, and what metrics and the record of clients are told of a client
//! that comes in.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::NamedGroup;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ClientHello;

use super::facts::{ConnectionCounts, ConnectionFacts, Presented, good_until, peer_key};
use super::listener::Listener;
use crate::acme::challenge::ACME_TLS;
use crate::identity::certificate::PeerIdentity;
use crate::identity::host::Host;
use crate::observe::{ClientHandshake, ClientRecord, Rehearsed, Side, TlsFacts};
use crate::trust::{KeyPair, Usage};

/// Counts a ClientHello; whether it offers a key exchange that withstands a quantum computer.
pub(super) fn hello_came(listener: &Listener, hello: &ClientHello<'_>) -> bool {
    let post_quantum = offers_post_quantum(hello.named_groups());
    listener.metrics.client_hello(post_quantum);
    post_quantum
}

/// ML-KEM (FIPS 203), in a hybrid or alone, is offered before anything is agreed on: what is agreed on
/// says as much about us as about the client.
fn offers_post_quantum(groups: Option<&[NamedGroup]>) -> bool {
    let withstands = |group: &NamedGroup| POST_QUANTUM.contains(&u16::from(*group));
    groups.is_some_and(|groups| groups.iter().any(withstands))
}

/// IANA's numbers: MLKEM512, MLKEM768, MLKEM1024, SecP256r1MLKEM768, X25519MLKEM768,
/// SecP384r1MLKEM1024.
const POST_QUANTUM: [u16; 6] = [0x0200, 0x0201, 0x0202, 0x11eb, 0x11ec, 0x11ed];

/// Whether the client offers the protocol of ACME challenges and no other (RFC 8737, section 3).
pub(super) fn is_for_challenge(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(ACME_TLS) && offered.next().is_none()
}

/// A client whose handshake is complete.
pub(super) struct Newcomer<'a> {
    pub(super) listener: &'a Listener,
    pub(super) source: SocketAddr,
    pub(super) server_name: Option<Host>,
    pub(super) served: &'a Arc<KeyPair>,
    pub(super) post_quantum: bool,
}

impl Newcomer<'_> {
    /// What is known of its connection. Who showed a certificate is entered into the record.
    pub(super) fn facts(
        self,
        peer: Presented,
        tls: TlsFacts,
        clients: &Arc<ClientRecord>,
    ) -> ConnectionFacts {
        let trust = &self.listener.trust;
        let peer_key = peer_key(&peer, self.source.ip());
        let (client, good_until) = match &peer {
            Presented::Certificate { identity, chain } => {
                let client = clients.connected(&ClientHandshake {
                    text: &peer_key,
                    identity,
                    listener: &self.listener.name,
                    tls: &tls,
                    post_quantum: self.post_quantum,
                    next: self.rehearse(identity, chain),
                });
                (Some(client), good_until(chain, trust, UnixTime::now()))
            }
            Presented::Nothing => (None, i64::MAX), // there is nobody to remember
        };
        ConnectionFacts {
            listener: self.listener.name.clone(),
            source: self.source,
            server_name: self.server_name,
            served: Arc::clone(self.served),
            peer_key,
            peer,
            tls,
            client,
            trust: trust.digest(),
            xfcc: OnceLock::new(),
            counts: ConnectionCounts::new(good_until),
        }
    }

    /// What would become of it under the bundles that are to come: it never decides anything. With
    /// several, the one under which it would fail counts.
    fn rehearse(
        &self,
        identity: &PeerIdentity,
        chain: &[CertificateDer<'static>],
    ) -> Option<Rehearsed> {
        let (leaf, intermediates) = chain.split_first()?;
        let nexts = &self.listener.metrics.next_trusts;
        let mut worst = None;
        for rehearsal in self.listener.trust.rehearsals() {
            let (now, grace) = (UnixTime::now(), self.listener.grace);
            let verify = || rehearsal.verify(leaf, intermediates, Usage::Client, now, grace);
            let fate = || match verify()? {
                Ok(()) => Some(Rehearsed::Passes),
                Err(untrusted) => Some(Rehearsed::Fails(untrusted.reason)),
            };
            let (side, fingerprint) = (Side::Downstream, identity.fingerprint);
            let digest = rehearsal.digest();
            let fate = nexts.rehearsed(&rehearsal.name, digest, side, fingerprint, fate);
            if worst.is_none() || matches!(fate, Some(Rehearsed::Fails(_))) {
                worst = fate;
            }
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_ready_if_one_of_its_groups_is_post_quantum() {
        let classical = [
            NamedGroup::X25519,
            NamedGroup::secp256r1,
            NamedGroup::FFDHE2048,
        ];
        assert!(!offers_post_quantum(None));
        assert!(!offers_post_quantum(Some(&[])));
        assert!(!offers_post_quantum(Some(&classical)));
        // The draft that ML-KEM replaced (0x6399) is nobody's any more.
        assert!(!offers_post_quantum(Some(&[NamedGroup::Unknown(0x6399)])));
        for ready in [
            NamedGroup::X25519MLKEM768,
            NamedGroup::secp256r1MLKEM768,
            NamedGroup::MLKEM768,
            NamedGroup::Unknown(0x11ed),
        ] {
            let mut groups = classical.to_vec();
            groups.push(ready);
            assert!(offers_post_quantum(Some(&groups)), "{ready:?}");
        }
    }
}
