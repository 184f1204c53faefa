//! Lines as a reader of the log finds them.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;

use super::*;
use crate::detail::Detail;
use crate::handshake_failure::HandshakeFailure;
use crate::observe::{
    AccessLine, ConnectionAbuse, HandshakeFailureLine, HandshakeLog, Side, TlsFacts, access,
};
use crate::refusal::Refusal;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written while `work` runs.
fn log_of(format: LogFormat, level: LogLevel, work: impl FnOnce()) -> String {
    let kept = Kept::default();
    let writer = LineWriter::start(kept.clone()).unwrap();
    tracing::subscriber::with_default(subscriber(format, level, writer.clone()), work);
    writer.flush(Duration::from_secs(10));
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

const TLS: TlsFacts = TlsFacts {
    version: "1.3",
    cipher_suite: "TLS_AES_256_GCM_SHA384",
    group: "X25519MLKEM768",
    resumed: false,
    alpn: "h2",
};

fn detail() -> &'static Detail {
    static DETAIL: LazyLock<Detail> = LazyLock::new(|| Detail::new("no scope \"orders:write\""));
    &DETAIL
}

fn line<'a>(path: &'a str, subject: &'a str) -> AccessLine<'a> {
    AccessLine {
        request_id: "0198c5",
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        listener: "edge",
        source: "192.0.2.7:50312".parse().unwrap(),
        sni: Some("api.example.com"),
        peer: Some("spiffe://partners.example/web/shop"),
        common_name: Some("shop"),
        certificate_over: Some(60),
        issuer: Some("corp"),
        subject: Some(subject),
        client_id: Some("shop"),
        api_key: Some("1f0c9a7be2d34415"),
        possession_reported: Some("dpop"),
        method: "GET",
        host: Some("api.example.com"),
        path,
        route: Some("orders-read"),
        status: 403,
        external_authorization: Some("allowed"),
        refusal: Some(Refusal::ScopeMissing),
        detail: Some(detail()),
        policy_rule: Some("own-tenant"),
        policy_failure: Some("there is no such key: tenant"),
        policy_would_refuse: Some("office,internal"),
        closed: Some(ConnectionAbuse::SlowBody.label()),
        upstream: Some("orders"),
        endpoint: Some("orders-1:9443"),
        endpoint_identity: Some("spiffe://mesh.example/ns/shop/sa/orders"),
        tls: &TLS,
        bytes_in: 0,
        bytes_out: 214,
        duration: Duration::from_micros(1_234),
        upstream_duration: Some(Duration::from_micros(900)),
    }
}

fn documented(heading: &str) -> Vec<String> {
    let text = include_str!("../../docs/metrics.md");
    let (_, part) = text.split_once(&format!("\n{heading}\n")).expect(heading);
    let part = part.split("\n#").next().unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut keys: Vec<_> = rows
        .map(|row| row.split('`').next().unwrap().to_owned())
        .collect();
    keys.sort();
    keys
}

fn keys(line: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(line).unwrap();
    let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn an_access_line_has_the_fields_that_the_documentation_lists() {
    let log = log_of(LogFormat::Json, LogLevel::Info, || {
        access(&line("/orders/7", "alice"))
    });
    assert_eq!(log.lines().count(), 1, "{log}");
    assert_eq!(keys(&log), documented("### Access lines"));
    let value: Value = serde_json::from_str(&log).unwrap();
    for (key, want) in [
        ("target", Value::from("access")),
        ("status", Value::from(403)),
        ("reason", Value::from("scope_missing")),
        ("peer", Value::from("spiffe://partners.example/web/shop")),
        ("resumed", Value::from(false)),
        ("duration", Value::from(0.001_234)),
        ("upstream_duration", Value::from(0.000_9)),
        ("bytes_out", Value::from(214)),
        ("source", Value::from("192.0.2.7:50312")),
    ] {
        assert_eq!(value[key], want, "{key}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let bare = AccessLine {
        sni: None,
        peer: None,
        refusal: None,
        ..line("/", "alice")
    };
    let log = log_of(LogFormat::Json, LogLevel::Info, || access(&bare));
    for key in ["sni", "peer", "reason"] {
        assert!(!keys(&log).contains(&key.to_owned()), "{key}");
    }
}

#[test]
fn a_query_never_reaches_the_log() {
    for path in ["/a?token=secret", "/a?x#secret", "/a#secret", "?secret"] {
        for format in [LogFormat::Json, LogFormat::Readable] {
            let log = log_of(format, LogLevel::Info, || access(&line(path, "alice")));
            assert!(!log.contains("secret"), "{log}");
        }
    }
}

#[test]
fn nothing_from_outside_begins_a_line_or_moves_a_cursor() {
    let hostile = [
        "a\n2026-01-01T00:00:00.000Z INFO  access status=200",
        "a\r\u{1b}[2J",
        "\u{9b}31m\u{202e}",
        "a\" status=200 \"",
        "a\",\"status\":200,\"x\":\"",
        "\u{2028}\u{0}\u{7f}",
    ];
    for text in hostile {
        for format in [LogFormat::Json, LogFormat::Readable] {
            let log = log_of(format, LogLevel::Info, || {
                access(&line(text, text));
                tracing::info!(error = text, "a message");
            });
            assert_eq!(log.lines().count(), 2, "{log:?}");
            assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log:?}");
            assert!(
                !log.contains('\u{202e}') && !log.contains('\u{2028}'),
                "{log:?}"
            );
            if format == LogFormat::Json {
                let value: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
                assert_eq!(value["status"], 403);
                assert_eq!(value["subject"], text);
            } else {
                assert!(!log.contains("a\" status=200"), "{log:?}");
            }
        }
    }
}

#[test]
fn long_texts_are_cut() {
    let long = "x".repeat(100_000);
    let log = log_of(LogFormat::Json, LogLevel::Info, || {
        access(&line(&long, &long));
        tracing::error!(error = %long, "{long}");
    });
    let mut lines = log.lines();
    assert!(lines.next().unwrap().len() < 1_500);
    assert!(lines.next().unwrap().len() < 10_000);
}

#[test]
fn a_failed_handshake_has_the_fields_that_the_documentation_lists() {
    let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "other\nCA");
    params.not_after = time::OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = params.self_signed(&key).unwrap();
    let failure = HandshakeFailureLine {
        side: Side::Downstream,
        name: "edge",
        peer: Some("192.0.2.7:50312".parse().unwrap()),
        source: Some("192.0.2.7".parse().unwrap()),
        sni: Some("api.example.com"),
        reason: HandshakeFailure::UnknownIssuer,
        error: Some(&"invalid peer certificate: UnknownIssuer"),
        leaf: Some(leaf.der()),
        chain_length: 1,
        took: Duration::from_millis(3),
    };
    let log = log_of(LogFormat::Json, LogLevel::Info, || {
        HandshakeLog::default().failed(&failure)
    });
    assert_eq!(keys(&log), documented("### Failed handshakes"));
    let value: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(value["reason"], "unknown_issuer");
    assert_eq!(value["certificate_not_after"], "2027-01-15T08:00:00Z");
    assert_eq!(value["certificate_issuer"], "CN=other\nCA");
    assert_eq!(value["suppressed"], 0);
}

