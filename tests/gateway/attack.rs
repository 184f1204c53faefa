//! Ways around the promises of `SECURITY.md` that were open once: each test walks one of them.

use crate::bench::World;
use crate::bench::service::Reply;

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
