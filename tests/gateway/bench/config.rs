//! A configuration as a tree of values: begun as the standard one, changed by the test, written as
//! YAML.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Map, Value, json};

/// A configuration. Places are named as problems name them: `routes.orders-read.token`,
/// `listeners.edge.tls.certificates.0.cert`.
#[derive(Clone, Debug)]
pub struct Config(pub Value);

impl Default for Config {
    fn default() -> Self {
        Self::standard()
    }
}

impl Config {
    /// The standard configuration: see the sheet in [`super`]. Its files are those that
    /// [`super::World::new`] writes; `upstreams.orders.endpoints` is for the test to set.
    pub fn standard() -> Self {
        Self(json!({
            "version": 1,
            "workers": 1,
            "admin": { "address": "127.0.0.1:0" },
            "logs": { "format": "json", "level": "info" },
            "shutdown": { "deadline": "5s" },
            "listeners": { "edge": {
                "address": "127.0.0.1:0",
                "tls": {
                    "certificates": [{ "cert": "edge.pem", "key": "edge.key" }],
                    "clients": { "certificate": "required", "trust": "partners" },
                },
            } },
            "trust": {
                "partners": { "ca": "partners-ca.pem" },
                "mesh": { "ca": "mesh-ca.pem" },
            },
            "identities": { "gateway": { "cert": "gateway.pem", "key": "gateway.key" } },
            "issuers": { "corp": {
                "issuer": super::token::ISSUER,
                "audiences": [super::token::AUDIENCE],
                "algorithms": ["ES256"],
                "keys": { "file": "jwks.json" },
            } },
            "upstreams": { "orders": {
                "endpoints": ["127.0.0.1:1"],
                "tls": {
                    "identity": "gateway",
                    "trust": "mesh",
                    "server_name": super::ORDERS_NAME,
                    "accept": [super::ORDERS_ID],
                },
                "timeouts": { "connect": "5s", "response": "10s" },
            } },
            "routes": {
                "orders-read": {
                    "match": { "host": super::client::HOST, "path": "/orders/**", "methods": ["GET", "HEAD"] },
                    "clients": ["spiffe://partners.example/web/*"],
                    "token": { "issuer": "corp", "scopes": ["orders:read"] },
                    "upstream": "orders",
                },
                "orders-write": {
                    "match": { "host": super::client::HOST, "path": "/orders/**", "methods": ["POST", "PUT"] },
                    "clients": ["spiffe://partners.example/web/*"],
                    "token": { "issuer": "corp", "scopes": ["orders:write"], "bound_to_certificate": true },
                    "upstream": "orders",
                },
                "open": {
                    "match": { "host": super::client::HOST, "path": "/open/**" },
                    "clients": "any",
                    "token": "none",
                    "upstream": "orders",
                },
            },
        }))
    }

    /// Sets what stands at a place; makes the maps on the way there.
    pub fn set(&mut self, place: &str, value: impl Into<Value>) -> &mut Self {
        let mut at = &mut self.0;
        for step in place.split('.') {
            at = match step.parse::<usize>() {
                Ok(number) if at.is_array() => {
                    let list = at.as_array_mut().expect("a list");
                    if number == list.len() {
                        list.push(Value::Null);
                    }
                    &mut list[number]
                }
                _ => {
                    if !at.is_object() {
                        *at = Value::Object(Map::new());
                    }
                    at.as_object_mut()
                        .expect("a map")
                        .entry(step)
                        .or_insert(Value::Null)
                }
            };
        }
        *at = value.into();
        self
    }

    /// Removes the key at a place; panics if it is not there.
    pub fn remove(&mut self, place: &str) -> &mut Self {
        let (parent, key) = place.rsplit_once('.').unwrap_or(("", place));
        let parent = if parent.is_empty() {
            &mut self.0
        } else {
            self.at(parent)
        };
        let removed = parent.as_object_mut().and_then(|map| map.remove(key));
        assert!(removed.is_some(), "nothing stands at {place}");
        self
    }

    /// What stands at a place; panics if nothing does.
    pub fn get(&self, place: &str) -> &Value {
        let pointer = format!("/{}", place.replace('.', "/"));
        self.0
            .pointer(&pointer)
            .unwrap_or_else(|| panic!("nothing stands at {place}"))
    }

    fn at(&mut self, place: &str) -> &mut Value {
        let pointer = format!("/{}", place.replace('.', "/"));
        self.0
            .pointer_mut(&pointer)
            .unwrap_or_else(|| panic!("nothing stands at {place}"))
    }

    /// Sends an upstream to these services.
    pub fn endpoints(&mut self, upstream: &str, addresses: &[SocketAddr]) -> &mut Self {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.set(&format!("upstreams.{upstream}.endpoints"), texts)
    }

    /// One upstream more, with the TLS of `orders` except for the server name and who may answer.
    pub fn upstream(
        &mut self,
        name: &str,
        address: SocketAddr,
        server_name: &str,
        accept: &[&str],
    ) -> &mut Self {
        let mut upstream = self.get("upstreams.orders").clone();
        upstream["endpoints"] = json!([address.to_string()]);
        upstream["tls"]["server_name"] = json!(server_name);
        upstream["tls"]["accept"] = json!(accept);
        self.set(&format!("upstreams.{name}"), upstream)
    }

    /// One route more: any client, no token, all below `path` of the standard host.
    pub fn route(&mut self, name: &str, path: &str, upstream: &str) -> &mut Self {
        let matches = json!({ "host": super::client::HOST, "path": path });
        let route =
            json!({ "match": matches, "clients": "any", "token": "none", "upstream": upstream });
        self.set(&format!("routes.{name}"), route)
    }

    /// The configuration as YAML.
    pub fn yaml(&self) -> String {
        serde_yaml::to_string(&self.0).expect("YAML")
    }

    /// Gives every listener with port 0, and admin, a port that is free now.
    pub fn choose_ports(&mut self) {
        let mut places = vec!["admin.address".to_owned()];
        let listeners = self.get("listeners").as_object().expect("a map");
        places.extend(
            listeners
                .keys()
                .map(|name| format!("listeners.{name}.address")),
        );
        for place in places {
            let address = self.get(&place).as_str().and_then(|text| text.parse().ok());
            let address: Option<SocketAddr> = address;
            if let Some(mut address) = address.filter(|address| address.port() == 0) {
                address.set_port(free_port());
                self.set(&place, address.to_string());
            }
        }
    }

    /// Sets the ports of port 0 to those that a running gateway has.
    pub(super) fn keep_ports(&mut self, running: &Self) {
        let listeners = self.get("listeners").as_object().expect("a map");
        let mut places: Vec<String> = listeners
            .keys()
            .map(|name| format!("listeners.{name}.address"))
            .collect();
        places.push("admin.address".to_owned());
        for place in places {
            let pointer = format!("/{}", place.replace('.', "/"));
            let unset = self
                .get(&place)
                .as_str()
                .is_some_and(|text| text.ends_with(":0"));
            if let (true, Some(address)) = (unset, running.0.pointer(&pointer)) {
                self.set(&place, address.clone());
            }
        }
    }
}

/// A TCP port of 127.0.0.1 that is free now. It lies below the range from which the kernel takes
/// ports for outgoing connections, and no two calls in one process give the same.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 22_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = (start + u32::from(step)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(place).expect("below 22,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
