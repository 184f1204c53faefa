//! Connections with something under way: it may go on for the listener's `revocation_grace`, and
//! is then cut, whatever it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{How, PROMISED, Stage, THEIR_ID, sent_away};
use crate::bench::client::{HOST, read_h2};
use crate::bench::config::Config;
use crate::bench::http1::Request;
use crate::bench::raw_h2::{self, GOAWAY, HEADERS, RawH2};
use crate::bench::service::{Reply, Step};
use crate::bench::within;

const GRACE: Duration = Duration::from_millis(1500);

fn short_grace(config: &mut Config) {
    grace("1500ms")(config);
}

fn grace(time: &'static str) -> impl FnOnce(&mut Config) {
    move |config| {
        config.set("listeners.edge.limits.revocation_grace", time);
    }
}

/// Half of an answer, and then nothing.
fn half() -> Reply {
    Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").then(Step::Hang)
}

/// That what was under way is accounted for, once, as cut.
async fn accounted(stage: &Stage) -> serde_json::Value {
    let cut = |event: &serde_json::Value| {
        event["target"] == "access" && event["closed"] == "revoked" && event["peer"] == THEIR_ID
    };
    let line = stage.gateway.wait_for_event(cut).await;
    let id = line["request_id"].as_str().expect("an id").to_owned();
    let lines = stage.gateway.log();
    let of_it = lines
        .iter()
        .filter(|line| line.contains("access") && line.contains(&id));
    assert_eq!(of_it.count(), 1, "one line for one request");
    line
}

/// That it was cut when the grace was over, and within what is promised.
fn in_time(at: Instant, how: How) {
    let took = at.elapsed();
    assert!(took >= GRACE, "{how:?}: after {took:?}, before its time");
    assert!(took < PROMISED, "{how:?}: after {took:?}");
}

