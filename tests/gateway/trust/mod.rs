//! Whom the gateway believes: several bundles, chains, revocation, the deny list, and CAs that are
//! rolled.

use rustls::AlertDescription;

use crate::bench::World;
use crate::bench::client::{Client, Rejection};
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::service::Service;

mod chains;
mod crls;
mod deny;
mod domains;
mod rollover;
mod steps;

const HANDSHAKES: &str = "portcullis_handshakes_total";

/// A gateway with this configuration in front of a service.
async fn started(world: &World, change: impl FnOnce(&mut Config)) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    change(&mut config);
    let gateway = world.gateway_with(&config).await;
    (orders, gateway)
}

/// How many handshakes of clients ended for this reason.
async fn failed(gateway: &Gateway, reason: &str) -> f64 {
    let labels = [("side", "downstream"), ("reason", reason)];
    gateway.metrics().await.value(HANDSHAKES, &labels)
}

/// The client is turned down, for this reason and no other, and sees this alert.
async fn refused(gateway: &Gateway, client: &Client, reason: &str, alert: AlertDescription) {
    let labels = [("side", "downstream"), ("result", "failed")];
    let before = gateway.metrics().await;
    let rejection = client.rejection().await;
    gateway
        .wait_for_metric(HANDSHAKES, &labels, |now| {
            now > before.value(HANDSHAKES, &labels)
        })
        .await;
    let came =
        failed(gateway, reason).await - before.value(HANDSHAKES, &[labels[0], ("reason", reason)]);
    assert_eq!(came, 1.0, "{reason}");
    let Rejection::Tls(error) = &rejection else {
        panic!("{reason}: {rejection:?}");
    };
    let want = format!("{alert:?}");
    assert!(format!("{error:?}").contains(&want), "{reason}: {error:?}");
}

async fn passes(client: &Client) {
    assert_eq!(client.get("/open/x").await.status, 200);
}
