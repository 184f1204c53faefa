//! Sessions resume, and a resumed session is judged again.

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::bench::{Gateway, HOUR, Leaf, Service, ask, digest};
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::peer_identity;
use crate::transport::facts_of;
use crate::upstream::{ConnectFailure, UpstreamFacts};

const ORDERS: &str = "spiffe://mesh.example/ns/shop/sa/orders";

#[tokio::test]
async fn the_second_connection_resumes_the_session_of_the_first() {
    let gateway = Gateway::new();
    let certificate = gateway.mesh.issue(&Leaf::server(&[ORDERS], &[]));
    for version in [&TLS12, &TLS13] {
        let (clients, clock) = (&gateway.clients, &gateway.clock);
        let mut service = Service::start(&certificate, clients, clock, &[version]).await;
        let policy = gateway.policy(&[ORDERS]);
        for want in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = gateway.connect(&policy, service.address).await.unwrap();
            ask(&mut stream).await.unwrap();
            let (client, kind, _version) = service.seen().await.unwrap();
            assert_eq!((client, kind), (gateway.ours.der.clone(), want));
        }
        policy.forget_sessions();
    }
}

#[tokio::test]
async fn another_policy_does_not_resume_the_session() {
    let gateway = Gateway::new();
    let certificate = gateway.mesh.issue(&Leaf::server(&[ORDERS], &[]));
    let mut service = gateway.service(&certificate).await;
    let wide = gateway.policy(&["spiffe://mesh.example/*"]);
    let narrow = gateway.policy(&[ORDERS]);
    for policy in [&wide, &narrow] {
        let mut stream = gateway.connect(policy, service.address).await.unwrap();
        ask(&mut stream).await.unwrap();
        let (_client, kind, _version) = service.seen().await.unwrap();
        assert_eq!(kind, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn a_session_ends_with_its_certificate_and_the_next_one_is_asked_for() {
    for version in [&TLS12, &TLS13] {
        let gateway = Gateway::new();
        let old = gateway.mesh.issue(&Leaf::server(&[ORDERS], &[]));
        let renewed = gateway.mesh.issue(&Leaf {
            to: 10 * HOUR,
            ..Leaf::server(&[ORDERS], &[])
        });
        let (clients, clock) = (&gateway.clients, &gateway.clock);
        let service = Service::start(&old, clients, clock, &[version]).await;
        let policy = gateway.policy(&[ORDERS]);
        let mut stream = gateway.connect(&policy, service.address).await.unwrap();
        ask(&mut stream).await.unwrap();

        // The service has renewed its certificate; its sessions still carry the old one.
        clock.advance(2 * HOUR);
        service.show(&renewed);
        let mut stream = gateway.connect(&policy, service.address).await.unwrap();
        ask(&mut stream).await.unwrap();
        let digest = digest(&stream);
        let facts: &UpstreamFacts = facts_of(Some(&digest)).unwrap();
        assert!(!facts.tls.resumed);
        let identity = peer_identity(&renewed.der).unwrap();
        assert_eq!(*facts.identity, identity);

        // It has not: the session is not used, and the certificate is over.
        clock.advance(10 * HOUR);
        let failure = gateway.connect(&policy, service.address).await.unwrap_err();
        let ConnectFailure::Handshake { reason, .. } = failure else {
            panic!("{failure:?}");
        };
        assert_eq!(reason, HandshakeFailure::CertificateExpired);
    }
}
