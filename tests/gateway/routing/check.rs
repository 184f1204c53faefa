//! `portcullis check`: exit code 0 or 1, and every problem at once, at its place, with what to do.

use serde_json::json;

use crate::bench::World;
use crate::bench::client::HOST;
use crate::bench::config::Config;
use crate::bench::gateway::run;
use crate::bench::pki::Leaf;

/// Exit code, stdout and stderr of `check`. Ports that were chosen do not appear in them.
fn check(world: &World, config: &Config) -> (Option<i32>, String, String) {
    let output = run(world, config, &["check"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Lines without their positions: `12:5 routes.x` becomes `routes.x`.
fn without_positions(text: &str) -> String {
    let line = |line: &str| {
        let start = line.trim_start();
        let indent = &line[..line.len() - start.len()];
        let position = start.split(' ').next().unwrap_or_default();
        let is_position =
            position.contains(':') && position.bytes().all(|b| b.is_ascii_digit() || b == b':');
        let rest = if is_position {
            start[position.len()..].trim_start()
        } else {
            start
        };
        format!("{indent}{rest}")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_configuration_is_exit_code_0_and_says_what_it_has() {
    let world = World::new();
    let (code, out, err) = check(&world, &world.config());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let last = out.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        "gateway.yaml: good. 1 listener(s), 3 route(s), 1 upstream(s); 0 test(s) passed"
    );
}

#[test]
fn a_host_that_no_certificate_is_for_is_a_warning() {
    let world = World::new();
    let mut config = world.config();
    config.route("elsewhere", "/x", "orders");
    config.set("routes.elsewhere.match.host", "api.elsewhere.example");
    config.route("below", "/x", "orders");
    config.set("routes.below.match.host", "*.example.com");
    let (code, out, _) = check(&world, &config);
    assert_eq!(code, Some(0), "{out}");
    for (route, host) in [
        ("below", "*.example.com"),
        ("elsewhere", "api.elsewhere.example"),
    ] {
        let warning = format!(
            "warning: routes.{route}.match.host: no listener has a certificate for {host}; \
             whoever asks for it fails in the handshake (unknown_server_name)"
        );
        assert!(out.lines().any(|line| line == warning), "{warning}: {out}");
    }
    assert!(!out.contains(HOST), "{out}");
}

#[test]
fn every_file_that_cannot_be_used_and_every_tie_is_told_at_once() {
    let world = World::new();
    let (code, out, err) = check(&world, &with_unusable_files(&world));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(without_positions(&err), ALL_AT_ONCE, "{err}");
}

/// Four files that cannot be used, a pair that does not match, and two routes that tie.
fn with_unusable_files(world: &World) -> Config {
    let folder = &world.folder;
    let old = Leaf::server("old").dns("old.example.com").change(|params| {
        params.not_before = time::macros::datetime!(2020-01-01 00:00 UTC);
        params.not_after = time::macros::datetime!(2021-01-01 00:00 UTC);
    });
    world.edge_authority.issue(old).write(folder, "old");
    let other = world.mesh.issue(Leaf::client("other"));
    folder.write("gateway.key", other.key_pem());
    folder.write("empty-ca.pem", "");
    folder.write("none.json", r#"{"keys":[]}"#);
    let mut config = world.config();
    let pair = |name: &str| json!({ "cert": format!("{name}.pem"), "key": format!("{name}.key") });
    config.set("listeners.edge.tls.certificates.1", pair("old"));
    config.set("listeners.edge.tls.certificates.2", pair("missing"));
    config.set("trust.empty.ca", "empty-ca.pem");
    config.set("issuers.corp.keys.file", "none.json");
    config.route("twin-a", "/twin/{x}", "orders");
    config.route("twin-b", "/twin/{y}", "orders");
    config
}

const ALL_AT_ONCE: &str = "\
portcullis: gateway.yaml: 6 problems
  identities.gateway: the key in gateway.key is not that of the certificate in gateway.pem
      hint: name the certificate and the key that were made together
  issuers.corp.keys.file: none.json: the key set has no usable key (it is empty)
      hint: write a public key of the issuer for ES256
  listeners.edge.tls.certificates[1]: the certificate in old.pem (CN=old) expired on 2021-01-01
      hint: renew it
  listeners.edge.tls.certificates[2]: missing.pem cannot be read: No such file or directory (os error 2)
      hint: check the path and that the user of the gateway may read the file
  routes.twin-b.match: it matches requests that route twin-a matches as well, and neither goes first
      hint: give one of them another host, path, method or header, or remove it
  trust.empty: empty-ca.pem has no certificate in it
      hint: name a PEM file with a block that begins `-----BEGIN CERTIFICATE-----`";

#[test]
fn mistakes_of_writing_and_files_that_cannot_be_used_are_told_in_one_go() {
    let world = World::new();
    let mut config = with_unusable_files(&world);
    // What is wrong beside a file does not keep the file from being looked at.
    config.set("listeners.edge.limits.idle_timeout", "soon");
    config.set("issuers.corp.leeway", 30);
    config.set("upstreams.orders.timeouts.connect", 5);
    // Who uses what cannot be used has no problem of its own.
    config.set("upstreams.orders.tls.trust", "empty");
    config.set("routes.open.upstream", "order");
    config.remove("routes.orders-read.clients");
    config.remove("routes.orders-write.token");
    config.set("routes.twin-a.websockets", true);
    config.set("trust.unwritten", json!({}));
    config.set("tests", json!([{ "request": { "url": "https://api.example.com/" }, "expect": { "route": "open" } }]));
    let (code, out, err) = check(&world, &config);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(without_positions(&err), ALL_OF_BOTH, "{err}");
}

const ALL_OF_BOTH: &str = "\
portcullis: gateway.yaml: 14 problems
  identities.gateway: the key in gateway.key is not that of the certificate in gateway.pem
      hint: name the certificate and the key that were made together
  issuers.corp.keys.file: none.json: the key set has no usable key (it is empty)
      hint: write a public key of the issuer for ES256
  issuers.corp.leeway: 30 has no unit
      hint: write a duration with its unit: `10s`, `500ms` or `5m`; 30 may have meant `30s`
  listeners.edge.limits.idle_timeout: \"soon\" is not one whole number with one unit
      hint: write a duration like `10s`, `500ms` or `5m`
  listeners.edge.tls.certificates[1]: the certificate in old.pem (CN=old) expired on 2021-01-01
      hint: renew it
  listeners.edge.tls.certificates[2]: missing.pem cannot be read: No such file or directory (os error 2)
      hint: check the path and that the user of the gateway may read the file
  routes.open.upstream: no upstream is named \"order\"
      hint: did you mean \"orders\"?
  routes.orders-read: `clients` is missing
      hint: say who may ask: write `clients: [spiffe://partners.example/web/*]`, or `clients: any` for everybody that the listener let in
  routes.orders-write: `token` is missing
      hint: say it either way: write `token: { issuer: NAME, scopes: [orders:read] }`, or `token: none` if no token is looked at
  routes.twin-a.websockets: there is no such key here
      hint: did you mean \"websocket\"? The keys here are match, listeners, clients, grace_after_expiry, token, login, api_key, limits, external_authorization, exchange, upstream, accept, forward, max_body, websocket, policy, subject_is_peer
  routes.twin-b.match: it matches requests that route twin-a matches as well, and neither goes first
      hint: give one of them another host, path, method or header, or remove it
  trust.empty: empty-ca.pem has no certificate in it
      hint: name a PEM file with a block that begins `-----BEGIN CERTIFICATE-----`
  trust.unwritten: `ca` is missing
      hint: write `ca:` with a PEM file of CA certificates
  upstreams.orders.timeouts.connect: 5 has no unit
      hint: write a duration with its unit: `10s`, `500ms` or `5m`; 5 may have meant `5s`";

#[test]
fn a_problem_names_the_line_and_column_of_its_place() {
    let world = World::new();
    let mut config = world.config();
    config.set("identities.gateway.key", "edge.key");
    let (code, _, err) = check(&world, &config);
    assert_eq!(code, Some(1));
    let text = std::fs::read_to_string(world.folder.join("gateway.yaml")).expect("the file");
    let place = err.lines().find(|line| line.contains("identities.gateway"));
    let position = place.and_then(|line| line.split_whitespace().next());
    let (line, column) = position
        .and_then(|position| position.split_once(':'))
        .expect("a line and a column");
    let number = |text: &str| {
        text.trim_end_matches(':')
            .parse::<usize>()
            .expect("a number")
    };
    let written = text.lines().nth(number(line) - 1).expect("that line");
    let from = &written[number(column) - 1..];
    assert!(
        from.starts_with("gateway:") || from.starts_with("cert:"),
        "{from:?} in {err}"
    );
}

#[test]
fn ties_are_refused_and_what_is_told_apart_is_not() {
    let api = |path: &str| json!({ "host": HOST, "path": path });
    let with = |path: &str, key: &str, value: serde_json::Value| {
        let mut matches = api(path);
        matches[key] = value;
        matches
    };
    let tier = |name: &str| with("/x", "headers", json!({ name: "1" }));
    let get = |more: &[&str]| {
        let methods: Vec<&str> = ["GET"].iter().chain(more).copied().collect();
        with("/x", "methods", json!(methods))
    };
    let cases = [
        ("the same", api("/x/**"), api("/x/**"), true),
        (
            "other names of segments",
            api("/x/{a}"),
            api("/x/{b}"),
            true,
        ),
        (
            "another spelling of the host",
            api("/x"),
            json!({ "host": "API.example.com.", "path": "/x" }),
            true,
        ),
        ("a method in common", get(&["PUT"]), get(&["POST"]), true),
        ("two fields in one request", tier("X-A"), tier("X-B"), true),
        (
            "no method in common",
            get(&[]),
            with("/x", "methods", json!(["POST"])),
            false,
        ),
        ("methods and none", get(&[]), api("/x"), false),
        ("a field and none", tier("X-A"), api("/x"), false),
        ("exact and any", api("/x/a"), api("/x/{b}"), false),
        ("an end and `**`", api("/x"), api("/x/**"), false),
        (
            "another host",
            api("/x"),
            json!({ "host": "*.example.com", "path": "/x" }),
            false,
        ),
    ];
    let world = World::new();
    for (what, one, other, tie) in cases {
        let mut config = world.config();
        config
            .route("one", "/", "orders")
            .route("other", "/", "orders");
        config
            .set("routes.one.match", one)
            .set("routes.other.match", other);
        let (code, _, err) = check(&world, &config);
        assert_eq!(code, Some(i32::from(tie)), "{what}: {err}");
        assert_eq!(err.contains("neither goes first"), tie, "{what}: {err}");
    }
}

#[test]
fn a_test_in_the_file_that_fails_is_a_problem_and_one_that_passes_is_counted() {
    let world = World::new();
    let test = |claims: &str, expect: serde_json::Value| {
        json!({
            "request": { "url": "https://api.example.com/orders/7", "client": crate::bench::WEB_ID,
                         "claims": { "scope": claims } },
            "expect": expect,
        })
    };
    let passes = test("orders:read", json!({ "route": "orders-read" }));
    let refused = test("x", json!({ "refusal": "scope_missing" }));
    let wrong = test("x", json!({ "route": "orders-read" }));
    let open = test("orders:read", json!({ "refusal": "peer_not_allowed" }));
    let mut config = world.config();
    config.set("tests", json!([passes, refused]));
    let (code, out, err) = check(&world, &config);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("2 test(s) passed"), "{out}");
    config.set("tests", json!([passes, wrong, refused, open]));
    let (code, _, err) = check(&world, &config);
    assert_eq!(code, Some(1));
    assert_eq!(without_positions(&err), TWO_FAIL, "{err}");
}

const TWO_FAIL: &str = "\
portcullis: gateway.yaml: 2 problems
  tests[1]: expected route orders-read, but it is refused: scope_missing
      hint: change the route so that the test passes, or the test if it is no longer right
  tests[3]: expected refusal peer_not_allowed, but route orders-read lets it through
      hint: change the route so that the test passes, or the test if it is no longer right";

#[test]
fn what_is_written_wrongly_is_told_all_at_once() {
    let world = World::new();
    let mut config = world.config();
    config.remove("routes.orders-read.clients");
    config.remove("routes.orders-write.token");
    config.set("routes.open.upstream", "order");
    config.set("routes.open.matches", json!({}));
    config.set("upstreams.orders.timeouts.connect", 5);
    let (code, out, err) = check(&world, &config);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(without_positions(&err), WRONGLY_WRITTEN, "{err}");
}

const WRONGLY_WRITTEN: &str = "\
portcullis: gateway.yaml: 5 problems
  routes.open.matches: there is no such key here
      hint: did you mean \"match\"? The keys here are match, listeners, clients, grace_after_expiry, token, login, api_key, limits, external_authorization, exchange, upstream, accept, forward, max_body, websocket, policy, subject_is_peer
  routes.open.upstream: no upstream is named \"order\"
      hint: did you mean \"orders\"?
  routes.orders-read: `clients` is missing
      hint: say who may ask: write `clients: [spiffe://partners.example/web/*]`, or `clients: any` for everybody that the listener let in
  routes.orders-write: `token` is missing
      hint: say it either way: write `token: { issuer: NAME, scopes: [orders:read] }`, or `token: none` if no token is looked at
  upstreams.orders.timeouts.connect: 5 has no unit
      hint: write a duration with its unit: `10s`, `500ms` or `5m`; 5 may have meant `5s`";

#[test]
fn run_refuses_what_check_refuses_with_the_same_words() {
    let world = World::new();
    let mut config = world.config();
    config.set("trust.partners.ca", "missing.pem");
    let (code, _, said) = check(&world, &config);
    let ran = run(&world, &config, &["run"]);
    assert_eq!((code, ran.status.code()), (Some(1), Some(1)));
    assert_eq!(String::from_utf8_lossy(&ran.stderr), said);
}
