//! Connections to services: kept, resumed, retried, and bounded in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;

use super::{HANDSHAKES, MILLIS, UPSTREAM, refused, short, with_timeouts};
use crate::bench::http1::Request;
use crate::bench::service::{Plain, Reply, Service, Step};
use crate::bench::{ORDERS_ID, ORDERS_NAME, World, within};

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_of_anybody() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    for id in [
        "spiffe://partners.example/web/a",
        "spiffe://partners.example/web/b",
    ] {
        let client = gateway.client(&world.partner(id));
        assert_eq!(client.get("/open/x").await.status, 200);
        assert_eq!(orders.last_request().header("x-client-identity"), Some(id));
    }
    assert_eq!(orders.connections(), 1);
}

#[tokio::test]
async fn sessions_with_services_resume() {
    let world = World::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let orders = world.orders().versions(&[version]);
        let close = |_: &_| Reply::new(200, &[("Connection", "close")], "x").then(Step::Close);
        let orders = orders.reply(close).start().await;
        let gateway = world.gateway(&orders).await;
        let client = gateway.client(&world.web());
        for _ in 0..3 {
            assert_eq!(client.get("/open/x").await.status, 200);
        }
        let resumed: Vec<_> = orders.handshakes().iter().map(|h| h.resumed).collect();
        assert_eq!(resumed, [false, true, true], "{version:?}");
        let label = [
            UPSTREAM,
            ("name", "orders"),
            ("result", "ok"),
            ("resumed", "true"),
        ];
        assert_eq!(gateway.metrics().await.value(HANDSHAKES, &label), 2.0);
        let seen = orders.requests();
        assert!(
            seen.iter()
                .all(|request| request.peer == world.gateway_identity.fingerprint())
        );
    }
}

/// A service that closes its first connection, after the first answer, when the second request
/// on it has come: to us it looks like one that had been closed meanwhile.
fn closes_when_reused(
    end: Step,
) -> impl Fn(&crate::bench::service::Received) -> Reply + Send + Sync {
    let count = AtomicUsize::new(0);
    move |_| match count.fetch_add(1, Ordering::SeqCst) {
        1 => Reply(vec![end.clone()]),
        _ => Reply::ok("x"),
    }
}

#[tokio::test]
async fn a_reused_connection_that_closes_is_tried_again_for_idempotent_requests_only() {
    let world = World::new();
    for (method, retried) in [
        ("GET", true),
        ("HEAD", true),
        ("PUT", true),
        ("DELETE", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PATCH", false),
    ] {
        for end in [Step::Cut, Step::Close] {
            let orders = world.orders().reply(closes_when_reused(end)).start().await;
            let gateway = world.gateway(&orders).await;
            let client = gateway.client(&world.web());
            assert_eq!(client.get("/open/first").await.status, 200);
            let mut request = Request::new(method, "/open/second");
            if matches!(method, "PUT" | "POST" | "PATCH") {
                request = request.body("once");
            }
            let answer = client.request(&request).await;
            let targets = orders.requests().len();
            if retried {
                assert_eq!((answer.status, targets), (200, 3), "{method}");
                assert_eq!(
                    orders.last_request().body,
                    request.body.unwrap_or_default(),
                    "{method}"
                );
            } else {
                assert_eq!((answer.status, targets), (502, 2), "{method}");
                assert_eq!(refused(&gateway, "upstream_closed").await, 1.0, "{method}");
            }
        }
    }
}

#[tokio::test]
async fn a_fresh_connection_that_closes_is_not_tried_again() {
    let world = World::new();
    let orders = world
        .orders()
        .reply(|_| Reply(vec![Step::Cut]))
        .start()
        .await;
    let gateway = world.gateway(&orders).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        502
    );
    assert_eq!(orders.requests().len(), 1);
    assert_eq!(refused(&gateway, "upstream_closed").await, 1.0);
}

#[tokio::test]
async fn a_service_that_does_not_shake_hands_in_time_is_a_504() {
    let world = World::new();
    let silent = Plain::start(b"").await;
    let mut config = world.config();
    config.endpoints("orders", &[silent.address]);
    config.set("upstreams.orders.timeouts.connect", "300ms");
    let gateway = world.gateway_with(&config).await;
    let began = Instant::now();
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        504
    );
    assert!(began.elapsed() >= MILLIS(300));
    assert_eq!(refused(&gateway, "upstream_connect_timeout").await, 1.0);
}

