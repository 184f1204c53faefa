//! [`Newcomer`]: what metrics and the record of clients are told of a client that comes in.

use std::sync::Arc;

use rustls::NamedGroup;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ClientHello;

use super::facts::Presented;
use super::listener::Listener;
use crate::identity::certificate::PeerIdentity;
use crate::observe::{ClientConnection, ClientHandshake, ClientRecord, Rehearsed, Side, TlsFacts};
use crate::trust::Usage;

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

/// A client that proved who it is.
pub(super) struct Newcomer<'a> {
    listener: &'a Listener,
    identity: &'a PeerIdentity,
    chain: &'a [CertificateDer<'static>],
    text: &'a str,
    tls: &'a TlsFacts,
    post_quantum: bool,
}

impl<'a> Newcomer<'a> {
    /// `None` for who showed no certificate: there is nobody to remember.
    pub(super) fn of(
        listener: &'a Listener,
        peer: &'a Presented,
        text: &'a str,
        tls: &'a TlsFacts,
        post_quantum: bool,
    ) -> Option<Self> {
        let Presented::Certificate { identity, chain } = peer else {
            return None;
        };
        Some(Self {
            listener,
            identity,
            chain,
            text,
            tls,
            post_quantum,
        })
    }

    /// Enters it into the record.
    pub(super) fn enter(&self, clients: &Arc<ClientRecord>) -> ClientConnection {
        clients.connected(&ClientHandshake {
            text: self.text,
            identity: self.identity,
            listener: &self.listener.name,
            tls: self.tls,
            post_quantum: self.post_quantum,
            next: self.rehearse(),
            rehearsed: self.listener.trust.rehearsed(),
        })
    }

    /// What would become of it under the bundles that are to come: it never decides anything. With
    /// several, the one under which it would fail counts.
    fn rehearse(&self) -> Option<Rehearsed> {
        let (leaf, intermediates) = self.chain.split_first()?;
        let nexts = &self.listener.metrics.next_trusts;
        let mut worst = None;
        for rehearsal in self.listener.trust.rehearsals() {
            let now = UnixTime::now();
            let fate = || match rehearsal.verify(
                leaf,
                intermediates,
                Usage::Client,
                now,
                self.listener.grace,
            )? {
                Ok(()) => Some(Rehearsed::Passes),
                Err(untrusted) => Some(Rehearsed::Fails(untrusted.reason)),
            };
            let (side, fingerprint) = (Side::Downstream, self.identity.fingerprint);
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
