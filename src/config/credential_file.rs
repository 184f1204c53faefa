//! The shape of the YAML, as in [`super::file`]: the sections that say how callers show for whom they
//! act, and who is asked about it.

use super::file::sections;
use super::node::{Field, Node};

sections! {
    /// Who we are to an authorization server.
    OauthClientFile, "oauth_clients.NAME", {
        client_id: "client_id",
        secret_file: "secret_file",
        private_key_jwt: "private_key_jwt",
        tls: "tls",
    }
    /// The key that signs who we are.
    PrivateKeyJwtFile, "oauth_clients.NAME.private_key_jwt", {
        key_file: "key_file",
        kid: "kid",
        algorithm: "algorithm",
        audience: "audience",
    }
    /// Whose tokens we accept.
    IssuerFile, "issuers.NAME", {
        issuer: "issuer",
        audiences: "audiences",
        algorithms: "algorithms",
        keys: "keys",
        introspection: "introspection",
        leeway: "leeway",
        trust_domain: "trust_domain",
        typ: "typ",
        max_age: "max_age",
        scopes_claim: "scopes_claim",
        dpop: "dpop",
    }
    /// Which proofs are taken with its tokens.
    DpopFile, "issuers.NAME.dpop", {
        algorithms: "algorithms",
        window: "window",
        nonces: "nonces",
        nonce_lifetime: "nonce_lifetime",
        nonce_keys: "nonce_keys",
    }
    /// Where the keys of an issuer are.
    IssuerKeysFile, "issuers.NAME.keys", {
        file: "file",
        url: "url",
        discovery: "discovery",
        tls: "tls",
        refresh: "refresh",
        cool_down: "cool_down",
        max_stale: "max_stale",
        timeout: "timeout",
    }
    /// How often keys are fetched.
    RefreshFile, "issuers.NAME.keys.refresh", {
        min: "min",
        max: "max",
    }
    /// How an issuer is asked about tokens.
    IntrospectionFile, "issuers.NAME.introspection", {
        url: "url",
        tls: "tls",
        client: "client",
        tokens: "tokens",
        signed: "signed",
        audience: "audience",
        cache: "cache",
        negative_cache: "negative_cache",
        timeout: "timeout",
        concurrency: "concurrency",
        when_away: "when_away",
        max_stale: "max_stale",
        share_key: "share_key",
    }
    /// TLS towards whatever the gateway asks over HTTPS.
    FetchTlsFile, "issuers.NAME.keys.tls", {
        trust: "trust",
        ca: "ca",
        identity: "identity",
    }
    /// How browsers log in.
    LoginFile, "logins.NAME", {
        issuer: "issuer",
        client: "client",
        tls: "tls",
        endpoints: "endpoints",
        scopes: "scopes",
        callback: "callback",
        logout: "logout",
        after_logout: "after_logout",
        back_channel: "back_channel",
        cookie: "cookie",
        keys: "keys",
        session: "session",
        bound_to_certificate: "bound_to_certificate",
        forward_access_token: "forward_access_token",
        in_progress: "in_progress",
        login_timeout: "login_timeout",
        timeout: "timeout",
    }
    /// Where the authorization server is asked.
    LoginEndpointsFile, "logins.NAME.endpoints", {
        authorization: "authorization",
        token: "token",
        end_session: "end_session",
    }
    /// How long a session lasts.
    LoginSessionFile, "logins.NAME.session", {
        idle: "idle",
        max: "max",
    }
    /// Whose API keys we accept.
    ApiKeysFile, "api_keys.NAME", {
        file: "file",
        header: "header",
    }
    /// What several gateways share.
    SharedStateFile, "shared_state", {
        redis: "redis",
    }
    /// The store through which they do.
    RedisFile, "shared_state.redis", {
        endpoints: "endpoints",
        cluster: "cluster",
        username: "username",
        password_file: "password_file",
        timeout: "timeout",
        prefix: "prefix",
        tls: "tls",
        when_away: "when_away",
    }
}