#[tokio::test]
async fn a_service_that_nobody_can_reach_is_a_502() {
    let world = World::new();
    let gateway = world.gateway_with(&world.config()).await; // port 1
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        502
    );
    assert_eq!(refused(&gateway, "upstream_unreachable").await, 1.0);
    let failed = [("upstream", "orders"), ("reason", "unreachable")];
    let failures = "portcullis_upstream_connect_failures_total";
    assert!(gateway.metrics().await.value(failures, &failed) >= 1.0);
}

#[tokio::test]
async fn a_service_that_is_silent_is_a_504_after_the_response_timeout() {
    let world = World::new();
    let orders = world.orders().reply(|_| Reply::hang()).start().await;
    let gateway = with_timeouts(&world, &orders, json!({ "response": "400ms" })).await;
    for request in [Request::get("/open/x"), Request::post("/open/x", "body")] {
        let began = Instant::now();
        assert_eq!(
            gateway.client(&world.web()).request(&request).await.status,
            504
        );
        let took = began.elapsed();
        assert!(
            took >= MILLIS(400) && took < Duration::from_secs(10),
            "{took:?}"
        );
    }
    assert_eq!(refused(&gateway, "upstream_response_timeout").await, 2.0);
    orders
        .wait_until("closed connections", |orders| {
            orders.open_connections() == 0
        })
        .await;
}

#[tokio::test]
async fn a_service_that_stops_in_its_answer_is_ended_after_the_response_timeout() {
    let world = World::new();
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let orders = world
        .orders()
        .reply(move |_| Reply::raw(half).then(Step::Hang))
        .start()
        .await;
    let gateway = with_timeouts(&world, &orders, json!({ "response": "400ms" })).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    connection
        .send(Request::get("/open/x").bytes(crate::bench::client::HOST))
        .await
        .expect("send");
    let came = String::from_utf8(connection.closed().await).expect("text");
    assert!(
        came.starts_with("HTTP/1.1 200") && came.ends_with("abc"),
        "{came}"
    );
    gateway
        .wait_for_event(|event| event["reason"] == "upstream_response_timeout")
        .await;
}

#[tokio::test]
async fn a_service_that_drips_its_body_is_ended_by_the_total_timeout() {
    let world = World::new();
    let drips = |_: &_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            .then(Step::Drip(vec![b'x'; 100_000], MILLIS(50)))
    };
    let orders = world.orders().reply(drips).start().await;
    let gateway = with_timeouts(&world, &orders, short()).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    let began = Instant::now();
    connection
        .send(Request::get("/open/x").bytes(crate::bench::client::HOST))
        .await
        .expect("send");
    connection.closed().await;
    let took = began.elapsed();
    assert!(
        took >= MILLIS(2_900) && took < Duration::from_secs(8),
        "{took:?}"
    );
    gateway
        .wait_for_event(|event| event["reason"] == "upstream_response_timeout")
        .await;
    orders
        .wait_until("a closed connection", |orders| {
            orders.open_connections() == 0
        })
        .await;
}

#[tokio::test]
async fn a_service_that_drips_its_head_is_ended_by_the_total_timeout() {
    let world = World::new();
    let head = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(10_000));
    let orders = world
        .orders()
        .reply(move |_| Reply(vec![Step::Drip(head.clone().into_bytes(), MILLIS(50))]))
        .start()
        .await;
    let gateway = with_timeouts(&world, &orders, short()).await;
    let began = Instant::now();
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        504
    );
    let took = began.elapsed();
    assert!(
        took >= MILLIS(2_900) && took < Duration::from_secs(8),
        "{took:?}"
    );
    assert_eq!(refused(&gateway, "upstream_response_timeout").await, 1.0);
}