#[tokio::test]
async fn a_slow_answer_is_cut_when_the_grace_is_over() {
    for how in How::ALL {
        let stage = Stage::build(how, short_grace, |service| service.reply(|_| half())).await;
        let mut theirs = stage.their_client().connect().await;
        theirs
            .send(Request::get("/open/slow").bytes(HOST))
            .await
            .expect("sent");
        let head = within("the head", theirs.wire.read_head()).await;
        assert!(head.expect("a head").is_some());
        let at = stage.revoke();
        let rest = theirs.closed().await;
        in_time(at, how);
        assert_eq!(rest, b"half", "{how:?}");
        let line = accounted(&stage).await;
        assert_eq!(line["status"], 200, "{how:?}");
        stage.closed(1.0).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_cut_when_the_grace_is_over() {
    for how in How::ALL {
        let hang = |service: crate::bench::service::Builder| service.reply(|_| Reply::hang());
        let stage = Stage::build(how, short_grace, hang).await;
        let mut theirs = stage.their_client().connect().await;
        theirs
            .send(Request::get("/open/slow").bytes(HOST))
            .await
            .expect("sent");
        stage.orders.wait_for_requests(1).await;
        let at = stage.revoke();
        assert!(theirs.closed().await.is_empty(), "{how:?}");
        in_time(at, how);
        let line = accounted(&stage).await;
        assert_eq!(line["status"], 499, "{how:?}: nothing was answered");
        stage
            .orders
            .wait_until("its connection to end", |orders| {
                orders.open_connections() == 0
            })
            .await;
    }
}

#[tokio::test]
async fn an_answer_within_the_grace_is_complete_and_the_connection_then_closed() {
    for how in How::ALL {
        let gate = Arc::new(Notify::new());
        let held = Arc::clone(&gate);
        let stage = Stage::build(how, grace("60s"), |service| {
            service.reply(move |_| Reply::ok("whole").after(Step::Gate(Arc::clone(&held))))
        })
        .await;
        let mut theirs = stage.their_client().connect().await;
        theirs
            .send(Request::get("/open/slow").bytes(HOST))
            .await
            .expect("sent");
        stage.orders.wait_for_requests(1).await;
        stage.revoke();
        stage.closed(1.0).await;
        gate.notify_waiters();
        let answer = theirs.read_answer().await.expect("an answer");
        assert_eq!(answer.text(), "whole", "{how:?}");
        theirs.closed().await;
        let line = stage.gateway.access_line(&answer).await;
        assert!(line["closed"].is_null(), "{how:?}: {line}");
    }
}

#[tokio::test]
async fn a_slow_upload_is_cut_when_the_grace_is_over() {
    for how in How::ALL {
        let stage = Stage::build(how, short_grace, |service| service).await;
        let mut theirs = stage.their_client().connect().await;
        let head =
            format!("POST /open/up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\nhalf");
        theirs.send(head).await.expect("sent");
        stage.orders.wait_for_handshakes(1).await; // the request was let through
        let at = stage.revoke();
        let came = theirs.closed().await;
        assert!(
            came.is_empty(),
            "{how:?}: {}",
            String::from_utf8_lossy(&came)
        );
        in_time(at, how);
        accounted(&stage).await;
        assert!(stage.orders.requests().is_empty(), "{how:?}: not whole");
    }
}

/// While a service takes nothing, nobody reads from the client: the socket goes all the same.
#[tokio::test]
async fn an_upload_that_waits_for_the_service_is_cut_when_the_grace_is_over() {
    for how in How::ALL {
        let stuck = |service: crate::bench::service::Builder| {
            service
                .at_head()
                .reply(|_| Reply(vec![Step::Pause(PROMISED * 2)]))
        };
        let stage = Stage::build(
            how,
            |config| {
                short_grace(config);
                config.set("routes.open.max_body", "64MiB");
            },
            stuck,
        )
        .await;
        let mut theirs = stage.their_client().connect().await;
        let head = format!(
            "POST /open/up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n",
            48 << 20
        );
        theirs.send(head).await.expect("sent");
        let (mut read, mut write) = tokio::io::split(theirs.wire.stream);
        let upload = tokio::spawn(async move {
            let piece = vec![7; 64 << 10];
            while tokio::io::AsyncWriteExt::write_all(&mut write, &piece)
                .await
                .is_ok()
            {}
        });
        stage.orders.wait_for_requests(1).await;
        let at = stage.revoke();
        let mut rest = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut rest);
        drop(within("the end", reading).await);
        in_time(at, how);
        within("the end of the upload", upload)
            .await
            .expect("no panic");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_when_the_grace_is_over() {
    for how in How::ALL {
        let flood = |service: crate::bench::service::Builder| {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
            service.reply(move |_| Reply::raw(head).then(Step::Flood(vec![7; 64 << 10])))
        };
        let stage = Stage::build(how, short_grace, flood).await;
        let mut theirs = stage.their_client().connect().await;
        theirs
            .send(Request::get("/open/big").bytes(HOST))
            .await
            .expect("sent");
        let head = within("the head", theirs.wire.read_head()).await;
        assert!(head.expect("a head").is_some());
        let at = stage.revoke();
        accounted(&stage).await;
        in_time(at, how);
        let open = [("listener", "edge")];
        stage
            .gateway
            .wait_for_metric("portcullis_connections", &open, |open| open == 0.0)
            .await;
    }
}

#[tokio::test]
async fn a_websocket_is_cut_when_the_grace_is_over() {
    for how in How::ALL {
        let stage = Stage::build(
            how,
            |config| {
                short_grace(config);
                config.route("socket", "/socket", "orders");
                config.set("routes.socket.websocket", true);
            },
            |service| {
                let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                service.at_head().reply(move |_| Reply::raw(head).then(Step::Echo))
            },
        )
        .await;
        let ask = format!(
            "GET /socket HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut theirs = stage.their_client().connect().await;
        let mut ours = stage.our_client().connect().await;
        for connection in [&mut theirs, &mut ours] {
            let answer = connection.exchange(&ask).await.expect("an answer");
            assert_eq!(answer.status, 101, "{how:?}");
            connection.send("to and fro").await.expect("sent");
            let back = connection.wire.read_exact(10).await.expect("an echo");
            assert_eq!(back, b"to and fro");
        }
        let at = stage.revoke();
        theirs.closed().await;
        in_time(at, how);
        let line = accounted(&stage).await;
        assert_eq!(line["status"], 101, "{how:?}");
        ours.send("goes on").await.expect("sent");
        let back = ours.wire.read_exact(7).await.expect("an echo");
        assert_eq!(back, b"goes on", "{how:?}");
    }
}

#[tokio::test]
async fn h2_streams_end_with_the_grace_and_no_new_ones_begin() {
    for how in How::ALL {
        let stage = Stage::build(how, short_grace, |service| service.reply(|_| half())).await;
        let mut theirs = RawH2::start(&stage.their_client()).await;
        let get = raw_h2::get(HOST, "/open/slow");
        for stream in [1, 3] {
            theirs.headers(stream, &get, true).await.expect("sent");
            assert_eq!(theirs.status(stream).await, 200);
        }
        let at = stage.revoke();
        let goaway = theirs.until(|frame| frame.kind == GOAWAY).await;
        assert_eq!(goaway.error_code(), Some(0), "{how:?}");
        theirs.headers(5, &get, true).await.expect("sent");
        let new = theirs
            .until(|frame| frame.stream == 5 && frame.kind == HEADERS)
            .await;
        assert_eq!(new.status(), Some(403), "{how:?}");
        let refused = stage
            .gateway
            .wait_for_event(|event| event["target"] == "access" && event["status"] == 403)
            .await;
        assert_eq!(refused["reason"], stage.how.refusal(), "{how:?}");
        theirs.connection.closed().await;
        in_time(at, how);
        accounted(&stage).await;
        assert_eq!(stage.orders.requests().len(), 2, "{how:?}");
        stage.closed(1.0).await;
    }
}

#[tokio::test]
async fn an_h2_answer_within_the_grace_is_complete() {
    for how in How::ALL {
        let gate = Arc::new(Notify::new());
        let held = Arc::clone(&gate);
        let stage = Stage::build(how, grace("60s"), |service| {
            service.reply(move |_| Reply::ok("whole").after(Step::Gate(Arc::clone(&held))))
        })
        .await;
        let mut h2 = stage.their_client().connect_h2().await;
        let (answer, _body) = h2.start(&Request::get("/open/x")).await.expect("sent");
        stage.orders.wait_for_requests(1).await;
        stage.revoke();
        stage.closed(1.0).await;
        gate.notify_waiters();
        let answer = within("an answer", read_h2(answer)).await.expect("whole");
        assert_eq!(answer.text(), "whole", "{how:?}");
        sent_away(&mut h2).await;
    }
}

/// The default: what is promised holds with it.
#[tokio::test]
async fn without_a_word_in_the_configuration_all_is_over_within_five_seconds() {
    for how in How::ALL {
        let stage = Stage::build(how, |_| {}, |service| service.reply(|_| half())).await;
        let mut idle = stage.their_client().connect().await;
        let mut busy = stage.their_client().connect().await;
        let get = Request::get("/open/slow").bytes(HOST);
        busy.send(get).await.expect("sent");
        within("the head", busy.wire.read_head())
            .await
            .expect("a head");
        let at = stage.revoke();
        idle.closed().await;
        let idle_after = at.elapsed();
        busy.closed().await;
        let busy_after = at.elapsed();
        eprintln!("{how:?}: idle after {idle_after:?}, busy after {busy_after:?}");
        assert!(idle_after < busy_after && busy_after < PROMISED);
        assert!(busy_after >= Duration::from_secs(2));
    }
}

#[tokio::test]
async fn no_grace_is_none() {
    let stage = Stage::build(How::RemovedCa, grace("0s"), |service| {
        service.reply(|_| half())
    })
    .await;
    let mut busy = stage.their_client().connect().await;
    let get = Request::get("/open/slow").bytes(HOST);
    busy.send(get).await.expect("sent");
    within("the head", busy.wire.read_head())
        .await
        .expect("a head");
    let mut idle = stage.their_client().connect_h2().await;
    stage.revoke_and_wait().await;
    let at = Instant::now();
    busy.closed().await;
    sent_away(&mut idle).await;
    assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
}
