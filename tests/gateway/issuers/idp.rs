//! [`Idp`]: an issuer that does as it is told: an HTTPS server of the mesh, reached by the name
//! `localhost`, with a script for each path.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::fetched_from;
use crate::bench::World;
use crate::bench::pki::{Identity, Leaf};
use crate::bench::service::{Received, Reply, Service};
use crate::bench::token::{self, IssuerKey};

/// An issuer that runs until it is dropped.
pub struct Idp {
    pub service: Service,
    pages: Pages,
}

type Pages = Arc<Mutex<HashMap<String, Reply>>>;

impl Idp {
    /// One that says 404 to everything, and takes clients with and without a certificate.
    pub async fn start(world: &World) -> Self {
        let leaf = Leaf::server("idp").dns("localhost").ip("127.0.0.1");
        let identity = world.mesh.issue(leaf);
        Self::start_as(world, &identity, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// One with this certificate, at this address.
    pub async fn start_as(world: &World, identity: &Identity, address: SocketAddr) -> Self {
        let pages = Pages::default();
        let shown = Arc::clone(&pages);
        let script = move |request: &Received| {
            let page = shown.lock().expect("pages").get(&request.target).cloned();
            page.unwrap_or_else(|| Reply::status(404))
        };
        let service = Service::builder(identity, &world.mesh);
        let service = service.anyone().at(address).reply(script).start().await;
        Self { service, pages }
    }

    /// From now on this is what is said at a path.
    pub fn page(&self, path: &str, reply: Reply) {
        let mut pages = self.pages.lock().expect("pages");
        pages.insert(path.to_owned(), reply);
    }

    /// From now on these are the keys, at `/jwks`.
    pub fn publish(&self, keys: &[&IssuerKey]) {
        self.page("/jwks", json_reply(&token::jwks(keys)));
    }

    /// From now on this is the metadata at a path.
    pub fn metadata(&self, path: &str, issuer: &str, jwks_uri: &str) {
        let metadata = json!({ "issuer": issuer, "jwks_uri": jwks_uri });
        self.page(path, json_reply(&metadata.to_string()));
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.service.address.port())
    }

    /// `keys` of an issuer that has them at this path.
    pub fn keys(&self, path: &str) -> Value {
        fetched_from(&self.url(path))
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let requests = self.service.requests();
        requests.iter().filter(|one| one.target == path).count()
    }

    /// Waits until a path was asked for so often.
    pub async fn wait_for(&self, path: &str, count: usize) {
        let wanted = |service: &Service| {
            let requests = service.requests();
            requests.iter().filter(|one| one.target == path).count() >= count
        };
        self.service.wait_until(path, wanted).await;
    }
}

/// 200 with JSON.
pub fn json_reply(body: &str) -> Reply {
    Reply::new(200, &[("Content-Type", "application/json")], body)
}
