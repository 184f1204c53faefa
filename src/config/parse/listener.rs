//! `listeners`: where clients connect, and what a stranger can make the gateway hold or do.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Around, acme, certificate as given, quantity, trust, web};
use crate::config::file::{
    CertificateFile, ClientsFile, Http2File, ListenerFile, ListenerLimitsFile, ListenerTlsFile,
    RequestsPerPeerFile,
};
use crate::config::node::{Field, Node};
use crate::config::spec::{
    ClientCertificate, ClientCertificateSpec, ListenerLimits, ListenerSpec, ListenerTlsSpec, Rate,
    ServedSpec, TlsVersion,
};

/// Shorter is a slip of a finger; tests may want it short.
const LEAST: Duration = Duration::from_millis(10);
const HANDSHAKE_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(60);
const HEADER_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(300);
const IDLE_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(3_600);
const BODY_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(3_600);
/// None at all is a choice; a minute after it was revoked no client should go on.
const GRACE_BOUNDS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

/// What one process could hold on the largest machine.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// The HTTP library reads no more.
const HEADER_FIELDS_MAX: u64 = 256;
/// The HTTP library reads no more.
const HEADER_BYTES_BOUNDS: RangeInclusive<u64> = 1_024..=1 << 20;
/// 2,000 bytes are what a browser may send in any case; below 256 no URL of a real API fits.
const URI_BYTES_BOUNDS: RangeInclusive<u64> = 256..=64 << 10;
const STREAMS_MAX: u64 = 1_000;
const RESETS_MAX: u64 = 100_000;
const IDLE_FRAMES_MAX: u64 = 1_000_000;
const REQUESTS_MAX: u64 = 1_000_000_000;
/// 1 MiB/s: a faster "slowest" would end honest clients on phones.
const MIN_RATE_MAX: u64 = 1 << 20;

/// The defaults; `docs/config.md` says why each.
const DEFAULTS: ListenerLimits = ListenerLimits {
    connections: NonZeroUsize::new(20_000).unwrap(),
    connections_per_source: NonZeroUsize::new(2_000).unwrap(),
    handshakes: NonZeroUsize::new(1_000).unwrap(),
    handshake_timeout: Duration::from_secs(10),
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(60),
    body_timeout: Duration::from_secs(30),
    revocation_grace: Duration::from_secs(2),
    min_rate: NonZeroU32::new(128).unwrap(),
    header_fields: NonZeroUsize::new(100).unwrap(),
    header_bytes: NonZeroUsize::new(32 << 10).unwrap(),
    uri_bytes: NonZeroUsize::new(8 << 10).unwrap(),
    requests_per_connection: NonZeroU32::new(10_000).unwrap(),
    http2_streams: NonZeroU32::new(50).unwrap(),
    http2_resets: NonZeroU32::new(100).unwrap(),
    http2_idle_frames: NonZeroU32::new(1_000).unwrap(),
    in_flight_per_peer: NonZeroUsize::new(500).unwrap(),
    requests_per_peer: Rate {
        count: NonZeroU32::new(5_000).unwrap(),
        per: Duration::from_secs(1),
        burst: NonZeroU32::new(10_000).unwrap(),
    },
};

/// Those of them that are of h2.
const HTTP2: (NonZeroU32, NonZeroU32, NonZeroU32) = (
    DEFAULTS.http2_streams,
    DEFAULTS.http2_resets,
    DEFAULTS.http2_idle_frames,
);

/// One entry of `listeners`.
pub(super) fn listener(node: &Node<'_>, around: &Around<'_>) -> Option<ListenerSpec> {
    let file = ListenerFile::read(node)?;
    let address = file
        .address
        .needed("write `address: 0.0.0.0:8443`", web::address);
    let tls = file.tls.needed(
        "write `tls:` with `certificates:` and `clients:`; nothing is served without TLS",
        |node| tls(node, around),
    );
    let limits = file.limits.or_go_on(DEFAULTS, limits);
    Some(ListenerSpec {
        address: address?,
        tls: tls?,
        limits,
    })
}

fn tls(node: &Node<'_>, around: &Around<'_>) -> Option<ListenerTlsSpec> {
    const EXAMPLE: &str = "`- { cert: pki/edge.pem, key: pki/edge.key }`";
    let file = ListenerTlsFile::read(node)?;
    let certificates = file.certificates.needed(
        "write a list `certificates:` with `cert` and `key`",
        |node| node.some(EXAMPLE, |node| certificate(node, around)),
    );
    let clients = file.clients.needed(
        "write `clients: { certificate: required, trust: NAME }`",
        |node| clients(node, around),
    );
    let min_version = file.min_version.or_go_on(TlsVersion::Tls12, version);
    Some(ListenerTlsSpec {
        certificates: certificates?,
        clients: clients?,
        min_version,
    })
}

fn certificate(node: &Node<'_>, around: &Around<'_>) -> Option<ServedSpec> {
    let file = CertificateFile::read(node)?;
    let Some(acme) = file.acme.written() else {
        if let Some(names) = file.names.written() {
            let hint = "remove `names`, or write `acme: NAME` for a certificate that is issued";
            return names.refuse("a certificate from files has its names in it", hint);
        }
        let files = [&file.cert, &file.key];
        let given = given(&file.workload_api, &file.spiffe_id, files, around);
        return given.map(ServedSpec::Given);
    };
    if file.cert.written().is_some() || file.key.written().is_some() {
        let hint = "write `acme` and `names`, or `cert` and `key`";
        return acme.refuse("`acme` and `cert` with `key` exclude each other", hint);
    }
    if file.workload_api.written().is_some() || file.spiffe_id.written().is_some() {
        let hint = "write `acme` and `names`, or `workload_api`";
        return acme.refuse("`acme` and `workload_api` exclude each other", hint);
    }
    acme::certificate(acme, &file.names, around).map(ServedSpec::Acme)
}

