//! Certificates of the edge that a real Pebble issues.
//!
//! Needs Debian's package `pebble`.

mod challenges;
mod failures;
mod issue;
mod pebble;
mod state;

use std::path::PathBuf;

use serde_json::json;

use crate::bench::World;
use crate::bench::client::{Client, HOST};
use crate::bench::config::Config;
use crate::bench::gateway::Gateway;
use crate::bench::pki::Identity;
use crate::bench::service::Service;
use pebble::{Pebble, Settings};

/// What came of looking at a source.
const SOURCE: &str = "portcullis_source_reloads_total";
/// When a certificate is ordered next.
pub const NEXT: &str = "portcullis_acme_next_order_timestamp_seconds";
/// Handshakes by how they ended.
const HANDSHAKES: &str = "portcullis_handshakes_total";
const OK: [(&str, &str); 2] = [("kind", "acme"), ("result", "ok")];
const REFUSED: [(&str, &str); 2] = [("kind", "acme"), ("result", "refused")];
const UNREACHABLE: [(&str, &str); 2] = [("kind", "acme"), ("result", "unreachable")];

/// A world whose gateway has its certificate from Pebble.
struct Stage {
    world: World,
    orders: Service,
    config: Config,
    pebble: Settings,
    web: Identity,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new();
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        world
            .folder
            .write("pebble-ca.pem", world.edge_authority.pem());
        let pebble = Settings::at_edge(&mut config);
        config.set(
            "acme.pebble",
            json!({
                "directory": pebble.directory(),
                "ca": "pebble-ca.pem",
                "contact": ["mailto:ops@example.com"],
                "terms_agreed": true,
                "folder": "state/acme",
            }),
        );
        config.set(
            "listeners.edge.tls.certificates",
            json!([{ "acme": "pebble", "names": [HOST] }]),
        );
        let web = world.web();
        Self {
            world,
            orders,
            config,
            pebble,
            web,
        }
    }

    async fn pebble(&self) -> Pebble {
        self.pebble
            .start(&self.world.folder, &self.world.edge_authority)
            .await
    }

    async fn gateway(&self) -> Gateway {
        let file = self.world.folder.write("gateway.yaml", self.config.yaml());
        Gateway::start_with_file(&self.world, &self.config, file).await
    }

    /// A client that trusts what this Pebble issues.
    async fn client(&self, gateway: &Gateway, pebble: &Pebble) -> Client {
        gateway.client(&self.web).roots(pebble.roots().await)
    }

    /// The folder of what this directory gave.
    fn state(&self) -> PathBuf {
        let folder = self.world.folder.join("state/acme");
        let mut folders = std::fs::read_dir(folder)
            .expect("the state folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir());
        folders.next().expect("a folder for the directory")
    }

    /// The one file of a certificate.
    fn stored(&self) -> PathBuf {
        let mut files = std::fs::read_dir(self.state())
            .expect("the folder of the directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|is| is == "pem"));
        files.next().expect("a certificate")
    }
}

/// One certificate more on the listener `edge`, for a host whose directory nobody can reach.
pub fn await_certificate(world: &World, config: &mut Config, host: &str) {
    world
        .folder
        .write("directory-ca.pem", world.edge_authority.pem());
    let directory = json!({
        "directory": "https://127.0.0.1:1/dir",
        "ca": "directory-ca.pem",
        "terms_agreed": true,
        "folder": "state/acme",
    });
    config.set("acme.nobody", directory);
    let awaited = json!({ "acme": "nobody", "names": [host] });
    config.set("listeners.edge.tls.certificates.1", awaited);
}

/// Waits until so many certificates were taken.
async fn taken(gateway: &Gateway, count: f64) {
    gateway
        .wait_for_metric(SOURCE, &OK, |value| value >= count)
        .await;
    // The source is ahead of the snapshot.
    gateway
        .wait_for_log(|line| line.contains("key material taken"))
        .await;
}
