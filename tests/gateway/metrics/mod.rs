//! The metrics page: everything that `docs/metrics.md` promises is there from the start, everything
//! moves, and nothing that a stranger says ever becomes a series.

mod admin;
mod hostile;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use crate::acme::{NEXT, await_certificate};
use crate::bench::client::HOST;
use crate::bench::config::free_port;
use crate::bench::gateway::{Gateway, Metrics, Reloaded};
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::service::{Reply, Step, server_config};
use crate::bench::token::{Token, unix_now};
use crate::bench::{ORDERS_ID, ORDERS_NAME, World};

fn document() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    std::fs::read_to_string(file).expect("docs/metrics.md")
}

/// What stands in the first cells of a table's row, without backquotes.
fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.strip_prefix("| `")?;
    Some(
        row.split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect(),
    )
}

/// Name, kind and labels of each metric.
fn families() -> Vec<(String, String, BTreeSet<String>)> {
    let text = document();
    let rows = text.lines().filter_map(cells);
    let rows = rows.filter(|row| {
        matches!(
            row.get(1).map(String::as_str),
            Some("counter" | "gauge" | "histogram")
        )
    });
    let labels = |text: &str| {
        let names = text.split(',').map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    };
    let found: Vec<_> = rows
        .map(|row| (row[0].clone(), row[1].clone(), labels(&row[2])))
        .collect();
    assert!(found.len() > 30, "the tables were not understood");
    found
}

/// The values below a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = document();
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let values: BTreeSet<String> = lines.filter_map(cells).map(|row| row[0].clone()).collect();
    assert!(!values.is_empty(), "nothing stands below {heading}");
    values
}

/// The values that a label has on the page.
fn values(metrics: &Metrics, name: &str, label: &str, with: &[(&str, &str)]) -> BTreeSet<String> {
    let series = metrics.series(name, with);
    let values = series.iter().filter_map(|one| one.labels.get(label));
    values.cloned().collect()
}

/// Has the route `open` ask others, of whom none is there.
fn ask_others(world: &World, config: &mut crate::bench::config::Config, address: SocketAddr) {
    let opa = crate::external_authorization::external_authorization(address);
    config.set("external_authorization.opa", opa);
    crate::token_exchange::set(config, "open", world, address);
}

