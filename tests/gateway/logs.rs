//! The log: one line for each request, readable by machines whatever strangers say, and without
//! anybody's secret.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bench::client::HOST;
use crate::bench::gateway::{Gateway, Metrics, Reloaded};
use crate::bench::http1::{Request, Wire};
use crate::bench::pki::Leaf;
use crate::bench::service::Reply;
use crate::bench::token::{Token, with_broken_signature};
use crate::bench::{World, within};

/// The fields that `docs/metrics.md` lists below a heading.
pub fn documented(heading: &str) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(file).expect("docs/metrics.md");
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let fields: BTreeSet<String> = lines
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert!(!fields.is_empty(), "nothing stands below {heading}");
    fields
}

fn keys(line: &Value) -> BTreeSet<String> {
    line.as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect()
}

/// Every line so far, as JSON; panics if one is not.
fn lines(gateway: &Gateway) -> Vec<Value> {
    let parse = |line: &String| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    gateway.log().iter().map(parse).collect()
}

fn of(lines: Vec<Value>, target: &str) -> Vec<Value> {
    lines
        .into_iter()
        .filter(|line| line["target"] == target)
        .collect()
}

/// Waits until there are that many access lines; returns them.
async fn access_lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    let is_access = |line: &&String| line.contains("\"target\":\"access\"");
    gateway
        .wait_for_log(|_| gateway.log().iter().filter(is_access).count() >= count)
        .await;
    of(lines(gateway), "access")
}

