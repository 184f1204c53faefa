//! The metrics page as Prometheus reads it, and as `docs/metrics.md` promises it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::labels::{ConnectFailed, ConnectionAbuse, ConnectionRefused, ReloadFailure, Side};
use super::metrics_introspection::IntrospectionLookup;
use super::metrics_table::{ALL, Kind};
use super::{
    CertificateSeries, CrlSeries, IntrospectionResult, KeysShown, Metrics, PossessionMethod,
    TlsFacts,
};
use crate::handshake_failure::HandshakeFailure;
use crate::identity::name::Name;
use crate::refusal::Refusal;
use crate::trust::{KeyPair, Source, SourceKind, SourceResult};

const MS: Duration = Duration::from_millis(1);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn facts() -> TlsFacts {
    let group = Some("X25519MLKEM768");
    TlsFacts::of(
        Some("TLSv1_3"),
        Some("TLS13_AES_256_GCM_SHA384"),
        group,
        false,
        Some(b"h2"),
    )
}

/// One of everything, nothing counted.
fn metrics() -> Arc<Metrics> {
    let metrics = Metrics::new();
    drop(metrics.listener(&name("edge")));
    metrics
        .upstream(&name("orders"))
        .set_endpoints(["orders-1:9443"]);
    metrics.route(&name("orders-read")).set_limits(1);
    metrics.route(&name("orders-read")).set_grace(true);
    metrics
        .route(&name("orders-read"))
        .set_possession(PossessionMethod::Dpop, true);
    let rules = [("own-tenant", false)].into_iter();
    drop(metrics.route(&name("orders-read")).set_rules(rules));
    drop(metrics.issuer(&name("corp")));
    drop(metrics.login(&name("staff")));
    drop(metrics.api_keys(&name("partners")));
    drop(metrics.introspection(&name("corp")));
    drop(metrics.external_authorization(&name("opa")));
    drop(metrics.exchange(&name("us")));
    metrics.issuer_keys(&name("corp")).set(KeysShown {
        count: 2,
        generation: 1,
        fetched: 1_700_000_000,
        usable_until: 1_700_086_400,
        next: 1_700_003_600,
    });
    metrics
        .next_trusts()
        .keep_only([&name("partners")].into_iter());
    metrics.set_certificates(&[certificate("trust.partners", "01")]);
    let source = Source::<KeyPair>::new(SourceKind::File, "trust.partners", None);
    metrics.set_sources(&[source.status()]);
    metrics.acme_next_order("listeners.edge.tls.certificates[0]", 1_800_000_000);
    metrics.set_crls(&[crl("CN=ca", 5, 9, 1)]);
    metrics
}

fn crl(issuer: &str, this_update: i64, next_update: i64, entries: usize) -> CrlSeries {
    CrlSeries {
        trust: "partners".to_owned(),
        issuer: issuer.to_owned(),
        this_update,
        next_update,
        entries,
    }
}

#[test]
fn several_crls_of_one_issuer_are_one_series_with_the_earliest_times() {
    let metrics = metrics();
    metrics.set_crls(&[
        crl("CN=a", 5, 9, 1),
        crl("CN=b", 1, 2, 3),
        crl("CN=a", 6, 8, 10),
    ]);
    let page = metrics.render();
    for line in [
        "portcullis_crl_this_update_timestamp_seconds{trust=\"partners\",issuer=\"CN=a\"} 5",
        "portcullis_crl_next_update_timestamp_seconds{trust=\"partners\",issuer=\"CN=a\"} 8",
        "portcullis_crl_entries{trust=\"partners\",issuer=\"CN=a\"} 11",
        "portcullis_crl_entries{trust=\"partners\",issuer=\"CN=b\"} 3",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

fn certificate(place: &str, serial: &str) -> CertificateSeries {
    CertificateSeries {
        place: place.to_owned(),
        serial: serial.to_owned(),
        subject: "CN=partners".to_owned(),
        is_ca: true,
        not_before: 1_700_000_000,
        not_after: 1_800_000_000,
    }
}

/// The value of a series as the page writes it.
fn value<'a>(page: &'a str, series: &str) -> Option<&'a str> {
    page.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

#[test]
fn every_family_is_on_the_page_from_the_start_with_the_labels_of_the_table() {
    let families = metrics().page().into_families();
    let on_page: BTreeSet<_> = families
        .iter()
        .map(|family| family.name().to_owned())
        .collect();
    for family in ALL {
        assert!(on_page.contains(family.name), "{}", family.name);
    }
    assert_eq!(on_page.len(), ALL.len());
    for family in &families {
        let row = ALL.iter().find(|row| row.name == family.name()).unwrap();
        for metric in family.get_metric() {
            let labels: Vec<_> = metric.get_label().iter().map(|pair| pair.name()).collect();
            assert_eq!(labels, row.labels, "{}", row.name);
        }
    }
}

#[test]
fn no_series_is_on_the_page_twice() {
    let metrics = metrics();
    let route = metrics.route(&name("orders-read"));
    for status in [200, 401, 404, 502, 0, 999] {
        for refusal in Refusal::ALL {
            route.request(status, Some(*refusal), MS);
        }
    }
    drop(metrics.route(&name("none")));
    let twice = [certificate("trust.a", "01"), certificate("trust.a", "01")];
    metrics.set_certificates(&twice);
    let page = metrics.render();
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "{series}");
    }
}

