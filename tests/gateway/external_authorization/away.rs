//! An authorization service that is away, comes back, hangs, or is there with other key material.

use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::server::{Script, Service, identity, no, yes};
use super::{DENIED, Stage, UNAVAILABLE, external_authorization};
use crate::bench::config::free_port;
use crate::bench::gateway::{Reloaded, run};
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::{ORDERS_ID, World, within};

#[tokio::test]
async fn while_it_is_away_requests_are_refused_and_it_is_found_again() {
    let mut stage = Stage::set().await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    stage.opa.stop().await;
    for _ in 0..2 {
        let (status, reason) = stage.get("/open/x").await;
        assert_eq!((status, &*reason), (503, UNAVAILABLE));
    }
    assert_eq!(stage.orders.requests().len(), 1);
    stage.opa.listen().await;
    assert_eq!(stage.get("/open/x").await.0, 200, "at the first question");
    assert_eq!(stage.opa.counts().connections, 2);
}

#[tokio::test]
async fn a_restart_between_two_questions_is_not_noticed() {
    let mut stage = Stage::set().await;
    for _ in 0..3 {
        assert_eq!(stage.get("/open/x").await.0, 200);
        stage.opa.stop().await;
        stage.opa.listen().await;
    }
    assert_eq!(stage.checks("allowed").await, 3.0);
}

#[tokio::test]
async fn a_connection_or_a_stream_that_breaks_is_tried_once_more() {
    let stage = Stage::set().await;
    for broken in [Script::Cut, Script::Reset] {
        let first = std::sync::atomic::AtomicBool::new(true);
        stage.opa.decide(move |_| {
            if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                broken.clone()
            } else {
                Script::Say(yes())
            }
        });
        assert_eq!(stage.get("/open/x").await.0, 200);
    }
    stage.opa.play(Script::Cut);
    let before = stage.opa.counts().questions;
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.opa.counts().questions, before + 2, "and no more");
    assert_eq!(stage.checks("unavailable").await, 1.0);
}

#[tokio::test]
async fn one_that_hangs_is_waited_for_until_the_timeout_and_asked_anew_on_another_connection() {
    let stage = Stage::with(&[("timeout", json!("300ms"))]).await;
    stage.opa.play(Script::Hang);
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.checks("timed_out").await, 1.0);
    stage
        .opa
        .wait_until("the connection to be left", |c| c.closed == 1)
        .await;
    stage.opa.play(Script::Say(yes()));
    assert_eq!(stage.get("/open/x").await.0, 200);
    assert_eq!(stage.opa.counts().connections, 2);
}

#[tokio::test]
async fn where_it_is_written_requests_pass_while_it_is_away_and_are_counted() {
    let keys = [
        ("when_away", json!("allow")),
        ("may_set", json!(["x-user"])),
    ];
    let mut stage = Stage::with(&keys).await;
    let client = stage.gateway.client(&stage.world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    stage.opa.stop().await;
    stage.disconnected().await;
    for number in 1..=3 {
        let request = Request::get("/open/x").header("x-user", "forged");
        assert_eq!(client.request(&request).await.status, 200, "{number}");
        assert_eq!(stage.orders.last_request().header("x-user"), None);
        assert_eq!(stage.waived("away").await, f64::from(number));
    }
    assert_eq!(stage.checks("unreachable").await, 3.0);
    stage.opa.listen().await;
    stage.opa.play(Script::Say(no()));
    assert_eq!(client.get("/open/x").await.status, 403, "it is back");
}

/// What a client writes into its request decides how much work it is, and may make the service fall
/// over it.
#[tokio::test]
async fn what_comes_of_one_question_lets_nobody_pass() {
    let stage = Stage::with(&[("when_away", json!("allow")), ("timeout", json!("300ms"))]).await;
    for script in [
        Script::Hang,
        Script::Status(4),
        Script::Status(14),
        Script::Status(8),
        Script::Http(429),
        Script::Http(502),
        Script::Http(503),
        Script::Http(504),
        Script::Reset,
        Script::Cut,
        Script::Fields(10_000),
        Script::LongHead(no()),
        Script::ResetWith(2),
        Script::ResetWith(7),
        Script::ResetWith(11),
    ] {
        let what = format!("{script:?}");
        // The service is there for others all the while.
        stage.opa.decide(move |question| match &*question.path {
            "/open/hard" => script.clone(),
            _ => Script::Say(yes()),
        });
        let (status, reason) = stage.get("/open/hard").await;
        assert_eq!((status, &*reason), (503, UNAVAILABLE), "{what}");
        assert_eq!(stage.get("/open/x").await.0, 200, "{what}");
    }
    assert_eq!(stage.waived("away").await, 0.0);
    let paths = stage.orders.requests();
    assert!(paths.iter().all(|asked| asked.target == "/open/x"));
}

#[tokio::test]
async fn a_question_at_which_the_service_dies_lets_nobody_pass() {
    let stage = Stage::with(&[("when_away", json!("allow"))]).await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    stage.opa.close_door().await;
    stage.opa.play(Script::Cut);
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.waived("away").await, 0.0);
    assert_eq!(stage.checks("unavailable").await, 1.0);
    assert_eq!(
        stage.get("/open/x").await.0,
        200,
        "nobody is there any more"
    );
    assert_eq!(stage.waived("away").await, 1.0);
}

