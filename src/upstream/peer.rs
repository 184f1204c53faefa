//! [`peer()`]: an endpoint and a policy as pingora wants them.

use pingora::protocols::ALPN;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::tls::CustomALPN;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, PeerOptions, Scheme};

use crate::config::spec::UpstreamTimeouts;

use super::endpoints::Endpoint;
use super::policy::Policy;

/// Whether a request may become another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrades {
    /// No: the fields of an upgrade are not forwarded.
    Refused,
    /// To WebSocket, and to nothing else.
    WebSocket,
}

/// What sends pingora to our connector. It is no protocol of TLS: we offer `http/1.1` there.
const ROUTE_TO_US: &[u8] = b"portcullis-mtls";

/// The peer for one request: pingora takes a pooled connection of this endpoint and this policy, or
/// asks [`super::MtlsConnector`] for one. Each wait on it has an end.
#[must_use]
pub fn peer(
    endpoint: &Endpoint,
    policy: &Policy,
    timeouts: &UpstreamTimeouts,
    upgrades: Upgrades,
) -> Box<HttpPeer> {
    let mut options = PeerOptions::new();
    options.alpn = ALPN::Custom(CustomALPN::new(ROUTE_TO_US.to_vec()));
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.response);
    options.write_timeout = Some(timeouts.response);
    options.idle_timeout = Some(timeouts.idle);
    options.http_upstream_request_policy = match upgrades {
        Upgrades::Refused => HttpUpstreamRequestPolicy::deny_upgrades(),
        Upgrades::WebSocket => HttpUpstreamRequestPolicy::standard(),
    };
    Box::new(HttpPeer {
        _address: SocketAddr::Inet(endpoint.address),
        scheme: Scheme::HTTPS,
        sni: policy.server_name.to_string(),
        proxy: None,
        client_cert_key: None,
        group_key: policy.group_key,
        options,
    })
}
