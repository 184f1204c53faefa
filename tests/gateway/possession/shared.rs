//! Proofs that several gateways tell each other of, by a real store: each counts once for all of
//! them, and where the store cannot say, it does as the configuration says.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, until_after};
use crate::bench::dpop::Proof;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Request;
use crate::bench::token::unix_now;
use crate::shared_state::server::{Proxy, Redis};

const PATH: &str = "/proved/x";
const NODES_UP: &str = "portcullis_shared_state_nodes_up";
const AWAY: &str = "portcullis_shared_state_away_total";

/// A gateway that tells a store on this port of proofs.
async fn stage(port: u16, when_away: &str) -> Stage {
    let stage = Stage::with(|_, config| {
        let store = json!({
            "endpoints": [format!("localhost:{port}")], "tls": "none", "timeout": "5s",
            "when_away": when_away,
        });
        config.set("shared_state", json!({ "redis": store }));
        config.set("issuers.corp.leeway", "0s");
        config.set("issuers.corp.dpop", json!({ "window": "30s" }));
    })
    .await;
    connected(&stage.gateway, 1.0).await;
    stage
}

async fn connected(gateway: &Gateway, nodes: f64) {
    gateway
        .wait_for_metric(NODES_UP, &[], |up| up == nodes)
        .await;
}

/// Another process with the same configuration.
async fn another(stage: &Stage) -> Gateway {
    let mut config = stage.gateway.config.clone();
    config.set("listeners.edge.address", "127.0.0.1:0");
    config.set("admin.address", "127.0.0.1:0");
    config.choose_ports();
    let file = stage.world.folder.write("another.yaml", config.yaml());
    let gateway = Gateway::start_with_file(&stage.world, &config, file).await;
    connected(&gateway, 1.0).await;
    gateway
}

fn request(stage: &Stage) -> Request {
    let proof = Proof::get(PATH, &stage.token).sign(&stage.key);
    Request::get(PATH).dpop(&stage.token, &proof)
}

async fn ask(gateway: &Gateway, stage: &Stage, request: &Request) -> (u16, Option<String>) {
    let answer = gateway.client(&stage.web).request(request).await;
    if answer.status == 503 {
        assert!(answer.header("retry-after").is_some());
        assert!(answer.header("www-authenticate").is_none(), "not its fault");
    }
    (answer.status, gateway.reason(&answer).await)
}

fn passed() -> (u16, Option<String>) {
    (200, None)
}

fn replayed() -> (u16, Option<String>) {
    (401, Some("proof_replayed".to_owned()))
}

fn unavailable() -> (u16, Option<String>) {
    (503, Some("proofs_unavailable".to_owned()))
}

#[tokio::test]
async fn a_proof_that_one_gateway_has_seen_is_none_at_another() {
    let redis = Redis::start(&[]);
    let stage = stage(redis.port, "refuse").await;
    let (first, second) = (&stage.gateway, &another(&stage).await);
    for (one, other) in [(first, second), (second, first)] {
        let used = request(&stage);
        assert_eq!(ask(one, &stage, &used).await, passed());
        assert_eq!(ask(other, &stage, &used).await, replayed());
        assert_eq!(ask(one, &stage, &used).await, replayed());
    }
    // At the same time.
    let client = |gateway: &Gateway| gateway.client(&stage.web);
    for _ in 0..20 {
        let used = request(&stage);
        let (one, other) = (client(first), client(second));
        let (one, other) = tokio::join!(one.request(&used), other.request(&used));
        let mut came = [one.status, other.status];
        came.sort_unstable();
        assert_eq!(came, [200, 401]);
    }
    assert_eq!(stage.orders.requests().len(), 22);
}

