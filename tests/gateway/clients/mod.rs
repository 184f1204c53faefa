//! Whom a route lets in beyond SPIFFE IDs and DNS names: certificates, keys and subjects, whoever has
//! a certificate, clients of some listeners alone, and those whose certificate ended a moment ago.

mod grace;
mod listeners;
mod optional;
mod over_time;
mod patterns;

use serde_json::{Value, json};

use crate::bench::config::Config;

/// Where `check` found something, and what: lines of warnings.
fn warnings(world: &crate::bench::World, config: &Config) -> Vec<String> {
    let output = crate::bench::gateway::run(world, config, &["check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let lines = text.lines().filter(|line| line.starts_with("warning: "));
    lines.map(str::to_owned).collect()
}

/// A listener more, on a port of its own, like `edge` but for this.
fn listener(config: &mut Config, name: &str, key: &str, value: impl Into<Value>) {
    let edge = config.get("listeners.edge").clone();
    config.set(&format!("listeners.{name}"), edge);
    config.set(&format!("listeners.{name}.{key}"), value);
}

/// A route below `/NAME/**` with one key more.
fn route(config: &mut Config, name: &str, key: &str, value: impl Into<Value>) {
    config.route(name, &format!("/{name}/**"), "orders");
    config.set(&format!("routes.{name}.{key}"), value);
}

/// A route below `/NAME/**` for these clients alone.
fn route_for(config: &mut Config, name: &str, clients: &[&str]) {
    route(config, name, "clients", json!(clients));
}

const REQUESTS: &str = "portcullis_requests_total";
const HANDSHAKES: &str = "portcullis_handshakes_total";