#[tokio::test]
async fn a_service_that_drips_informational_answers_is_ended_by_the_total_timeout() {
    let world = World::new();
    let one = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    let drips = move |_: &_| Reply(vec![Step::Drip(one.repeat(1_000), MILLIS(20))]);
    let orders = world.orders().reply(drips).start().await;
    let gateway = with_timeouts(&world, &orders, short()).await;
    let began = Instant::now();
    let status = gateway.client(&world.web()).get("/open/x").await.status;
    assert!(matches!(status, 502 | 504), "{status}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

/// A service that sends back what it reads, as it reads it: ten bytes.
async fn echoing(world: &World) -> Service {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let service = world.orders().at_head();
    service
        .reply(move |_| Reply::raw(head).then(Step::Echo))
        .start()
        .await
}

#[tokio::test]
async fn the_first_bytes_of_an_upload_arrive_before_the_last_are_sent() {
    let world = World::new();
    let orders = echoing(&world).await;
    let gateway = world.gateway(&orders).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    let head = "POST /open/up HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 10\r\n\r\n";
    connection.send(head).await.expect("send");
    connection.send("first").await.expect("send");
    let answer = within("a head", connection.wire.read_head()).await;
    assert!(
        answer
            .expect("a head")
            .expect("one")
            .starts_with(b"HTTP/1.1 200")
    );
    for (echo, next) in [(b"first", Some("later")), (b"later", None)] {
        let echoed = within("an echo", connection.wire.read_exact(5)).await;
        assert_eq!(echoed.expect("an echo"), echo);
        if let Some(next) = next {
            connection.send(next).await.expect("send");
        }
    }
}

#[tokio::test]
async fn the_first_bytes_of_an_upload_by_h2_arrive_before_the_last_are_sent() {
    let world = World::new();
    let orders = echoing(&world).await;
    let gateway = world.gateway(&orders).await;
    let mut h2 = gateway.client(&world.web()).connect_h2().await;
    let request = Request::new("POST", "/open/up").header("content-length", "10");
    let (response, mut upload) = h2.open(&request).await.expect("a stream");
    upload.send_data("first".into(), false).expect("send");
    let response = within("a head", response).await.expect("a head");
    let mut body = response.into_body();
    let echoed = within("an echo", body.data())
        .await
        .expect("an echo")
        .expect("bytes");
    assert_eq!(&echoed[..], b"first");
    upload.send_data("later".into(), true).expect("send");
    let echoed = within("an echo", body.data())
        .await
        .expect("an echo")
        .expect("bytes");
    assert_eq!(&echoed[..], b"later");
}

#[tokio::test]
async fn a_slow_honest_upload_may_take_longer_than_the_response_timeout() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = with_timeouts(
        &world,
        &orders,
        json!({ "response": "500ms", "total": "30s" }),
    )
    .await;
    for chunked in [false, true] {
        let mut connection = gateway.client(&world.web()).connect().await;
        let framing = if chunked {
            "Transfer-Encoding: chunked"
        } else {
            "Content-Length: 20"
        };
        let head = format!("POST /open/up HTTP/1.1\r\nHost: api.example.com\r\n{framing}\r\n\r\n");
        connection.send(head).await.expect("send");
        for _ in 0..10 {
            tokio::time::sleep(MILLIS(150)).await; // the client is slow: that is the test
            connection
                .send(if chunked { "2\r\nxy\r\n" } else { "xy" })
                .await
                .expect("send");
        }
        if chunked {
            connection.send("0\r\n\r\n").await.expect("send");
        }
        let answer = connection.read_answer().await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(orders.last_request().body, b"xy".repeat(10));
    }
}

#[tokio::test]
async fn more_requests_at_a_time_than_an_upstream_may_have_are_refused_and_places_given_back() {
    let world = World::new();
    let open = Arc::new(Notify::new());
    let gate = Arc::clone(&open);
    let orders = world
        .orders()
        .reply(move |_| Reply::ok("x").after(Step::Gate(Arc::clone(&gate))))
        .start()
        .await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("upstreams.orders.in_flight", 1);
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let mut h2 = client.connect_h2().await;
    let (first, _stream) = h2.start(&Request::get("/open/x")).await.expect("a stream");
    orders.wait_for_requests(1).await;
    let answer = client.get("/open/x").await;
    assert_eq!(
        (answer.status, answer.header("retry-after").is_some()),
        (503, true)
    );
    open.notify_one();
    let answer = within("an answer", crate::bench::client::read_h2(first))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 200);
    open.notify_one();
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(refused(&gateway, "upstream_in_flight_exceeded").await, 1.0);
}

#[tokio::test]
async fn an_idle_connection_to_a_service_is_closed_in_time() {
    let world = World::new();
    let orders = world.service(ORDERS_ID, ORDERS_NAME).start().await;
    let gateway = with_timeouts(&world, &orders, json!({ "idle": "300ms" })).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        200
    );
    orders
        .wait_until("a closed connection", |orders| {
            orders.open_connections() == 0
        })
        .await;
    let open = "portcullis_upstream_connections";
    gateway
        .wait_for_metric(open, &[("upstream", "orders")], |now| now == 0.0)
        .await;
}
