//! Who the client is, and which host its connection is for.

mod hosts;
mod listeners;
mod names;
mod over_time;

use serde_json::json;

use crate::bench::config::Config;

/// A route below `/PATH` of the standard host, for these clients alone.
fn route_for(config: &mut Config, name: &str, clients: &[&str]) {
    config.route(name, &format!("/{name}"), "orders");
    config.set(&format!("routes.{name}.clients"), json!(clients));
}

const REQUESTS: &str = "portcullis_requests_total";
const HANDSHAKES: &str = "portcullis_handshakes_total";
