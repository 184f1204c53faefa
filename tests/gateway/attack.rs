//! Ways around the promises of `SECURITY.md` that were open once: each test walks one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::raw_h2::{self, RawH2};
use crate::bench::service::{Received, Reply, Step};
use crate::bench::{ORDERS_ID, WEB_ID, World};

#[tokio::test]
async fn secrets_of_a_broken_answer_are_in_no_log() {
    let world = World::new();
    let broken = "HTTP/1.1 200 OK\r\nSet-Cookie: session=c00k1e-s3cret\r\nbad header line\r\n\r\n";
    let orders = world
        .orders()
        .reply(move |_| Reply::raw(broken))
        .start()
        .await;
    let gateway = world.gateway(&orders).await;
    let answer = gateway
        .client(&world.web())
        .get("/open/x?code=qu3ry-s3cret")
        .await;
    assert_eq!(answer.status, 502);
    gateway.access_line(&answer).await;
    for secret in ["c00k1e-s3cret", "qu3ry-s3cret"] {
        assert!(
            !gateway.log().iter().any(|l| l.to_string().contains(secret)),
            "{secret}: {:?}",
            gateway.log()
        );
    }
}

#[tokio::test]
async fn a_head_arrives_before_the_body_begins() {
    let world = World::new();
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let orders = world
        .orders()
        .reply(move |_| {
            Reply(vec![
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".to_vec()),
                Step::Gate(Arc::clone(&opened)),
                Step::Send(b"body".to_vec()),
            ])
        })
        .start()
        .await;
    let gateway = world.gateway(&orders).await;
    let mut connection = gateway.client(&world.web()).connect().await;
    connection
        .send(format!("GET /open/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .await
        .unwrap();
    let head = tokio::time::timeout(Duration::from_secs(3), connection.wire.read_exact(12)).await;
    assert!(head.is_ok(), "the head waits for the body");
    gate.notify_one();
}

#[tokio::test]
async fn a_body_sent_again_counts_once() {
    let world = World::new();
    let count = AtomicUsize::new(0);
    let orders = world
        .orders()
        .reply(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            1 => Reply(vec![Step::Cut]),
            _ => Reply::ok("x"),
        })
        .start()
        .await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("routes.open.max_body", "6KiB");
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/first").await.status, 200);
    let put = Request::new("PUT", "/open/x").body("x".repeat(4096));
    let answer = client.request(&put).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(orders.last_request().body.len(), 4096);
    let line = gateway.access_line(&answer).await;
    assert_eq!(line["bytes_in"], 4096);
}

#[tokio::test]
async fn pooled_connections_of_an_ended_certificate_cost_no_request() {
    const POOLED: usize = 6;
    let world = World::new();
    let leaf = Leaf::server("short").spiffe(ORDERS_ID).valid(-60, 3);
    let ended = Instant::now() + Duration::from_secs(4);
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let script = move |request: &Received| match request.target.contains("wait") {
        true => Reply::ok("x").after(Step::Gate(Arc::clone(&opened))),
        false => Reply::ok("x"),
    };
    let short = world.mesh.issue(leaf);
    let service = world.service_as(&short).reply(script).start().await;
    let gateway = world.gateway(&service).await;
    let client = gateway.client(&world.web());
    let waiting: Vec<_> = (0..POOLED)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/open/wait").await.status })
        })
        .collect();
    service.wait_for_requests(POOLED).await;
    for _ in 0..POOLED {
        gate.notify_one();
        tokio::task::yield_now().await;
    }
    gate.notify_waiters();
    for one in waiting {
        assert_eq!(one.await.unwrap(), 200);
    }
    service.set_identity(&world.mesh.issue(Leaf::server("new").spiffe(ORDERS_ID)));
    sleep_until(ended).await; // what is awaited is the time itself
    let post = Request::post("/open/x", "once");
    assert_eq!(client.request(&post).await.status, 200);
    assert_eq!(service.requests().len(), POOLED + 1);
}

