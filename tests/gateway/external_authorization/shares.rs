//! Who may ask, where many want to.

use serde_json::json;

use super::server::{Script, Service, yes};
use super::{Stage, UNAVAILABLE};
use crate::bench::World;

const HEAD: &str = "GET /open/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
const UNDER_WAY: &str = "portcullis_external_authorization_checks_in_progress";

/// By what we may ask at a time, and by what the service takes at a time.
#[tokio::test]
async fn a_client_that_asks_all_the_time_leaves_others_theirs() {
    for (in_flight, streams) in [(4, None), (256, Some(4))] {
        let world = World::new();
        let opa = Service::start(&world).await;
        if let Some(streams) = streams {
            opa.set_streams(streams);
        }
        let keys = [("in_flight", json!(in_flight)), ("timeout", json!("10s"))];
        let stage = Stage::around(world, opa, &keys).await;
        stage
            .opa
            .decide(|question| match question.principal.ends_with("/b") {
                true => Script::Say(yes()),
                false => Script::Hang,
            });
        let other = stage.world.partner("spiffe://partners.example/web/b");
        let other = stage.gateway.client(&other);
        assert_eq!(other.get("/open/x").await.status, 200);
        let mut held = Vec::new();
        for _ in 0..6 {
            let mut one = stage.gateway.client(&stage.world.web()).connect().await;
            one.send(HEAD).await.expect("to send");
            held.push(one);
        }
        let labels = [("external_authorization", "opa")];
        let gateway = &stage.gateway;
        gateway
            .wait_for_metric(UNDER_WAY, &labels, |count| count == 6.0)
            .await;
        stage
            .opa
            .wait_until("half of them", |counts| counts.questions >= 3)
            .await;
        assert_eq!(other.get("/open/x").await.status, 200, "{in_flight}");
        let told = stage.opa.questions();
        let of_one = told.iter().filter(|it| it.principal.ends_with("/a"));
        assert_eq!(of_one.count(), 2, "half of four");
    }
}

/// Waiting for others says nothing about the service.
#[tokio::test]
async fn more_questions_than_the_service_takes_let_nobody_pass() {
    let world = World::new();
    let opa = Service::start(&world).await;
    opa.set_streams(2);
    opa.play(Script::Hang);
    let keys = [("when_away", json!("allow")), ("timeout", json!("500ms"))];
    let stage = Stage::around(world, opa, &keys).await;
    let asked = (0..20).map(|_| stage.get("/open/x"));
    for (status, reason) in futures_util::future::join_all(asked).await {
        assert_eq!((status, &*reason), (503, UNAVAILABLE));
    }
    assert_eq!(stage.waived("away").await, 0.0);
    assert_eq!(stage.orders.requests().len(), 0);
    stage.opa.play(Script::Say(yes()));
    assert_eq!(stage.get("/open/x").await.0, 200);
}