#[tokio::test]
async fn every_family_is_on_a_fresh_page_with_its_known_values_at_zero() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set(
        "routes.open.limits",
        json!([{"rate": "10/s", "per": "client"}]),
    );
    config.set(
        "trust.partners.next",
        json!({"ca": ["partners-ca.pem", "mesh-ca.pem"]}),
    );
    await_certificate(&world, &mut config, "awaited.example.com");
    config.set("routes.open.grace_after_expiry", "1h");
    ask_others(&world, &mut config, orders.address);
    world.folder.write("keys.yaml", "owners: {}\n");
    config.set("api_keys.partners.file", "keys.yaml");
    config.set(
        "routes.open.policy",
        json!([{"name": "watched", "cel": "now > 0", "report_only": true}]),
    );
    let crl = crate::bench::crl::Crl::of(&[]).pem(&world.partners);
    world.folder.write("partners.crl", crl);
    config.set("trust.partners.crl", "partners.crl");
    let idp = crate::issuers::idp::Idp::start(&world).await;
    idp.publish(&[&world.issuer]);
    let mut fetched = config.get("issuers.corp").clone();
    fetched["keys"] = idp.keys("/jwks");
    config.set("issuers.fetched", fetched);
    let client = json!({ "client_id": "us", "tls": "gateway" });
    config.set("oauth_clients.us", client);
    let asked = json!({ "url": idp.url("/ask"), "tls": { "trust": "mesh" }, "client": "us" });
    config.set("issuers.corp.introspection", asked);
    crate::login::set_up_idle(&world, &mut config);
    let gateway = world.gateway_with(&config).await;
    gateway.wait_for_metric(NEXT, &[], |_| true).await;
    let page = gateway.admin("/metrics").await.text();
    let fresh = Metrics::parse(&page);
    for (name, kind, labels) in families() {
        assert!(
            page.contains(&format!("# TYPE {name} {kind}\n")),
            "{name} {kind}"
        );
        assert!(
            page.contains(&format!("# HELP {name} ")),
            "{name} has no help"
        );
        let sample = if kind == "histogram" {
            format!("{name}_count")
        } else {
            name.clone()
        };
        let series = fresh.series(&sample, &[]);
        assert!(!series.is_empty(), "{name} has no series");
        for one in series {
            let own: BTreeSet<String> = one.labels.keys().cloned().collect();
            assert_eq!(own, labels, "{name}");
            // The certificate that is awaited was asked for, and its directory is not there.
            let asked = one.labels.get("kind").is_some_and(|kind| kind == "acme");
            // Keys are fetched before the gateway is ready.
            let asked = asked || name == crate::issuers::FETCHES;
            if kind != "gauge" && !name.starts_with("process_") && !asked {
                assert_eq!(one.value, 0.0, "{name} {:?}", one.labels);
            }
        }
    }
    let named: BTreeSet<String> = families().into_iter().map(|(name, ..)| name).collect();
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in typed.map(|line| line.split(' ').next().unwrap_or_default()) {
        assert!(named.contains(name), "{name} is not documented");
    }

    let refused = [("result", "failed")];
    for side in ["downstream", "upstream"] {
        let with = [("side", side), refused[0]];
        let mut reasons = documented("#### `reason` of handshakes");
        if side == "downstream" {
            reasons.retain(|reason| {
                values(&fresh, "portcullis_handshakes_total", "reason", &with).contains(reason)
                    || !reason.ends_with("_mismatch")
            });
        }
        let own = values(&fresh, "portcullis_handshakes_total", "reason", &with);
        assert_eq!(own, reasons, "{side}");
    }
    let known = [
        (
            "portcullis_refusals_total",
            "reason",
            "#### `reason` of requests",
        ),
        (
            "portcullis_connections_refused_total",
            "reason",
            "#### `reason` of refused connections",
        ),
        (
            "portcullis_connections_closed_total",
            "reason",
            "#### `reason` of closed connections",
        ),
        (
            "portcullis_connections_revoked_total",
            "reason",
            "#### `reason` of revoked connections",
        ),
        (
            "portcullis_upstream_connect_failures_total",
            "reason",
            "#### `reason` of failed connects",
        ),
        (
            "portcullis_reloads_total",
            "result",
            "#### `result` of reloads",
        ),
        (
            "portcullis_source_reloads_total",
            "result",
            "#### `result` of sources",
        ),
        (
            "portcullis_refreshes_total",
            "result",
            "#### `result` of refreshes",
        ),
        (
            "portcullis_tls_cipher_suites_total",
            "cipher_suite",
            "#### `cipher_suite`",
        ),
        ("portcullis_tls_groups_total", "group", "#### `group`"),
        (
            "portcullis_tls_protocols_total",
            "protocol",
            "#### `protocol`",
        ),
        ("portcullis_handshakes_total", "version", "#### `version`"),
        ("portcullis_handshakes_total", "resumed", "#### `resumed`"),
        ("portcullis_handshakes_total", "side", "#### `side`"),
        (
            "portcullis_handshake_duration_seconds_count",
            "result",
            "#### `result` of handshakes",
        ),
        (
            crate::external_authorization::CHECKS,
            "result",
            "#### `result` of questions",
        ),
        (
            crate::external_authorization::WAIVED,
            "why",
            "#### `why` of waived answers",
        ),
        (
            crate::token_exchange::EXCHANGES,
            "result",
            "#### `result` of exchanges",
        ),
    ];
    for (name, label, heading) in known {
        assert_eq!(
            values(&fresh, name, label, &[]),
            documented(heading),
            "{name} {label}"
        );
    }
}

/// The standard world with something for every metric to say.
struct Stage {
    world: World,
    gateway: Gateway,
    orders: crate::bench::service::Service,
    gate: Arc<Notify>,
}

/// A service that says something before it is asked, in one piece with its last word of the
/// handshake: in TLS 1.2 that is the service's.
fn early_service(world: &World) -> SocketAddr {
    let leaf = Leaf::server("early").spiffe(ORDERS_ID).dns(ORDERS_NAME);
    let config = server_config(
        &world.mesh.issue(leaf),
        &world.mesh.roots(),
        &[],
        &[&rustls::version::TLS12],
    );
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.expect("a connection");
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).expect("TLS");
            while tls.is_handshaking() && tls.read_tls(&mut tcp).is_ok_and(|count| count > 0) {
                if tls.process_new_packets().is_err() {
                    break;
                }
                if !tls.is_handshaking() {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    tls.writer().write_all(answer).expect("buffered");
                }
                while tls.wants_write() && tls.write_tls(&mut tcp).is_ok() {}
            }
            // Until the other side has had enough.
            drop(tcp.read(&mut [0; 64]));
        }
    });
    address
}

