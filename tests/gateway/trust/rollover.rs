//! A CA is rolled without a refused handshake, step by step as `docs/trust.md` says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustls::AlertDescription::UnknownCA;

use super::{failed, refused, started};
use crate::bench::client::Client;
use crate::bench::gateway::Reloaded;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::{WEB_ID, World};

/// Shakes hands again and again until it is told to stop; how often it did.
fn steady(
    client: Client,
) -> (
    Arc<AtomicBool>,
    Arc<AtomicUsize>,
    tokio::task::JoinHandle<()>,
) {
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (until, counted) = (Arc::clone(&stop), Arc::clone(&count));
    let task = tokio::spawn(async move {
        while !until.load(Ordering::Relaxed) {
            assert_eq!(client.get("/open/x").await.status, 200);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (stop, count, task)
}

async fn some_more(count: &AtomicUsize) {
    let before = count.load(Ordering::Relaxed);
    let more = async {
        while count.load(Ordering::Relaxed) < before + 5 {
            tokio::task::yield_now().await;
        }
    };
    crate::bench::within("some handshakes", more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handshake_is_refused_while_a_ca_is_rolled() {
    let world = World::new();
    let (_orders, gateway) = started(&world, |_| {}).await;
    // The same name, as CAs that are rolled have: only the key tells them apart.
    let new = Authority::new("partners");
    let issued = |ca: &Authority| ca.issue(Leaf::client("x").spiffe(WEB_ID));
    let (of_old, of_new) = (issued(&world.partners), issued(&new));
    let (old_stop, old_count, old_task) = steady(gateway.client(&of_old));
    some_more(&old_count).await;

    // 1. Old and new side by side.
    let both = format!("{}{}", world.partners.pem(), new.pem());
    let taken = gateway
        .reload_by(|| drop(world.folder.write("partners-ca.pem", both)))
        .await;
    assert!(matches!(taken, Reloaded::Applied(_)), "{taken:?}");
    let (new_stop, new_count, new_task) = steady(gateway.client(&of_new));
    some_more(&old_count).await;
    some_more(&new_count).await;

    // 2. All clients have certificates of the new one.
    old_stop.store(true, Ordering::Relaxed);
    old_task
        .await
        .expect("no handshake of the old CA was refused");
    assert_eq!(failed(&gateway, "bad_signature").await, 0.0);

    // 3. The old one is taken out.
    let taken = gateway
        .reload_by(|| drop(world.folder.write("partners-ca.pem", new.pem())))
        .await;
    assert!(matches!(taken, Reloaded::Applied(_)), "{taken:?}");
    some_more(&new_count).await;
    new_stop.store(true, Ordering::Relaxed);
    new_task
        .await
        .expect("no handshake of the new CA was refused");
    let labels = [("side", "downstream"), ("result", "failed")];
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.value(super::HANDSHAKES, &labels), 0.0);
    let alert = rustls::AlertDescription::DecryptError;
    refused(&gateway, &gateway.client(&of_old), "bad_signature", alert).await;
    refused(
        &gateway,
        &gateway.client(&world.stranger.issue(Leaf::client("x"))),
        "unknown_issuer",
        UnknownCA,
    )
    .await;
}
