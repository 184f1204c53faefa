//! Connections on which nothing is asked: they are closed at once, and their clients hear a goodbye.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{How, PROMISED, REVOKED, Stage, THEIR_ID, sent_away};
use crate::bench::World;
use crate::bench::gateway::Reloaded;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::raw_h2::{Frame, GOAWAY, HEADERS, RST_STREAM, RawH2};
use crate::bench::{WEB_ID, within};

#[tokio::test]
async fn an_idle_connection_is_closed_and_that_of_another_client_goes_on() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let mut theirs = stage.their_client().connect().await;
        let mut ours = stage.our_client().connect().await;
        assert_eq!(theirs.get("/open/x").await.status, 200, "{how:?}");
        assert_eq!(ours.get("/open/x").await.status, 200, "{how:?}");
        let at = stage.revoke();
        let came = theirs.closed().await;
        assert!(came.is_empty(), "{how:?}: {came:?}");
        assert!(at.elapsed() < PROMISED, "{how:?}: {:?}", at.elapsed());
        stage.closed(1.0).await;
        assert_eq!(ours.get("/open/x").await.status, 200, "{how:?}");
        let all = stage.gateway.metrics().await.value(REVOKED, &[]);
        assert_eq!(all, 1.0, "{how:?}: nobody else");
    }
}

/// `close_notify`: the client can tell the end from an attack that cuts (RFC 8446, section 6.1).
#[tokio::test]
async fn an_idle_connection_is_closed_with_a_goodbye_in_tls() {
    let stage = Stage::new(How::RemovedCa).await;
    let mut theirs = stage.their_client().connect().await;
    assert_eq!(theirs.get("/open/x").await.status, 200);
    stage.revoke();
    let end = within("the end", theirs.wire.fill()).await;
    assert_eq!(end.expect("no truncation"), 0);
}

#[tokio::test]
async fn a_connection_that_never_asked_for_anything_is_closed() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let mut theirs = stage.their_client().connect().await;
        let mut half = stage.their_client().connect().await;
        half.send("GET /open/x HTTP/1.1\r\n").await.expect("sent");
        stage.revoke();
        assert!(theirs.closed().await.is_empty(), "{how:?}");
        assert!(half.closed().await.is_empty(), "{how:?}");
        stage.closed(2.0).await;
        assert_eq!(stage.orders.bytes(), 0, "{how:?}");
    }
}

#[tokio::test]
async fn an_idle_h2_connection_gets_goaway_and_is_closed() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let mut h2 = stage.their_client().connect_h2().await;
        let mut silent = RawH2::start(&stage.their_client()).await;
        let mut ours = stage.our_client().connect_h2().await;
        assert_eq!(h2.get("/open/x").await.status, 200, "{how:?}");
        assert_eq!(ours.get("/open/x").await.status, 200, "{how:?}");
        let at = stage.revoke();
        let goaway = silent.until(|frame| frame.kind == GOAWAY).await;
        assert_eq!(goaway.error_code(), Some(0), "{how:?}");
        sent_away(&mut h2).await;
        // One that does not answer the PING, by which h2 ends with all that is on its way.
        silent.connection.closed().await;
        assert!(at.elapsed() < PROMISED, "{how:?}: {:?}", at.elapsed());
        stage.closed(2.0).await;
        assert_eq!(ours.get("/open/x").await.status, 200, "{how:?}");
    }
}

/// A client that makes requests as fast as it is closed does not stay for that.
#[tokio::test]
async fn requests_after_goaway_are_refused_and_do_not_keep_the_connection() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let mut theirs = RawH2::start(&stage.their_client()).await;
        let at = stage.revoke();
        theirs.until(|frame| frame.kind == GOAWAY).await;
        let get = crate::bench::raw_h2::get("api.example.com", "/open/x");
        let (mut stream, mut refused) = (1, 0);
        while theirs.headers(stream, &get, true).await.is_ok() {
            let answer = |frame: &Frame| {
                frame.stream == stream && [HEADERS, RST_STREAM].contains(&frame.kind)
            };
            let Some(answer) = theirs.find(answer).await else {
                break;
            };
            match answer.kind {
                HEADERS => assert_eq!(answer.status(), Some(403), "{how:?}"),
                _ => assert_eq!(answer.error_code(), Some(7), "{how:?}: REFUSED_STREAM"),
            }
            (stream, refused) = (stream + 2, refused + usize::from(answer.kind == HEADERS));
            assert!(at.elapsed() < PROMISED, "{how:?}");
        }
        assert!(refused > 0, "{how:?}");
        assert!(at.elapsed() < PROMISED, "{how:?}: {:?}", at.elapsed());
        assert_eq!(stage.orders.bytes(), 0, "{how:?}");
        let reason = [("reason", stage.how.refusal())];
        let all = |counted: f64| counted >= refused as f64;
        stage
            .gateway
            .wait_for_metric("portcullis_refusals_total", &reason, all)
            .await;
    }
}