#[test]
fn libraries_are_not_heard_below_warn_and_levels_are_kept() {
    let work = || {
        tracing::debug!(target: "h2::codec", authorization = "Bearer secret", "send");
        tracing::info!(target: "hyper", "chatter");
        tracing::warn!(target: "hyper", "trouble");
        tracing::debug!("ours, debug");
        tracing::warn!("ours, warn");
        access(&line("/", "alice"));
    };
    for (level, want) in [
        (LogLevel::Debug, 4),
        (LogLevel::Info, 3),
        (LogLevel::Warn, 2),
        (LogLevel::Error, 0),
    ] {
        let log = log_of(LogFormat::Readable, level, work);
        assert_eq!(log.lines().count(), want, "{level:?}: {log}");
        assert!(!log.contains("secret") && !log.contains("chatter"), "{log}");
    }
}

#[test]
#[ignore = "`a_panic_is_one_line_and_is_counted` runs it in a process of its own"]
fn logs_and_panics_for_real() {
    let logging = start_logging(LogFormat::Json, LogLevel::Info).unwrap();
    assert!(start_logging(LogFormat::Json, LogLevel::Info).is_err());
    let metrics = crate::observe::Metrics::new();
    metrics.show_logging(&logging);
    let panicked = std::thread::spawn(|| panic!("what a stranger said:\n\"level\":\"INFO\""));
    assert!(panicked.join().is_err());
    let claim = String::from("hunter2");
    let panicked = std::thread::spawn(move || panic!("no such key: {claim}"));
    assert!(panicked.join().is_err());
    let claim = String::from("hunter3");
    let panicked = std::thread::spawn(move || claim.parse::<std::net::IpAddr>().expect(&claim));
    assert!(panicked.join().is_err());
    let page = metrics.render();
    tracing::info!(
        counted = page.contains("\nportcullis_panics_total 3\n"),
        "the end"
    );
    logging.flush(Duration::from_secs(10));
}

#[test]
fn a_panic_is_one_line_and_is_counted() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("observe::logging::tests::logs_and_panics_for_real")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line.get(line.find("{\"time\"")?..)?).ok())
        .collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert_eq!(lines[0]["level"], "ERROR");
    for line in &lines[1..3] {
        let error = "its message is not shown, for it may hold secrets";
        assert_eq!(
            (&line["level"], &line["error"]),
            (&"ERROR".into(), &error.into())
        );
        assert!(
            line["place"]
                .as_str()
                .unwrap()
                .contains("logging_tests.rs:")
        );
    }
    assert!(!said.contains("hunter"), "{said}");
    assert_eq!(
        lines[0]["error"],
        "what a stranger said:\n\"level\":\"INFO\""
    );
    assert!(
        lines[0]["place"]
            .as_str()
            .unwrap()
            .contains("logging_tests.rs:")
    );
    assert_eq!(
        (&lines[3]["message"], &lines[3]["counted"]),
        (&"the end".into(), &true.into())
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    for word in ["stranger", "hunter"] {
        assert!(!errors.contains(word), "one place for panics");
    }
}