#[tokio::test]
async fn each_request_is_one_line_at_its_end_with_the_fields_that_are_documented() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let web = world.web();
    let token = Token::new()
        .scope("orders:write")
        .bound_to(&web)
        .sign(&world.issuer);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let post = Request::post("/orders/7?secret=1", "twelve bytes")
        .bearer(&token)
        .header("traceparent", trace)
        .header("X-Request-Id", "req-1");
    let mut ids = Vec::new();
    let mut h1 = gateway.client(&web).alpn(&["http/1.1"]).connect().await;
    let mut h2 = gateway.client(&web).connect_h2().await;
    for _ in 0..3 {
        for answer in [
            h1.request(&post).await,
            h1.get("/orders/7").await,
            h2.get("/open/x").await,
            h2.get("/nowhere").await,
        ] {
            ids.push(answer.header("x-request-id").expect("an id").to_owned());
        }
    }
    let lines = access_lines(&gateway, ids.len()).await;
    let mut logged: Vec<&str> = lines
        .iter()
        .map(|line| line["request_id"].as_str().expect("an id"))
        .collect();
    logged.sort_unstable();
    ids.sort_unstable();
    assert_eq!(logged, ids, "one line for each answer");

    let all = documented("### Access lines");
    let line = lines
        .iter()
        .find(|line| line["method"] == "POST")
        .expect("the POST's line");
    let mut expected = all.clone();
    expected.remove("reason");
    expected.remove("closed");
    expected.remove("certificate_expired_seconds"); // see `clients::grace`
    expected.remove("possession_reported"); // see `possession`
    for field in ["api_key", "client_id", "detail"] {
        expected.remove(field); // see `refusals` and `explained`
    }
    expected.remove("external_authorization"); // see `external_authorization`
    for of_policy in ["policy_failure", "policy_rule", "policy_would_refuse"] {
        expected.remove(of_policy); // see `policy`
    }
    assert_eq!(
        keys(line),
        expected,
        "a request that was neither refused nor cut short has everything else"
    );
    let is = [
        ("level", json!("INFO")),
        ("request_id", json!("req-1")),
        ("trace_id", json!("0af7651916cd43dd8448eb211c80319c")),
        ("listener", json!("edge")),
        ("sni", json!(HOST)),
        ("peer", json!(crate::bench::WEB_ID)),
        ("common_name", json!("partner")),
        ("issuer", json!("corp")),
        ("subject", json!("alice")),
        ("host", json!(HOST)),
        ("path", json!("/orders/7")),
        ("route", json!("orders-write")),
        ("status", json!(200)),
        ("upstream", json!("orders")),
        ("endpoint", json!(orders.address.to_string())),
        ("endpoint_identity", json!(crate::bench::ORDERS_ID)),
        ("tls_version", json!("1.3")),
        ("resumed", json!(false)),
        ("alpn", json!("http/1.1")),
        ("bytes_in", json!(12)),
        ("bytes_out", json!(5)),
    ];
    for (field, value) in is {
        assert_eq!(line[field], value, "{field}");
    }
    assert_eq!(line["source"], h1.local_address().to_string());
    let (whole, part) = (
        line["duration"].as_f64(),
        line["upstream_duration"].as_f64(),
    );
    assert!(
        part > Some(0.0) && whole >= part && whole < Some(60.0),
        "{line}"
    );
    let refused = lines
        .iter()
        .find(|line| line["status"] == 401)
        .expect("a refusal");
    assert_eq!(refused["reason"], "token_missing");
    assert_eq!(refused["route"], "orders-read");
    assert!(refused.get("endpoint").is_none(), "{refused}");
    let unknown = lines
        .iter()
        .find(|line| line["status"] == 404)
        .expect("no route");
    assert_eq!(
        (&unknown["reason"], &unknown["alpn"]),
        (&json!("route_unknown"), &json!("h2"))
    );
    for line in &lines {
        assert!(keys(line).is_subset(&all), "{line}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_and_a_head_that_is_refused_have_their_line_too() {
    let world = World::new();
    let orders = world.orders().reply(|_| Reply::hang()).start().await;
    let gateway = world.gateway(&orders).await;
    let client = gateway.client(&world.web());
    let mut gone = client.connect().await;
    gone.send(Request::get("/open/gone").bytes(HOST))
        .await
        .expect("sent");
    orders.wait_for_requests(1).await;
    drop(gone);
    let line = gateway
        .wait_for_event(|line| line["path"] == "/open/gone")
        .await;
    assert_eq!(line["status"], 499);
    let refused = client
        .connect()
        .await
        .exchange("GET /open/bad\r\n\r\n")
        .await
        .expect("an answer");
    let id = refused.header("x-request-id").expect("an id").to_owned();
    let line = gateway
        .wait_for_event(|line| line["request_id"] == id.as_str())
        .await;
    assert_eq!(line["status"], refused.status);
    assert!(line["reason"].is_string(), "{line}");
}

/// Texts that would break a line, a format or a terminal.
fn nasty() -> Vec<String> {
    let mut texts: Vec<String> = [
        "quote\"brace}{",
        "back\\slash\\n\\u0000",
        "tab\there",
        "ünïcödé 漢字 🦀",
        "percent%22%0a%0d%1b[31m",
        "\u{202e}turned\u{2066}\u{200b}",
        "\u{85}\u{2028}\u{2029}next line",
        "\u{9b}31mC1",
        "\",\"status\":200,\"x\":\"",
        "{{level}} ${jndi:ldap://x}",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("long".repeat(25_000));
    texts
}

/// Sends every nasty text in every place that a stranger has. Answers do not matter.
async fn be_nasty(world: &World, gateway: &Gateway) {
    for text in nasty() {
        let short: String = text.chars().take(300).collect();
        // Names in certificates: control characters too.
        let mut leaf = Leaf::client(&format!("{short}\n\u{1b}[2J\r\u{7}end"));
        if short.is_ascii() && !short.contains(['\n', '\r']) {
            leaf = leaf.spiffe(&short).dns(&short);
        }
        let untrusted = world.stranger.issue(leaf.clone());
        drop(gateway.client(&untrusted).rejection().await);
        let named = Leaf::client(&format!("{short}\n\u{1b}[2J\r\u{7}end"));
        let named = world
            .partners
            .issue(named.spiffe("spiffe://partners.example/web/n"));
        let client = gateway.client(&named);
        let token = Token::new()
            .subject(&format!("{text}\n\u{1b}[1m\u{0}"))
            .scope("orders:read");
        let token = token.sign(&world.issuer);
        let request = Request::get("/orders/x").bearer(&token);
        drop(client.connect().await.try_request(&request).await);
        for request in [
            Request::get(&format!("/open/{text}")),
            Request::new(&text.replace(' ', ""), "/open/x"),
            Request::get("/open/x").host(&text),
            Request::get("/open/x").header("X-Request-Id", &text),
            Request::get("/open/x").header("traceparent", &text),
        ] {
            drop(client.connect().await.try_request(&request).await);
        }
    }
}

/// Characters that end a line, move a cursor or turn the direction of writing.
fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// More than the longest honest line.
const LINE_BYTES_MAX: usize = 16 * 1024;

#[tokio::test]
async fn json_lines_are_json_whatever_strangers_say() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    be_nasty(&world, &gateway).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/last").await.status,
        200
    );
    gateway
        .wait_for_event(|line| line["path"] == "/open/last")
        .await;
    for line in gateway.log() {
        let value: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            value["time"].is_string() && value["level"].is_string(),
            "{line}"
        );
        assert!(!line.contains(harmful), "{line:?}");
        assert!(line.len() < LINE_BYTES_MAX, "{} bytes", line.len());
        // Nobody can say a field twice: a reader might take the second.
        for field in ["\"status\":", "\"level\":", "\"target\":"] {
            assert!(line.matches(&format!(",{field}")).count() <= 1, "{line}");
        }
        let fields = value.as_object().expect("an object").iter();
        for (name, text) in fields.filter_map(|(name, value)| Some((name, value.as_str()?))) {
            let short = name == "message" || text.chars().count() <= 2_000;
            assert!(short, "{name}: {} characters", text.chars().count());
        }
    }
    let access = of(lines(&gateway), "access");
    assert!(access.len() > 30, "{} lines", access.len());
}

