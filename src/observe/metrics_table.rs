//! Every metric: name, kind, labels and help, in one table.
//!
//! Labels are from closed sets, or names and places in the configuration; never a peer, subject,
//! path or host, which strangers choose. `docs/metrics.md` is held to this table by a test.

/// What a metric's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations by bucket.
    Histogram,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(super) static $id: Family = Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// Every metric.
        #[cfg(test)]
        pub(super) static ALL: &[&Family] = &[$(&$id),+];
    };
}

families! {
    // Handshakes, on both sides. `name` is the listener or the upstream.
    HANDSHAKES: Counter "portcullis_handshakes_total"
        ["side", "name", "result", "reason", "version", "resumed"]
        "TLS handshakes that ended, by how they ended.";
    HANDSHAKE_SECONDS: Histogram "portcullis_handshake_duration_seconds"
        ["side", "name", "result"]
        "How long TLS handshakes took.";
    HANDSHAKES_IN_PROGRESS: Gauge "portcullis_handshakes_in_progress"
        ["side", "name"]
        "TLS handshakes under way.";
    CIPHER_SUITES: Counter "portcullis_tls_cipher_suites_total"
        ["side", "name", "cipher_suite"]
        "Completed handshakes by the cipher suite that was agreed on.";
    VERIFICATION_SECONDS: Histogram "portcullis_certificate_verification_duration_seconds"
        ["side", "name"]
        "How long the verification of a certificate chain took: of every one, good or bad.";
    GROUPS: Counter "portcullis_tls_groups_total"
        ["side", "name", "group"]
        "Completed handshakes by the key exchange group that was agreed on.";
    ALPNS: Counter "portcullis_tls_protocols_total"
        ["side", "name", "protocol"]
        "Completed handshakes by the application protocol that was agreed on.";

    // Listeners.
    HELLOS: Counter "portcullis_client_hellos_total"
        ["listener", "post_quantum"]
        "ClientHellos, by whether they offer a post-quantum key exchange.";
    CONNECTIONS: Gauge "portcullis_connections"
        ["listener"]
        "Open connections of clients, from accept on.";
    CONNECTIONS_OPENED: Counter "portcullis_connections_total"
        ["listener"]
        "Connections of clients that were let in to the handshake.";
    CONNECTIONS_REFUSED: Counter "portcullis_connections_refused_total"
        ["listener", "reason"]
        "Connections that were closed before the handshake.";
    CONNECTIONS_CLOSED: Counter "portcullis_connections_closed_total"
        ["listener", "reason"]
        "Connections that were closed because the client ran into a bound.";
    CONNECTIONS_REVOKED: Counter "portcullis_connections_revoked_total"
        ["listener", "reason"]
        "Connections that were closed because the client lost its standing while they were open.";

    // Clients: identities that were seen in the last day.
    CLIENTS_SEEN: Gauge "portcullis_clients_seen"
        []
        "Identities of clients that were seen in the last day, at most 10,000.";
    CLIENTS_EXPIRING: Gauge "portcullis_clients_expiring"
        ["within"]
        "Of these, those whose newest certificate ends within a time, or has ended.";

    // Trust that is to come.
    NEXT_TRUST: Counter "portcullis_next_trust_verifications_total"
        ["trust", "result"]
        "Verifications of today's peers under the bundle that is to come, by what became of them.";

    // Requests.
    REQUESTS: Counter "portcullis_requests_total"
        ["route", "status_class", "reason"]
        "Requests that ended, by the class of the status and the reason of a refusal.";
    REQUEST_SECONDS: Histogram "portcullis_request_duration_seconds"
        ["route"]
        "How long requests took, from the first byte of the head to the last of the answer.";
    ROUTE_UPSTREAM_SECONDS: Histogram "portcullis_upstream_duration_seconds"
        ["route"]
        "How long the service took for requests of a route, connecting included.";
    REFUSALS: Counter "portcullis_refusals_total"
        ["reason"]
        "Requests that were refused, all routes together.";
    LIMITS_REFUSED: Counter "portcullis_limits_refused_total"
        ["route", "limit"]
        "Requests that a limit of a route refused, by its place in the list.";
    POLICY_RULES: Counter "portcullis_policy_rules_total"
        ["route", "rule", "mode", "result"]
        "What the rules of a route's policy said of requests, by the rule and by whether it only reports.";
    GRACE_REQUESTS: Counter "portcullis_grace_requests_total"
        ["route"]
        "Requests whose certificate had ended and that passed by the grace of their route.";
    LOGINS: Counter "portcullis_logins_total"
        ["login", "result"]
        "Logins of browsers, by what became of them.";
    SESSION_REFRESHES: Counter "portcullis_session_refreshes_total"
        ["login", "result"]
        "Sessions whose tokens were to be renewed, by what became of it.";
    LOGOUTS: Counter "portcullis_logouts_total"
        ["login", "by", "result"]
        "Sessions that their user or the server asked to end.";
    TOKEN_CACHE: Counter "portcullis_token_cache_lookups_total"
        ["issuer", "result"]
        "Look-ups of a token in the cache of verified tokens.";

    POSSESSION: Counter "portcullis_possession_total"
        ["route", "method", "result"]
        "Tokens that were held against what they are bound to, by what came of it.";

    // API keys.
    API_KEY_USES: Counter "portcullis_api_key_uses_total"
        ["list", "result"]
        "Requests to routes that take API keys and nothing else was shown, by what became of the key.";
    API_KEYS: Gauge "portcullis_api_keys"
        ["list", "state"]
        "API keys of a list, by whether they are over.";
    API_KEYS_EXPIRING: Gauge "portcullis_api_keys_expiring"
        ["list", "within"]
        "API keys of a list that end within a time.";

    // What several gateways share.
    SHARED_OPERATIONS: Counter "portcullis_shared_state_operations_total"
        ["space", "operation", "result"]
        "Questions to the store of the shared state, by what came of them.";
    SHARED_SECONDS: Histogram "portcullis_shared_state_operation_duration_seconds"
        ["operation"]
        "How long questions to the store of the shared state took.";
    SHARED_AWAY: Counter "portcullis_shared_state_away_total"
        ["space", "handled"]
        "Times that the store of the shared state could not say, by what was done then.";
    SHARED_NODES: Gauge "portcullis_shared_state_nodes"
        []
        "Servers of the store of the shared state that the gateway knows.";
    SHARED_NODES_UP: Gauge "portcullis_shared_state_nodes_up"
        []
        "Those of them to which there is a connection.";
    SHARED_ENTRIES: Gauge "portcullis_shared_state_local_entries"
        ["space"]
        "Entries of the shared state in the memory of this gateway.";
    // Keys of issuers that are fetched.
    ISSUER_KEYS: Gauge "portcullis_issuer_keys"
        ["issuer"]
        "Keys of an issuer that may verify tokens now; 0 if there are none, or they are too old.";
    ISSUER_KEYS_AGE: Gauge "portcullis_issuer_keys_age_seconds"
        ["issuer"]
        "How long ago the keys of an issuer were last fetched.";
    ISSUER_KEYS_NEXT: Gauge "portcullis_issuer_keys_next_refresh_timestamp_seconds"
        ["issuer"]
        "When the keys of an issuer are fetched next, in seconds since 1970.";
    ISSUER_KEYS_GENERATION: Gauge "portcullis_issuer_keys_generation"
        ["issuer"]
        "How often the keys of an issuer were found to be others than before.";
    ISSUER_KEYS_FETCHES: Counter "portcullis_issuer_keys_fetches_total"
        ["issuer", "cause", "result"]
        "Fetches of the keys of an issuer, by why they began and what came of them.";
    // Asking issuers about tokens.
    INTROSPECTIONS: Counter "portcullis_introspections_total"
        ["issuer", "result"]
        "Questions to an issuer about a token, by what came of them.";
    INTROSPECTION_SECONDS: Histogram "portcullis_introspection_duration_seconds"
        ["issuer"]
        "How long an issuer took to answer about a token, or not to.";
    INTROSPECTION_LOOKUPS: Counter "portcullis_introspection_cache_lookups_total"
        ["issuer", "result"]
        "Look-ups of a token among what issuers have answered, by where it was found.";

    SIGNED_IDENTITIES: Counter "portcullis_signed_identities_total"
        ["result"]
        "Requests whose service was to be told who asks in a signed token, by where it came from.";
    SIGNED_IDENTITY_KEY: Gauge "portcullis_signed_identity_key_start_timestamp_seconds"
        []
        "When the key that signs identities began to, in seconds since 1970; 0 if there is none.";

    // Upstreams.
    UPSTREAM_CONNECTIONS: Gauge "portcullis_upstream_connections"
        ["upstream"]
        "Open connections to services, pooled ones included.";
    UPSTREAM_CONNECT_FAILURES: Counter "portcullis_upstream_connect_failures_total"
        ["upstream", "reason"]
        "Connections to services that failed before the TLS handshake.";
    UPSTREAM_REQUESTS_IN_PROGRESS: Gauge "portcullis_upstream_requests_in_progress"
        ["upstream"]
        "Requests to services under way.";
    UPSTREAM_REQUEST_SECONDS: Histogram "portcullis_upstream_request_duration_seconds"
        ["upstream"]
        "How long the service took for requests, connecting included.";
    UPSTREAM_ENDPOINT_UP: Gauge "portcullis_upstream_endpoint_up"
        ["upstream", "endpoint"]
        "Whether an endpoint of the configuration is in use (1) or left out (0).";
    UPSTREAM_UNEXPECTED_DATA: Counter "portcullis_upstream_unexpected_data_total"
        ["upstream"]
        "Connections dropped because the service sent bytes before it was asked.";

    // Authorization services.
    EXTERNAL_AUTHORIZATION_CHECKS: Counter "portcullis_external_authorization_checks_total"
        ["external_authorization", "result"]
        "Questions to an authorization service, by what came of them.";
    EXTERNAL_AUTHORIZATION_WAIVED: Counter "portcullis_external_authorization_waived_total"
        ["external_authorization", "why"]
        "Requests that went on although the authorization service did not say yes.";
    EXTERNAL_AUTHORIZATION_IN_PROGRESS: Gauge "portcullis_external_authorization_checks_in_progress"
        ["external_authorization"]
        "Questions to an authorization service under way.";
    EXTERNAL_AUTHORIZATION_SECONDS: Histogram "portcullis_external_authorization_duration_seconds"
        ["external_authorization"]
        "How long questions to an authorization service took, connecting included.";

    // Tokens of clients that are exchanged.
    TOKEN_EXCHANGES: Counter "portcullis_token_exchanges_total"
        ["client", "result"]
        "Exchanges of tokens with an authorization server, by what came of them.";
    TOKEN_EXCHANGE_CACHE: Counter "portcullis_token_exchange_cache_total"
        ["client", "result"]
        "Tokens to be exchanged, by whether what was given for them was known.";
    TOKEN_EXCHANGES_IN_PROGRESS: Gauge "portcullis_token_exchanges_in_progress"
        ["client"]
        "Exchanges of tokens under way.";
    TOKEN_EXCHANGE_SECONDS: Histogram "portcullis_token_exchange_duration_seconds"
        ["client"]
        "How long exchanges of tokens took, connecting included.";

    // Configuration.
    CERTIFICATE_NOT_BEFORE: Gauge "portcullis_certificate_not_before_timestamp_seconds"
        ["place", "serial", "subject", "ca"]
        "When the validity of a loaded certificate begins, in seconds since 1970.";
    CERTIFICATE_NOT_AFTER: Gauge "portcullis_certificate_not_after_timestamp_seconds"
        ["place", "serial", "subject", "ca"]
        "When the validity of a loaded certificate ends, in seconds since 1970.";
    ACME_NEXT_ORDER: Gauge "portcullis_acme_next_order_timestamp_seconds"
        ["place"]
        "When a certificate is ordered from its ACME directory next, in seconds since 1970.";
    CRL_THIS_UPDATE: Gauge "portcullis_crl_this_update_timestamp_seconds"
        ["trust", "issuer"]
        "When a loaded CRL was made, in seconds since 1970.";
    CRL_NEXT_UPDATE: Gauge "portcullis_crl_next_update_timestamp_seconds"
        ["trust", "issuer"]
        "When the CRL that follows a loaded one is due, in seconds since 1970.";
    CRL_ENTRIES: Gauge "portcullis_crl_entries"
        ["trust", "issuer"]
        "How many certificates a loaded CRL lists.";
    RELOADS: Counter "portcullis_reloads_total"
        ["result"]
        "Reloads of the configuration by their result.";
    SOURCE_GENERATION: Gauge "portcullis_source_generation"
        ["kind", "place"]
        "How many generations of key material were taken from a source.";
    SOURCE_RELOADS: Counter "portcullis_source_reloads_total"
        ["kind", "place", "result"]
        "What came of looking at a source of key material, where it had something new or nothing good.";
    REFRESHES: Counter "portcullis_refreshes_total"
        ["result"]
        "Times that key material was taken without reading the configuration.";
    GENERATION: Gauge "portcullis_configuration_generation"
        []
        "The number of what is in use: 1 at start, one more with each reload and each new key material.";
    LAST_SUCCESS: Gauge "portcullis_configuration_last_success_timestamp_seconds"
        []
        "When the configuration in use was loaded, in seconds since 1970.";

    // The process.
    BUILD: Gauge "portcullis_build_info"
        ["version"]
        "Always 1; the version of the gateway is the label.";
    LOG_LINES_DROPPED: Counter "portcullis_log_lines_dropped_total"
        []
        "Log lines that were dropped because the log could not be written fast enough.";
    PANICS: Counter "portcullis_panics_total"
        []
        "Panics: faults of the gateway. The log says where.";
    PROCESS_CPU: Counter "process_cpu_seconds_total"
        []
        "User and system CPU time.";
    PROCESS_FDS: Gauge "process_open_fds"
        []
        "Open file descriptors.";
    PROCESS_FDS_MAX: Gauge "process_max_fds"
        []
        "The most file descriptors that may be open.";
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes"
        []
        "Resident memory.";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes"
        []
        "Virtual memory.";
    PROCESS_THREADS: Gauge "process_threads"
        []
        "Threads.";
    PROCESS_START: Gauge "process_start_time_seconds"
        []
        "When the process was started, in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_the_rules_of_prometheus() {
        let names: BTreeSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            assert_eq!(
                family.kind == Kind::Counter,
                family.name.ends_with("_total"),
                "{family:?}"
            );
            let seconds = family.name.ends_with("_seconds");
            assert!(family.kind != Kind::Histogram || seconds, "{family:?}");
            assert!(family.help.ends_with('.'), "{family:?}");
        }
    }
}
