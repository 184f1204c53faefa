//! Issuers that mean no good: each case is an issuer of its own, and all are asked by one gateway.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::World;
use crate::bench::http1::Request;
use crate::bench::service::{Plain, Reply, Step};
use crate::bench::token::{self, IssuerKey, Token};

use super::idp::{Idp, json_reply};
use super::{FETCHES, KEYS, Stage, UNAVAILABLE};

/// One issuer.
struct Case {
    name: &'static str,
    reply: Reply,
    /// The result of each fetch.
    result: &'static str,
    /// What stands in the problem that is told.
    word: &'static str,
}

fn case(name: &'static str, reply: Reply, result: &'static str, word: &'static str) -> Case {
    Case {
        name,
        reply,
        result,
        word,
    }
}

/// A head that promises more than comes, and the rest.
fn promised(length: usize, rest: Vec<Step>) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{"
    );
    let mut steps = vec![Step::Send(head.into_bytes())];
    steps.extend(rest);
    Reply(steps)
}

fn redirect(status: u16, to: &str) -> Reply {
    Reply::new(status, &[("Location", to)], "")
}

fn cases(idp: &Idp, key: &IssuerKey, plain: &Plain) -> Vec<Case> {
    let good = token::jwks(&[key]);
    let jwk = key.jwk();
    let deep = format!("{{\"keys\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let many: Vec<Value> = (0..10_000)
        .map(|number| {
            let mut jwk = jwk.clone();
            jwk["kid"] = json!(format!("k{number}"));
            jwk
        })
        .collect();
    let many = json!({ "keys": many }).to_string();
    let many_small = format!("{{\"keys\":[{}{{}}]}}", "{},".repeat(10_000));
    let twice = json!({ "keys": [jwk, jwk] }).to_string();
    let member = good.replacen('{', "{\"keys\":[],", 1);
    let mut private = jwk.clone();
    private["d"] = json!("AAAA");
    let private = json!({ "keys": [private] }).to_string();
    let drip = vec![Step::Drip(vec![b' '; 10_000], Duration::from_millis(20))];
    let flood = Step::Flood(vec![b' '; 65_536]);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let endless = Step::Flood(format!("10000\r\n{}\r\n", " ".repeat(65_536)).into_bytes());
    let headers = Step::Flood(b"X-Filler: 0123456789\r\n".to_vec());
    let head_flood = vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), headers];
    let plain = format!("http://{}/jwks", plain.address);
    let elsewhere = idp.url("/good").replace("localhost", "127.0.0.1");
    vec![
        case(
            "slow-body",
            promised(20_000, drip),
            "unreachable",
            "within 1s",
        ),
        case(
            "silent",
            Reply(vec![Step::Hang]),
            "unreachable",
            "within 1s",
        ),
        case(
            "silent-body",
            promised(100, vec![Step::Hang]),
            "unreachable",
            "within 1s",
        ),
        case("huge", promised(1 << 40, vec![flood]), "refused", "1048576"),
        case(
            "endless",
            Reply(vec![Step::Send(chunked), endless]),
            "refused",
            "1048576",
        ),
        case("heads", Reply(head_flood), "unreachable", "/heads"),
        case("cut", promised(100, vec![Step::Cut]), "refused", "cut off"),
        case(
            "cut-whole",
            promised(100, vec![Step::Close]),
            "refused",
            "cut off",
        ),
        case(
            "no-http",
            Reply::raw("\u{1}\u{2}\r\n\r\n"),
            "unreachable",
            "/no-http",
        ),
        case("to-plain", redirect(302, &plain), "refused", "302"),
        case("to-other", redirect(307, &elsewhere), "refused", "307"),
        case("to-itself", redirect(301, "/to-itself"), "refused", "301"),
        case(
            "to-same",
            redirect(308, &idp.url("/good")),
            "refused",
            "308",
        ),
        case("not-found", Reply::status(404), "refused", "404"),
        case("forbidden", Reply::status(403), "refused", "403"),
        case("broken", Reply::status(500), "unreachable", "500"),
        case("busy", Reply::status(429), "unreachable", "429"),
        case("partial", Reply::new(206, &[], &good), "refused", "206"),
        case("empty", Reply::ok(""), "refused", "not a JSON object"),
        case(
            "html",
            Reply::new(200, &[("Content-Type", "text/html")], "<html>log in</html>"),
            "refused",
            "not a JSON object",
        ),
        case(
            "pem",
            Reply::ok(key.public_pem()),
            "refused",
            "not a JSON object",
        ),
        case("deep", json_reply(&deep), "refused", "nested too deep"),
        case(
            "member-twice",
            json_reply(&member),
            "refused",
            "comes twice",
        ),
        case(
            "trailing",
            json_reply(&format!("{good}{good}")),
            "refused",
            "JSON",
        ),
        case("no-list", json_reply("{\"keys\":{}}"), "refused", "no list"),
        case("kid-twice", json_reply(&twice), "refused", "two keys"),
        case("many", json_reply(&many), "refused", "1048576"),
        case(
            "many-small",
            json_reply(&many_small),
            "refused",
            "10001 keys",
        ),
        case(
            "no-keys",
            json_reply("{\"keys\":[]}"),
            "no_keys",
            "it is empty",
        ),
        case("private", json_reply(&private), "no_keys", "private key"),
    ]
}

