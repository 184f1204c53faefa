//! The table of all ways in which a handshake fails: each is provoked over a real socket and must
//! be counted once, under its own reason and no other.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis::handshake_failure::HandshakeFailure as Reason;
use rcgen::{CustomExtension, GeneralSubtree, NameConstraints};
use rustls::CertificateError;
use rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier as Verifier,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::hello::{Hello, alert};
use crate::bench::client::{Client, HOST};
use crate::bench::config::Config;
use crate::bench::gateway::{Gateway, Metrics};
use crate::bench::http1::Wire;
use crate::bench::pki::{Authority, Identity, Leaf};
use crate::bench::service::{Plain, Service};
use crate::bench::{ORDERS_ID, ORDERS_NAME, World, provider, within};

/// The counter of this table.
pub const HANDSHAKES: &str = "portcullis_handshakes_total";

/// One way to fail.
struct Row {
    reason: Reason,
    what: &'static str,
    cause: Cause,
}

/// Who does what.
enum Cause {
    /// A client of the listener `edge`.
    Client(Client),
    /// A client that refuses the listener's certificate for this reason.
    Refusing(CertificateError),
    /// Bytes on a bare connection, which then waits for the end.
    Bytes(Vec<u8>),
    /// A ClientHello, and when it was answered, this alert.
    Alert(u8),
    /// Bytes on a bare connection, which is closed after them.
    Close(Vec<u8>),
    /// Bytes on a bare connection to a listener that waits 200 ms.
    Hasty(Vec<u8>),
    /// A service that shows this certificate.
    Service(Identity),
    /// A service that offers these protocols.
    ServiceAlpn(&'static [&'static str]),
    /// A service that takes no client of our authority.
    ServiceRefuses,
    /// A service that is accepted by a pin which is not that of its key.
    ServicePinned(Identity),
    /// Something that answers our ClientHello with these bytes and then is silent.
    ServiceSays(Vec<u8>),
    /// Something that closes after it has read our ClientHello.
    ServiceCloses,
}

impl Cause {
    const fn is_upstream(&self) -> bool {
        matches!(
            self,
            Self::Service(_)
                | Self::ServiceAlpn(_)
                | Self::ServiceRefuses
                | Self::ServicePinned(_)
                | Self::ServiceSays(_)
                | Self::ServiceCloses
        )
    }
}

fn web(leaf: Leaf) -> Leaf {
    leaf.spiffe("spiffe://partners.example/web/a")
}

fn orders(leaf: Leaf) -> Leaf {
    leaf.spiffe(ORDERS_ID).dns(ORDERS_NAME)
}

/// The last byte of the certificate, which is in its signature, is another.
fn tampered(identity: &Identity) -> Identity {
    let mut other = identity.duplicate();
    let mut der = other.chain[0].to_vec();
    *der.last_mut().expect("bytes") ^= 1;
    other.chain[0] = der.into();
    other
}

fn names(leaf: Leaf, count: usize) -> Leaf {
    (0..count).fold(leaf, |leaf, number| {
        leaf.dns(&format!("n{number}.example.com"))
    })
}