async fn stage() -> Stage {
    let world = World::new();
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let reply = move |request: &crate::bench::service::Received| {
        let answer = Reply::ok("hello");
        if request.target == "/open/slow" {
            answer.after(Step::Gate(Arc::clone(&held)))
        } else {
            answer
        }
    };
    let orders = world.orders().reply(reply).start().await;
    let early = early_service(&world);
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set(
        "routes.open.limits",
        json!([{"rate": "100/s", "burst": 100, "per": "client"}]),
    );
    config.upstream("early", early, ORDERS_NAME, &[ORDERS_ID]);
    config.route("early", "/early", "early");
    let dead = format!("127.0.0.1:{}", free_port())
        .parse()
        .expect("an address");
    config.upstream("dead", dead, ORDERS_NAME, &[ORDERS_ID]);
    config.route("dead", "/dead", "dead");
    config.route("limited", "/limited", "orders");
    config.set(
        "routes.limited.limits",
        json!([{"rate": "1/h", "per": "client"}]),
    );
    let mut narrow = config.get("listeners.edge").clone();
    narrow["limits"] =
        json!({"connections": 1, "idle_timeout": "300ms", "header_timeout": "300ms"});
    config.set("listeners.narrow", narrow);
    config.set(
        "trust.partners.next",
        json!({"ca": ["partners-ca.pem", "mesh-ca.pem"]}),
    );
    let gateway = world.gateway_with(&config).await;
    Stage {
        world,
        gateway,
        orders,
        gate,
    }
}

type Labels = &'static [(&'static str, &'static str)];

/// What each metric must show: a family without a row here fails. `After` counts from the start to
/// the end of the traffic, `While` is what it showed in the middle, `Elsewhere` names the test.
enum Row {
    After(Labels, f64),
    While(Labels, fn(f64) -> bool),
    Elsewhere(&'static str, &'static str),
}

