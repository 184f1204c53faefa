//! `portcullis api-key`: what it makes is taken.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use super::{config, make, owners};
use crate::bench::World;
use crate::bench::http1::Request;

fn command(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).expect("text")
}

#[tokio::test]
async fn a_key_that_the_command_makes_is_taken() {
    let world = World::new();
    let orders = world.orders().start().await;
    let made = command(&["api-key", "new", "--owner", "acme", "--ttl", "30m"], "");
    assert!(made.status.success(), "{}", said(&made));
    let text = said(&made);
    let key = text
        .lines()
        .find(|line| line.starts_with("pcak_"))
        .expect("a key")
        .to_owned();
    let entry = &text[text.find("owners:").expect("an entry")..];
    assert!(!entry.contains(&key[22..86]), "the file has no secret");
    world.folder.write("partners.yaml", entry);
    let mut config = config(&world, json!("partners"));
    config.endpoints("orders", &[orders.address]);
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let answer = client
        .request(&Request::get("/keyed/x").header("x-api-key", &key))
        .await;
    assert_eq!(answer.status, 200);
    let metrics = gateway.metrics().await;
    for within in ["1h", "24h", "7d", "30d"] {
        let labels = [("list", "partners"), ("within", within)];
        let soon = metrics.value("portcullis_api_keys_expiring", &labels);
        assert_eq!(soon, 1.0, "{within}");
    }
    let file = world.folder.join("partners.yaml").display().to_string();
    let listed = command(&["api-key", "list", &file], "");
    let line = said(&listed);
    assert!(
        line.contains(&key[5..21]) && line.contains("acme") && line.contains("T"),
        "{line}"
    );
    let checked = command(&["api-key", "check", &file], &format!("{key}\n"));
    assert!(
        checked.status.success() && said(&checked).contains("of acme"),
        "{}",
        said(&checked)
    );
}

#[test]
fn a_key_that_is_none_of_the_file_or_over_is_said_to_be() {
    let world = World::new();
    let over = make("2020-01-01T00:00:00Z");
    let file = world.folder.write("partners.yaml", owners(&[&over]));
    let file = file.display().to_string();
    let cases = [
        (over.key.clone(), "ended 2020-01-01T00:00:00Z"),
        (make("never").key, "has no such key"),
        (over.key[..93].to_owned(), "no API key"),
        (String::new(), "no API key"),
    ];
    for (key, want) in cases {
        let checked = command(&["api-key", "check", &file], &key);
        let text = said(&checked);
        assert!(!checked.status.success() && text.contains(want), "{text}");
        assert!(key.is_empty() || !text.contains(&key), "{text}");
    }
    let never = command(&["api-key", "new", "--owner", "acme", "--ttl", "never"], "");
    assert!(said(&never).contains("expires: never"), "{}", said(&never));
    let bad = command(&["api-key", "new", "--owner", "a b"], "");
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let world = World::new();
    let owners: String = (0..33)
        .map(|number| format!("  owner-{number}: 7\n"))
        .collect();
    let file = world
        .folder
        .write("partners.yaml", format!("owners:\n{owners}"));
    let listed = said(&command(
        &["api-key", "list", &file.display().to_string()],
        "",
    ));
    let mut config = config(&world, json!("partners"));
    config.set("upstreams.orders.endpoints", json!(["orders.internal:1"]));
    let place = world.folder.write("gateway.json", config.yaml());
    let checked = command(&["check", "--config", &place.display().to_string()], "");
    assert!(!checked.status.success());
    for text in [listed, said(&checked)] {
        for number in 0..30 {
            assert_eq!(
                text.matches(&format!("owners.owner-{number}: ")).count(),
                1,
                "{text}"
            );
        }
        assert!(
            !text.contains("owner-30") && text.contains("and 3 more"),
            "{text}"
        );
    }
}
