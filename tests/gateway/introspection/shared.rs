//! Answers that several gateways share through a real store: none is asked for twice, and what
//! somebody else has written there lets nobody in.

use serde_json::json;

use super::{GOOD, LOOKUPS, Stage, good_but, new_token, start_issuer};
use crate::bench::World;
use crate::bench::gateway::Gateway;
use crate::bench::http1::Request;
use crate::shared_state::server::Redis;

/// Another gateway of the same configuration.
async fn another(stage: &Stage, name: &str) -> Gateway {
    let mut config = stage.gateway.config.clone();
    config.set("listeners.edge.address", "127.0.0.1:0");
    config.set("admin.address", "127.0.0.1:0");
    config.choose_ports();
    let file = stage.world.folder.write(name, config.yaml());
    let gateway = Gateway::start_with_file(&stage.world, &config, file).await;
    connected(&gateway).await;
    gateway
}

async fn connected(gateway: &Gateway) {
    let up = "portcullis_shared_state_nodes_up";
    gateway.wait_for_metric(up, &[], |nodes| nodes == 1.0).await;
}

async fn ask(gateway: &Gateway, stage: &Stage, token: &str) -> u16 {
    let request = Request::get("/orders/7").bearer(token);
    gateway.client(&stage.web).request(&request).await.status
}

/// The names of the answers in the store.
async fn names(redis: &Redis) -> Vec<String> {
    let said = redis.ask(&[b"KEYS", b"*introspection*"]).await;
    let lines = said.lines().filter(|line| line.contains("introspection"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn what_one_gateway_was_told_the_others_know_and_nobody_else_can_tell_them() {
    let redis = Redis::start(&[]);
    let world = World::new();
    world
        .folder
        .write("share.key", "0123456789abcdef0123456789abcdef");
    let issuer = start_issuer(&world).await;
    let stage = Stage::of(world, issuer, |config| {
        let store = json!({ "endpoints": [format!("localhost:{}", redis.port)], "tls": "none", "when_away": "refuse" });
        config.set("shared_state", json!({ "redis": store }));
        config.set("issuers.corp.introspection.share_key", "share.key");
        config.set("issuers.corp.introspection.cache", "1h");
    })
    .await;
    connected(&stage.gateway).await;
    stage.say(&good_but(
        json!({ "exp": crate::bench::token::unix_now() + 7200 }),
    ));
    let token = new_token();
    stage.hold("asked", &token, GOOD).await;
    let second = another(&stage, "second.yaml").await;
    assert_eq!(ask(&second, &stage, &token).await, 200);
    assert_eq!(stage.questions(), 1);
    let shared = [("issuer", "corp"), ("result", "shared")];
    assert_eq!(second.metrics().await.value(LOOKUPS, &shared), 1.0);
    let found = names(&redis).await;
    let [name] = found.as_slice() else {
        panic!("one answer: {found:?}");
    };
    assert!(!name.contains(&token));
    let value = redis.ask(&[b"GET", name.as_bytes()]).await;
    assert!(
        !value.contains("alice") && !value.contains(&token),
        "{value}"
    );
    // Whoever can write into the store says that the token is an administrator's.
    let poison = json!({ "at": crate::bench::token::unix_now(), "claims": good_but(json!({ "sub": "admin" })) });
    // In the form that the store's values have: their first byte.
    let form = redis.ask(&[b"GETRANGE", name.as_bytes(), b"0", b"0"]).await;
    let form = form.strip_prefix("$1\r\n").expect("a byte").chars().next();
    let poison = format!("{}{poison}", form.expect("a byte"));
    redis
        .ask(&[b"SET", name.as_bytes(), poison.as_bytes()])
        .await;
    stage.say(&json!({ "active": false }));
    let third = another(&stage, "third.yaml").await;
    assert_eq!(ask(&third, &stage, &token).await, 401);
    assert_eq!(stage.questions(), 2, "the issuer alone is believed");
    let left = names(&redis).await;
    assert!(left.is_empty(), "taken back for all: {left:?}");
}
