//! Handshakes with clients: what is agreed on, what is bounded, and how each failure is told.
//!
//! `table` lists every failure, `failures` provokes it; the other modules prove what else there is.

mod agreed;
mod bounds;
mod early_data;
mod failures;
mod fragments;
pub mod hello;
mod logs;
mod names;
mod play;
mod services;
mod table;

use rustls::AlertDescription;

use crate::bench::World;
use crate::bench::client::Rejection;
use crate::bench::gateway::Gateway;

/// The listener of the standard configuration, as a label.
const EDGE: (&str, &str) = ("name", "edge");

async fn gateway(world: &World) -> Gateway {
    world.gateway_with(&world.config()).await
}

fn alert_of(rejection: &Rejection) -> Option<AlertDescription> {
    match rejection {
        Rejection::Tls(rustls::Error::AlertReceived(alert)) => Some(*alert),
        Rejection::Tls(_) | Rejection::Closed => None,
    }
}