#[tokio::test]
async fn readable_lines_cannot_be_forged() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("logs.format", "readable");
    let gateway = world.gateway_with(&config).await;
    be_nasty(&world, &gateway).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/last").await.status,
        200
    );
    gateway
        .wait_for_log(|line| line.contains("/open/last"))
        .await;
    for line in gateway.log() {
        let begin = line.split(' ').next().unwrap_or_default();
        assert!(
            begin.starts_with("20") && begin.ends_with('Z'),
            "a line of somebody else's: {line:?}"
        );
        assert!(!line.contains(harmful), "{line:?}");
        assert!(line.len() < LINE_BYTES_MAX, "{} bytes", line.len());
    }
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    let world = World::new();
    let reply = |_: &_| {
        let headers = [
            ("Set-Cookie", "sid=secretmark-set-cookie"),
            ("X-Answer", "secretmark-answer-header"),
        ];
        Reply::new(200, &headers, "secretmark-answer-body")
    };
    let orders = world.orders().reply(reply).start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("logs.level", "debug");
    let mut gateway = world.gateway_with(&config).await;
    let web = world.web();
    let client = gateway.client(&web);
    let token = Token::new()
        .scope("orders:read")
        .claim("secret", "secretmark-claim");
    let tokens = [
        token.sign(&world.issuer),
        with_broken_signature(&token.sign(&world.issuer)),
        token.clone().expired().sign(&world.issuer),
        token.unsigned(),
        token.sign_hs256(b"x", "k1"),
        "secretmark-no-token-at-all".to_owned(),
    ];
    for token in &tokens {
        let request = Request::get("/orders/7?password=secretmark-query&x=secretmark-query-2")
            .bearer(token)
            .header("Cookie", "sid=secretmark-cookie")
            .header("X-Api-Key", "secretmark-api-key")
            .header("Proxy-Authorization", "Basic secretmark-proxy");
        drop(client.connect().await.try_request(&request).await);
        drop(client.connect_h2().await.try_request(&request).await);
    }
    let odd = [
        Request::get("/open/x").header("Authorization", "Basic secretmark-basic"),
        Request::get("/open/x")
            .header("Authorization", "secretmark-a")
            .header("Authorization", "secretmark-b"),
        Request::post("/open/x?secretmark-query-3", "secretmark-body"),
        Request::get("/open/../x?secretmark-query-4"),
        Request::get("/nowhere?secretmark-query-5#secretmark-fragment"),
        Request::get("https://user:secretmark-userinfo@api.example.com/open?secretmark-query-6"),
        Request::get("/open/x").header("secretmark header", "secretmark-malformed"),
        Request::get("/open/x").header("Transfer-Encoding", "secretmark-framing"),
    ];
    for request in &odd {
        drop(client.connect().await.try_request(request).await);
    }
    // Keys in the wrong places: where a certificate should be, in the configuration, in a JWKS.
    let (key, pem) = (world.issuer.public_pem(), web.key_pem());
    let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    let good = gateway.config.clone();
    world.folder.write("edge.pem", &pem);
    world.folder.write(
        "jwks.json",
        format!(
            "{{\"keys\": [{{\"kty\": \"oct\", \"k\": \"secretmark-oct\"}}], \"x\": \"{key}\"}}"
        ),
    );
    gateway.reload_by(|| gateway.sighup()).await;
    let mut pasted = good.clone();
    pasted.set("identities.gateway.key", pem.clone());
    assert_eq!(gateway.reload(&pasted).await, Reloaded::Refused);
    let text = good
        .yaml()
        .replace("version: 1", &format!("version: {body}"));
    gateway.reload_text(&text).await;

    assert_eq!(client.get("/open/last").await.status, 200);
    gateway
        .wait_for_event(|line| line["path"] == "/open/last")
        .await;
    let log = gateway.log().join("\n");
    assert!(
        log.contains("\"reason\":\"token_signature\""),
        "the traffic was what it should be"
    );
    let page = gateway.admin("/metrics").await.text();
    for (name, text) in [("the log", &log), ("the metrics", &page)] {
        let found: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("secretmark"))
            .collect();
        assert!(found.is_empty(), "{name}: {found:#?}");
        for token in &tokens {
            for part in token.split('.').filter(|part| part.len() > 20) {
                assert!(!text.contains(part), "{name} has a part of a token");
            }
        }
        for secret in [&body[20..60], &body[body.len() - 30..]] {
            assert!(!text.contains(secret), "{name} has a private key");
        }
        assert!(!text.contains("PRIVATE KEY-----"), "{name}");
        let keys = ["edge.key", "gateway.key"]
            .map(|file| std::fs::read_to_string(world.folder.join(file)).expect("a key"));
        for key in keys {
            let line = key.lines().nth(1).expect("base64");
            assert!(!text.contains(line), "{name} has the gateway's key");
        }
    }
}