fn rows() -> BTreeMap<&'static str, Row> {
    use Row::{After, Elsewhere, While};
    BTreeMap::from([
        (
            "portcullis_external_authorization_checks_total",
            Elsewhere(
                "tests/gateway/external_authorization/answers.rs",
                "stage.checks(\"denied\")",
            ),
        ),
        (
            "portcullis_external_authorization_waived_total",
            Elsewhere(
                "tests/gateway/external_authorization/away.rs",
                "stage.waived(\"away\")",
            ),
        ),
        (
            "portcullis_external_authorization_checks_in_progress",
            Elsewhere(
                "tests/gateway/external_authorization/away.rs",
                "portcullis_external_authorization_checks_in_progress",
            ),
        ),
        (
            "portcullis_external_authorization_duration_seconds",
            Elsewhere(
                "tests/gateway/external_authorization/questions.rs",
                "portcullis_external_authorization_duration_seconds",
            ),
        ),
        (
            "portcullis_token_exchanges_total",
            Elsewhere(
                "tests/gateway/token_exchange/faults.rs",
                "stage.exchanges(result)",
            ),
        ),
        (
            "portcullis_token_exchange_cache_total",
            Elsewhere("tests/gateway/token_exchange/cached.rs", "CACHE, &found"),
        ),
        (
            "portcullis_token_exchanges_in_progress",
            Elsewhere(
                "tests/gateway/token_exchange/cached.rs",
                "portcullis_token_exchanges_in_progress",
            ),
        ),
        (
            "portcullis_token_exchange_duration_seconds",
            Elsewhere(
                "tests/gateway/token_exchange/cached.rs",
                "portcullis_token_exchange_duration_seconds",
            ),
        ),
        (
            "portcullis_certificate_verification_duration_seconds",
            After(&[("side", "upstream"), ("name", "orders")], 1.0),
        ),
        (
            "portcullis_client_hellos_total",
            After(&[("listener", "edge"), ("post_quantum", "true")], 2.0),
        ),
        ("portcullis_clients_seen", While(&[], |value| value == 1.0)),
        (
            "portcullis_clients_expiring",
            Elsewhere(
                "tests/gateway/telemetry/clients.rs",
                "portcullis_clients_expiring",
            ),
        ),
        (
            "portcullis_next_trust_verifications_total",
            After(&[("trust", "partners"), ("result", "ok")], 1.0),
        ),
        (
            "portcullis_handshakes_total",
            After(
                &[
                    ("result", "failed"),
                    ("reason", "certificate_missing"),
                    ("name", "edge"),
                ],
                1.0,
            ),
        ),
        (
            "portcullis_handshake_duration_seconds",
            After(
                &[("side", "downstream"), ("result", "ok"), ("name", "edge")],
                1.0,
            ),
        ),
        (
            "portcullis_handshakes_in_progress",
            While(&[("side", "downstream"), ("name", "edge")], |value| {
                value == 1.0
            }),
        ),
        (
            "portcullis_tls_cipher_suites_total",
            After(
                &[
                    ("side", "upstream"),
                    ("name", "orders"),
                    ("cipher_suite", "TLS_AES_128_GCM_SHA256"),
                ],
                1.0,
            ),
        ),
        (
            "portcullis_tls_groups_total",
            After(&[("side", "downstream"), ("group", "X25519MLKEM768")], 1.0),
        ),
        (
            "portcullis_tls_protocols_total",
            After(&[("side", "downstream"), ("protocol", "h2")], 1.0),
        ),
        (
            "portcullis_connections",
            While(&[("listener", "edge")], |value| value >= 2.0),
        ),
        (
            "portcullis_connections_total",
            After(&[("listener", "edge")], 2.0),
        ),
        (
            "portcullis_connections_refused_total",
            After(&[("listener", "narrow"), ("reason", "too_many")], 1.0),
        ),
        (
            "portcullis_connections_closed_total",
            After(&[("listener", "narrow")], 1.0),
        ),
        (
            "portcullis_connections_revoked_total",
            Elsewhere("tests/gateway/revocation/mod.rs", "REVOKED"),
        ),
        (
            "portcullis_requests_total",
            After(
                &[
                    ("route", "orders-read"),
                    ("status_class", "2xx"),
                    ("reason", "none"),
                ],
                2.0,
            ),
        ),
        (
            "portcullis_request_duration_seconds",
            After(&[("route", "open")], 1.0),
        ),
        (
            "portcullis_upstream_duration_seconds",
            After(&[("route", "orders-read")], 2.0),
        ),
        (
            "portcullis_refusals_total",
            After(&[("reason", "route_unknown")], 1.0),
        ),
        (
            "portcullis_limits_refused_total",
            After(&[("route", "limited"), ("limit", "0")], 1.0),
        ),
        (
            "portcullis_policy_rules_total",
            Elsewhere("tests/gateway/policy/mod.rs", "RULES"),
        ),
        (
            "portcullis_possession_total",
            Elsewhere(
                "tests/gateway/possession/mod.rs",
                "portcullis_possession_total",
            ),
        ),
        (
            "portcullis_logins_total",
            Elsewhere("tests/gateway/login/mod.rs", "LOGINS"),
        ),
        (
            "portcullis_session_refreshes_total",
            Elsewhere("tests/gateway/login/mod.rs", "REFRESHES"),
        ),
        (
            "portcullis_logouts_total",
            Elsewhere("tests/gateway/login/mod.rs", "LOGOUTS"),
        ),
        (
            "portcullis_grace_requests_total",
            Elsewhere("tests/gateway/clients/grace.rs", "GRACE"),
        ),
        (
            "portcullis_token_cache_lookups_total",
            After(&[("issuer", "corp"), ("result", "hit")], 1.0),
        ),
        (
            "portcullis_introspections_total",
            Elsewhere("tests/gateway/introspection/hostile.rs", "counted"),
        ),
        (
            "portcullis_introspection_duration_seconds",
            Elsewhere(
                "tests/gateway/introspection/bounds.rs",
                "portcullis_introspection_duration_seconds",
            ),
        ),
        (
            "portcullis_introspection_cache_lookups_total",
            Elsewhere("tests/gateway/introspection/cache.rs", "found"),
        ),
        (
            NEXT,
            Elsewhere(
                "tests/gateway/acme/issue.rs",
                "a_certificate_is_renewed_at_two_thirds_of_its_life_while_requests_are_served",
            ),
        ),
        (
            "portcullis_issuer_keys",
            Elsewhere(
                "tests/gateway/issuers/away.rs",
                "KEYS, &[(\"issuer\", \"corp\")]",
            ),
        ),
        (
            "portcullis_issuer_keys_age_seconds",
            Elsewhere(
                "tests/gateway/issuers/rotation.rs",
                "portcullis_issuer_keys_age_seconds",
            ),
        ),
        (
            "portcullis_issuer_keys_next_refresh_timestamp_seconds",
            Elsewhere(
                "tests/gateway/issuers/rotation.rs",
                "portcullis_issuer_keys_next_refresh_timestamp_seconds",
            ),
        ),
        (
            "portcullis_issuer_keys_generation",
            Elsewhere("tests/gateway/issuers/rotation.rs", "generation(2.0)"),
        ),
        (
            crate::issuers::FETCHES,
            Elsewhere(
                "tests/gateway/issuers/unknown.rs",
                "fetches(&[(\"cause\", \"unknown_key\")])",
            ),
        ),
        (
            "portcullis_signed_identities_total",
            Elsewhere(
                "tests/gateway/forwarding/claims.rs",
                "it_is_signed_once_for_many_requests",
            ),
        ),
        (
            "portcullis_signed_identity_key_start_timestamp_seconds",
            Elsewhere(
                "tests/gateway/forwarding/rotation.rs",
                "portcullis_signed_identity_key_start_timestamp_seconds",
            ),
        ),
        (
            "portcullis_upstream_connections",
            While(&[("upstream", "orders")], |value| value >= 1.0),
        ),
        (
            "portcullis_upstream_connect_failures_total",
            After(&[("upstream", "dead"), ("reason", "unreachable")], 1.0),
        ),
        (
            "portcullis_upstream_requests_in_progress",
            While(&[("upstream", "orders")], |value| value == 1.0),
        ),
        (
            "portcullis_upstream_request_duration_seconds",
            After(&[("upstream", "orders")], 1.0),
        ),
        (
            "portcullis_upstream_endpoint_up",
            While(&[("upstream", "dead")], |value| value == 0.0),
        ),
        (
            "portcullis_upstream_unexpected_data_total",
            After(&[("upstream", "early")], 1.0),
        ),
        (
            "portcullis_certificate_not_before_timestamp_seconds",
            While(
                &[("place", "identities.gateway"), ("ca", "false")],
                |value| value > 1.7e9,
            ),
        ),
        (
            "portcullis_crl_this_update_timestamp_seconds",
            Elsewhere(
                "tests/gateway/trust/crls.rs",
                "portcullis_crl_this_update_timestamp_seconds",
            ),
        ),
        (
            "portcullis_crl_next_update_timestamp_seconds",
            Elsewhere(
                "tests/gateway/trust/crls.rs",
                "portcullis_crl_next_update_timestamp_seconds",
            ),
        ),
        (
            "portcullis_crl_entries",
            Elsewhere("tests/gateway/trust/crls.rs", "portcullis_crl_entries"),
        ),
        (
            "portcullis_certificate_not_after_timestamp_seconds",
            While(&[("place", "trust.mesh"), ("ca", "true")], |value| {
                value > 1.7e9
            }),
        ),
        ("portcullis_reloads_total", After(&[("result", "ok")], 1.0)),
        ("portcullis_configuration_generation", After(&[], 1.0)),
        (
            "portcullis_configuration_last_success_timestamp_seconds",
            Elsewhere("tests/gateway/reload/mod.rs", "generation_and_time_move"),
        ),
        (
            "portcullis_source_generation",
            While(&[("place", "trust.partners")], |value| value == 1.0),
        ),
        (
            "portcullis_source_reloads_total",
            Elsewhere("tests/gateway/reload/material.rs", "SOURCE_RELOADS"),
        ),
        (
            "portcullis_refreshes_total",
            Elsewhere("tests/gateway/reload/material.rs", "REFRESHES"),
        ),
        (
            "portcullis_api_key_uses_total",
            Elsewhere(
                "tests/gateway/api_keys/hostile.rs",
                "portcullis_api_key_uses_total",
            ),
        ),
        (
            "portcullis_api_keys",
            Elsewhere("tests/gateway/api_keys/hostile.rs", "portcullis_api_keys"),
        ),
        (
            "portcullis_api_keys_expiring",
            Elsewhere(
                "tests/gateway/api_keys/command.rs",
                "portcullis_api_keys_expiring",
            ),
        ),
        (
            "portcullis_shared_state_operations_total",
            Elsewhere(
                "tests/gateway/shared_state/store.rs",
                "what_is_asked_is_counted",
            ),
        ),
        (
            "portcullis_shared_state_operation_duration_seconds",
            Elsewhere(
                "tests/gateway/shared_state/store.rs",
                "what_is_asked_is_counted",
            ),
        ),
        (
            "portcullis_shared_state_local_entries",
            Elsewhere("tests/gateway/shared_state/store.rs", "counts.entries"),
        ),
        (
            "portcullis_shared_state_away_total",
            Elsewhere("tests/gateway/shared_state/away.rs", "counts.away"),
        ),
        (
            "portcullis_shared_state_nodes",
            Elsewhere(
                "tests/gateway/shared_state/gateways.rs",
                "portcullis_shared_state_nodes",
            ),
        ),
        (
            "portcullis_shared_state_nodes_up",
            Elsewhere(
                "tests/gateway/shared_state/gateways.rs",
                "portcullis_shared_state_nodes_up",
            ),
        ),
        (
            "portcullis_build_info",
            While(&[("version", env!("CARGO_PKG_VERSION"))], |value| {
                value == 1.0
            }),
        ),
        (
            "portcullis_log_lines_dropped_total",
            Elsewhere(
                "tests/gateway/logs.rs",
                "a_log_that_nobody_reads_holds_no_request_up",
            ),
        ),
        (
            "portcullis_panics_total",
            Elsewhere("src/observe/logging_tests.rs", "portcullis_panics_total 3"),
        ),
        ("process_cpu_seconds_total", After(&[], 0.01)),
        ("process_open_fds", While(&[], |value| value > 10.0)),
        ("process_max_fds", While(&[], |value| value >= 256.0)),
        (
            "process_resident_memory_bytes",
            While(&[], |value| value > 4e6),
        ),
        (
            "process_virtual_memory_bytes",
            While(&[], |value| value > 8e6),
        ),
        ("process_threads", While(&[], |value| value >= 2.0)),
        (
            "process_start_time_seconds",
            While(&[], |value| (unix_now() as f64 - value).abs() < 60.0),
        ),
    ])
}