/// A policy that never ends holds up a service of one thread: it takes connections, and no more.
#[tokio::test]
async fn one_that_takes_connections_and_is_silent_is_not_away() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut opa = Service::start(&world).await;
    opa.stop().await;
    opa.address = silent.local_addr().expect("an address");
    let keys = [("when_away", json!("allow")), ("timeout", json!("300ms"))];
    let stage = Stage::around(world, opa, &keys).await;
    for _ in 0..2 {
        let (status, reason) = stage.get("/open/x").await;
        assert_eq!((status, &*reason), (503, UNAVAILABLE));
    }
    assert_eq!(stage.waived("away").await, 0.0);
    assert_eq!(stage.checks("timed_out").await, 2.0);
}

#[tokio::test]
async fn while_one_of_its_endpoints_takes_connections_it_is_not_away() {
    let world = World::new();
    let opa = Service::start(&world).await;
    opa.play(Script::Say(no()));
    let dead = || format!("127.0.0.1:{}", free_port());
    let endpoints = json!([dead(), dead(), opa.address.to_string(), dead()]);
    let keys = [("when_away", json!("allow")), ("endpoints", endpoints)];
    let stage = Stage::around(world, opa, &keys).await;
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (403, DENIED));
    assert_eq!(stage.waived("away").await, 0.0);
}

/// Nobody answers, and nobody says so: a network that drops what it is given.
#[tokio::test]
async fn one_that_no_packet_reaches_is_away_once_that_is_known() {
    let world = World::new();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let listener = socket.listen(1).expect("to listen");
    let address = listener.local_addr().expect("an address");
    let mut held = Vec::new();
    let short = Duration::from_millis(200);
    while let Ok(taken) = timeout(short, TcpStream::connect(address)).await {
        held.push(taken);
    }
    let mut opa = Service::start(&world).await;
    opa.stop().await;
    opa.address = address;
    let keys = [("when_away", json!("allow")), ("timeout", json!("50ms"))];
    let stage = Stage::around(world, opa, &keys).await;
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE), "nobody knows yet");
    let failures = "portcullis_upstream_connect_failures_total";
    let labels = [("upstream", "opa"), ("reason", "timed_out")];
    stage
        .gateway
        .wait_for_metric(failures, &labels, |failed| failed == 1.0)
        .await;
    within("the next attempt", async {
        while stage.get("/open/x").await.0 != 200 {}
    })
    .await;
    assert!(stage.waived("away").await >= 1.0);
}

#[tokio::test]
async fn check_says_what_letting_pass_means() {
    let world = World::new();
    let mut config = world.config();
    config.choose_ports();
    let mut entry = external_authorization(([127, 0, 0, 1], 1).into());
    config.set("external_authorization.opa", entry.clone());
    let output = run(&world, &config, &["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && !said.contains("warning"),
        "{said}"
    );
    entry["when_away"] = json!("allow");
    config.set("external_authorization.opa", entry);
    let output = run(&world, &config, &["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let want = "warning: external_authorization.opa.when_away: `allow` lets requests pass unasked \
                while no endpoint takes a connection";
    assert!(output.status.success() && said.contains(want), "{said}");
}

#[tokio::test]
async fn clients_cannot_make_it_be_away() {
    let stage = Stage::with(&[
        ("when_away", json!("allow")),
        ("in_flight", json!(1)),
        ("timeout", json!("2s")),
    ])
    .await;
    stage.opa.play(Script::Hang);
    let mut first = stage.gateway.client(&stage.world.web()).connect().await;
    let head = "GET /open/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    first.send(head).await.expect("to send");
    stage
        .opa
        .wait_until("a question", |c| c.questions == 1)
        .await;
    let under_way = [("external_authorization", "opa")];
    let in_progress = "portcullis_external_authorization_checks_in_progress";
    assert_eq!(
        stage.gateway.metrics().await.value(in_progress, &under_way),
        1.0
    );
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.waived("away").await, 0.0);
}

#[tokio::test]
async fn new_key_material_is_another_connection() {
    let stage = Stage::set().await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    let ours = stage
        .world
        .mesh
        .issue(Leaf::client("gateway").spiffe("spiffe://mesh.example/gateway"));
    let written = || ours.write(&stage.world.folder, "gateway");
    let reloaded = stage.gateway.reload_by(written).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    stage
        .opa
        .wait_until("the old one to end", |c| c.closed == 1)
        .await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    assert_eq!(stage.opa.counts().connections, 2);
}

#[tokio::test]
async fn a_reload_that_does_not_concern_it_keeps_the_connection_and_one_that_does_does_not() {
    let mut stage = Stage::set().await;
    assert_eq!(stage.get("/open/x").await.0, 200);
    let mut config = stage.gateway.config.clone();
    config.set("routes.open.max_body", "1KiB");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(stage.get("/open/x").await.0, 200);
    assert_eq!(stage.opa.counts().connections, 1);
    config.set("external_authorization.opa.tls.accept", json!([ORDERS_ID]));
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!(
        (status, &*reason),
        (503, UNAVAILABLE),
        "it is somebody else now"
    );
    stage
        .opa
        .wait_until("the old one to end", |c| c.closed >= 1)
        .await;
    config.remove("routes.open.external_authorization");
    config.remove("external_authorization");
    assert!(matches!(
        stage.gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    assert_eq!(stage.get("/open/x").await.0, 200);
    drop(identity(&stage.world));
}