#[tokio::test]
async fn each_closed_connection_has_a_line_in_the_log() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let mut theirs = stage.their_client().connect().await;
        assert_eq!(theirs.get("/open/x").await.status, 200);
        let source = theirs.local_address().to_string();
        stage.revoke();
        let line = stage
            .gateway
            .wait_for_event(|event| event["target"] == "revocation")
            .await;
        for (field, value) in [
            ("level", json!("INFO")),
            ("listener", json!("edge")),
            ("source", json!(source)),
            ("peer", json!(THEIR_ID)),
            ("reason", json!(how.reason())),
            ("requests", json!(1)),
            ("suppressed", json!(0)),
        ] {
            assert_eq!(line[field], value, "{how:?} {field}: {line}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_ends_ends_its_idle_connections() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let leaf = Leaf::client("short").spiffe(WEB_ID).valid(-60, 3);
    let ends = Instant::now() + Duration::from_secs(3);
    let short = gateway.client(&world.partners.issue(leaf));
    let (mut h1, mut h2) = (short.connect().await, short.connect_h2().await);
    let mut long = gateway.client(&world.web()).connect().await;
    assert_eq!(h1.get("/open/x").await.status, 200);
    assert_eq!(h2.get("/open/x").await.status, 200);
    assert_eq!(long.get("/open/x").await.status, 200);
    assert!(h1.closed().await.is_empty());
    sent_away(&mut h2).await;
    let late = Instant::now().saturating_duration_since(ends);
    assert!(late < PROMISED, "{late:?}");
    let expired = [("listener", "edge"), ("reason", "certificate_expired")];
    let closed = gateway.metrics().await.value(REVOKED, &expired);
    assert_eq!(closed, 2.0);
    assert_eq!(long.get("/open/x").await.status, 200);
}

/// The time of an authority, as that of a certificate.
#[tokio::test]
async fn a_ca_that_ends_ends_the_idle_connections_of_its_clients() {
    let world = World::new();
    let orders = world.orders().start().await;
    let root = Authority::with("short root", |params| {
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(4);
    });
    let both = format!("{}{}", world.partners.pem(), root.pem());
    world.folder.write("partners-ca.pem", both);
    let gateway = world.gateway(&orders).await;
    let theirs = root.issue(Leaf::client("x").spiffe(WEB_ID));
    let mut theirs = gateway.client(&theirs).connect().await;
    let mut ours = gateway.client(&world.web()).connect().await;
    assert_eq!(theirs.get("/open/x").await.status, 200);
    assert!(theirs.closed().await.is_empty());
    assert_eq!(ours.get("/open/x").await.status, 200);
    let expired = [("listener", "edge"), ("reason", "certificate_expired")];
    let closed = gateway.metrics().await.value(REVOKED, &expired);
    assert_eq!(closed, 1.0);
}

#[tokio::test]
async fn connections_without_a_certificate_are_closed_when_one_is_required() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("listeners.edge.tls.clients.certificate", "optional");
    let mut gateway = world.gateway_with(&config).await;
    let nobody = gateway.anonymous();
    let (mut h1, mut h2) = (nobody.connect().await, nobody.connect_h2().await);
    let mut ours = gateway.client(&world.web()).connect().await;
    assert_eq!(h1.get("/open/x").await.status, 200);
    assert_eq!(h2.get("/open/x").await.status, 200);
    assert_eq!(ours.get("/open/x").await.status, 200);
    config.set("listeners.edge.tls.clients.certificate", "required");
    let reloaded = gateway.reload(&config).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)));
    assert!(h1.closed().await.is_empty());
    sent_away(&mut h2).await;
    let missing = [("listener", "edge"), ("reason", "certificate_missing")];
    assert_eq!(gateway.metrics().await.value(REVOKED, &missing), 2.0);
    assert_eq!(ours.get("/open/x").await.status, 200);
}

/// A reload that takes nothing away closes nothing, and neither does one that only adds.
#[tokio::test]
async fn a_reload_that_takes_nothing_away_closes_nothing() {
    let stage = Stage::new(How::RemovedCa).await;
    let mut theirs = stage.their_client().connect().await;
    let mut h2 = stage.their_client().connect_h2().await;
    assert_eq!(theirs.get("/open/x").await.status, 200);
    let third = Authority::new("third");
    let file = stage.world.folder.join("partners-ca.pem");
    let before = std::fs::read_to_string(file).expect("the bundle");
    let more = format!("{before}{}", third.pem());
    let write = || drop(stage.world.folder.write("partners-ca.pem", more));
    let reloaded = stage.gateway.reload_by(write).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)));
    for _ in 0..2 {
        assert_eq!(theirs.get("/open/x").await.status, 200);
        assert_eq!(h2.get("/open/x").await.status, 200);
    }
    // Taken away afterwards, they go all the same.
    stage.revoke();
    theirs.closed().await;
    sent_away(&mut h2).await;
    stage.closed(2.0).await;
}
