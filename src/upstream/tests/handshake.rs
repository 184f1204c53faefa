//! Who may answer, and how a handshake with somebody else ends.

use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::UniqueID as _;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::bench::{Ca, Gateway, HOUR, Issued, Leaf, Service, ask, digest};
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::peer_identity;
use crate::refusal::Refusal;
use crate::transport::facts_of;
use crate::trust::provider;
use crate::upstream::{ConnectFailure, UpstreamFacts};

const ORDERS: &str = "spiffe://mesh.example/ns/shop/sa/orders";

fn orders(ca: &Ca) -> Issued {
    ca.issue(&Leaf::server(&[ORDERS], &["orders.internal"]))
}

fn pin(certificate: &Issued) -> String {
    let identity = peer_identity(&certificate.der).unwrap();
    format!("pin:sha256/{}", identity.public_key)
}

#[tokio::test]
async fn a_service_with_an_accepted_identity_is_asked_and_sees_our_certificate() {
    let gateway = Gateway::new();
    let certificate = orders(&gateway.mesh);
    let mut service = gateway.service(&certificate).await;
    let pin = pin(&certificate);
    let accepts: [&[&str]; 6] = [
        &[ORDERS],
        &["spiffe://mesh.example/ns/shop/*"],
        &["spiffe://mesh.example/*"],
        &["dns:orders.internal"],
        &[&pin],
        &["dns:other.internal", ORDERS],
    ];
    for accept in accepts {
        let policy = gateway.policy(accept);
        let mut stream = gateway.connect(&policy, service.address).await.unwrap();
        ask(&mut stream).await.unwrap();
        let (client, kind, version) = service.seen().await.unwrap();
        assert_eq!(client, gateway.ours.der, "{accept:?}");
        assert_eq!(kind, HandshakeKind::Full, "policies share no session");
        assert_eq!(version, ProtocolVersion::TLSv1_3);
        let digest = digest(&stream);
        let facts: &UpstreamFacts = facts_of(Some(&digest)).unwrap();
        assert_eq!(facts.group_key, policy.group_key);
        assert_eq!(facts.identity.spiffe, Some(ORDERS.parse().unwrap()));
        assert_eq!(facts.endpoint, service.address);
        assert_eq!((facts.tls.version, facts.tls.resumed), ("1.3", false));
        assert_eq!(facts.tls.group, "X25519MLKEM768");
        assert!(stream.id() > 2, "the descriptor of the socket");
    }
}

/// Connects to a service with this certificate, over each TLS version: it fails for this reason, the
/// failure names who answered, and the service completes no handshake.
async fn refused(
    gateway: &Gateway,
    ca: &Ca,
    leaf: &Leaf<'_>,
    accept: &[&str],
    want: HandshakeFailure,
) {
    for version in [&TLS12, &TLS13] {
        let (certificate, clients) = (ca.issue(leaf), &gateway.clients);
        let mut service = Service::start(&certificate, clients, &gateway.clock, &[version]).await;
        let policy = gateway.policy(accept);
        let failure = gateway.connect(&policy, service.address).await.unwrap_err();
        let ConnectFailure::Handshake { reason, who } = failure else {
            panic!("{want:?}: {failure:?}");
        };
        assert_eq!(reason, want, "{who:?}");
        for name in leaf.uris.iter().chain(leaf.dns) {
            assert!(who.as_deref().unwrap().contains(name), "{who:?}");
        }
        assert!(service.seen().await.is_err(), "{want:?}");
    }
}