/// Sends something of every kind. Returns what the page showed in the middle of it.
async fn traffic(stage: &mut Stage) -> Metrics {
    let client = stage.gateway.client(&stage.world.web());
    let token = Token::new().scope("orders:read").sign(&stage.world.issuer);
    let mut h2 = client.connect_h2().await;
    for _ in 0..2 {
        let answer = h2.request(&Request::get("/orders/7").bearer(&token)).await;
        assert_eq!(answer.status, 200);
    }
    for (path, status) in [
        ("/nowhere", 404),
        ("/limited", 200),
        ("/limited", 429),
        ("/dead", 502),
        ("/early", 502),
    ] {
        assert_eq!(h2.get(path).await.status, status, "{path}");
    }
    drop(stage.gateway.anonymous().rejection().await);
    // The narrow listener: one connection may be open; it is closed for being idle.
    let narrow = client.clone().address(stage.gateway.address("narrow"));
    let mut first = narrow.connect().await;
    assert_eq!(first.get("/open/x").await.status, 200);
    assert!(narrow.try_connect().await.is_err(), "a second connection");
    first.closed().await;

    let mut slow = client.connect().await;
    slow.send(Request::get("/open/slow").bytes(HOST))
        .await
        .expect("sent");
    let silent = client.tcp().await.expect("a connection");
    stage
        .gateway
        .wait_for_metric(
            "portcullis_handshakes_in_progress",
            &[("name", "edge")],
            |value| value == 1.0,
        )
        .await;
    stage
        .gateway
        .wait_for_metric(
            "portcullis_upstream_requests_in_progress",
            &[("upstream", "orders")],
            |value| value == 1.0,
        )
        .await;
    let middle = stage.gateway.metrics().await;
    stage
        .orders
        .wait_until("the slow request", |orders| {
            orders.last_request().target == "/open/slow"
        })
        .await;
    stage.gate.notify_waiters();
    assert_eq!(slow.read_answer().await.expect("an answer").status, 200);
    drop(silent);
    assert_eq!(
        stage.gateway.reload_by(|| stage.gateway.sighup()).await,
        Reloaded::Applied(2)
    );
    middle
}

