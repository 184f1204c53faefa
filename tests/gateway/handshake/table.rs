//! The table of all ways in which a handshake fails, with clients here and with services in
//! `services`. `failures` provokes each.

use portcullis::handshake_failure::HandshakeFailure as Reason;
use rcgen::{BasicConstraints, CustomExtension, GeneralSubtree, IsCa, NameConstraints};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;

use super::hello::Hello;
use super::services::{upstream_certificates, upstream_protocol};
use crate::bench::World;
use crate::bench::client::{Client, HOST};
use crate::bench::config::Config;
use crate::bench::crl::Crl;
use crate::bench::gateway::Gateway;
use crate::bench::pki::{Authority, Identity, Leaf};

/// The counter of what this table provokes.
pub(super) const HANDSHAKES: &str = "portcullis_handshakes_total";

/// One way to fail.
pub(super) struct Row {
    pub(super) reason: Reason,
    pub(super) what: &'static str,
    pub(super) cause: Cause,
}

/// Who does what.
pub(super) enum Cause {
    /// A client of the listener `edge`.
    Client(Client),
    /// A client of another listener.
    ClientOf(&'static str, Client),
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
    pub(super) const fn is_upstream(&self) -> bool {
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

pub(super) fn web(leaf: Leaf) -> Leaf {
    leaf.spiffe("spiffe://partners.example/web/a")
}

/// The last byte of the certificate, which is in its signature, is another.
pub(super) fn tampered(identity: &Identity) -> Identity {
    let mut other = identity.duplicate();
    let mut der = other.chain[0].to_vec();
    *der.last_mut().expect("bytes") ^= 1;
    other.chain[0] = der.into();
    other
}

/// A leaf that was signed with SHA-256 and RSA, and says that it was with SHA-1.
pub(super) fn called_sha1(identity: &Identity) -> Identity {
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
    let mut other = identity.duplicate();
    let mut der = other.chain[0].to_vec();
    let (old, new) = ([&RSA[..], &[11]].concat(), [&RSA[..], &[5]].concat());
    for at in 0..der.len() - old.len() {
        if der[at..].starts_with(&old) {
            der[at..at + old.len()].copy_from_slice(&new);
        }
    }
    other.chain[0] = der.into();
    other
}

pub(super) fn names(leaf: Leaf, count: usize) -> Leaf {
    (0..count).fold(leaf, |leaf, number| {
        leaf.dns(&format!("n{number}.example.com"))
    })
}

/// An authority below the partners' that may only sign for one name.
pub(super) fn constrained(above: &Authority) -> Authority {
    above.intermediate_with("constrained", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("only.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    })
}

/// A leaf whose alternative names are no list.
pub(super) fn with_broken_names(leaf: Leaf) -> Leaf {
    leaf.change(|params| {
        params.subject_alt_names.clear();
        // subjectAltName whose value is no sequence.
        let broken = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![4, 1, 0]);
        params.custom_extensions.push(broken);
    })
}

/// The table. `world` signs, `gateway` is where clients connect.
pub(super) fn rows(world: &World, gateway: &Gateway) -> Vec<Row> {
    let mut rows = downstream_certificates(world, gateway);
    rows.extend(downstream_standing(world, gateway));
    rows.extend(downstream_protocol(world, gateway));
    rows.extend(downstream_alerts());
    rows.extend(upstream_certificates(world));
    rows.extend(upstream_protocol());
    rows
}

pub(super) fn row(reason: Reason, what: &'static str, cause: Cause) -> Row {
    Row {
        reason,
        what,
        cause,
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn downstream_certificates(world: &World, gateway: &Gateway) -> Vec<Row> {
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
    let short = partners.intermediate_with("short", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let sha1 = called_sha1(&partners.intermediate_rsa("rsa").issue(client()));
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
            "NUL in a DNS name",
            issued(client().dns("api.example.com\0.evil.example")),
        ),
        row(
            Reason::CertificateMalformed,
            "% in a DNS name",
            issued(client().dns("api%2eexample.com")),
        ),
        row(
            Reason::CertificateMalformed,
            "a URI with *",
            issued(Leaf::client("x").spiffe("https://*.example/x")),
        ),
        row(
            Reason::InvalidSpiffeName,
            "* in a SPIFFE ID",
            issued(Leaf::client("x").spiffe("spiffe://partners.example/web/*")),
        ),
        row(
            Reason::InvalidSpiffeName,
            "NUL in a SPIFFE ID",
            issued(Leaf::client("x").spiffe("spiffe://partners.example/web/a\0b")),
        ),
        row(
            Reason::InvalidSpiffeName,
            "% in a SPIFFE ID",
            issued(Leaf::client("x").spiffe("spiffe://partners.example/web/%61")),
        ),
        row(
            Reason::NameConstraint,
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
            Reason::ChainTooLong,
            "60 junk certificates behind it",
            Cause::Client(gateway.client(&good).chain(long)),
        ),
        row(
            Reason::ChainTooLong,
            "10,000 names",
            issued(names(client(), 10_000)),
        ),
        row(
            Reason::PathLength,
            "below a CA that may have none below it",
            shows(&short.intermediate("too low").issue(client())),
        ),
        row(
            Reason::KeyWeak,
            "an RSA key of 1,024 bits",
            Cause::Client(
                gateway
                    .client(&good)
                    .chain(vec![partners.issue_weak(client())]),
            ),
        ),
        row(
            Reason::SignatureWeak,
            "signed with SHA-1",
            Cause::Client(gateway.client(&sha1).chain(sha1.chain.clone())),
        ),
    ]
}

/// Clients whose chain is sound and whose standing is not: see [`with_revocation`].
pub(super) fn downstream_standing(world: &World, gateway: &Gateway) -> Vec<Row> {
    let partners = &world.partners;
    let shows = |listener: &'static str, identity: &Identity| {
        let client = gateway.client(identity).address(gateway.address(listener));
        Cause::ClientOf(listener, client)
    };
    let client = || web(Leaf::client("client"));
    vec![
        row(
            Reason::CertificateRevoked,
            "on the CRL",
            shows("strict", &partners.issue(client().serial(66))),
        ),
        row(
            Reason::RevocationUnknown,
            "below a CA without a CRL",
            shows("strict", &partners.intermediate("no CRL").issue(client())),
        ),
        row(
            Reason::CrlExpired,
            "when the CRL is out of date",
            shows("stale", &partners.issue(client())),
        ),
        row(
            Reason::CertificateDenied,
            "on the deny list",
            shows("edge", &world.partner("spiffe://partners.example/denied")),
        ),
        row(
            Reason::UnknownTrustDomain,
            "of a trust domain that nobody vouches for",
            shows("strict", &world.partner("spiffe://other.example/web/a")),
        ),
        row(
            Reason::UnknownTrustDomain,
            "of no trust domain",
            shows("strict", &partners.issue(Leaf::client("x"))),
        ),
    ]
}

/// Adds the listeners `strict` and `stale`, whose bundles have a CRL, and a deny list.
pub(super) fn with_revocation(world: &World, config: &mut Config) {
    let write = |name: &str, crl: Crl| drop(world.folder.write(name, crl.pem(&world.partners)));
    write("fresh.crl", Crl::of(&[66]));
    write("stale.crl", Crl::of(&[66]).updates(-7200, -3600));
    world
        .folder
        .write("deny.list", "spiffe://partners.example/denied\n");
    config.set("deny", "deny.list");
    for (name, crl) in [("strict", "fresh.crl"), ("stale", "stale.crl")] {
        let mut bundle = config.get("trust.partners").clone();
        bundle["crl"] = crl.into();
        bundle["trust_domain"] = "partners.example".into();
        config.set(&format!("trust.{name}"), bundle);
        let mut listener = config.get("listeners.edge").clone();
        listener["tls"]["clients"]["trust"] = name.into();
        config.set(&format!("listeners.{name}"), listener);
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn downstream_protocol(world: &World, gateway: &Gateway) -> Vec<Row> {
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
            Reason::NoCommonAlpn,
            "an ACME challenge that nobody has opened",
            Cause::Client(gateway.client(&good).alpn(&["acme-tls/1"])),
        ),
        row(
            Reason::CertificateUnavailable,
            "a host whose certificate is not issued yet",
            asks_for("awaited.example.com"),
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

pub(super) fn downstream_alerts() -> Vec<Row> {
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