#[tokio::test]
async fn a_service_that_proves_another_identity_gets_no_byte() {
    use HandshakeFailure::{IdentityMismatch, PinMismatch, SeveralSpiffeNames};
    let gateway = Gateway::new();
    let billing = "spiffe://mesh.example/ns/shop/sa/billing";
    let (one, two) = ([billing], [ORDERS, billing]);
    let other_pin = pin(&orders(&gateway.mesh));
    let cases: [(Leaf<'_>, &[&str], HandshakeFailure); 8] = [
        // The name that we sent as SNI proves nothing.
        (
            Leaf::server(&one, &["orders.internal"]),
            &[ORDERS],
            IdentityMismatch,
        ),
        (
            Leaf::server(&[], &["orders.internal"]),
            &[ORDERS],
            IdentityMismatch,
        ),
        (
            Leaf::server(&[], &["a.internal"]),
            &["dns:orders.internal"],
            IdentityMismatch,
        ),
        (
            Leaf::server(&[], &["*.internal"]),
            &["dns:orders.internal"],
            IdentityMismatch,
        ),
        (Leaf::server(&[ORDERS], &[]), &[], IdentityMismatch),
        (Leaf::server(&[ORDERS], &[]), &[&other_pin], PinMismatch),
        (
            Leaf::server(&one, &[]),
            &[&other_pin, ORDERS],
            IdentityMismatch,
        ),
        (Leaf::server(&two, &[]), &[ORDERS], SeveralSpiffeNames),
    ];
    for (leaf, accept, want) in &cases {
        refused(&gateway, &gateway.mesh, leaf, accept, *want).await;
    }
}

#[tokio::test]
async fn the_right_name_in_a_certificate_that_does_not_verify_gets_no_byte() {
    let gateway = Gateway::new();
    let right = || Leaf::server(&[ORDERS], &["orders.internal"]);
    let (from, to) = (HOUR, 2 * HOUR);
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let (mesh, stranger) = (&gateway.mesh, &gateway.stranger);
    let cases = [
        (stranger, right(), HandshakeFailure::UnknownIssuer),
        (
            mesh,
            Leaf { to: -1, ..right() },
            HandshakeFailure::CertificateExpired,
        ),
        (
            mesh,
            Leaf {
                from,
                to,
                ..right()
            },
            HandshakeFailure::CertificateNotYetValid,
        ),
        (
            mesh,
            Leaf { usage, ..right() },
            HandshakeFailure::WrongUsage,
        ),
    ];
    for (ca, leaf, want) in &cases {
        refused(&gateway, ca, leaf, &[ORDERS], *want).await;
    }
}

#[tokio::test]
async fn a_service_that_refuses_our_certificate_is_a_failed_handshake() {
    let gateway = Gateway::new();
    let certificate = orders(&gateway.mesh);
    let policy = gateway.policy(&[ORDERS]);
    for version in [&TLS12, &TLS13] {
        let stranger = &gateway.stranger;
        let mut service = Service::start(&certificate, stranger, &gateway.clock, &[version]).await;
        let reason = match gateway.connect(&policy, service.address).await {
            Err(ConnectFailure::Handshake { reason, .. }) => reason,
            Err(other) => panic!("{other:?}"),
            // TLS 1.3: the alert may come after the handshake is complete for us.
            Ok(mut stream) => {
                assert_eq!(version.version, ProtocolVersion::TLSv1_3);
                HandshakeFailure::from_io(&stream.read_u8().await.unwrap_err())
            }
        };
        assert_eq!(reason, HandshakeFailure::AlertUnknownCa);
        assert!(service.seen().await.is_err());
    }
}

#[tokio::test]
async fn what_is_no_tls_service_is_a_failed_handshake() {
    let gateway = Gateway::new();
    let policy = gateway.policy(&[ORDERS]);
    let cases: [(&[u8], HandshakeFailure); 3] = [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            HandshakeFailure::ProtocolMalformed,
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x28",
            HandshakeFailure::AlertHandshakeFailure,
        ),
        (b"", HandshakeFailure::PeerClosed),
    ];
    for (says, want) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = async {
            let (mut tcp, _peer) = listener.accept().await.unwrap();
            let mut hello = [0; 5]; // the head of the first record
            tcp.read_exact(&mut hello).await.unwrap();
            let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            tcp.read_exact(&mut vec![0; length]).await.unwrap();
            tcp.write_all(says).await.unwrap();
        };
        let (failure, ()) = tokio::join!(gateway.connect(&policy, address), service);
        let reason = match failure {
            Err(ConnectFailure::Handshake { reason, who: None }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason, want);
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_is_given_up_after_the_limit() {
    let gateway = Gateway::new();
    let policy = gateway.policy(&[ORDERS]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limit = Duration::from_millis(50);
    let connector = gateway.connector();
    let failure = connector.connect(&policy, address, limit).await;
    assert_eq!(failure.unwrap_err(), ConnectFailure::HandshakeTimedOut);
}

#[tokio::test]
async fn where_nothing_listens_the_service_is_unreachable() {
    let gateway = Gateway::new();
    let policy = gateway.policy(&[ORDERS]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failure = gateway.connect(&policy, address).await.unwrap_err();
    assert_eq!(failure, ConnectFailure::Unreachable);
    assert_eq!(failure.refusal(), Refusal::UpstreamUnreachable);
}

/// A service that writes an answer behind its first flight, in one piece, before it is asked.
async fn answer_early(config: Arc<ServerConfig>, listener: TcpListener) {
    let (mut tcp, _peer) = listener.accept().await.unwrap();
    let mut tls = ServerConnection::new(config).unwrap();
    let mut buffer = [0; 16_384];
    while tls.is_handshaking() && !tls.wants_write() {
        let count = tcp.read(&mut buffer).await.unwrap();
        tls.read_tls(&mut buffer.get(..count).unwrap()).unwrap();
        tls.process_new_packets().unwrap();
    }
    std::io::Write::write_all(&mut tls.writer(), b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let mut flight = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut flight).unwrap();
    }
    tcp.write_all(&flight).await.unwrap();
    while let Ok(1..) = tcp.read(&mut buffer).await {}
}

#[tokio::test]
async fn data_that_comes_before_the_request_is_no_answer() {
    let gateway = Gateway::new();
    let certificate = orders(&gateway.mesh).key_pair().certified_key();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certificate)));
    config.send_half_rtt_data = true;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = tokio::spawn(answer_early(Arc::new(config), listener));
    let policy = gateway.policy(&[ORDERS]);
    let failure = gateway.connect(&policy, address).await.unwrap_err();
    assert_eq!(failure, ConnectFailure::UnexpectedData);
    assert_eq!(failure.refusal(), Refusal::UpstreamProtocol);
    service.await.unwrap();
}
