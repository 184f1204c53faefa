//! API keys: what opens a route, what does not, and how they change while the gateway runs.

mod command;
mod hostile;
mod rotation;

use portcullis::authenticate::api_keys::ApiKey;
use serde_json::json;

use crate::bench::World;
use crate::bench::config::Config;

/// A key as its owner has it, and its entry as the file has it.
pub struct Made {
    pub key: String,
    pub entry: String,
    pub id: String,
}

pub fn make(expires: &str) -> Made {
    let key = ApiKey::generate().expect("random numbers");
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let (id, sha256) = (hex(&key.id()), hex(&key.sha256()));
    Made {
        key: key.expose().to_owned(),
        entry: format!("{{ id: \"{id}\", sha256: \"{sha256}\", expires: {expires} }}"),
        id,
    }
}

/// A file with one owner, `acme`, who has scope `orders:read`.
pub fn owners(keys: &[&Made]) -> String {
    let keys: Vec<&str> = keys.iter().map(|made| made.entry.as_str()).collect();
    format!(
        "owners:\n  acme:\n    scopes: [orders:read]\n    claims: {{ tenant: acme }}\n    keys: [{}]\n",
        keys.join(", ")
    )
}

/// The standard configuration with the list `partners` and a route for it.
pub fn config(world: &World, route: serde_json::Value) -> Config {
    let mut config = world.config();
    config.set(
        "api_keys",
        json!({ "partners": { "file": "partners.yaml" } }),
    );
    config.route("keyed", "/keyed/**", "orders");
    config.remove("routes.keyed.token");
    config.set("routes.keyed.api_key", route);
    config
}
