//! A reload that is refused changes nothing, and says what is wrong, where, and what to do.

use serde_json::json;

use super::{reloads, started};
use crate::bench::World;
use crate::bench::config::{Config, free_port};
use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::pki::Leaf;

/// What a reload is refused with.
struct Row {
    name: &'static str,
    /// The new text.
    text: String,
    /// The label.
    result: &'static str,
    /// All of this stands in the log line.
    said: &'static [&'static str],
}

/// Whether the text has `LINE:COLUMN ` at the begin of one of its lines.
fn has_place(message: &str) -> bool {
    message.lines().any(|line| {
        let place = line.trim_start().split(' ').next().unwrap_or_default();
        place.split_once(':').is_some_and(|(line, column)| {
            line.parse::<u32>().is_ok() && column.parse::<u32>().is_ok()
        })
    })
}

/// The message of the `count`th refusal.
async fn refusal(gateway: &Gateway, count: usize) -> String {
    let is_refusal = |line: &&String| line.contains("reload refused");
    gateway
        .wait_for_log(|_| gateway.log().iter().filter(is_refusal).count() >= count)
        .await;
    let line = gateway
        .log()
        .iter()
        .filter(is_refusal)
        .nth(count - 1)
        .cloned();
    let line: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["generation"], 1, "{line}");
    line["message"].as_str().expect("a message").to_owned()
}

fn rows(good: &Config) -> Vec<Row> {
    let changed = |change: &dyn Fn(&mut Config)| {
        let mut config = good.clone();
        change(&mut config);
        config.yaml()
    };
    let row = |name, text, result, said| Row {
        name,
        text,
        result,
        said,
    };
    vec![
        row(
            "YAML that does not end",
            format!("{}\nroutes: [", good.yaml()),
            "problems",
            &[],
        ),
        row(
            "a tab",
            good.yaml().replacen("  address", "\taddress", 1),
            "problems",
            &[],
        ),
        row(
            "an unknown key",
            changed(&|c| {
                c.set("routes.open.upstraem", "orders");
            }),
            "problems",
            &["routes.open", "upstraem", "upstream"],
        ),
        row(
            "a duplicate key",
            good.yaml()
                .replacen("workers: 1", "workers: 1\nworkers: 1", 1),
            "problems",
            &["workers"],
        ),
        row(
            "a name that is not there",
            changed(&|c| {
                c.set("routes.open.upstream", "order");
            }),
            "problems",
            &["routes.open.upstream", "did you mean \"orders\"?"],
        ),
        row(
            "a number without a unit",
            changed(&|c| {
                c.set("listeners.edge.limits.idle_timeout", "10");
            }),
            "problems",
            &["listeners.edge.limits.idle_timeout", "10s"],
        ),
        row(
            "a file that is not there",
            changed(&|c| {
                c.set("trust.partners.ca", "nowhere.pem");
            }),
            "problems",
            &["trust.partners", "nowhere.pem"],
        ),
        row(
            "a key of another certificate",
            changed(&|c| {
                c.set("identities.gateway.key", "edge.key");
            }),
            "problems",
            &["identities.gateway", "edge.key"],
        ),
        row(
            "a certificate that is over",
            changed(&|c| {
                c.set(
                    "identities.gateway",
                    json!({"cert": "over.pem", "key": "over.key"}),
                );
            }),
            "problems",
            &["identities.gateway", "over.pem"],
        ),
        row(
            "a route without clients",
            changed(&|c| {
                c.remove("routes.open.clients");
            }),
            "problems",
            &["routes.open", "clients"],
        ),
        row(
            "routes that tie",
            changed(&|c| {
                c.route("tie", "/open/**", "orders");
            }),
            "problems",
            &["neither goes first"],
        ),
        row(
            "a test that fails",
            changed(&|c| {
                let request = json!({"url": "https://api.example.com/open/x", "client": "spiffe://partners.example/web/a"});
                c.set(
                    "tests",
                    json!([{"request": request, "expect": {"refusal": "route_unknown"}}]),
                );
            }),
            "tests_failed",
            &["tests[0]", "route_unknown", "open"],
        ),
    ]
}