#[tokio::test]
async fn every_metric_moves() {
    let mut stage = stage().await;
    let before = stage.gateway.metrics().await;
    let middle = traffic(&mut stage).await;
    let rows = rows();
    for (name, kind, _) in families() {
        let row = rows.get(name.as_str());
        let row = row.unwrap_or_else(|| panic!("nothing moves {name}: give it a row"));
        let sample = if kind == "histogram" {
            format!("{name}_count")
        } else {
            name.clone()
        };
        match row {
            Row::After(labels, least) => {
                let begin = before.get(&sample, labels).unwrap_or_default();
                stage
                    .gateway
                    .wait_for_metric(&sample, labels, |now| now >= begin + least)
                    .await;
            }
            Row::While(labels, wanted) => {
                let value = middle.value(&sample, labels);
                assert!(wanted(value), "{name} {labels:?} was {value}");
            }
            Row::Elsewhere(file, words) => {
                let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                let text = std::fs::read_to_string(&file).expect("a file of tests");
                assert!(text.contains(words), "{} has no {words}", file.display());
            }
        }
    }
    let known: BTreeSet<String> = families().into_iter().map(|(name, ..)| name).collect();
    assert!(
        rows.keys().all(|name| known.contains(*name)),
        "a row is for no metric"
    );
}