#[tokio::test]
async fn a_flood_of_failed_handshakes_is_counted_whole_and_logged_in_part() {
    const FLOOD: usize = 150;
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let begun = tokio::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..FLOOD {
        let client = gateway.anonymous();
        tasks.spawn(async move {
            let mut wire = Wire::new(client.tcp().await.expect("a connection"));
            wire.send("POST / HTTP/1.1\r\n\r\n").await.expect("sent");
            drop(within("the end", wire.read_to_end()).await);
        });
    }
    while tasks.join_next().await.is_some() {}
    let labels = [("side", "downstream"), ("reason", "plain_http")];
    gateway
        .wait_for_metric("portcullis_handshakes_total", &labels, |count| {
            count == FLOOD as f64
        })
        .await;
    let seconds = begun.elapsed().as_secs() as usize + 1;
    let written = of(lines(&gateway), "handshake").len();
    assert!(written >= 20, "{written} lines");
    assert!(
        written <= 20 * (seconds + 1),
        "{written} lines in {seconds} s"
    );
    // When there is room again, the next line says how many were left out.
    let left_out = async {
        loop {
            drop(gateway.anonymous().rejection().await);
            let lines = of(lines(&gateway), "handshake");
            let sum: u64 = lines
                .iter()
                .map(|line| line["suppressed"].as_u64().expect("a count"))
                .sum();
            if sum > 0 {
                return (lines.len(), sum as usize);
            }
        }
    };
    let (written, suppressed) = within("a line with the count", left_out).await;
    let failed = gateway.metrics().await.value(
        "portcullis_handshakes_total",
        &[("side", "downstream"), ("result", "failed")],
    );
    assert!(
        written + suppressed <= failed as usize,
        "{written} + {suppressed} of {failed}"
    );
    assert!(
        suppressed + written >= FLOOD,
        "{written} + {suppressed} of {FLOOD}"
    );
}