fn clients(node: &Node<'_>, around: &Around<'_>) -> Option<ClientCertificateSpec> {
    let file = ClientsFile::read(node)?;
    let certificate = file.certificate.or(ClientCertificate::Required, |node| {
        node.word(&[
            ("required", ClientCertificate::Required),
            ("optional", ClientCertificate::Optional),
        ])
    });
    let trust = file.trust.needed(
        "write `trust: NAME`, an entry of `trust`: whose client certificates are accepted",
        |node| trust::bundles(node, around),
    );
    Some(ClientCertificateSpec {
        certificate: certificate?,
        trust: trust?,
    })
}

/// `"1.2"` or `1.2`: to YAML the second is a number, and people write both.
fn version(node: &Node<'_>) -> Option<TlsVersion> {
    let Some(number) = node.number() else {
        return node.word(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]);
    };
    match number.to_string().as_str() {
        "1.2" => Some(TlsVersion::Tls12),
        "1.3" => Some(TlsVersion::Tls13),
        other => node.refuse(
            format!("{other} is no version of TLS that is served"),
            "write \"1.2\" or \"1.3\"; older ones are broken",
        ),
    }
}

fn limits(node: &Node<'_>) -> Option<ListenerLimits> {
    let file = ListenerLimitsFile::read(node)?;
    let connections = count(&file.connections, DEFAULTS.connections);
    let per_source = count(
        &file.connections_per_source,
        DEFAULTS.connections_per_source,
    );
    let handshakes = count(&file.handshakes, DEFAULTS.handshakes);
    let in_flight = count(&file.in_flight_per_peer, DEFAULTS.in_flight_per_peer);
    let handshake = time(
        &file.handshake_timeout,
        DEFAULTS.handshake_timeout,
        HANDSHAKE_BOUNDS,
    );
    let header = time(&file.header_timeout, DEFAULTS.header_timeout, HEADER_BOUNDS);
    let idle = time(&file.idle_timeout, DEFAULTS.idle_timeout, IDLE_BOUNDS);
    let body = time(&file.body_timeout, DEFAULTS.body_timeout, BODY_BOUNDS);
    let grace = time(
        &file.revocation_grace,
        DEFAULTS.revocation_grace,
        GRACE_BOUNDS,
    );
    let header_bytes = size(
        &file.header_bytes,
        DEFAULTS.header_bytes,
        HEADER_BYTES_BOUNDS,
    );
    let uri_bytes = size(&file.uri_bytes, DEFAULTS.uri_bytes, URI_BYTES_BOUNDS);
    let min_rate = file.min_rate.or(DEFAULTS.min_rate, |node| {
        quantity::bytes_a_second(node, MIN_RATE_MAX)
    });
    let header_fields = file
        .header_fields
        .or(DEFAULTS.header_fields, |node| node.count(HEADER_FIELDS_MAX));
    let per_connection = file
        .requests_per_connection
        .or(DEFAULTS.requests_per_connection, |node| {
            node.count(REQUESTS_MAX)
        });
    let http2 = file.http2.or(HTTP2, http2);
    let per_peer = file
        .requests_per_peer
        .or(DEFAULTS.requests_per_peer, |node| {
            let file = RequestsPerPeerFile::read(node)?;
            quantity::rate(&file.rate, &file.burst)
        });
    let (http2_streams, http2_resets, http2_idle_frames) = http2?;
    Some(ListenerLimits {
        connections: connections?,
        connections_per_source: per_source?,
        handshakes: handshakes?,
        handshake_timeout: handshake?,
        header_timeout: header?,
        idle_timeout: idle?,
        body_timeout: body?,
        revocation_grace: grace?,
        min_rate: min_rate?,
        header_fields: header_fields?,
        header_bytes: header_bytes?,
        uri_bytes: uri_bytes?,
        requests_per_connection: per_connection?,
        http2_streams,
        http2_resets,
        http2_idle_frames,
        in_flight_per_peer: in_flight?,
        requests_per_peer: per_peer?,
    })
}

fn count(field: &Field<'_>, default: NonZeroUsize) -> Option<NonZeroUsize> {
    field.or(default, |node| node.count(CONNECTIONS_MAX))
}

fn time(
    field: &Field<'_>,
    default: Duration,
    bounds: RangeInclusive<Duration>,
) -> Option<Duration> {
    field.or(default, |node| quantity::duration(node, bounds))
}

fn http2(node: &Node<'_>) -> Option<(NonZeroU32, NonZeroU32, NonZeroU32)> {
    let file = Http2File::read(node)?;
    let streams = file
        .streams
        .or(DEFAULTS.http2_streams, |n| n.count(STREAMS_MAX));
    let resets = file
        .resets
        .or(DEFAULTS.http2_resets, |n| n.count(RESETS_MAX));
    let frames = file
        .idle_frames
        .or(DEFAULTS.http2_idle_frames, |n| n.count(IDLE_FRAMES_MAX));
    Some((streams?, resets?, frames?))
}

fn size(
    field: &Field<'_>,
    default: NonZeroUsize,
    bounds: RangeInclusive<u64>,
) -> Option<NonZeroUsize> {
    field.or(default, |node| {
        let bytes = quantity::size(node, bounds)?;
        usize::try_from(bytes).ok().and_then(NonZeroUsize::new)
    })
}
