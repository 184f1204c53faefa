//! An authorization service that lies, floods, drips, or is somebody else.

use serde_json::json;

use super::server::{Script, Service, identity, yes};
use super::{INVALID, Stage, UNAVAILABLE};
use crate::bench::World;
use crate::bench::pki::Leaf;
use crate::bench::service::Plain;

#[tokio::test]
async fn an_answer_that_is_none_is_refused() {
    let stage = Stage::with(&[("when_away", json!("allow"))]).await;
    let message = yes();
    let compressed = [&[1, 0, 0, 0, 2][..], &message].concat();
    let twice = [&[0, 0, 0, 0, 2][..], &message, &[0, 0, 0, 0, 2], &message].concat();
    let cases = [
        ("ten mebibytes", Script::Zeros(10 << 20), INVALID),
        ("a little too much", Script::Zeros((64 << 10) + 1), INVALID),
        ("compressed", Script::Raw(compressed), INVALID),
        ("two messages", Script::Raw(twice), INVALID),
        ("half a frame", Script::Raw(vec![0, 0, 0]), INVALID),
        (
            "less than announced",
            Script::Raw(vec![0, 0, 0, 0, 9, 10]),
            INVALID,
        ),
        ("no message", Script::Raw(Vec::new()), INVALID),
        ("a page", Script::Http(200), INVALID),
        ("not found", Script::Http(404), INVALID),
        ("a yes without an end", Script::NoTrailers(message), INVALID),
        (
            "a no in the head and a yes in the trailers",
            Script::Statuses(yes(), &["7"], &["0"]),
            INVALID,
        ),
        (
            "a yes in the head and none in the trailers",
            Script::Statuses(yes(), &["0"], &[]),
            INVALID,
        ),
        (
            "a yes and a no in the trailers",
            Script::Statuses(yes(), &[], &["0", "7"]),
            INVALID,
        ),
        (
            "twice yes",
            Script::Statuses(yes(), &[], &["0", "0"]),
            INVALID,
        ),
        (
            "another spelling of yes",
            Script::Statuses(yes(), &[], &["+0"]),
            INVALID,
        ),
        (
            "and one more",
            Script::Statuses(yes(), &[], &["00"]),
            INVALID,
        ),
        ("a failure", Script::Status(2), UNAVAILABLE),
        ("an unknown method", Script::Status(12), UNAVAILABLE),
    ];
    for (what, script, want) in cases {
        stage.opa.play(script);
        let (_, reason) = stage.get("/open/x").await;
        assert_eq!(reason, want, "{what}");
    }
    assert_eq!(
        stage.waived("away").await,
        0.0,
        "who answers wrongly is not away"
    );
    assert_eq!(stage.orders.requests().len(), 0);
    assert!(stage.gateway.resident_bytes() < 300 << 20);
    stage.opa.play(Script::Say(yes()));
    assert_eq!(stage.get("/open/x").await.0, 200);
}

#[tokio::test]
async fn ten_thousand_header_fields_end_the_question_and_not_the_gateway() {
    let stage = Stage::set().await;
    stage.opa.play(Script::Fields(10_000));
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    stage.opa.play(Script::Say(yes()));
    assert_eq!(stage.get("/open/x").await.0, 200);
}

#[tokio::test]
async fn an_imposter_is_told_nothing_and_counts_as_nobody() {
    let world = World::new();
    let other = "spiffe://mesh.example/ns/shop/sa/other";
    let imposters = [
        world.mesh.issue(Leaf::server("opa").spiffe(other)),
        world.stranger.issue(Leaf::server("opa").spiffe(super::ID)),
        world
            .mesh
            .issue(Leaf::server("opa").spiffe(super::ID).expired()),
    ];
    let opa = Service::start_as(&world, &imposters[0]).await;
    let stage = Stage::around(world, opa, &[("when_away", json!("allow"))]).await;
    for (number, imposter) in imposters.iter().enumerate() {
        stage.opa.set_tls(imposter, &stage.world.mesh);
        let (status, reason) = stage.get("/open/x").await;
        assert_eq!((status, &*reason), (503, UNAVAILABLE), "{number}");
    }
    assert_eq!(stage.checks("not_proven").await, 3.0);
    let counts = stage.opa.counts();
    assert_eq!((counts.questions, counts.bytes), (0, 0));
    let failed = [
        ("side", "upstream"),
        ("name", "opa"),
        ("reason", "identity_mismatch"),
    ];
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value("portcullis_handshakes_total", &failed), 1.0);
    stage
        .opa
        .set_tls(&identity(&stage.world), &stage.world.mesh);
    assert_eq!(stage.get("/open/x").await.0, 200);
}

#[tokio::test]
async fn one_that_refuses_our_certificate_is_not_away() {
    let stage = Stage::with(&[("when_away", json!("allow"))]).await;
    let opa = identity(&stage.world);
    stage.opa.set_tls(&opa, &stage.world.stranger);
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    assert_eq!(stage.checks("not_proven").await, 1.0);
    let failed = [("side", "upstream"), ("name", "opa"), ("result", "failed")];
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value("portcullis_handshakes_total", &failed), 1.0);
    assert_eq!(stage.orders.requests().len(), 0);
}

#[tokio::test]
async fn one_that_speaks_no_tls_is_told_nothing() {
    let world = World::new();
    let plain = Plain::start(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let mut opa = Service::start(&world).await;
    opa.stop().await;
    opa.address = plain.address;
    let stage = Stage::around(world, opa, &[("when_away", json!("allow"))]).await;
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (503, UNAVAILABLE));
    let told = plain.received();
    assert!(!String::from_utf8_lossy(&told).contains("/open/x"));
}
