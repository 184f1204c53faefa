//! Stop: SIGTERM says "not ready", takes no new connections, lets requests under way finish within
//! the deadline, and ends with exit code 0.

use std::net::TcpListener;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bench::client::{HOST, read_h2};
use crate::bench::config::Config;
use crate::bench::gateway::{Gateway, run};
use crate::bench::http1::Request;
use crate::bench::raw_h2::{ACK, GOAWAY, PING, RawH2, get};
use crate::bench::service::{Received, Reply, Service, Step};
use crate::bench::{World, within};

/// A service that answers below `/open/slow` only when told to.
async fn slow(world: &World) -> (Service, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let reply = move |request: &Received| {
        let answer = Reply::ok("late");
        if request.target.starts_with("/open/slow") {
            answer.after(Step::Gate(Arc::clone(&held)))
        } else {
            answer
        }
    };
    (world.orders().reply(reply).start().await, gate)
}

async fn gateway(world: &World, orders: &Service, change: impl FnOnce(&mut Config)) -> Gateway {
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    change(&mut config);
    world.gateway_with(&config).await
}

/// Waits until new connections are refused by the system.
async fn no_new_connections(gateway: &Gateway) {
    let client = gateway.anonymous();
    within("the listener to close", async {
        while client.tcp().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn said(gateway: &Gateway, words: &str) -> serde_json::Value {
    gateway
        .wait_for_event(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains(words))
        })
        .await
}

#[tokio::test]
async fn an_idle_gateway_stops_at_once_with_exit_code_0_on_sigterm_and_on_sigint() {
    for signal in ["TERM", "INT"] {
        let world = World::new();
        let (orders, _gate) = slow(&world).await;
        let mut gateway = gateway(&world, &orders, |_| {}).await;
        let begun = Instant::now();
        gateway.signal(signal);
        let status = gateway.exited().await;
        assert_eq!(status.code(), Some(0), "SIG{signal}");
        assert!(begun.elapsed() < Duration::from_secs(3), "SIG{signal}");
        said(&gateway, "every connection has ended").await;
    }
}

#[tokio::test]
async fn requests_under_way_finish_and_their_connections_end_with_close_and_with_goaway() {
    for signal in ["TERM", "INT"] {
        let world = World::new();
        let (orders, gate) = slow(&world).await;
        let mut gateway = gateway(&world, &orders, |_| {}).await;
        let client = gateway.client(&world.web());
        let (mut h1, mut h2) = (client.connect().await, client.connect_h2().await);
        h1.send(Request::get("/open/slow").bytes(HOST))
            .await
            .expect("sent");
        let (answer, _stream) = h2.start(&Request::get("/open/slow")).await.expect("sent");
        orders.wait_for_requests(2).await;

        gateway.signal(signal);
        no_new_connections(&gateway).await;
        let ready = gateway.admin("/readyz").await;
        assert_eq!((ready.status, ready.text().as_str()), (503, "draining\n"));
        assert_eq!(gateway.admin("/livez").await.status, 200);
        assert!(gateway.metrics().await.value("portcullis_connections", &[]) >= 2.0);

        gate.notify_waiters();
        let answer = within("the h2 answer", read_h2(answer)).await.expect("h2");
        assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
        h2.ended().await.expect("a GOAWAY without an error");
        let answer = h1.read_answer().await.expect("the h1 answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "the client is told not to ask again"
        );
        assert_eq!(h1.closed().await, b"");
        assert_eq!(gateway.exited().await.code(), Some(0));
        said(&gateway, "every connection has ended").await;
    }
}

#[tokio::test]
async fn a_body_that_is_on_its_way_when_the_gateway_stops_arrives_whole() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut gateway = gateway(&world, &orders, |_| {}).await;
    let mut client = gateway.client(&world.web()).connect().await;
    let head = format!("POST /open/up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhello");
    client.send(head).await.expect("sent");
    orders.wait_for_handshakes(1).await;
    gateway.sigterm();
    no_new_connections(&gateway).await;
    let answer = client.exchange("world").await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(orders.only_request().body, b"helloworld");
    assert_eq!(gateway.exited().await.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_are_told_to_go_and_do_not_hold_the_gateway_up() {
    let world = World::new();
    let (orders, _gate) = slow(&world).await;
    let mut gateway = gateway(&world, &orders, |_| {}).await;
    let client = gateway.client(&world.web());
    let (mut used, mut fresh) = (client.connect().await, client.connect().await);
    assert_eq!(used.get("/open/x").await.status, 200);
    let mut h2 = client.connect_h2().await;
    assert_eq!(h2.get("/open/x").await.status, 200);
    let begun = Instant::now();
    gateway.sigterm();
    assert_eq!(used.closed().await, b"");
    assert_eq!(fresh.closed().await, b"");
    h2.ended().await.expect("a GOAWAY without an error");
    assert_eq!(gateway.exited().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_h2_client_that_goes_on_asking_is_told_which_stream_was_the_last() {
    let world = World::new();
    let (orders, gate) = slow(&world).await;
    let mut gateway = gateway(&world, &orders, |_| {}).await;
    let mut raw = RawH2::start(&gateway.client(&world.web())).await;
    raw.headers(1, &get(HOST, "/open/slow"), true)
        .await
        .expect("sent");
    orders.wait_for_requests(1).await;
    gateway.sigterm();
    // RFC 9113, section 6.8: first the warning with the highest number, then, once the client has
    // answered a PING, the true one.
    let warning = raw.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(warning.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(warning.error_code(), Some(0), "NO_ERROR");
    let ping = raw
        .until(|frame| frame.kind == PING && frame.flags & ACK == 0)
        .await;
    raw.frame(PING, ACK, 0, &ping.payload).await.expect("sent");
    let last = raw.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(last.payload[..4], [0, 0, 0, 1]);
    gate.notify_waiters();
    assert_eq!(raw.status(1).await, 200);
    assert_eq!(gateway.exited().await.code(), Some(0));
}

#[tokio::test]
async fn past_the_deadline_it_ends_all_the_same_and_says_how_many_were_open() {
    let world = World::new();
    let (orders, _gate) = slow(&world).await;
    let mut gateway = gateway(&world, &orders, |config| {
        config.set("shutdown.deadline", "400ms");
    })
    .await;
    let client = gateway.client(&world.web());
    let mut held = Vec::new();
    for count in 1..=3 {
        let mut one = client.connect().await;
        one.send(Request::get("/open/slow").bytes(HOST))
            .await
            .expect("sent");
        orders.wait_for_requests(count).await;
        held.push(one);
    }
    let begun = Instant::now();
    gateway.sigterm();
    assert_eq!(gateway.exited().await.code(), Some(0));
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(400),
        "{took:?} is before the deadline"
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
    let line = said(&gateway, "the deadline has passed").await;
    assert_eq!((&line["open"], &line["level"]), (&3.into(), &"WARN".into()));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let world = World::new();
    let (orders, _gate) = slow(&world).await;
    let mut gateway = gateway(&world, &orders, |config| {
        config.set("shutdown.deadline", "5m");
    })
    .await;
    let mut held = gateway.client(&world.web()).connect().await;
    held.send(Request::get("/open/slow").bytes(HOST))
        .await
        .expect("sent");
    orders.wait_for_requests(1).await;
    gateway.sigterm();
    said(&gateway, "stopping").await;
    no_new_connections(&gateway).await;
    gateway.signal("INT");
    assert_eq!(gateway.exited().await.code(), Some(0));
    let line = said(&gateway, "a second signal").await;
    assert_eq!(line["open"], 1);
}

#[tokio::test]
async fn during_the_delay_it_is_not_ready_and_still_takes_connections() {
    let world = World::new();
    let (orders, _gate) = slow(&world).await;
    let mut gateway = gateway(&world, &orders, |config| {
        config.set("shutdown.delay", "1500ms");
    })
    .await;
    gateway.sigterm();
    said(&gateway, "stopping").await;
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(client.connect_h2().await.get("/open/x").await.status, 200);
    no_new_connections(&gateway).await;
    assert_eq!(gateway.exited().await.code(), Some(0));
}

#[tokio::test]
async fn a_reload_changes_how_it_stops() {
    let world = World::new();
    let (orders, _gate) = slow(&world).await;
    let mut gateway = gateway(&world, &orders, |config| {
        config.set("shutdown.deadline", "5m");
    })
    .await;
    let mut config = gateway.config.clone();
    config.set("shutdown.deadline", "200ms");
    gateway.reload(&config).await;
    let mut held = gateway.client(&world.web()).connect().await;
    held.send(Request::get("/open/slow").bytes(HOST))
        .await
        .expect("sent");
    orders.wait_for_requests(1).await;
    gateway.sigterm();
    assert_eq!(gateway.exited().await.code(), Some(0));
    said(&gateway, "the deadline has passed").await;
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_port_in_use_is_told_with_its_place_and_what_to_do_and_exit_code_1() {
    for place in ["admin.address", "listeners.edge.address"] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound").to_string();
        let world = World::new();
        let mut config = world.config();
        config.set(place, address.clone());
        let output = run(&world, &config, &["run"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let words = format!("{place} {address} cannot be listened on");
        assert!(said.contains(&words), "{said}");
        assert!(said.contains("in use") && said.contains("hint: "), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_configuration_with_problems_is_told_and_ends_with_exit_code_1() {
    let world = World::new();
    let mut config = world.config();
    config.set("routes.open.upstream", "order");
    let output = run(&world, &config, &["run"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("did you mean \"orders\"?"), "{said}");
}