#[tokio::test]
async fn gauges_come_back_to_zero_when_everything_has_ended() {
    let mut stage = stage().await;
    traffic(&mut stage).await;
    let zero: [(&str, Labels); 4] = [
        ("portcullis_connections", &[]),
        ("portcullis_handshakes_in_progress", &[]),
        ("portcullis_upstream_requests_in_progress", &[]),
        ("portcullis_upstream_connections", &[("upstream", "orders")]),
    ];
    stage.orders.stop().await;
    for (name, labels) in zero {
        stage
            .gateway
            .wait_for_metric(name, labels, |value| value == 0.0)
            .await;
    }
}

#[tokio::test]
async fn every_certificate_that_is_loaded_is_shown_with_its_times_cas_included() {
    let world = World::new();
    let orders = world.orders().start().await;
    let below = world.edge_authority.intermediate("below");
    let now = unix_now();
    let leaf = Leaf::server("edge")
        .dns(HOST)
        .serial(0x4711)
        .valid(-3600, 5 * 86_400);
    below.issue(leaf).write(&world.folder, "edge");
    let more = crate::bench::pki::Authority::new("more");
    world.folder.write(
        "partners-ca.pem",
        format!("{}{}", world.partners.pem(), more.pem()),
    );
    let gateway = world.gateway(&orders).await;
    let metrics = gateway.metrics().await;
    const AFTER: &str = "portcullis_certificate_not_after_timestamp_seconds";
    const BEFORE: &str = "portcullis_certificate_not_before_timestamp_seconds";
    let edge = [
        ("place", "listeners.edge.tls.certificates[0]"),
        ("ca", "false"),
    ];
    let shown = metrics.series(AFTER, &edge);
    assert_eq!(shown.len(), 1, "{:#?}", metrics.series(AFTER, &[]));
    assert_eq!(shown[0].labels["serial"], "47:11");
    assert!(shown[0].labels["subject"].contains("edge"));
    assert!((shown[0].value - (now + 5 * 86_400) as f64).abs() < 30.0);
    let begin = metrics.value(BEFORE, &edge);
    assert!((begin - (now - 3600) as f64).abs() < 30.0);
    let counts = [
        (edge[0].1, "true", 1),
        ("identities.gateway", "false", 1),
        ("trust.partners", "true", 2),
        ("trust.mesh", "true", 1),
    ];
    for (place, ca, count) in counts {
        let with = [("place", place), ("ca", ca)];
        assert_eq!(metrics.series(AFTER, &with).len(), count, "{place} {ca}");
        assert_eq!(metrics.series(BEFORE, &with).len(), count, "{place} {ca}");
    }
    assert_eq!(metrics.series(AFTER, &[]).len(), 6);

    // A reload shows the new one, and no longer the old one.
    let renewed = world
        .edge_authority
        .issue(Leaf::server("edge").dns(HOST).serial(0x4712));
    let reloaded = gateway
        .reload_by(|| renewed.write(&world.folder, "edge"))
        .await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    let metrics = gateway.metrics().await;
    let serials = values(&metrics, AFTER, "serial", &edge);
    assert_eq!(serials, BTreeSet::from(["47:12".to_owned()]));
}
