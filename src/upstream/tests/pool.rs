//! The connector in the hands of pingora's own pool.

use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use rustls::version::TLS13;

use super::bench::{Gateway, Leaf, Service};
use crate::config::spec::UpstreamTimeouts;
use crate::handshake_failure::HandshakeFailure;
use crate::refusal::Refusal;
use crate::transport::facts_of;
use crate::upstream::{
    ConnectFailure, Endpoint, MtlsConnector, Policy, Upgrades, UpstreamFacts, connect_failure,
    late_handshake_failure, peer,
};

const ORDERS: &str = "spiffe://mesh.example/ns/shop/sa/orders";

fn peer_of(service: &Service, policy: &Policy) -> Box<HttpPeer> {
    let endpoint = Endpoint {
        address: service.address,
        text: "orders.internal:9443".into(),
    };
    let timeouts = UpstreamTimeouts {
        connect: Duration::from_secs(20),
        response: Duration::from_secs(20),
        total: Duration::from_secs(60),
        idle: Duration::from_secs(60),
    };
    peer(&endpoint, policy, &timeouts, Upgrades::Refused)
}

/// Sends one request and gives the connection back. Returns whether it was a pooled one.
async fn request(pool: &Connector<MtlsConnector>, peer: &HttpPeer, policy: &Policy) -> bool {
    let (mut session, reused) = pool.get_http_session(peer).await.unwrap();
    let facts: &UpstreamFacts = facts_of(session.digest()).unwrap();
    assert_eq!(facts.group_key, policy.group_key);
    let HttpSession::H1(h1) = &mut session else {
        panic!("an HTTP/1.1 session");
    };
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    head.insert_header("Host", "orders.internal").unwrap();
    h1.write_request_header(Box::new(head)).await.unwrap();
    h1.read_response().await.unwrap();
    assert_eq!(h1.get_status().unwrap(), 204);
    pool.release_http_session(session, peer, peer.options.idle_timeout)
        .await;
    reused
}

#[tokio::test]
async fn a_pooled_connection_is_used_again_under_its_own_policy_only() {
    let gateway = Gateway::new();
    let certificate = gateway.mesh.issue(&Leaf::server(&[ORDERS], &[]));
    let service = gateway.service(&certificate).await;
    let pool = Connector::new_custom(None, gateway.connector());
    let wide = gateway.policy(&["spiffe://mesh.example/*"]);
    let narrow = gateway.policy(&[ORDERS]);
    assert!(!request(&pool, &peer_of(&service, &wide), &wide).await);
    assert!(request(&pool, &peer_of(&service, &wide), &wide).await);
    assert!(!request(&pool, &peer_of(&service, &narrow), &narrow).await);
    // A reload with the same terms: the same policy, the same connection.
    let reloaded = gateway.policy(&[ORDERS]);
    assert!(request(&pool, &peer_of(&service, &reloaded), &reloaded).await);
    assert_eq!(open_connections(&gateway), "2");
    drop(pool);
}

fn open_connections(gateway: &Gateway) -> String {
    let page = gateway.metrics.render();
    let line = page
        .lines()
        .find(|line| line.starts_with("portcullis_upstream_connections{"));
    line.unwrap().rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_peer_whose_policy_is_gone_gets_no_connection() {
    let gateway = Gateway::new();
    let certificate = gateway.mesh.issue(&Leaf::server(&[ORDERS], &[]));
    let service = gateway.service(&certificate).await;
    let pool = Connector::new_custom(None, gateway.connector());
    let policy = gateway.policy(&[ORDERS]);
    let mut gone = peer_of(&service, &policy);
    gone.group_key += 1;
    let error = pool.get_http_session(&*gone).await.map(drop).unwrap_err();
    let failure = connect_failure(&error).unwrap();
    assert_eq!(failure.refusal(), Refusal::Internal);
    drop(policy);
    let error = pool.get_http_session(&*gone).await.map(drop).unwrap_err();
    assert!(connect_failure(&error).is_some());
}

#[tokio::test]
async fn the_proxy_learns_who_answered_in_the_place_of_the_service() {
    let gateway = Gateway::new();
    let impostor = "spiffe://mesh.example/ns/shop/sa/impostor";
    let certificate = gateway.mesh.issue(&Leaf::server(&[impostor], &[]));
    let service = gateway.service(&certificate).await;
    let pool = Connector::new_custom(None, gateway.connector());
    let policy = Arc::clone(&gateway.policy(&[ORDERS]));
    let peer = peer_of(&service, &policy);
    let error = pool.get_http_session(&*peer).await.map(drop).unwrap_err();
    let failure = connect_failure(&error).unwrap();
    assert_eq!(failure.refusal(), Refusal::UpstreamIdentityMismatch);
    assert!(format!("{failure:?}").contains(impostor));
    let page = gateway.metrics.render();
    let line = page.lines().find(|line| line.contains("identity_mismatch"));
    assert!(line.unwrap().ends_with(" 1"), "{line:?}");
}

#[tokio::test]
async fn a_service_that_refuses_our_certificate_late_is_told_from_one_that_hangs_up() {
    let gateway = Gateway::new();
    let certificate = gateway.mesh.issue(&Leaf::server(&[ORDERS], &[]));
    let (stranger, clock) = (&gateway.stranger, &gateway.clock);
    let service = Service::start(&certificate, stranger, clock, &[&TLS13]).await;
    let pool = Connector::new_custom(None, gateway.connector());
    let policy = gateway.policy(&[ORDERS]);
    let reason = match pool.get_http_session(&*peer_of(&service, &policy)).await {
        Ok((HttpSession::H1(mut h1), _reused)) => {
            late_handshake_failure(&h1.read_response().await.unwrap_err()).unwrap()
        }
        Ok(_) => panic!("an HTTP/1.1 session"),
        // The alert was there before the connection was used.
        Err(error) => match connect_failure(&error) {
            Some(ConnectFailure::Handshake { reason, .. }) => *reason,
            other => panic!("{other:?}"),
        },
    };
    assert_eq!(reason, HandshakeFailure::AlertUnknownCa);
}

#[tokio::test]
async fn each_wait_on_a_peer_has_an_end() {
    let gateway = Gateway::new();
    let certificate = gateway.mesh.issue(&Leaf::server(&[ORDERS], &[]));
    let service = gateway.service(&certificate).await;
    let peer = peer_of(&service, &gateway.policy(&[ORDERS]));
    let options = &peer.options;
    let waits = [
        options.connection_timeout,
        options.total_connection_timeout,
        options.read_timeout,
        options.write_timeout,
        options.idle_timeout,
    ];
    assert!(waits.iter().all(Option::is_some));
    assert!(peer.is_tls() && peer.sni == "orders.internal");
}
