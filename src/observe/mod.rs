//! What an operator sees: metrics, the access log, the log of failed handshakes, and the set-up of
//! logging.
//!
//! Handles ([`ListenerMetrics`], [`UpstreamMetrics`], [`RouteMetrics`], [`IssuerMetrics`]) are made
//! when a configuration is compiled and are kept in what is compiled: a request costs a few relaxed
//! atomic additions and no look-up. Nothing here decides anything.
//!
//! Every metric stands in `metrics_table.rs`; `docs/metrics.md` explains them and the log fields.

mod labels;
mod tls_facts;
mod metrics;
mod metrics_table;
mod metrics_page;
mod metrics_seconds;
mod metrics_crls;
mod metrics_issuer_keys;
mod metrics_handshake;
mod metrics_listener;
mod metrics_upstream;
mod metrics_exchange;
mod metrics_external_authorization;
mod metrics_route;
mod metrics_possession;
mod metrics_login;
mod metrics_shared;
mod metrics_rules;
mod metrics_signed;
mod metrics_introspection;
mod metrics_api_keys;
mod metrics_configuration;
mod metrics_acme;
mod metrics_sources;
mod metrics_process;
#[cfg(test)]
mod metrics_tests;
mod escape;
mod clock;
mod access;
mod lines;
mod handshake_log;
mod revocation_log;
mod heavy;
mod failure_record;
mod next_trust;
mod client_connection;
mod client_record;
mod json_list;
#[cfg(test)]
mod record_tests;
mod failure_page;
mod client_page;
mod line_layer;
mod line_writer;
mod logging;

pub use access::{AccessLine, access};
pub use client_connection::ClientConnection;
pub use client_page::ClientFilter;
pub use client_record::{ClientHandshake, ClientRecord, Rehearsals};
pub use failure_page::FailureFilter;
pub use failure_record::FailureRecord;
pub use handshake_log::{HandshakeFailureLine, HandshakeLog};
pub use labels::{
    CheckResult, ConnectFailed, ConnectionAbuse, ConnectionRefused, ExchangeResult, LoginResult,
    RefreshResult, ReloadFailure, Side, Waived,
};
pub use logging::{Logging, LoggingNotStarted, start_logging};
pub use metrics::{CONTENT_TYPE, Metrics};
pub use metrics_api_keys::ApiKeyMetrics;
pub use metrics_configuration::CertificateSeries;
pub use metrics_crls::CrlSeries;
pub use metrics_exchange::{ExchangeInProgress, ExchangeMetrics};
pub use metrics_external_authorization::{CheckInProgress, ExternalAuthorizationMetrics};
pub use metrics_handshake::HandshakeInProgress;
pub use metrics_introspection::{IntrospectionLookup, IntrospectionMetrics, IntrospectionResult};
pub use metrics_issuer_keys::{IssuerKeysMetrics, KeysFetchCause, KeysFetchResult, KeysShown};
pub use metrics_listener::{ListenerMetrics, OpenConnection};
pub use metrics_login::LoginMetrics;
pub use metrics_possession::{PossessionMethod, PossessionResult};
pub use metrics_route::{IssuerMetrics, RouteMetrics};
pub use metrics_rules::{RuleMetrics, RuleResult};
pub use metrics_signed::SignedIdentityMetrics;
pub use metrics_upstream::{OpenUpstreamConnection, UpstreamMetrics, UpstreamRequest};
pub use next_trust::{NextTrusts, Rehearsed};
pub use revocation_log::{RevocationLog, RevokedLine};
pub use tls_facts::TlsFacts;
