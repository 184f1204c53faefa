//! [`Stores`]: what outlives a reload. Each is bounded and keyed by names or by content.

use std::sync::Arc;

use super::sources::SourceStore;
use crate::assertion::AssertionStore;
use crate::authenticate::keys::store::IssuerKeyStore;
use crate::authenticate::possession::nonces::MadeSecrets;
use crate::exchange::ExchangeStore;
use crate::fetch::ClientStore;
use crate::limit::store::LimitStore;
use crate::observe::{HandshakeLog, Metrics};
use crate::shared_state::SharedState;
use crate::upstream::{EndpointStore, Policies};

/// One of each for the whole process.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Every counter that `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Who hears of each handshake that failed.
    pub handshakes: Arc<HandshakeLog>,
    /// Counters of rate limits, by route and rate.
    pub limits: Arc<LimitStore>,
    /// TLS policies towards services, by content.
    pub policies: Arc<Policies>,
    /// Sources of key material, by place.
    pub sources: Arc<SourceStore>,
    /// Endpoints with their addresses and health, by content.
    pub endpoints: Arc<EndpointStore>,
    /// Clients that ask servers over HTTPS, by their terms.
    pub clients: Arc<ClientStore>,
    /// Keys of issuers that are fetched, by issuer.
    pub issuer_keys: Arc<IssuerKeyStore>,
    /// What was given for tokens that were exchanged.
    pub exchanges: Arc<ExchangeStore>,
    /// Keys that sign identities, and tokens that may go out again.
    pub assertions: Arc<AssertionStore>,
    /// Secrets of this process that nonces are made with.
    pub nonce_secrets: Arc<MadeSecrets>,
    /// What several gateways share, or what this one would.
    pub shared: Arc<SharedState>,
}

impl Default for Stores {
    fn default() -> Self {
        let metrics = Metrics::new();
        let shared = Arc::clone(metrics.shared_state());
        Self {
            assertions: AssertionStore::new(metrics.signed_identities()),
            handshakes: Arc::new(HandshakeLog::new(Arc::clone(metrics.failures()))),
            metrics,
            limits: LimitStore::new(),
            policies: Policies::new(),
            sources: Arc::default(),
            endpoints: EndpointStore::new(),
            clients: Arc::default(),
            exchanges: Arc::default(),
            nonce_secrets: Arc::default(),
            shared: Arc::new(SharedState::new(shared)),
            issuer_keys: Arc::default(),
        }
    }
}