#[tokio::test]
async fn a_broken_reload_keeps_the_snapshot_and_says_what_and_where_and_what_to_do() {
    let world = World::new();
    let over = world.mesh.issue(Leaf::client("over").expired());
    over.write(&world.folder, "over");
    let (orders, mut gateway) = started(&world).await;
    let mut client = gateway.client(&world.web()).connect().await;
    assert_eq!(client.get("/open/1").await.status, 200);
    for (number, row) in rows(&gateway.config.clone()).iter().enumerate() {
        let before = reloads(&gateway, row.result).await;
        let reloaded = gateway.reload_text(&row.text).await;
        assert_eq!(reloaded, Reloaded::Refused, "{}", row.name);
        assert_eq!(
            reloads(&gateway, row.result).await,
            before + 1.0,
            "{}",
            row.name
        );
        let message = refusal(&gateway, number + 1).await;
        let name = row.name;
        assert!(
            message.contains("the configuration of before stays"),
            "{name}: {message}"
        );
        assert!(message.contains("gateway.yaml: "), "{name}: {message}");
        assert!(has_place(&message), "{name} has no place: {message}");
        assert!(message.contains("hint: "), "{name} has no hint: {message}");
        for said in row.said {
            assert!(
                message.contains(said),
                "{name} does not say {said}: {message}"
            );
        }
        assert_eq!(client.get("/open/2").await.status, 200, "{name}");
    }
    assert_eq!(orders.connections(), 1, "nothing was closed meanwhile");
    assert_eq!(reloads(&gateway, "ok").await, 0.0);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_counted_as_such() {
    let world = World::new();
    let (_orders, gateway) = started(&world).await;
    let file = gateway.file().clone();
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let removed = gateway
        .reload_by(|| std::fs::remove_file(&file).expect("removed"))
        .await;
    assert_eq!(removed, Reloaded::Refused);
    assert_eq!(reloads(&gateway, "unreadable").await, 1.0);
    let message = refusal(&gateway, 1).await;
    assert!(message.contains("cannot be read"), "{message}");
    assert!(message.contains("hint: "), "{message}");
    assert_eq!(
        gateway.client(&world.web()).get("/open/1").await.status,
        200
    );
    // It comes back with a change.
    let text = text.replace("/open/**", "/again/**");
    let again = gateway
        .reload_by(|| drop(world.folder.write("gateway.yaml", text)))
        .await;
    assert_eq!(again, Reloaded::Applied(2));
    assert_eq!(
        gateway.client(&world.web()).get("/again/1").await.status,
        200
    );
}

#[tokio::test]
async fn what_cannot_change_while_it_runs_is_refused_in_words() {
    let world = World::new();
    let (_orders, mut gateway) = started(&world).await;
    let good = gateway.config.clone();
    let elsewhere = format!("127.0.0.1:{}", free_port());
    let mut second = good.get("listeners.edge").clone();
    second["address"] = elsewhere.clone().into();
    type Change<'a> = Box<dyn Fn(&mut Config) + 'a>;
    let cases: [(&str, Change<'_>); 7] = [
        (
            "admin.address",
            Box::new(|c| {
                c.set("admin.address", elsewhere.clone());
            }),
        ),
        (
            "workers",
            Box::new(|c| {
                c.set("workers", 2);
            }),
        ),
        (
            "logs",
            Box::new(|c| {
                c.set("logs.format", "readable");
            }),
        ),
        (
            "logs",
            Box::new(|c| {
                c.set("logs.level", "error");
            }),
        ),
        (
            "listeners.edge.address",
            Box::new(|c| {
                c.set("listeners.edge.address", elsewhere.clone());
            }),
        ),
        (
            "listeners.second",
            Box::new(|c| {
                c.set("listeners.second", second.clone());
            }),
        ),
        (
            "listeners",
            Box::new(|c| {
                let edge = c.get("listeners.edge").clone();
                c.remove("listeners.edge").set("listeners.edge-2", edge);
            }),
        ),
    ];
    for (number, (place, change)) in cases.iter().enumerate() {
        let mut config = good.clone();
        // With something beside it that could change: it is all or nothing.
        config.route("more", "/more", "orders");
        change(&mut config);
        assert_eq!(gateway.reload(&config).await, Reloaded::Refused, "{place}");
        let message = refusal(&gateway, number + 1).await;
        assert!(
            message.contains(&format!(" {place}: ")),
            "{place}: {message}"
        );
        assert!(message.contains("in a reload"), "{place}: {message}");
        assert!(
            message.contains("hint: restart the gateway"),
            "{place}: {message}"
        );
        assert!(has_place(&message), "{place}: {message}");
        let client = gateway.client(&world.web());
        assert_eq!(client.get("/more").await.status, 404, "{place}");
    }
    assert_eq!(reloads(&gateway, "problems").await, cases.len() as f64);
}
