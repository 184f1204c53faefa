//! Both records under what strangers, and many clients, do to them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client_page::ClientFilter;
use super::client_record::{CLIENTS_MAX, ClientHandshake, ClientRecord};
use super::clock::unix_now;
use super::failure_page::FailureFilter;
use super::failure_record::FailureRecord;
use super::handshake_log::HandshakeFailureLine;
use super::heavy::DAY;
use super::labels::Side;
use super::next_trust::Rehearsed;
use super::tls_facts::TlsFacts;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::{Fingerprint, PeerIdentity, Shown};
use crate::identity::certificate_facts::CertificateFacts;
use crate::identity::name::Name;

fn facts(identity: &str, text: &str) -> CertificateFacts {
    CertificateFacts {
        identity: identity.to_owned(),
        shown: Shown {
            subject: text.into(),
            issuer: format!("CN={identity}").into(),
            serial: text.into(),
            common_name: None,
        },
        names: vec![text.to_owned(); CertificateFacts::NAMES_MAX],
        not_before: 0,
        not_after: i64::MAX,
        fingerprint: Fingerprint::of(identity.as_bytes()),
        key: text.to_owned(),
    }
}

fn line<'a>(leaf: &'a [u8], source: u32, reason: HandshakeFailure) -> HandshakeFailureLine<'a> {
    let source = IpAddr::from(source.to_be_bytes());
    HandshakeFailureLine {
        side: Side::Downstream,
        name: "edge",
        peer: Some((source, 1).into()),
        source: Some(source),
        sni: Some("api.example.com"),
        reason,
        error: None,
        leaf: Some(leaf),
        chain_length: 1,
        took: Duration::ZERO,
    }
}

