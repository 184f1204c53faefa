//! The rows of the table in which a service is at fault.

use portcullis::handshake_failure::HandshakeFailure as Reason;

use super::hello::{Hello, alert};
use super::table::{Cause, Row, constrained, names, row, tampered};
use crate::bench::client::HOST;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::{ORDERS_ID, ORDERS_NAME, World};

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn upstream_certificates(world: &World) -> Vec<Row> {
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
            Reason::NameConstraint,
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

pub(super) fn upstream_protocol() -> Vec<Row> {
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

/// What the service of the standard configuration states.
pub(super) fn orders(leaf: Leaf) -> Leaf {
    leaf.spiffe(ORDERS_ID).dns(ORDERS_NAME)
}
