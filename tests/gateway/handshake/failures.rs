//! Every row of the table is provoked over a real socket and must be counted once, under its own
//! reason and no other.

use portcullis::handshake_failure::HandshakeFailure as Reason;

use super::play::{Behind, attack};
use super::table::{Cause, HANDSHAKES, rows, with_revocation};
use crate::acme::await_certificate;
use crate::bench::config::Config;
use crate::bench::gateway::Metrics;
use crate::bench::{ORDERS_ID, ORDERS_NAME, World};

/// Series whose count changed, as `side/name/reason`.
fn changed(before: &Metrics, after: &Metrics) -> Vec<(String, f64)> {
    let key = |labels: &std::collections::BTreeMap<String, String>| {
        ["side", "name", "reason"]
            .map(|label| labels[label].clone())
            .join("/")
    };
    let failed = |metrics: &Metrics| -> Vec<(String, f64)> {
        let all = metrics.series(HANDSHAKES, &[("result", "failed")]);
        all.iter()
            .map(|series| (key(&series.labels), series.value))
            .collect()
    };
    let before = failed(before);
    let differs = |(name, value): (String, f64)| {
        let old = before
            .iter()
            .find(|(old, _)| *old == name)
            .map_or(0.0, |(_, old)| *old);
        (value > old).then_some((name, value - old))
    };
    failed(after).into_iter().filter_map(differs).collect()
}

fn config(world: &World) -> Config {
    let mut config = world.config();
    let mut hasty = config.get("listeners.edge").clone();
    hasty["limits"] = serde_json::json!({ "handshake_timeout": "200ms" });
    config.set("listeners.hasty", hasty);
    await_certificate(world, &mut config, "awaited.example.com");
    with_revocation(world, &mut config);
    config
}

#[tokio::test]
async fn each_failure_of_a_client_is_counted_under_its_own_reason() {
    let world = World::new();
    let gateway = world.gateway_with(&config(&world)).await;
    let client = gateway.client(&world.web());
    let mut wrong = Vec::new();
    for row in rows(&world, &gateway) {
        if row.cause.is_upstream() {
            continue;
        }
        let listener = match &row.cause {
            Cause::Hasty(_) => "hasty",
            Cause::ClientOf(listener, _) => listener,
            _ => "edge",
        };
        let before = gateway.metrics().await;
        let total = before.value(HANDSHAKES, &[]);
        attack(&gateway, &client, row.cause).await;
        gateway
            .wait_for_metric(HANDSHAKES, &[], |now| now > total)
            .await;
        let came = changed(&before, &gateway.metrics().await);
        let want = format!("downstream/{listener}/{}", row.reason.reason());
        if came != [(want.clone(), 1.0)] {
            wrong.push(format!("{}: {came:?} instead of {want}", row.what));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let edge = [("side", "downstream"), ("name", "edge")];
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.value("portcullis_handshakes_in_progress", &edge),
        0.0
    );
    let failed = [edge[0], ("result", "failed")];
    let counted = metrics.value(HANDSHAKES, &failed);
    let timed = metrics.value("portcullis_handshake_duration_seconds_count", &failed);
    assert_eq!(counted, timed, "each failure has a duration");
    assert_eq!(
        client.get("/nothing").await.status,
        404,
        "and the listener serves on"
    );
}

#[tokio::test]
async fn each_failure_of_a_service_is_counted_under_its_own_reason_and_it_is_told_nothing() {
    let world = World::new();
    let mut config = config(&world);
    // Rows need a gateway for clients; these are not used here.
    let clients = world.gateway_with(&config).await;
    let mut behind = Vec::new();
    let rows = rows(&world, &clients).into_iter();
    drop(clients);
    for (number, row) in rows.filter(|row| row.cause.is_upstream()).enumerate() {
        let service = Behind::start(&world, &row.cause).await;
        let name = format!("s{number}");
        let pin = format!("pin:sha256/{}", world.gateway_identity.pin());
        let accept = if matches!(row.cause, Cause::ServicePinned(_)) {
            &pin
        } else {
            ORDERS_ID
        };
        config.upstream(&name, service.address(), ORDERS_NAME, &[accept]);
        let wait = if row.reason == Reason::TimedOut {
            "300ms"
        } else {
            "5s"
        };
        config.set(&format!("upstreams.{name}.timeouts.connect"), wait);
        config.route(&name, &format!("/{name}"), &name);
        behind.push((name, row, service));
    }
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let mut wrong = Vec::new();
    for (name, row, service) in &behind {
        let before = gateway.metrics().await;
        let answer = client.get(&format!("/{name}")).await;
        let status = if row.reason == Reason::TimedOut {
            504
        } else {
            502
        };
        let came = changed(&before, &gateway.metrics().await);
        let want = format!("upstream/{name}/{}", row.reason.reason());
        if came != [(want.clone(), 1.0)] || answer.status != status || service.bytes() > 0 {
            let (status, bytes) = (answer.status, service.bytes());
            wrong.push(format!(
                "{}: {came:?}, {status}, {bytes} bytes; not {want}",
                row.what
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn every_reason_has_a_row() {
    let world = World::new();
    let gateway = world.gateway_with(&config(&world)).await;
    let rows = rows(&world, &gateway);
    let missing: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| !rows.iter().any(|row| row.reason == **reason))
        .collect();
    assert!(missing.is_empty(), "no row provokes {missing:?}");
}