fn json(record: &FailureRecord) -> (String, Value) {
    let text = record.json(FailureFilter::default());
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

#[test]
fn a_hundred_thousand_strangers_push_out_nobody_and_take_little_room_and_time() {
    let record = FailureRecord::new(0);
    let now = unix_now();
    let heavy = facts("spiffe://a.example/heavy", "heavy");
    let fail_heavy = |source| {
        let line = line(b"heavy", source, HandshakeFailure::CertificateExpired);
        record.failed(&line, now, || Some(&heavy));
    };
    (0..200).for_each(|_| fail_heavy(7));
    let worst = "\u{1f4a9}".repeat(200);
    let mut read = 0;
    let began = Instant::now();
    for number in 0..100_000_u32 {
        let stranger = facts(&format!("{number}{worst}"), &worst);
        let leaf = number.to_be_bytes();
        // Ten of each second are looked at.
        let at = now + i64::from(number / 10_000);
        let line = line(&leaf, 0x0a00_0000 + number, HandshakeFailure::UnknownIssuer);
        record.failed(&line, at, || {
            read += 1;
            Some(&stranger)
        });
    }
    let each = began.elapsed() / 100_000;
    (0..10).for_each(|_| fail_heavy(7));
    assert_eq!(read, 100, "certificates are read for some of a second only");
    let (text, page) = json(&record);
    assert_eq!(page["failures"], 100_210);
    assert_eq!(page["certificates_not_read"], 99_900);
    assert!(text.len() < 1_000_000, "{}", text.len());
    for list in ["identities", "issuers", "sources"] {
        let list = page[list].as_array().unwrap();
        assert_eq!((list.len(), &list[0]["count"]), (100, &210.into()));
    }
    assert_eq!(
        page["identities"][0]["identity"],
        "spiffe://a.example/heavy"
    );
    assert_eq!(page["sources"][0]["source"], "0.0.0.7");
    // Most of it is this test's making of texts; a fault that looks at all keys each time takes longer.
    assert!(each < Duration::from_micros(200), "{each:?}");
}

#[test]
fn a_certificate_that_is_known_is_counted_though_it_is_not_read_again() {
    let record = FailureRecord::new(0);
    let now = unix_now();
    let one = facts("spiffe://a.example/b", "b");
    let mut read = 0;
    for _ in 0..1_000 {
        let line = line(b"b", 1, HandshakeFailure::UnknownIssuer);
        record.failed(&line, now, || {
            read += 1;
            Some(&one)
        });
    }
    assert_eq!(read, 10);
    let (_, page) = json(&record);
    assert_eq!(page["identities"][0]["count"], 1_000);
    assert_eq!(page["issuers"][0]["count"], 1_000);
    assert_eq!(page["certificates_not_read"], 0);
}

#[test]
fn an_ipv6_source_and_a_failure_of_nobody_have_their_place() {
    let record = FailureRecord::new(0);
    let mut nobody = line(b"", 1, HandshakeFailure::PeerClosed);
    (nobody.leaf, nobody.peer, nobody.source) = (None, None, None);
    record.failed(&nobody, unix_now(), || None);
    let (_, page) = json(&record);
    assert_eq!(page["sources"].as_array().unwrap().len(), 0);
    assert_eq!(page["samples"][0]["peer_address"], Value::Null);
    assert!(
        record
            .text(FailureFilter::default())
            .contains("peer_closed")
    );
}

// ---- clients

fn peer(number: usize, not_after: i64) -> PeerIdentity {
    let id = format!("spiffe://a.example/{number}");
    PeerIdentity {
        fingerprint: Fingerprint::of(format!("{number} {not_after}").as_bytes()),
        not_after,
        ..PeerIdentity::rehearsed(Some(id.parse().unwrap()), Vec::new())
    }
}

const TLS: TlsFacts = TlsFacts {
    version: "1.3",
    cipher_suite: "TLS_AES_128_GCM_SHA256",
    group: "X25519",
    resumed: false,
    alpn: "h2",
};

fn connect(
    record: &std::sync::Arc<ClientRecord>,
    identity: &PeerIdentity,
    now: i64,
) -> super::ClientConnection {
    rehearsed(record, identity, now, Some(Rehearsed::Passes))
}

fn rehearsed(
    record: &std::sync::Arc<ClientRecord>,
    identity: &PeerIdentity,
    now: i64,
    next: Option<Rehearsed>,
) -> super::ClientConnection {
    let listener: Name = "edge".parse().unwrap();
    let handshake = ClientHandshake {
        text: &identity.display(),
        identity,
        listener: &listener,
        tls: &TLS,
        post_quantum: false,
        next,
        rehearsed: None,
    };
    record.connected_at(&handshake, now)
}

#[test]
fn with_too_many_clients_those_who_were_not_here_for_longest_are_forgotten() {
    let record = ClientRecord::new();
    let stays = peer(usize::MAX, 50);
    let open = connect(&record, &stays, 0);
    for number in 0..CLIENTS_MAX + 1_000 {
        let now = i64::try_from(number).unwrap();
        drop(connect(&record, &peer(number, now), now));
    }
    let (clients, evicted) = record.seen(11_000);
    assert!(clients.len() <= CLIENTS_MAX, "{}", clients.len());
    let evicted = usize::try_from(evicted).unwrap();
    assert_eq!(clients.len() + evicted, CLIENTS_MAX + 1_001);
    let known = |identity: &PeerIdentity| {
        let text = identity.display();
        clients.iter().any(|client| *client.identity == *text)
    };
    assert!(known(&stays), "who is connected stays");
    assert!(!known(&peer(0, 0)) && known(&peer(CLIENTS_MAX + 999, 0)));
    drop(open);
}

#[test]
fn a_client_that_was_forgotten_is_listed_again_by_its_next_request() {
    let record = ClientRecord::new();
    let route: Name = "orders".parse().unwrap();
    let identity = peer(1, i64::MAX);
    let connection = connect(&record, &identity, 0);
    record.forget_all();
    assert_eq!(record.seen(0).0.len(), 0);
    connection.used(1, &route, &identity, 1);
    let (clients, _) = record.seen(1);
    assert_eq!(clients.len(), 1);
    assert_eq!(clients[0].with(|facts| facts.routes.clone()), [route]);
}

#[test]
fn who_was_not_here_for_a_day_is_gone_and_the_newest_certificate_of_the_day_counts() {
    let record = ClientRecord::new();
    drop(connect(&record, &peer(1, 100), 0));
    drop(connect(&record, &peer(2, DAY * 9), 0));
    assert_eq!(record.expiring([100, DAY], 0), (2, [1, 1]));
    // A newer certificate of the same client counts, in whatever order they come.
    drop(connect(&record, &peer(1, DAY * 9), 10));
    drop(connect(&record, &peer(1, 100), 20));
    assert_eq!(record.expiring([100, DAY], 20), (2, [0, 0]));
    // When only the old one was seen for a day, the old one counts again.
    drop(connect(&record, &peer(1, 100), DAY + 15));
    assert_eq!(record.expiring([100, DAY], DAY + 15), (1, [1, 1]));
    assert_eq!(record.expiring([100], 3 * DAY), (0, [0]));
}

#[test]
fn a_rehearsal_asks_about_the_certificates_of_the_day() {
    let record = ClientRecord::new();
    let now = unix_now();
    let fails = Some(Rehearsed::Fails(HandshakeFailure::UnknownIssuer));
    let shown = |next: &str| {
        let mut filter = ClientFilter::default();
        filter.set("next", next).unwrap();
        let page: Value = serde_json::from_str(&record.json(&filter)).unwrap();
        page["shown"].as_u64().unwrap()
    };
    // One has renewed, and showed the old certificate for the last time more than a day ago.
    drop(rehearsed(&record, &peer(1, 100), now - DAY - 60, fails));
    drop(connect(&record, &peer(1, now + DAY), now));
    // One has not come since the rehearsal began.
    drop(rehearsed(&record, &peer(2, now + DAY), now, None));
    assert_eq!(["ok", "fail", "unknown"].map(shown), [1, 0, 1]);
    // One still shows the old one, now and then.
    drop(rehearsed(&record, &peer(1, 100), now - 60, fails));
    assert_eq!(["ok", "fail", "unknown"].map(shown), [0, 1, 1]);
}

#[test]
fn what_was_found_under_another_rehearsal_is_forgotten_and_not_taken_late() {
    let record = ClientRecord::new();
    let now = unix_now();
    let next_of = || {
        let (clients, _) = record.seen(now);
        clients[0].with(|facts| facts.certificates[0].next)
    };
    drop(connect(&record, &peer(1, now + DAY), now));
    assert_eq!(next_of(), Some(Rehearsed::Passes));
    let listener: Name = "edge".parse().unwrap();
    record.rehearsing([(listener.clone(), [1; 32])].into());
    assert_eq!(next_of(), None);
    // A handshake that began before, and was rehearsed under nothing or something else.
    drop(connect(&record, &peer(1, now + DAY), now));
    assert_eq!(next_of(), None);
    record.rehearsing([(listener, [1; 32])].into());
    record.rehearsing(super::Rehearsals::new());
    drop(connect(&record, &peer(1, now + DAY), now));
    assert_eq!(next_of(), Some(Rehearsed::Passes));
}

#[test]
fn routes_of_a_client_are_bounded_and_told_once_by_a_connection() {
    let record = ClientRecord::new();
    let identity = peer(1, 100);
    let connection = connect(&record, &identity, 0);
    for number in 1..=200_u32 {
        let name: Name = format!("route-{number}").parse().unwrap();
        connection.used(number, &name, &identity, 1);
        connection.used(number, &name, &identity, 1);
    }
    let (clients, _) = record.seen(1);
    let facts = clients[0].with(|facts| facts.clone());
    assert_eq!((facts.routes.len(), facts.more_routes), (32, true));
    // A connection says once in a minute that its client is still here.
    connection.used(200, &"route-200".parse().unwrap(), &identity, 30);
    assert_eq!(
        clients[0].last.load(std::sync::atomic::Ordering::Relaxed),
        1
    );
    connection.used(200, &"route-200".parse().unwrap(), &identity, 61);
    assert_eq!(
        clients[0].last.load(std::sync::atomic::Ordering::Relaxed),
        61
    );
    assert!(size_of::<super::ClientConnection>() <= 48);
}