#[tokio::test]
async fn a_key_sent_twice_has_no_bucket_of_its_own() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set(
        "routes.open.limits",
        json!([{ "rate": "1/h", "burst": 2, "per": "header:X-Api-Key" }]),
    );
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let mut passed = 0;
    for i in 0..6 {
        let request = Request::get("/open/x")
            .header("X-Api-Key", &format!("made-up-{i}"))
            .header("X-Api-Key", "real");
        passed += usize::from(client.request(&request).await.status == 200);
    }
    assert_eq!(passed, 2);
}

#[tokio::test]
async fn h2_says_the_length_of_a_body_once_as_http_1_1_does() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let mut h2 = RawH2::start(&gateway.client(&world.web())).await;
    let mut fields = raw_h2::get(HOST, "/open/x");
    fields.extend([("content-length", "4"), ("content-length", "04")]);
    h2.headers(1, &fields, false).await.unwrap();
    h2.data(1, b"body", true).await.unwrap();
    assert_eq!(h2.status(1).await, 400);
    assert_eq!(orders.bytes(), 0);
}

#[tokio::test]
async fn h2_crumbs_of_cookies_are_one_field_again() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let mut h2 = RawH2::start(&gateway.client(&world.web())).await;
    let mut fields = raw_h2::get(HOST, "/open/x");
    fields.push(("cookie", "a=1"));
    fields.push(("cookie", "b=2"));
    h2.headers(1, &fields, true).await.unwrap();
    assert_eq!(h2.status(1).await, 200);
    let request = orders.only_request();
    assert_eq!(request.headers.all("cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn a_field_that_the_service_does_not_get_chooses_no_route() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    for (name, path, field) in [
        ("test", "/orders/**", "x-env"),
        ("known", "/orders/known/**", "x-forwarded-client-cert"),
    ] {
        let matches = json!({
            "host": HOST,
            "path": path,
            "methods": ["GET", "HEAD"],
            "headers": { field: "test" },
        });
        let route = json!({
            "match": matches, "clients": "any", "token": "none", "upstream": "orders",
        });
        config.set(&format!("routes.{name}"), route);
    }
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let honest = Request::get("/orders/7").header("X-Env", "test");
    assert_eq!(client.request(&honest).await.status, 200);
    let nominated = honest.header("Connection", "keep-alive, X-ENV");
    let forged = Request::get("/orders/known/7").header("X-Forwarded-Client-Cert", "test");
    for request in [nominated, forged] {
        let answer = client.request(&request).await;
        assert_eq!(answer.status, 401, "{request:?}");
        assert_eq!(gateway.access_line(&answer).await["route"], "orders-read");
    }
}

#[tokio::test]
async fn a_field_that_the_service_does_not_get_is_no_bucket_of_its_own() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    let limit = json!([{ "rate": "1/h", "burst": 2, "per": "header:X-Forwarded-For" }]);
    config.set("routes.open.limits", limit);
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let mut passed = 0;
    for number in 0..6 {
        let request =
            Request::get("/open/x").header("X-Forwarded-For", &format!("10.0.0.{number}"));
        passed += usize::from(client.request(&request).await.status == 200);
    }
    assert_eq!(passed, 2);
}

#[tokio::test]
async fn a_bundle_that_came_back_is_held_against_its_own_time() {
    let world = World::new();
    let orders = world.orders().start().await;
    let ended = Instant::now() + Duration::from_secs(5);
    let root = Authority::with("short root", |params| {
        params.not_after = OffsetDateTime::now_utc() + time::Duration::seconds(4);
    });
    let longer = root.renewed(|params| {
        params.not_after = OffsetDateTime::now_utc() + time::Duration::days(1);
    });
    let (file, short) = ("partners-ca.pem", root.pem().to_owned());
    world.folder.write(file, &short);
    let gateway = world.gateway(&orders).await;
    let theirs = root.issue(Leaf::client("x").spiffe(WEB_ID));
    let mut connection = gateway.client(&theirs).connect().await;
    for bundle in [&longer, &short] {
        assert_eq!(connection.get("/open/x").await.status, 200);
        gateway
            .reload_by(|| drop(world.folder.write(file, bundle)))
            .await;
    }
    assert_eq!(connection.get("/open/x").await.status, 200);
    sleep_until(ended).await; // what is awaited is the time itself
    // Whoever looks after open connections closes it, with not a word.
    assert!(connection.closed().await.is_empty());
}