/// An authority below the partners' that may only sign for one name.
fn constrained(above: &Authority) -> Authority {
    above.intermediate_with("constrained", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("only.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    })
}

/// A leaf whose alternative names are no list.
fn with_broken_names(leaf: Leaf) -> Leaf {
    leaf.change(|params| {
        params.subject_alt_names.clear();
        // subjectAltName whose value is no sequence.
        let broken = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![4, 1, 0]);
        params.custom_extensions.push(broken);
    })
}

/// The table. `world` signs, `gateway` is where clients connect.
fn rows(world: &World, gateway: &Gateway) -> Vec<Row> {
    let mut rows = downstream_certificates(world, gateway);
    rows.extend(downstream_protocol(world, gateway));
    rows.extend(downstream_alerts());
    rows.extend(upstream_certificates(world));
    rows.extend(upstream_protocol());
    rows
}

fn row(reason: Reason, what: &'static str, cause: Cause) -> Row {
    Row {
        reason,
        what,
        cause,
    }
}

fn downstream_certificates(world: &World, gateway: &Gateway) -> Vec<Row> {
    let partners = &world.partners;
    let shows = |identity: &Identity| Cause::Client(gateway.client(identity));
    let issued = |leaf: Leaf| shows(&partners.issue(leaf));
    let client = || web(Leaf::client("client"));
    let good = partners.issue(client());
    let another = partners.issue(client());
    let over = Authority::with("partners that are over", |params| {
        params.not_after = params.not_before;
    });
    let namesake = Authority::new("partners");
    let junk = vec![CertificateDer::from(vec![0x30, 3, 1, 2, 3])];
    let mut long = good.chain.clone();
    long.extend((0..60).map(|n| Authority::new(&format!("junk {n}")).der().clone()));
    vec![
        row(
            Reason::CertificateMissing,
            "no certificate",
            Cause::Client(gateway.anonymous()),
        ),
        row(
            Reason::CertificateMissing,
            "no certificate, TLS 1.2",
            Cause::Client(gateway.anonymous().versions(&[&rustls::version::TLS12])),
        ),
        row(
            Reason::CertificateExpired,
            "expired",
            issued(client().expired()),
        ),
        row(
            Reason::CertificateExpired,
            "expired, TLS 1.2",
            Cause::Client(
                gateway
                    .client(&partners.issue(client().expired()))
                    .versions(&[&rustls::version::TLS12]),
            ),
        ),
        row(
            Reason::CertificateNotYetValid,
            "too early",
            issued(client().not_yet_valid()),
        ),
        row(
            Reason::UnknownIssuer,
            "of a stranger",
            shows(&world.stranger.issue(client())),
        ),
        row(
            Reason::UnknownIssuer,
            "of a stranger that is over",
            shows(&over.issue(client())),
        ),
        row(
            Reason::UnknownIssuer,
            "of the services' authority",
            shows(&world.mesh.issue(client())),
        ),
        row(
            Reason::BadSignature,
            "of a namesake of the authority",
            shows(&namesake.issue(client())),
        ),
        row(
            Reason::BadSignature,
            "changed after it was signed",
            shows(&tampered(&good)),
        ),
        row(
            Reason::BadSignature,
            "without its key",
            Cause::Client(gateway.client(&good).chain(another.chain.clone())),
        ),
        row(
            Reason::BadSignature,
            "without its key, TLS 1.2",
            Cause::Client(
                gateway
                    .client(&good)
                    .chain(another.chain)
                    .versions(&[&rustls::version::TLS12]),
            ),
        ),
        row(
            Reason::WrongUsage,
            "of a server",
            issued(web(Leaf::server("x"))),
        ),
        row(
            Reason::WrongUsage,
            "of an authority",
            issued(client().authority()),
        ),
        row(
            Reason::SeveralSpiffeNames,
            "two SPIFFE IDs",
            issued(client().spiffe("spiffe://partners.example/web/b")),
        ),
        row(
            Reason::SeveralSpiffeNames,
            "a SPIFFE ID after another URI",
            issued(
                Leaf::client("x")
                    .spiffe("https://a.example")
                    .spiffe("SPIFFE://b.example/c"),
            ),
        ),
        row(
            Reason::CertificateMalformed,
            "a critical extension that nobody knows",
            issued(client().unknown_extension(true)),
        ),
        row(
            Reason::CertificateMalformed,
            "257 names",
            issued(names(client(), 256)),
        ),
        row(
            Reason::CertificateMalformed,
            "outside of its authority's name constraints",
            shows(&constrained(partners).issue(client().dns("other.example"))),
        ),
        row(
            Reason::CertificateMalformed,
            "names that cannot be read",
            issued(with_broken_names(client())),
        ),
        row(
            Reason::CertificateMalformed,
            "no certificate at all, in its place",
            Cause::Client(gateway.client(&good).chain(junk)),
        ),
        row(
            Reason::CertificateMalformed,
            "60 junk certificates behind it",
            Cause::Client(gateway.client(&good).chain(long)),
        ),
    ]
}

fn downstream_protocol(world: &World, gateway: &Gateway) -> Vec<Row> {
    let good = world.web();
    let asks_for = |name: &str| Cause::Client(gateway.client(&good).name(name));
    let hello = || Hello::tls12(HOST);
    let named = |name: &[u8]| {
        let server_name = Some(name.to_vec());
        Cause::Bytes(
            Hello {
                server_name,
                ..hello()
            }
            .record(),
        )
    };
    let half = hello().record()[..40].to_vec();
    vec![
        row(
            Reason::ProtocolMalformed,
            "noise",
            Cause::Bytes(vec![0x80; 64]),
        ),
        row(
            Reason::ProtocolMalformed,
            "a record without end",
            Cause::Bytes(vec![22, 3, 1, 0xff, 0xff]),
        ),
        row(
            Reason::ProtocolMalformed,
            "a ServerHello",
            Cause::Bytes(vec![22, 3, 1, 0, 4, 2, 0, 0, 0]),
        ),
        row(
            Reason::ProtocolMalformed,
            "data first",
            Cause::Bytes(vec![23, 3, 3, 0, 3, 1, 2, 3]),
        ),
        row(
            Reason::ProtocolMalformed,
            "a name that is none, by TLS",
            named(b"a b"),
        ),
        row(
            Reason::ProtocolMalformed,
            "a name with a NUL",
            named(b"api.example.com\0.evil"),
        ),
        row(
            Reason::NoCommonVersion,
            "TLS 1.1",
            Cause::Bytes(
                Hello {
                    version: 0x0302,
                    ..hello()
                }
                .record(),
            ),
        ),
        row(
            Reason::NoCommonVersion,
            "SSL 3",
            Cause::Bytes(
                Hello {
                    version: 0x0300,
                    ..hello()
                }
                .record(),
            ),
        ),
        row(
            Reason::NoCommonVersion,
            "TLS 1.1 said in the way of TLS 1.3",
            Cause::Bytes(
                Hello {
                    versions: Some(vec![0x0302]),
                    ..hello()
                }
                .record(),
            ),
        ),
        row(
            Reason::NoCommonCipherSuite,
            "RSA key exchange",
            Cause::Bytes(
                Hello {
                    suites: vec![0x002f, 0x0035],
                    ..hello()
                }
                .record(),
            ),
        ),
        row(
            Reason::NoCommonCipherSuite,
            "CBC",
            Cause::Bytes(
                Hello {
                    suites: vec![0xc009, 0xc013],
                    ..hello()
                }
                .record(),
            ),
        ),
        row(
            Reason::NoCommonGroup,
            "secp521r1 alone",
            Cause::Bytes(
                Hello {
                    groups: vec![25],
                    ..Hello::tls13(HOST)
                }
                .record(),
            ),
        ),
        row(
            Reason::NoCommonSignature,
            "RSA alone",
            Cause::Bytes(
                Hello {
                    signatures: vec![0x0804],
                    ..Hello::tls13(HOST)
                }
                .record(),
            ),
        ),
        row(
            Reason::NoCommonAlpn,
            "SPDY",
            Cause::Client(gateway.client(&good).alpn(&["spdy/3", "http/1.0"])),
        ),
        row(
            Reason::UnknownServerName,
            "another host",
            asks_for("other.example.com"),
        ),
        row(
            Reason::UnknownServerName,
            "below the host",
            asks_for("x.api.example.com"),
        ),
        row(
            Reason::UnknownServerName,
            "above the wildcard",
            asks_for("example.org"),
        ),
        row(
            Reason::UnknownServerName,
            "two labels below the wildcard",
            asks_for("a.b.example.org"),
        ),
        row(Reason::PeerClosed, "nothing", Cause::Close(Vec::new())),
        row(
            Reason::PeerClosed,
            "half a ClientHello",
            Cause::Close(half.clone()),
        ),
        row(
            Reason::PeerClosed,
            "a ClientHello and no more",
            Cause::Close(hello().record()),
        ),
        row(Reason::TimedOut, "silence", Cause::Hasty(Vec::new())),
        row(
            Reason::TimedOut,
            "half a ClientHello, and then silence",
            Cause::Hasty(half),
        ),
        row(
            Reason::TimedOut,
            "a ClientHello, and then silence",
            Cause::Hasty(hello().record()),
        ),
        row(
            Reason::PlainHttp,
            "a request",
            Cause::Bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ),
        row(
            Reason::PlainHttp,
            "the preface of h2",
            Cause::Bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ),
        row(
            Reason::Other,
            "no compression method that is none",
            Cause::Bytes(
                Hello {
                    compression: vec![1],
                    ..hello()
                }
                .record(),
            ),
        ),
    ]
}

fn downstream_alerts() -> Vec<Row> {
    let refusing = Cause::Refusing;
    let says = Cause::Alert;
    vec![
        row(
            Reason::AlertBadCertificate,
            "bad_certificate",
            refusing(CertificateError::BadEncoding),
        ),
        row(
            Reason::AlertBadCertificate,
            "unsupported_certificate",
            refusing(CertificateError::InvalidPurpose),
        ),
        row(Reason::AlertBadCertificate, "certificate_unknown", says(46)),
        row(
            Reason::AlertUnknownCa,
            "unknown_ca",
            refusing(CertificateError::UnknownIssuer),
        ),
        row(
            Reason::AlertCertificateExpired,
            "certificate_expired",
            refusing(CertificateError::Expired),
        ),
        row(
            Reason::AlertCertificateExpired,
            "certificate_revoked",
            refusing(CertificateError::Revoked),
        ),
        row(
            Reason::AlertCertificateRequired,
            "certificate_required",
            says(116),
        ),
        row(Reason::AlertHandshakeFailure, "handshake_failure", says(40)),
        row(
            Reason::AlertUnrecognizedName,
            "unrecognized_name",
            says(112),
        ),
        row(
            Reason::AlertOther,
            "access_denied",
            refusing(CertificateError::ApplicationVerificationFailure),
        ),
        row(Reason::AlertOther, "internal_error", says(80)),
        row(Reason::PeerClosed, "user_canceled", says(90)),
    ]
}

fn upstream_certificates(world: &World) -> Vec<Row> {
    let mesh = &world.mesh;
    let issued = |leaf: Leaf| Cause::Service(mesh.issue(leaf));
    let server = || orders(Leaf::server("service"));
    let other = "spiffe://mesh.example/ns/shop/sa/billing";
    let of = |id: &str| Leaf::server("service").dns(ORDERS_NAME).spiffe(id);
    let good = mesh.issue(server());
    let namesake = Authority::new("mesh");
    vec![
        row(
            Reason::CertificateExpired,
            "expired",
            issued(server().expired()),
        ),
        row(
            Reason::CertificateNotYetValid,
            "too early",
            issued(server().not_yet_valid()),
        ),
        row(
            Reason::UnknownIssuer,
            "of a stranger",
            Cause::Service(world.stranger.issue(server())),
        ),
        row(
            Reason::UnknownIssuer,
            "of the clients' authority",
            Cause::Service(world.partners.issue(server())),
        ),
        row(
            Reason::BadSignature,
            "of a namesake",
            Cause::Service(namesake.issue(server())),
        ),
        row(
            Reason::BadSignature,
            "changed after it was signed",
            Cause::Service(tampered(&good)),
        ),
        row(
            Reason::WrongUsage,
            "of a client",
            issued(orders(Leaf::client("x"))),
        ),
        row(
            Reason::WrongUsage,
            "of an authority",
            issued(server().authority()),
        ),
        row(
            Reason::SeveralSpiffeNames,
            "two SPIFFE IDs",
            issued(server().spiffe(other)),
        ),
        row(
            Reason::CertificateMalformed,
            "257 names",
            issued(names(server(), 256)),
        ),
        row(
            Reason::CertificateMalformed,
            "outside of its authority's name constraints",
            Cause::Service(constrained(mesh).issue(server())),
        ),
        row(
            Reason::IdentityMismatch,
            "another service of the same authority",
            issued(of(other)),
        ),
        row(
            Reason::IdentityMismatch,
            "below the identity",
            issued(of(&format!("{ORDERS_ID}/x"))),
        ),
        row(
            Reason::IdentityMismatch,
            "the name of the identity alone",
            issued(Leaf::server("x").dns(ORDERS_NAME)),
        ),
        row(
            Reason::IdentityMismatch,
            "the common name alone",
            issued(Leaf::server(ORDERS_ID)),
        ),
        row(
            Reason::PinMismatch,
            "another key",
            Cause::ServicePinned(mesh.issue(server())),
        ),
    ]
}

fn upstream_protocol() -> Vec<Row> {
    let says = |description| Cause::ServiceSays(alert(description));
    vec![
        row(
            Reason::ProtocolMalformed,
            "HTTP",
            Cause::ServiceSays(b"HTTP/1.1 400 No\r\n\r\n".to_vec()),
        ),
        row(
            Reason::ProtocolMalformed,
            "a ClientHello",
            Cause::ServiceSays(Hello::tls12(HOST).record()),
        ),
        row(Reason::NoCommonVersion, "protocol_version", says(70)),
        row(
            Reason::NoCommonAlpn,
            "h2 alone",
            Cause::ServiceAlpn(&["h2"]),
        ),
        row(Reason::AlertBadCertificate, "bad_certificate", says(42)),
        row(
            Reason::AlertUnknownCa,
            "it does not know our authority",
            Cause::ServiceRefuses,
        ),
        row(Reason::AlertUnknownCa, "unknown_ca", says(48)),
        row(
            Reason::AlertCertificateExpired,
            "certificate_expired",
            says(45),
        ),
        row(
            Reason::AlertCertificateRequired,
            "certificate_required",
            says(116),
        ),
        row(Reason::AlertHandshakeFailure, "handshake_failure", says(40)),
        row(
            Reason::AlertUnrecognizedName,
            "unrecognized_name",
            says(112),
        ),
        row(Reason::AlertOther, "access_denied", says(49)),
        row(Reason::PeerClosed, "it closes", Cause::ServiceCloses),
        row(
            Reason::TimedOut,
            "it is silent",
            Cause::ServiceSays(Vec::new()),
        ),
    ]
}

/// A client's verifier that refuses.
#[derive(Debug)]
struct Refuse(CertificateError);

impl Verifier for Refuse {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(self.0.clone().into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Does what the row says, from the client's side.
async fn attack(gateway: &Gateway, client: &Client, cause: Cause) {
    let hasty = client.clone().address(gateway.address("hasty"));
    match cause {
        Cause::Client(client) => drop(client.rejection().await),
        Cause::Refusing(error) => {
            let mut config = client.config();
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(Refuse(error)));
            let name = ServerName::try_from(HOST).expect("a name");
            let tcp = client.tcp().await.expect("TCP");
            let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
            within("a handshake", connecting)
                .await
                .expect_err("a refusal");
        }
        Cause::Bytes(bytes) => drop(talk(client, &bytes).await),
        Cause::Hasty(bytes) => drop(talk(&hasty, &bytes).await),
        Cause::Alert(description) => {
            let mut wire = Wire::new(client.tcp().await.expect("TCP"));
            wire.send(Hello::tls12(HOST).record()).await.expect("send");
            within("a ServerHello", wire.fill())
                .await
                .expect("an answer");
            wire.send(alert(description)).await.expect("send");
            drop(within("the end", wire.read_to_end()).await);
        }
        Cause::Close(bytes) => {
            let mut tcp = client.tcp().await.expect("TCP");
            tcp.write_all(&bytes).await.expect("send");
            tcp.shutdown().await.expect("close");
        }
        _ => unreachable!("an upstream row"),
    }
}

/// Sends bytes on a bare connection and returns what came until it was closed.
pub async fn talk(client: &Client, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = client.tcp().await.expect("TCP");
    let mut answer = Vec::new();
    tcp.write_all(bytes).await.expect("send");
    // A reset is an end as well.
    drop(within("the end", tcp.read_to_end(&mut answer)).await);
    answer
}

/// What stands behind the gateway for one upstream row. Kept until the row is done.
enum Behind {
    Service(Service),
    Plain(Plain),
    Closer(SocketAddr),
}

impl Behind {
    async fn start(world: &World, cause: &Cause) -> Self {
        match cause {
            Cause::Service(identity) | Cause::ServicePinned(identity) => {
                Self::Service(world.service_as(identity).start().await)
            }
            Cause::ServiceAlpn(names) => Self::Service(world.orders().alpn(names).start().await),
            Cause::ServiceRefuses => {
                let identity = world.mesh.issue(orders(Leaf::server("service")));
                Self::Service(Service::builder(&identity, &world.stranger).start().await)
            }
            Cause::ServiceSays(bytes) => Self::Plain(Plain::start(bytes).await),
            Cause::ServiceCloses => Self::Closer(closer().await),
            _ => unreachable!("a downstream row"),
        }
    }

    const fn address(&self) -> SocketAddr {
        match self {
            Self::Service(service) => service.address,
            Self::Plain(plain) => plain.address,
            Self::Closer(address) => *address,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Service(service) => service.bytes(),
            Self::Plain(_) | Self::Closer(_) => 0,
        }
    }
}

async fn closer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            // All of the ClientHello, so that what follows is an end and no reset.
            drop(tcp.read(&mut [0; 16 * 1024]).await);
        }
    });
    address
}