#[tokio::test]
async fn where_the_store_cannot_say_whether_a_proof_is_new_it_is_refused() {
    let mut redis = Redis::start(&[]);
    let stage = stage(redis.port, "refuse").await;
    let gateway = &stage.gateway;
    let used = request(&stage);
    assert_eq!(ask(gateway, &stage, &used).await, passed());
    // It takes no more.
    let said = redis.ask(&[b"CONFIG", b"SET", b"maxmemory", b"1"]).await;
    assert!(said.contains("+OK"), "{said}");
    let next = request(&stage);
    assert_eq!(ask(gateway, &stage, &next).await, unavailable());
    assert_eq!(ask(gateway, &stage, &used).await, replayed(), "known here");
    let said = redis.ask(&[b"CONFIG", b"SET", b"maxmemory", b"0"]).await;
    assert!(said.contains("+OK"), "{said}");
    assert_eq!(ask(gateway, &stage, &next).await, passed(), "not used up");
    // It is gone.
    redis.kill();
    connected(gateway, 0.0).await;
    let next = request(&stage);
    assert_eq!(ask(gateway, &stage, &next).await, unavailable());
    let labels = [("space", "dpop_proof"), ("handled", "refused")];
    assert_eq!(gateway.metrics().await.value(AWAY, &labels), 2.0);
    // It is back, and has lost all: what this gateway has let through it does not let through again.
    redis.start_again();
    connected(gateway, 1.0).await;
    assert_eq!(ask(gateway, &stage, &next).await, passed());
    assert_eq!(ask(gateway, &stage, &used).await, replayed());
    assert_eq!(stage.orders.requests().len(), 3);
}

#[tokio::test]
async fn gateways_that_may_decide_alone_each_take_a_proof_once_while_the_store_is_away() {
    let mut redis = Redis::start(&[]);
    let stage = stage(redis.port, "local").await;
    let (first, second) = (&stage.gateway, &another(&stage).await);
    redis.kill();
    connected(first, 0.0).await;
    connected(second, 0.0).await;
    let used = request(&stage);
    for gateway in [first, second] {
        assert_eq!(ask(gateway, &stage, &used).await, passed());
        assert_eq!(ask(gateway, &stage, &used).await, replayed());
    }
    let labels = [("space", "dpop_proof"), ("handled", "local")];
    assert_eq!(first.metrics().await.value(AWAY, &labels), 1.0);
}

#[tokio::test]
async fn a_proof_that_was_noted_too_late_does_not_count() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.port).await;
    let stage = stage(proxy.port, "refuse").await;
    // Whoever noted it in time may have forgotten it by then.
    let issued = unix_now() - 28;
    let proof = Proof::get(PATH, &stage.token).claim("iat", issued);
    let late = Request::get(PATH).dpop(&stage.token, &proof.sign(&stage.key));
    proxy.hold(true);
    let let_go = async {
        until_after(issued + 30).await;
        proxy.hold(false);
    };
    let (came, ()) = tokio::join!(ask(&stage.gateway, &stage, &late), let_go);
    assert_eq!(came, (401, Some("proof_expired".to_owned())));
    assert_eq!(stage.orders.requests().len(), 0);
}

/// A store that is there and says no says why, in the log, and there alone.
#[tokio::test]
async fn the_log_tells_what_a_store_says_no_with() {
    type Command = [&'static [u8]; 4];
    let redis = Redis::start(&[]);
    let stage = stage(redis.port, "refuse").await;
    let gateway = &stage.gateway;
    let cases: [(&str, Command, Command); 3] = [
        (
            "NOPERM",
            [b"ACL", b"SETUSER", b"default", b"-set"],
            [b"ACL", b"SETUSER", b"default", b"+set"],
        ),
        (
            "OOM",
            [b"CONFIG", b"SET", b"maxmemory", b"1"],
            [b"CONFIG", b"SET", b"maxmemory", b"0"],
        ),
        (
            "NOPERM",
            [b"ACL", b"SETUSER", b"default", b"resetkeys"],
            [b"ACL", b"SETUSER", b"default", b"~*"],
        ),
    ];
    let began = Instant::now();
    for (code, breaks, mends) in cases {
        assert!(redis.ask(&breaks).await.contains("+OK"), "{code}");
        for _ in 0..3 {
            assert_eq!(ask(gateway, &stage, &request(&stage)).await, unavailable());
        }
        let line = gateway.wait_for_event(|line| line["code"] == code).await;
        assert_eq!(line["when_away"], "refuse");
        let words = line["error"].as_str().expect("words");
        assert!(!words.is_empty() && words.len() < 400, "{line}");
        assert!(redis.ask(&mends).await.contains("+OK"), "{code}");
        assert_eq!(ask(gateway, &stage, &request(&stage)).await, passed());
    }
    let log = gateway.log();
    let told = |code: &str| {
        let code = format!("\"code\":\"{code}\"");
        log.iter().filter(|line| line.contains(&code)).count()
    };
    let once = (told("NOPERM"), told("OOM")) == (1, 1);
    assert!(once || began.elapsed() > Duration::from_secs(9), "{log:?}");
    connected(gateway, 1.0).await;
}
