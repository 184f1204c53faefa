//! `upstreams`: the services, and who may answer for them.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Around, quantity, trust, web};
use crate::config::file::{TimeoutsFile, UpstreamFile, UpstreamTlsFile};
use crate::config::node::{Field, Node, all};
use crate::config::problem::shown;
use crate::config::spec::{EndpointSpec, UpstreamSpec, UpstreamTimeouts, UpstreamTlsSpec};
use crate::identity::host::Host;
use crate::identity::pattern::ServerPattern;

const LEAST: Duration = Duration::from_millis(10);
const CONNECT_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(60);
const RESPONSE_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(3_600);
/// A day: longer is a stream without end, and streams have ends here.
const TOTAL_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(86_400);
const IDLE_BOUNDS: RangeInclusive<Duration> = LEAST..=Duration::from_secs(3_600);
const IN_FLIGHT_MAX: u64 = 1_000_000;
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

/// The defaults; `docs/config.md` says why each.
const TIMEOUTS: UpstreamTimeouts = UpstreamTimeouts {
    connect: Duration::from_secs(5),
    response: Duration::from_secs(30),
    total: Duration::from_secs(300),
    idle: Duration::from_secs(60),
};

/// An example of an `accept` list, for hints.
pub(super) const ACCEPT: &str = "`[spiffe://mesh.example/orders]` or `[dns:orders.internal]`";

/// One entry of `upstreams`.
pub(super) fn upstream(node: &Node<'_>, around: &Around<'_>) -> Option<UpstreamSpec> {
    let file = UpstreamFile::read(node)?;
    let endpoints = file
        .endpoints
        .needed("write `endpoints: [\"orders.internal:9443\"]`", endpoints);
    let tls = file.tls.needed(
        "write `tls:` with `identity`, `trust`, `server_name` and `accept`; there is no upstream without",
        |node| tls(node, around),
    );
    let timeouts = file.timeouts.or_go_on(TIMEOUTS, timeouts);
    let in_flight = file
        .in_flight
        .or_go_on(IN_FLIGHT, |node| node.count(IN_FLIGHT_MAX));
    Some(UpstreamSpec {
        endpoints: endpoints?,
        tls: tls?,
        timeouts,
        in_flight,
    })
}

/// A list of `HOST:PORT`, each once; not empty.
pub(super) fn endpoints(node: &Node<'_>) -> Option<Vec<EndpointSpec>> {
    let mut seen = HashSet::new();
    node.some("`[\"orders.internal:9443\"]`", |node| {
        let endpoint = web::endpoint(node)?;
        if seen.insert(endpoint.clone()) {
            return Some(endpoint);
        }
        node.refuse(
            "this endpoint stands twice",
            "keep one: each is asked as often as the others",
        )
    })
}

/// TLS towards a service.
pub(super) fn tls(node: &Node<'_>, around: &Around<'_>) -> Option<UpstreamTlsSpec> {
    let file = UpstreamTlsFile::read(node)?;
    let identity = file.identity.needed(
        "write `identity: NAME`, an entry of `identities`: the certificate that we show",
        |node| node.reference("identity", &around.identities),
    );
    let trust = file.trust.needed(
        "write `trust: NAME`, an entry of `trust`: who may sign the service's certificate",
        |node| trust::bundles(node, around),
    );
    let server_name = file.server_name.needed(
        "write `server_name: orders.internal`, the name that we ask the service for",
        server_name,
    );
    let accept = file.accept.needed(
        "write who may answer, like `accept: [spiffe://mesh.example/orders]`: a CA signs for many",
        accept,
    );
    Some(UpstreamTlsSpec {
        identity: identity?,
        trust: trust?,
        server_name: server_name?,
        accept: accept?,
    })
}

fn server_name(node: &Node<'_>) -> Option<Host> {
    let host: Host = node.parse("`orders.internal`")?;
    if host.dns_name().is_some() {
        return Some(host);
    }
    let text = shown(node.text("`orders.internal`")?);
    node.refuse(
        format!("{text} is an address, and TLS sends names only"),
        "write a DNS name; who may answer is decided by `accept`",
    )
}

/// A list of who may answer; not empty.
pub(super) fn accept(node: &Node<'_>) -> Option<Vec<ServerPattern>> {
    let items = node.items(ACCEPT)?;
    if items.is_empty() {
        return node.refuse(
            "the list is empty",
            format!("write who may answer, like {ACCEPT}"),
        );
    }
    all(&items, |node| {
        node.parse("`spiffe://mesh.example/orders`, `dns:orders.internal` or `pin:sha256/...`")
    })
}

fn timeouts(node: &Node<'_>) -> Option<UpstreamTimeouts> {
    let file = TimeoutsFile::read(node)?;
    let time = |field: &Field<'_>, default, bounds| {
        field.or(default, |node| quantity::duration(node, bounds))
    };
    let connect = time(&file.connect, TIMEOUTS.connect, CONNECT_BOUNDS);
    let response = time(&file.response, TIMEOUTS.response, RESPONSE_BOUNDS);
    let total = time(&file.total, TIMEOUTS.total, TOTAL_BOUNDS);
    let idle = time(&file.idle, TIMEOUTS.idle, IDLE_BOUNDS);
    Some(UpstreamTimeouts {
        connect: connect?,
        response: response?,
        total: total?,
        idle: idle?,
    })
}