/// Series whose count changed, as `side/name/reason`.
fn changed(before: &Metrics, after: &Metrics) -> Vec<(String, f64)> {
    let key = |labels: &std::collections::BTreeMap<String, String>| {
        ["side", "name", "reason"]
            .map(|label| labels[label].clone())
            .join("/")
    };
    let failed = |metrics: &Metrics| -> Vec<(String, f64)> {
        let all = metrics.series(HANDSHAKES, &[("result", "failed")]);
        all.iter()
            .map(|series| (key(&series.labels), series.value))
            .collect()
    };
    let before = failed(before);
    let differs = |(name, value): (String, f64)| {
        let old = before
            .iter()
            .find(|(old, _)| *old == name)
            .map_or(0.0, |(_, old)| *old);
        (value > old).then_some((name, value - old))
    };
    failed(after).into_iter().filter_map(differs).collect()
}

fn config(world: &World) -> Config {
    let mut config = world.config();
    let mut hasty = config.get("listeners.edge").clone();
    hasty["limits"] = serde_json::json!({ "handshake_timeout": "200ms" });
    config.set("listeners.hasty", hasty);
    config
}

#[tokio::test]
async fn each_failure_of_a_client_is_counted_under_its_own_reason() {
    let world = World::new();
    let gateway = world.gateway_with(&config(&world)).await;
    let client = gateway.client(&world.web());
    let mut wrong = Vec::new();
    for row in rows(&world, &gateway) {
        if row.cause.is_upstream() {
            continue;
        }
        let listener = if matches!(row.cause, Cause::Hasty(_)) {
            "hasty"
        } else {
            "edge"
        };
        let before = gateway.metrics().await;
        let total = before.value(HANDSHAKES, &[]);
        attack(&gateway, &client, row.cause).await;
        gateway
            .wait_for_metric(HANDSHAKES, &[], |now| now > total)
            .await;
        let came = changed(&before, &gateway.metrics().await);
        let want = format!("downstream/{listener}/{}", row.reason.reason());
        if came != [(want.clone(), 1.0)] {
            wrong.push(format!("{}: {came:?} instead of {want}", row.what));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let edge = [("side", "downstream"), ("name", "edge")];
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.value("portcullis_handshakes_in_progress", &edge),
        0.0
    );
    let failed = [edge[0], ("result", "failed")];
    let counted = metrics.value(HANDSHAKES, &failed);
    let timed = metrics.value("portcullis_handshake_duration_seconds_count", &failed);
    assert_eq!(counted, timed, "each failure has a duration");
    assert_eq!(
        client.get("/nothing").await.status,
        404,
        "and the listener serves on"
    );
}

#[tokio::test]
async fn each_failure_of_a_service_is_counted_under_its_own_reason_and_it_is_told_nothing() {
    let world = World::new();
    let mut config = config(&world);
    // Rows need a gateway for clients; these are not used here.
    let clients = world.gateway_with(&config).await;
    let mut behind = Vec::new();
    let rows = rows(&world, &clients).into_iter();
    drop(clients);
    for (number, row) in rows.filter(|row| row.cause.is_upstream()).enumerate() {
        let service = Behind::start(&world, &row.cause).await;
        let name = format!("s{number}");
        let pin = format!("pin:sha256/{}", world.gateway_identity.pin());
        let accept = if matches!(row.cause, Cause::ServicePinned(_)) {
            &pin
        } else {
            ORDERS_ID
        };
        config.upstream(&name, service.address(), ORDERS_NAME, &[accept]);
        let wait = if row.reason == Reason::TimedOut {
            "300ms"
        } else {
            "5s"
        };
        config.set(&format!("upstreams.{name}.timeouts.connect"), wait);
        config.route(&name, &format!("/{name}"), &name);
        behind.push((name, row, service));
    }
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let mut wrong = Vec::new();
    for (name, row, service) in &behind {
        let before = gateway.metrics().await;
        let answer = client.get(&format!("/{name}")).await;
        let status = if row.reason == Reason::TimedOut {
            504
        } else {
            502
        };
        let came = changed(&before, &gateway.metrics().await);
        let want = format!("upstream/{name}/{}", row.reason.reason());
        if came != [(want.clone(), 1.0)] || answer.status != status || service.bytes() > 0 {
            let (status, bytes) = (answer.status, service.bytes());
            wrong.push(format!(
                "{}: {came:?}, {status}, {bytes} bytes; not {want}",
                row.what
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn every_reason_has_a_row() {
    let world = World::new();
    let gateway = world.gateway_with(&config(&world)).await;
    let rows = rows(&world, &gateway);
    let missing: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| !rows.iter().any(|row| row.reason == **reason))
        .collect();
    assert!(missing.is_empty(), "no row provokes {missing:?}");
}
