//! Ways around the promises of `SECURITY.md` that were open once: each test walks one of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::bench::World;
use crate::bench::client::HOST;
use crate::bench::service::{Reply, Step};

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