#[tokio::test]
async fn an_issuer_that_means_no_good_gives_nothing_and_holds_nobody_up() {
    let world = World::new();
    let idp = Idp::start(&world).await;
    let plain = Plain::start(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    idp.publish(&[&world.issuer]);
    idp.page("/good", json_reply(&token::jwks(&[&world.issuer])));
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("issuers.corp.keys", idp.keys("/jwks"));
    let cases = cases(&idp, &world.issuer, &plain);
    for case in &cases {
        idp.page(&format!("/{}", case.name), case.reply.clone());
        let mut issuer = config.get("issuers.corp").clone();
        issuer["keys"] = idp.keys(&format!("/{}", case.name));
        issuer["keys"]["timeout"] = json!("1s");
        config.set(&format!("issuers.{}", case.name), issuer);
        config.route(case.name, &format!("/{}/**", case.name), "orders");
        let rule = json!({ "issuer": case.name });
        config.set(&format!("routes.{}.token", case.name), rule);
    }
    let gateway = world.gateway_with(&config).await; // ready in spite of them
    let resident = gateway.resident_bytes();
    let mut client = gateway.client(&world.web()).connect().await;
    let token = Token::new().sign(&world.issuer);
    for case in &cases {
        let told = |event: &Value| {
            let problem = event["problem"].as_str().unwrap_or_default();
            let of = event["issuer"] == case.name && event["result"] == case.result;
            of && problem.contains(case.word) && problem.len() < 2_000
        };
        gateway.wait_for_event(told).await;
        let labels = [("issuer", case.name), ("result", case.result)];
        let metrics = gateway.metrics().await;
        assert!(metrics.value(FETCHES, &labels) >= 1.0, "{}", case.name);
        assert_eq!(metrics.value(KEYS, &[("issuer", case.name)]), 0.0);
        let request = Request::get(&format!("/{}/x", case.name)).bearer(&token);
        let answer = client.request(&request).await;
        let reason = gateway.reason(&answer).await;
        let verdict = (answer.status, reason.as_deref());
        assert_eq!(verdict, (503, Some(UNAVAILABLE)), "{}", case.name);
        // The one that is well is not held up.
        let good = Request::get("/orders/7").bearer(&token);
        assert_eq!(client.request(&good).await.status, 200);
    }
    assert!(plain.received().is_empty(), "no plain HTTP is spoken");
    assert_eq!(idp.asked("/good"), 0, "no redirect is followed");
    let grown = gateway.resident_bytes().saturating_sub(resident);
    assert!(
        grown < 256 << 20,
        "bounded, however much they send: {grown}"
    );
}

#[tokio::test]
async fn metadata_that_lies_gives_nothing() {
    let world = World::new();
    let idp = Idp::start(&world).await;
    idp.page("/good", json_reply(&token::jwks(&[&world.issuer])));
    let plain = Plain::start(b"").await;
    let (good, port) = (idp.url("/good"), idp.service.address.port());
    let of = |issuer: &str, jwks: &str| json!({ "issuer": issuer, "jwks_uri": jwks }).to_string();
    let huge = format!(
        "{{\"issuer\":\"{}\",\"x\":\"{}\"}}",
        token::ISSUER,
        "x".repeat(300_000)
    );
    let plain_url = format!("http://{}/jwks", plain.address);
    let with_user = format!("https://me:secret@localhost:{port}/good");
    let slash = format!("{}/", token::ISSUER);
    let twice = of(token::ISSUER, &good).replacen('{', "{\"issuer\":\"https://a\",", 1);
    let cases = [
        (
            "slash",
            json_reply(&of(&slash, &good)),
            "another was asked for",
        ),
        (
            "other",
            json_reply(&of("https://a", &good)),
            "another was asked for",
        ),
        (
            "plain",
            json_reply(&of(token::ISSUER, &plain_url)),
            "not https",
        ),
        (
            "user",
            json_reply(&of(token::ISSUER, &with_user)),
            "not https",
        ),
        (
            "relative",
            json_reply(&of(token::ISSUER, "/good")),
            "not https",
        ),
        (
            "file",
            json_reply(&of(token::ISSUER, "file:///etc/passwd")),
            "not https",
        ),
        ("nothing", json_reply("{}"), "no text `issuer`"),
        (
            "no-keys",
            json_reply(&json!({ "issuer": token::ISSUER }).to_string()),
            "jwks_uri",
        ),
        ("twice", json_reply(&twice), "comes twice"),
        ("large", json_reply(&huge), "262144"),
        ("moved", redirect(302, &good), "302"),
    ];
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    for (name, reply, _) in &cases {
        idp.page(&format!("/{name}"), reply.clone());
        let mut keys = idp.keys("/x");
        keys.as_object_mut().expect("keys").remove("url");
        keys["discovery"] = json!(idp.url(&format!("/{name}")));
        let mut issuer = config.get("issuers.corp").clone();
        issuer["keys"] = keys;
        config.set(&format!("issuers.{name}"), issuer);
    }
    let gateway = world.gateway_starting(&config).await;
    for (name, _, word) in &cases {
        let told = |event: &Value| {
            let problem = event["problem"].as_str().unwrap_or_default();
            let refused = event["issuer"] == *name && event["result"] == "refused";
            refused && problem.contains(word) && !problem.contains("secret")
        };
        gateway.wait_for_event(told).await;
    }
    assert_eq!(idp.asked("/good"), 0);
    assert!(plain.received().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_no_good_leaves_the_keys_of_before_in_use() {
    let stage = Stage::set().await;
    let token = stage.token(&stage.world.issuer);
    assert_eq!(stage.verdict(&token).await, (200, None));
    for reply in [Reply::ok("<html>"), Reply::status(404)] {
        stage.idp.page("/jwks", reply);
        stage.next_fetch("refused").await;
        assert_eq!(stage.verdict(&token).await, (200, None));
        let other = Token::new().subject("bob").sign(&stage.world.issuer);
        assert_eq!(stage.verdict(&other).await, (200, None));
    }
}

#[tokio::test]
async fn what_an_issuer_says_of_time_counts_only_within_the_bounds() {
    let world = World::new();
    let idp = Idp::start(&world).await;
    let body = token::jwks(&[&world.issuer]);
    let page = |path: &str, control: &str| {
        idp.page(path, Reply::new(200, &[("Cache-Control", control)], &body));
    };
    // Again and again, each second, and once.
    page("/zero", "max-age=0");
    page("/negative", "max-age=-5");
    page("/ten-years", "max-age=315360000");
    page("/an-hour", "max-age=3600");
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    for (name, max) in [
        ("zero", "1h"),
        ("negative", "1h"),
        ("ten-years", "1s"),
        ("an-hour", "1h"),
    ] {
        let mut issuer = config.get("issuers.corp").clone();
        issuer["keys"] = idp.keys(&format!("/{name}"));
        issuer["keys"]["refresh"]["max"] = json!(max);
        config.set(&format!("issuers.{name}"), issuer);
    }
    let gateway = world.gateway_with(&config).await;
    for path in ["/zero", "/negative", "/ten-years"] {
        idp.wait_for(path, 3).await;
    }
    assert_eq!(idp.asked("/an-hour"), 1);
    // Not more often than the least time, however little the issuer allows.
    assert!(idp.asked("/zero") <= 8, "{}", idp.asked("/zero"));
    let next = "portcullis_issuer_keys_next_refresh_timestamp_seconds";
    let next = gateway
        .metrics()
        .await
        .value(next, &[("issuer", "an-hour")]);
    let wait = next - token::unix_now() as f64;
    assert!((3_200.0..=3_601.0).contains(&wait), "{wait}");
}
