//! [`Question`]: what an authorization service is told of a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use prost::Message as _;

use super::message::{
    Address, AttributeContext, CheckRequest, HttpRequest, Peer, Request, SocketAddress, Timestamp,
    TlsSession,
};
use crate::identity::fields::folded;

/// A request that everything else lets through.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// `X-Request-Id`, as the service gets it.
    pub id: &'q str,
    /// Seconds since 1970.
    pub now: u64,
    /// The method.
    pub method: &'q Method,
    /// The host, canonical, with the port if one was named.
    pub host: &'q str,
    /// The path as routes compare it, with the query.
    pub target: &'q str,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// Bytes of the body, as far as they were told.
    pub size: Option<u64>,
    /// The header fields, without those that only the gateway may set.
    pub headers: &'q HeaderMap,
    /// What of `Cookie` may be told: neither sessions of the gateway's logins nor tokens.
    pub cookies: Option<&'q [u8]>,
    /// Fields that carry the route's own credentials: withheld as all credentials are.
    pub credentials: &'q [HeaderName],
    /// Who asks, for a fair share among clients; not told.
    pub client: &'q str,
    /// Where the connection came from.
    pub source: SocketAddr,
    /// What the client's certificate states, if it showed one.
    pub principal: Option<&'q str>,
    /// The certificate itself (DER).
    pub certificate: Option<&'q [u8]>,
    /// The name that the client asked for in the handshake.
    pub server_name: Option<&'q str>,
    /// What the gateway knows besides, by name.
    pub context: &'q [(&'static str, &'q str)],
}

/// What of it is told.
#[derive(Debug)]
pub(super) struct Telling {
    /// Whether the client's certificate is.
    pub(super) certificate: bool,
    /// The only credentials that are.
    pub(super) credentials: Box<[HeaderName]>,
    /// What only the answer says.
    pub(super) of_answer: Box<[HeaderName]>,
}

impl Question<'_> {
    /// As bytes of a `CheckRequest`. About as many as the head of the request has, which is bounded.
    pub(super) fn encode(&self, telling: &Telling) -> Bytes {
        let certificate = self.certificate.filter(|_| telling.certificate);
        let context = self.context.iter();
        let context = context.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let attributes = AttributeContext {
            source: Some(Peer {
                address: Some(address(self.source)),
                service: String::new(),
                principal: self.principal.unwrap_or_default().to_owned(),
                certificate: certificate.map(url_encoded_pem).unwrap_or_default(),
            }),
            destination: Some(Peer::default()),
            request: Some(Request {
                time: Some(Timestamp {
                    seconds: i64::try_from(self.now).unwrap_or(i64::MAX),
                    nanos: 0,
                }),
                http: Some(self.http(telling)),
            }),
            context_extensions: context.collect(),
            tls_session: self.server_name.map(|name| TlsSession {
                sni: name.to_owned(),
            }),
        };
        let request = CheckRequest {
            attributes: Some(attributes),
        };
        request.encode_to_vec().into()
    }

    fn http(&self, telling: &Telling) -> HttpRequest {
        let size = self.size.and_then(|size| i64::try_from(size).ok());
        HttpRequest {
            id: self.id.to_owned(),
            method: self.method.as_str().to_owned(),
            headers: self.headers(telling),
            path: self.target.to_owned(),
            host: self.host.to_owned(),
            scheme: "https".to_owned(),
            size: size.unwrap_or(UNKNOWN),
            protocol: self.protocol.to_owned(),
        }
    }

    /// Fields by name, several of one name as one: a text, so that bytes which are none are replaced.
    fn headers(&self, telling: &Telling) -> BTreeMap<String, String> {
        let told = |name: &&HeaderName| {
            if is_credential(name) || self.credentials.contains(name) {
                telling.credentials.contains(name)
            } else {
                let mut of_answer = telling.of_answer.iter();
                !of_answer.any(|other| folded(name.as_str()) == folded(other.as_str()))
            }
        };
        let field = |name: &HeaderName| {
            let values = self.headers.get_all(name).iter();
            let values: Vec<_> = values.map(HeaderValue::as_bytes).collect();
            let value = match *name == COOKIE {
                true => self.cookies?.to_vec(),
                false => values.join(&b","[..]),
            };
            let text = String::from_utf8_lossy(&value).into_owned();
            Some((name.as_str().to_owned(), text))
        };
        self.headers.keys().filter(told).filter_map(field).collect()
    }
}

/// What Envoy says of a body whose length was not told.
const UNKNOWN: i64 = -1;

/// Whether whoever reads the field can be the client.
pub(super) fn is_credential(name: &HeaderName) -> bool {
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name) || name == "dpop"
}

fn address(of: SocketAddr) -> Address {
    Address {
        socket_address: Some(SocketAddress {
            address: of.ip().to_canonical().to_string(),
            port_value: Some(u32::from(of.port())),
        }),
    }
}

/// PEM in percent-encoding, as Envoy tells certificates.
fn url_encoded_pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in base64.chars().enumerate() {
        if index > 0 && index.is_multiple_of(PEM_COLUMNS) {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    let mut encoded = String::with_capacity(pem.len().saturating_mul(2));
    for byte in pem.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

const PEM_COLUMNS: usize = 64;