#[test]
fn the_same_state_gives_the_same_page() {
    let metrics = metrics();
    let page = || {
        let page = metrics.render();
        let lines = page.lines().filter(|line| !line.contains("process_"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(page(), page());
    let names = page().into_iter().filter(|line| line.starts_with("# TYPE"));
    assert!(names.collect::<Vec<_>>().is_sorted());
}

#[test]
fn handshakes_are_counted_by_how_they_ended() {
    let metrics = metrics();
    let edge = metrics.listener(&name("edge"));
    let orders = metrics.upstream(&name("orders"));
    let under_way = edge.handshake_started();
    edge.handshake_succeeded(&facts(), MS);
    orders.handshake_succeeded(
        &TlsFacts {
            resumed: true,
            ..facts()
        },
        MS,
    );
    for reason in HandshakeFailure::ALL {
        edge.handshake_failed(*reason, MS);
    }
    let page = metrics.render();
    let ok = r#"portcullis_handshakes_total{side="downstream",name="edge",result="ok",reason="none",version="1.3",resumed="false"}"#;
    assert_eq!(value(&page, ok), Some("1"));
    let resumed = r#"portcullis_handshakes_total{side="upstream",name="orders",result="ok",reason="none",version="1.3",resumed="true"}"#;
    assert_eq!(value(&page, resumed), Some("1"));
    for reason in HandshakeFailure::ALL {
        let series = |side, name| {
            format!(
                r#"portcullis_handshakes_total{{side="{side}",name="{name}",result="failed",reason="{}",version="none",resumed="none"}}"#,
                reason.reason()
            )
        };
        assert_eq!(value(&page, &series("downstream", "edge")), Some("1"));
        assert_eq!(value(&page, &series("upstream", "orders")), Some("0"));
    }
    let group =
        r#"portcullis_tls_groups_total{side="downstream",name="edge",group="X25519MLKEM768"}"#;
    assert_eq!(value(&page, group), Some("1"));
    let gauge = r#"portcullis_handshakes_in_progress{side="downstream",name="edge"}"#;
    assert_eq!(value(&page, gauge), Some("1"));
    drop(under_way);
    assert_eq!(value(&metrics.render(), gauge), Some("0"));
    let failed = r#"portcullis_handshake_duration_seconds_count{side="downstream",name="edge",result="failed"}"#;
    assert_eq!(
        value(&page, failed),
        Some(HandshakeFailure::ALL.len().to_string().as_str())
    );
}

#[test]
fn connections_are_counted_while_they_are_open() {
    let metrics = metrics();
    let edge = metrics.listener(&name("edge"));
    let open = edge.connection_opened();
    edge.connection_refused(ConnectionRefused::TooManyPerSource);
    edge.connection_closed_for(ConnectionAbuse::Http2Resets);
    let page = metrics.render();
    assert_eq!(
        value(&page, r#"portcullis_connections{listener="edge"}"#),
        Some("1")
    );
    let refused =
        r#"portcullis_connections_refused_total{listener="edge",reason="too_many_per_source"}"#;
    assert_eq!(value(&page, refused), Some("1"));
    let closed = r#"portcullis_connections_closed_total{listener="edge",reason="http2_resets"}"#;
    assert_eq!(value(&page, closed), Some("1"));
    drop(open);
    let page = metrics.render();
    assert_eq!(
        value(&page, r#"portcullis_connections{listener="edge"}"#),
        Some("0")
    );
    assert_eq!(
        value(&page, r#"portcullis_connections_total{listener="edge"}"#),
        Some("1")
    );
}

#[test]
fn requests_are_counted_by_route_class_and_reason() {
    let metrics = metrics();
    let route = metrics.route(&name("orders-read"));
    route.request(200, None, MS);
    route.request(403, Some(Refusal::ScopeMissing), MS);
    // The head of a good answer was sent when the service broke off.
    route.request(200, Some(Refusal::UpstreamClosed), MS);
    metrics
        .unrouted()
        .request(404, Some(Refusal::RouteUnknown), MS);
    route.limit_refused(0);
    route.limit_refused(100);
    let page = metrics.render();
    for (route, class, reason, want) in [
        ("orders-read", "2xx", "none", Some("1")),
        ("orders-read", "5xx", "none", Some("0")),
        ("orders-read", "4xx", "scope_missing", Some("1")),
        ("orders-read", "2xx", "upstream_closed", Some("1")),
        ("orders-read", "5xx", "upstream_closed", None),
        ("(none)", "4xx", "route_unknown", Some("1")),
    ] {
        let series = format!(
            r#"portcullis_requests_total{{route="{route}",status_class="{class}",reason="{reason}"}}"#
        );
        assert_eq!(value(&page, &series), want, "{series}");
    }
    for refusal in Refusal::ALL {
        let series = format!(
            r#"portcullis_refusals_total{{reason="{}"}}"#,
            refusal.reason()
        );
        assert!(value(&page, &series).is_some(), "{series}");
    }
    let total = r#"portcullis_refusals_total{reason="scope_missing"}"#;
    assert_eq!(value(&page, total), Some("1"));
    for (limit, want) in [("0", Some("1")), ("1", None), ("7", Some("1"))] {
        let series =
            format!(r#"portcullis_limits_refused_total{{route="orders-read",limit="{limit}"}}"#);
        assert_eq!(value(&page, &series), want, "{series}");
    }
}

#[test]
fn a_service_is_counted_with_its_endpoints() {
    let metrics = metrics();
    let orders = metrics.upstream(&name("orders"));
    orders.set_endpoints(["orders-1:9443", "orders-2:9443"]);
    orders.endpoint_up("orders-2:9443", false);
    orders.endpoint_up("no such endpoint", false);
    orders.connect_failed(ConnectFailed::Unreachable);
    orders.unexpected_data();
    let request = orders.request_started();
    let page = metrics.render();
    let up = |endpoint: &str| {
        format!(r#"portcullis_upstream_endpoint_up{{upstream="orders",endpoint="{endpoint}"}}"#)
    };
    assert_eq!(value(&page, &up("orders-1:9443")), Some("1"));
    assert_eq!(value(&page, &up("orders-2:9443")), Some("0"));
    assert!(!page.contains("no such endpoint"));
    let gauge = r#"portcullis_upstream_requests_in_progress{upstream="orders"}"#;
    assert_eq!(value(&page, gauge), Some("1"));
    drop(request);
    orders.set_endpoints(["orders-2:9443"]);
    let page = metrics.render();
    assert_eq!(value(&page, &up("orders-1:9443")), None);
    assert_eq!(
        value(&page, &up("orders-2:9443")),
        Some("0"),
        "the state stays"
    );
}

#[test]
fn a_reload_keeps_counters_of_names_that_stay_and_forgets_the_others() {
    let metrics = metrics();
    metrics.route(&name("orders-read")).request(200, None, MS);
    metrics
        .route(&name("gone"))
        .request(403, Some(Refusal::ScopeMissing), MS);
    metrics.keep_only(
        &[name("edge")],
        &[],
        &[name("orders-read")],
        &[name("corp")],
    );
    metrics.reload_succeeded(2, 1_750_000_000.5);
    metrics.reload_failed(ReloadFailure::TestsFailed);
    let page = metrics.render();
    let kept = r#"portcullis_requests_total{route="orders-read",status_class="2xx",reason="none"}"#;
    assert_eq!(value(&page, kept), Some("1"));
    assert!(!page.contains(r#"route="gone""#));
    assert!(!page.contains(r#"name="orders""#));
    let total = r#"portcullis_refusals_total{reason="scope_missing"}"#;
    assert_eq!(value(&page, total), Some("1"), "a total never goes back");
    assert_eq!(
        value(&page, r#"portcullis_reloads_total{result="ok"}"#),
        Some("1")
    );
    assert_eq!(
        value(&page, r#"portcullis_reloads_total{result="tests_failed"}"#),
        Some("1")
    );
    assert_eq!(
        value(&page, "portcullis_configuration_generation"),
        Some("2")
    );
    let last = "portcullis_configuration_last_success_timestamp_seconds";
    assert_eq!(value(&page, last), Some("1750000000.5"));
}

#[test]
fn what_a_certificate_says_cannot_break_the_page() {
    let metrics = metrics();
    let hostile = CertificateSeries {
        subject: format!("CN=a\"}} 1\nb\\{}", "x".repeat(5_000)),
        ..certificate("listeners.edge", "02")
    };
    let mut many: Vec<_> = (0..2_000)
        .map(|i| certificate("trust.big", &i.to_string()))
        .collect();
    many.push(CertificateSeries {
        not_after: 5,
        ..hostile
    });
    metrics.set_certificates(&many);
    let page = metrics.render();
    let lines: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("portcullis_certificate_not_after_timestamp_seconds{"))
        .collect();
    assert_eq!(lines.len(), 1_000);
    let first = lines
        .iter()
        .find(|line| line.contains("listeners.edge"))
        .unwrap();
    assert!(first.contains(r#"subject="CN=a\"} 1\\nb\\x"#), "{first}");
    assert!(first.len() < 400 && first.ends_with(" 5"), "{first}");
}

#[test]
fn a_hundred_thousand_idle_routes_make_no_page() {
    let metrics = metrics();
    for i in 0..100_000 {
        drop(metrics.route(&name(&format!("r{i}"))));
    }
    metrics.route(&name("r7")).request(200, None, MS);
    let page = metrics.render();
    assert!(page.contains(r#"route="r7""#));
    assert!(!page.contains(r#"route="r8""#));
    assert!(page.len() < 100_000, "{}", page.len());
}

/// The first column of each table row in a part of the documentation, without backticks.
fn documented(heading: &str) -> Vec<Vec<String>> {
    let text = include_str!("../../docs/metrics.md");
    let (_, part) = text.split_once(&format!("\n{heading}\n")).expect(heading);
    let part = part.split("\n#").next().unwrap();
    part.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

fn first_column(heading: &str) -> BTreeSet<String> {
    documented(heading)
        .into_iter()
        .filter_map(|row| row.into_iter().next())
        .collect()
}

#[test]
fn the_documentation_lists_every_kind_and_every_result_of_sources() {
    let kinds: BTreeSet<_> = SourceKind::ALL
        .into_iter()
        .map(|kind| kind.label().to_owned())
        .collect();
    assert_eq!(first_column("#### `kind` of sources"), kinds);
    let results: BTreeSet<_> = SourceResult::ALL
        .into_iter()
        .map(|result| result.label().to_owned())
        .collect();
    assert_eq!(first_column("#### `result` of sources"), results);
}

#[test]
fn the_documentation_lists_every_metric_with_its_kind_and_labels() {
    let rows: BTreeSet<_> = ["### Handshakes", "### Connections", "### Requests"]
        .into_iter()
        .chain([
            "### Clients",
            "### Authorization services",
            "### Exchanged tokens",
            "### Upstreams",
            "### Configuration",
            "### Process",
        ])
        .flat_map(documented)
        .map(|row| (row[0].clone(), row[1].clone(), row[2].clone()))
        .collect();
    let want: BTreeSet<_> = ALL
        .iter()
        .map(|family| {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            (
                family.name.to_owned(),
                kind.to_owned(),
                family.labels.join(", "),
            )
        })
        .collect();
    assert_eq!(rows, want);
}

#[test]
fn the_documentation_lists_every_label_value() {
    let set = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    let cases: [(&str, BTreeSet<String>); 12] = [
        ("#### `reason` of handshakes", {
            HandshakeFailure::ALL
                .iter()
                .map(|reason| reason.reason().to_owned())
                .collect()
        }),
        ("#### `reason` of requests", {
            Refusal::ALL
                .iter()
                .map(|refusal| refusal.reason().to_owned())
                .collect()
        }),
        ("#### `reason` of refused connections", {
            ConnectionRefused::ALL
                .iter()
                .map(|why| why.label().to_owned())
                .collect()
        }),
        ("#### `reason` of closed connections", {
            ConnectionAbuse::ALL
                .iter()
                .map(|why| why.label().to_owned())
                .collect()
        }),
        ("#### `reason` of failed connects", {
            ConnectFailed::ALL
                .iter()
                .map(|why| why.label().to_owned())
                .collect()
        }),
        ("#### `result` of reloads", {
            let failures = ReloadFailure::ALL.iter().map(|why| why.label().to_owned());
            failures.chain(["ok".to_owned()]).collect()
        }),
        (
            "#### `side`",
            Side::ALL
                .iter()
                .map(|side| side.label().to_owned())
                .collect(),
        ),
        ("#### `result` of questions about tokens", {
            let all = IntrospectionResult::ALL.iter();
            all.map(|result| result.label().to_owned()).collect()
        }),
        ("#### `result` of look-ups among answers", {
            let all = IntrospectionLookup::ALL.iter();
            all.map(|found| found.label().to_owned()).collect()
        }),
        ("#### `cipher_suite`", set(&TlsFacts::CIPHER_SUITES)),
        ("#### `group`", set(&TlsFacts::GROUPS)),
        ("#### `protocol`", set(&TlsFacts::ALPNS)),
    ];
    for (heading, want) in cases {
        assert_eq!(first_column(heading), want, "{heading}");
    }
}
