//! Exchanging tokens of clients for the service of a route: the plan of `exchange`.

use std::sync::Arc;

use super::oauth::Server;
use super::planner::Planner;
use crate::config::spec::{RouteSpec, Spec};
use crate::exchange::Exchange;
use crate::fetch::Bounds;
use crate::identity::name::Name;

/// A token and what is said about it.
const ANSWER_BYTES_MAX: usize = 32 << 10;

impl Planner<'_> {
    /// That of a route, if it has one. `None` as well if there is a problem with it, which is noted.
    pub(super) fn exchange(
        &mut self,
        spec: &Spec,
        name: &Name,
        route: &RouteSpec,
    ) -> Option<Arc<Exchange>> {
        let exchange = route.exchange.as_ref()?;
        let us = spec.oauth_clients.get(&exchange.client)?;
        let url = exchange.url.to_string();
        let server = Server {
            client: &exchange.client,
            tls: &exchange.tls,
            audience: &url,
            bounds: Bounds {
                time: exchange.timeout,
                body: ANSWER_BYTES_MAX,
            },
        };
        let place = format!("routes.{name}.exchange.tls");
        let client = self.oauth_client(spec, &place, &server)?;
        let store = Arc::clone(&self.stores.exchanges);
        let metrics = self.stores.metrics.exchange(&exchange.client);
        let exchange = Exchange::new(name, exchange, us, client, store, metrics);
        Some(Arc::new(exchange))
    }
}
