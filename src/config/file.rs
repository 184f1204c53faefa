//! The shape of the YAML: every section and every key, once. No defaults, no checks.
//!
//! Each section is a struct with a field for each key: a key that stands here and is read nowhere
//! is a compiler warning, and one that does not stand here is a problem. `docs/config.md` is held
//! against this list by a test.

use super::node::{Field, Node};

macro_rules! sections {
    ($($(#[doc = $doc:literal])+ $name:ident, $path:literal, {$($field:ident: $key:literal,)+})+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub(super) struct $name<'a> {
                $(pub(super) $field: Field<'a>,)+
            }

            impl<'a> $name<'a> {
                const KEYS: &'static [&'static str] = &[$($key,)+];

                /// Reports keys that it does not have. `None` if it is no mapping.
                pub(super) fn read(node: &Node<'a>) -> Option<Self> {
                    node.section(Self::KEYS)?;
                    Some(Self { $($field: node.field($key),)+ })
                }
            }
        )+

        /// Every section with its keys, for the test of the docs.
        #[cfg(test)]
        pub(super) const SECTIONS: &[(&str, &[&str])] = &[$(($path, $name::KEYS),)+];
    };
}

pub(super) use sections;

sections! {
    /// The file.
    RootFile, "", {
        version: "version",
        workers: "workers",
        admin: "admin",
        logs: "logs",
        shutdown: "shutdown",
        signed_identity: "signed_identity",
        listeners: "listeners",
        trust: "trust",
        acme: "acme",
        workload_api: "workload_api",
        deny: "deny",
        identities: "identities",
        shared_state: "shared_state",
        oauth_clients: "oauth_clients",
        issuers: "issuers",
        logins: "logins",
        api_keys: "api_keys",
        upstreams: "upstreams",
        external_authorization: "external_authorization",
        routes: "routes",
        tests: "tests",
    }
    /// Metrics and health.
    AdminFile, "admin", {
        address: "address",
    }
    /// What is logged.
    LogsFile, "logs", {
        format: "format",
        level: "level",
        access: "access",
    }
    /// Stopping.
    ShutdownFile, "shutdown", {
        deadline: "deadline",
        delay: "delay",
    }
    /// Tokens of ours that tell services who asks.
    SignedIdentityFile, "signed_identity", {
        issuer: "issuer",
        lifetime: "lifetime",
        rotate: "rotate",
        keys: "keys",
    }
    /// Where clients connect.
    ListenerFile, "listeners.NAME", {
        address: "address",
        tls: "tls",
        limits: "limits",
    }
    /// TLS of a listener.
    ListenerTlsFile, "listeners.NAME.tls", {
        certificates: "certificates",
        clients: "clients",
        min_version: "min_version",
    }
    /// One of our certificates.
    CertificateFile, "listeners.NAME.tls.certificates[]", {
        cert: "cert",
        key: "key",
        acme: "acme",
        names: "names",
        workload_api: "workload_api",
        spiffe_id: "spiffe_id",
    }
    /// What clients must show.
    ClientsFile, "listeners.NAME.tls.clients", {
        certificate: "certificate",
        trust: "trust",
    }
    /// What a stranger can make us hold or do.
    ListenerLimitsFile, "listeners.NAME.limits", {
        connections: "connections",
        connections_per_source: "connections_per_source",
        handshakes: "handshakes",
        handshake_timeout: "handshake_timeout",
        header_timeout: "header_timeout",
        idle_timeout: "idle_timeout",
        body_timeout: "body_timeout",
        revocation_grace: "revocation_grace",
        min_rate: "min_rate",
        header_fields: "header_fields",
        header_bytes: "header_bytes",
        uri_bytes: "uri_bytes",
        requests_per_connection: "requests_per_connection",
        http2: "http2",
        in_flight_per_peer: "in_flight_per_peer",
        requests_per_peer: "requests_per_peer",
    }
    /// The same for HTTP/2.
    Http2File, "listeners.NAME.limits.http2", {
        streams: "streams",
        resets: "resets",
        idle_frames: "idle_frames",
    }
    /// Requests of one peer.
    RequestsPerPeerFile, "listeners.NAME.limits.requests_per_peer", {
        rate: "rate",
        burst: "burst",
    }
    /// Whose signatures we accept.
    TrustFile, "trust.NAME", {
        ca: "ca",
        workload_api: "workload_api",
        trust_domain: "trust_domain",
        intermediates: "intermediates",
        crl: "crl",
        revocation: "revocation",
        next: "next",
    }
    /// Whose signatures we will accept.
    NextTrustFile, "trust.NAME.next", {
        ca: "ca",
        crl: "crl",
    }
    /// Who issues certificates of ours.
    AcmeFile, "acme.NAME", {
        directory: "directory",
        ca: "ca",
        contact: "contact",
        terms_agreed: "terms_agreed",
        folder: "folder",
        challenge: "challenge",
        http: "http",
        eab: "eab",
    }
    /// The customer's account that ours belongs to.
    AcmeEabFile, "acme.NAME.eab", {
        key_id: "key_id",
        key_file: "key_file",
    }
    /// An agent of the SPIFFE Workload API.
    WorkloadApiFile, "workload_api.NAME", {
        socket: "socket",
    }
    /// Who we are to services.
    IdentityFile, "identities.NAME", {
        cert: "cert",
        key: "key",
        workload_api: "workload_api",
        spiffe_id: "spiffe_id",
    }
    /// A service.
    UpstreamFile, "upstreams.NAME", {
        endpoints: "endpoints",
        tls: "tls",
        timeouts: "timeouts",
        in_flight: "in_flight",
    }
    /// TLS towards a service.
    UpstreamTlsFile, "upstreams.NAME.tls", {
        identity: "identity",
        trust: "trust",
        server_name: "server_name",
        accept: "accept",
    }
    /// How long a service may take.
    TimeoutsFile, "upstreams.NAME.timeouts", {
        connect: "connect",
        response: "response",
        total: "total",
        idle: "idle",
    }
    /// A service that is asked whether requests may pass.
    ExternalAuthorizationFile, "external_authorization.NAME", {
        endpoints: "endpoints",
        tls: "tls",
        timeout: "timeout",
        when_away: "when_away",
        in_flight: "in_flight",
        certificate: "certificate",
        send_credentials: "send_credentials",
        may_set: "may_set",
    }
    /// Who may ask what of which service.
    RouteFile, "routes.NAME", {
        matches: "match",
        listeners: "listeners",
        clients: "clients",
        grace_after_expiry: "grace_after_expiry",
        token: "token",
        login: "login",
        api_key: "api_key",
        limits: "limits",
        external_authorization: "external_authorization",
        exchange: "exchange",
        upstream: "upstream",
        accept: "accept",
        forward: "forward",
        max_body: "max_body",
        websocket: "websocket",
        policy: "policy",
        subject_is_peer: "subject_is_peer",
    }
    /// What must hold beside `clients` and `token`.
    PolicyRuleFile, "routes.NAME.policy[]", {
        name: "name",
        allow: "allow",
        cel: "cel",
        report_only: "report_only",
    }
    /// Whom a rule in words lets through.
    AllowFile, "routes.NAME.policy[].allow[]", {
        identities: "identities",
        issuer: "issuer",
        scopes: "scopes",
        claims: "claims",
    }
    /// That a token's subject is the one that the certificate names.
    SubjectIsPeerFile, "routes.NAME.subject_is_peer", {
        template: "template",
        report_only: "report_only",
    }
    /// Which requests.
    MatchFile, "routes.NAME.match", {
        host: "host",
        path: "path",
        methods: "methods",
        headers: "headers",
    }
    /// Which token.
    TokenFile, "routes.NAME.token", {
        issuer: "issuer",
        scopes: "scopes",
        claims: "claims",
        typ: "typ",
        bound_to_certificate: "bound_to_certificate",
        dpop: "dpop",
        any: "any",
        from: "from",
    }
    /// What a claim must be.
    ClaimFile, "routes.NAME.token.claims.NAME", {
        one_of: "one_of",
        matches: "matches",
    }
    /// Who else is asked, and whether the answer counts.
    ExternallyAuthorizedFile, "routes.NAME.external_authorization", {
        by: "by",
        report_only: "report_only",
    }
    /// What the client's token is exchanged for.
    ExchangeFile, "routes.NAME.exchange", {
        client: "client",
        url: "url",
        tls: "tls",
        audience: "audience",
        resource: "resource",
        scopes: "scopes",
        subject_token_type: "subject_token_type",
        requested_token_type: "requested_token_type",
        timeout: "timeout",
        cache: "cache",
    }
    /// Which API key.
    ApiKeyFile, "routes.NAME.api_key", {
        list: "list",
        scopes: "scopes",
        claims: "claims",
    }
    /// How often.
    LimitFile, "routes.NAME.limits[]", {
        rate: "rate",
        burst: "burst",
        per: "per",
    }
    /// What the service is told.
    ForwardFile, "routes.NAME.forward", {
        x_forwarded: "x_forwarded",
        forwarded: "forwarded",
        client_cert: "client_cert",
        client_cert_chain: "client_cert_chain",
        xfcc: "xfcc",
        identity: "identity",
        signed_identity: "signed_identity",
        authorization: "authorization",
        api_key: "api_key",
    }
    /// A rehearsal.
    TestFile, "tests[]", {
        request: "request",
        expect: "expect",
    }
    /// Its request.
    TestRequestFile, "tests[].request", {
        method: "method",
        url: "url",
        listener: "listener",
        client: "client",
        claims: "claims",
        headers: "headers",
    }
    /// What must come of it.
    ExpectFile, "tests[].expect", {
        route: "route",
        refusal: "refusal",
    }
}
