//! The access log: one line for each request, at its end.
//!
//! What the line cannot hold, it cannot leak: there is no place for a token, a cookie, a header
//! field or a query. `docs/metrics.md` lists the fields.

use std::net::SocketAddr;
use std::time::Duration;

use super::escape::Cut;
use super::tls_facts::TlsFacts;
use crate::detail::Detail;
use crate::refusal::Refusal;

/// What is said about one request. Texts may come from outside: they are cut to 200 characters
/// and escaped here.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine<'a> {
    /// `X-Request-Id`, as the service got it.
    pub request_id: &'a str,
    /// The trace id of `traceparent`, 32 hexadecimal digits.
    pub trace_id: Option<&'a str>,
    /// The listener.
    pub listener: &'a str,
    /// Where the connection came from.
    pub source: SocketAddr,
    /// The name that the client asked for in the handshake.
    pub sni: Option<&'a str>,
    /// The identity in the client's certificate ([`crate::identity::certificate::PeerIdentity::display`]).
    pub peer: Option<&'a str>,
    /// The common name in the client's certificate: for people, never a credential.
    pub common_name: Option<&'a str>,
    /// For how many seconds the client's certificate was over when its route let it in.
    pub certificate_over: Option<u32>,
    /// The issuer of the token, by its name in the configuration.
    pub issuer: Option<&'a str>,
    /// `sub` of the token.
    pub subject: Option<&'a str>,
    /// The client that the token was given to, where it has no `sub`.
    pub client_id: Option<&'a str>,
    /// The id of the API key that was shown.
    pub api_key: Option<&'a str>,
    /// What of the possession of its token the request did not show, and the route only reports:
    /// `certificate`, `dpop` or `nonce`, with commas between.
    pub possession_reported: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The host.
    pub host: Option<&'a str>,
    /// The path. What follows a `?` or `#` is left out.
    pub path: &'a str,
    /// The route.
    pub route: Option<&'a str>,
    /// The status of the answer; 0 if none was sent.
    pub status: u16,
    /// What came of asking an authorization service.
    pub external_authorization: Option<&'static str>,
    /// Why the request was refused.
    pub refusal: Option<Refusal>,
    /// What of it the reason does not say. Cut where it was made.
    pub detail: Option<&'a Detail>,
    /// The rule of the route's policy that refused the request.
    pub policy_rule: Option<&'a str>,
    /// Why that rule could not be answered.
    pub policy_failure: Option<&'a str>,
    /// The rules that would have refused it, and only report.
    pub policy_would_refuse: Option<&'a str>,
    /// Which bound the client ran into, or that it lost its standing meanwhile.
    pub closed: Option<&'static str>,
    /// The upstream.
    pub upstream: Option<&'a str>,
    /// The endpoint that was asked, `HOST:PORT`.
    pub endpoint: Option<&'a str>,
    /// The identity that the service proved; of a service that was refused, the one that it
    /// showed.
    pub endpoint_identity: Option<&'a str>,
    /// What the client's handshake agreed on.
    pub tls: &'a TlsFacts,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// From the first byte of the request to the last of the answer.
    pub duration: Duration,
    /// What of it was spent on the service.
    pub upstream_duration: Option<Duration>,
}

/// Writes the line.
pub fn access(line: &AccessLine<'_>) {
    fn cut<'a>(text: Option<&'a str>) -> Option<tracing::field::DisplayValue<Cut<'a>>> {
        text.map(|text| tracing::field::display(Cut(text)))
    }
    tracing::info!(
        target: "access",
        request_id = %Cut(line.request_id),
        trace_id = cut(line.trace_id),
        listener = line.listener,
        source = %line.source,
        sni = cut(line.sni),
        peer = cut(line.peer),
        common_name = cut(line.common_name),
        certificate_expired_seconds = line.certificate_over,
        issuer = cut(line.issuer),
        subject = cut(line.subject),
        client_id = cut(line.client_id),
        api_key = line.api_key,
        possession_reported = line.possession_reported,
        method = %Cut(line.method),
        host = cut(line.host),
        path = %Cut(without_query(line.path)),
        route = line.route,
        status = line.status,
        external_authorization = line.external_authorization,
        reason = line.refusal.map(Refusal::reason),
        detail = line.detail.map(Detail::as_str),
        policy_rule = line.policy_rule,
        policy_failure = cut(line.policy_failure),
        policy_would_refuse = line.policy_would_refuse,
        closed = line.closed,
        upstream = line.upstream,
        endpoint = cut(line.endpoint),
        endpoint_identity = cut(line.endpoint_identity),
        tls_version = line.tls.version,
        cipher_suite = line.tls.cipher_suite,
        group = line.tls.group,
        resumed = line.tls.resumed,
        alpn = line.tls.alpn,
        bytes_in = line.bytes_in,
        bytes_out = line.bytes_out,
        duration = line.duration.as_secs_f64(),
        upstream_duration = line.upstream_duration.map(|took| took.as_secs_f64()),
    );
}

/// Queries carry secrets: whatever a caller hands us, they end here.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}