#[tokio::test]
async fn a_failed_handshake_says_who_it_was_in_the_fields_that_are_documented() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let leaf = Leaf::client("who-it-was")
        .spiffe("spiffe://partners.example/late")
        .dns("late.example")
        .serial(0xbeef);
    let late = world.partners.issue(leaf.expired());
    drop(gateway.client(&late).rejection().await);
    let line = gateway
        .wait_for_event(|line| line["target"] == "handshake")
        .await;
    assert_eq!(keys(&line), documented("### Failed handshakes"));
    let is = [
        ("level", "WARN"),
        ("message", "handshake failed"),
        ("side", "downstream"),
        ("name", "edge"),
        ("sni", HOST),
        ("reason", "certificate_expired"),
    ];
    for (field, value) in is {
        assert_eq!(line[field], value, "{field}");
    }
    let has = [
        ("certificate_subject", "who-it-was"),
        ("certificate_issuer", "partners"),
        ("certificate_serial", "be:ef"),
        ("certificate_names", "spiffe://partners.example/late"),
        ("certificate_names", "late.example"),
        ("certificate_not_after", "Z"),
        ("peer_address", "127.0.0.1:"),
    ];
    for (field, part) in has {
        assert!(
            line[field].as_str().is_some_and(|text| text.contains(part)),
            "{field}: {line}"
        );
    }
    // A service that is somebody else.
    let other = world.mesh.issue(
        Leaf::server("imposter")
            .spiffe("spiffe://mesh.example/imposter")
            .dns(crate::bench::ORDERS_NAME),
    );
    orders.set_identity(&other);
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        502
    );
    let line = gateway
        .wait_for_event(|line| line["side"] == "upstream")
        .await;
    assert_eq!(
        (&line["name"], &line["reason"]),
        (&json!("orders"), &json!("identity_mismatch"))
    );
    assert!(
        line["certificate_names"]
            .as_str()
            .is_some_and(|names| names.contains("imposter")),
        "{line}"
    );
    assert!(
        keys(&line).is_subset(&documented("### Failed handshakes")),
        "{line}"
    );
    let access = gateway
        .wait_for_event(|line| line["target"] == "access")
        .await;
    let shown = access["endpoint_identity"].as_str().unwrap_or_default();
    assert!(shown.contains("spiffe://mesh.example/imposter"), "{access}");
}

#[tokio::test]
async fn no_access_lines_are_written_where_the_configuration_says_so() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("logs.access", false);
    let gateway = world.gateway_with(&config).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/x").await.status,
        200
    );
    drop(gateway.anonymous().rejection().await);
    gateway
        .wait_for_event(|line| line["target"] == "handshake")
        .await;
    assert!(of(lines(&gateway), "access").is_empty());
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_no_request_up() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("listeners.edge.limits.http2.streams", 200);
    config.choose_ports();
    let file = world.folder.write("gateway.yaml", config.yaml());
    // Its standard output is a pipe that is never read.
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["run", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("start the gateway");
    let address = |place: &str| {
        config
            .get(place)
            .as_str()
            .expect("an address")
            .parse()
            .expect("an address")
    };
    let (admin, edge): (std::net::SocketAddr, std::net::SocketAddr) =
        (address("admin.address"), address("listeners.edge.address"));
    let dropped = async || {
        let mut wire = Wire::new(tokio::net::TcpStream::connect(admin).await.ok()?);
        wire.send("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .ok()?;
        let page = wire.read_answer("GET").await.ok()?.text();
        Metrics::parse(&page).get("portcullis_log_lines_dropped_total", &[])
    };
    within("the gateway", async {
        while dropped().await.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let named = world
        .partners
        .issue(Leaf::client(&"n".repeat(64)).spiffe(&format!(
            "spiffe://partners.example/web/{}",
            "n".repeat(200)
        )));
    let client = crate::bench::client::Client::new(edge, &world.edge_authority).identity(&named);
    // Refused requests make long lines at little cost.
    let request =
        Request::get(&format!("/{}", "p".repeat(300))).header("X-Request-Id", &"i".repeat(64));
    let mut h2 = client.connect_h2().await;
    let answered = async {
        loop {
            let mut answers = Vec::new();
            for _ in 0..100 {
                let (answer, _stream) = h2.start(&request).await.expect("a stream");
                answers.push(answer);
            }
            for answer in answers {
                let answer = crate::bench::client::read_h2(answer)
                    .await
                    .expect("an answer");
                assert_eq!(answer.status, 404);
            }
            if dropped().await.is_some_and(|count| count > 0.0) {
                return;
            }
        }
    };
    within("dropped lines to be counted", answered).await;
    assert_eq!(client.get("/open/x").await.status, 200);
    child.kill().expect("end the gateway");
    child.wait().expect("the end of the gateway");
}
