//! "Step by step" of `docs/trust.md`, executed: the commands are read from the text and run as they stand
//! there, and what it promises is looked at after each step.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{HANDSHAKES, failed};
use crate::bench::client::{Client, Connection};
use crate::bench::config::Config;
use crate::bench::crl::Crl;
use crate::bench::gateway::{Gateway, Metrics, Reloaded};
use crate::bench::pki::{Authority, Identity, Leaf};
use crate::bench::service::Service;
use crate::bench::{ORDERS_ID, ORDERS_NAME, WEB_ID, World, client};

const ROTATE: &str = "Rotate a certificate of the gateway";
const ROLL: &str = "Roll a CA";
const REVOKE: &str = "Revoke a client";
/// What ends a line that is for bundles with a CRL alone.
const WITH_CRLS: &str = "# with CRLs";
/// What may be run. Whatever else the text may say one day, this test must learn first.
const COMMANDS: [&str; 6] = ["cat", "cp", "curl", "echo", "openssl", "sed"];
/// Where the admin listener is in the text, and the edge.
const ADMIN: &str = "127.0.0.1:9901";
const EDGE: &str = "127.0.0.1:8443";
const REVOKED: &str = "portcullis_connections_revoked_total";
const NOT_AFTER: &str = "portcullis_certificate_not_after_timestamp_seconds";
const SERIAL: u64 = 0x4f1a;

fn read(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Part of the document, with the blocks of code that stand in it: language and text.
#[derive(Default)]
struct Step {
    text: String,
    blocks: Vec<(String, String)>,
}

impl Step {
    /// What the rest of this test rests on is still promised.
    fn says(&self, words: &str) {
        let text: Vec<&str> = self.text.split_whitespace().collect();
        let text = text.join(" ");
        assert!(text.contains(words), "{words:?} is not promised by: {text}");
    }

    /// The first block of this language, with or without the lines for CRLs.
    fn block(&self, language: &str, crls: bool) -> String {
        self.nth_block(language, 0, crls)
    }

    fn nth_block(&self, language: &str, number: usize, crls: bool) -> String {
        let mut blocks = self.blocks.iter();
        let (_, text) = blocks
            .by_ref()
            .filter(|(name, _)| name == language)
            .nth(number)
            .unwrap_or_else(|| panic!("no {language} in: {}", self.text));
        let lines = text
            .lines()
            .filter(|line| crls || !line.ends_with(WITH_CRLS));
        lines.map(|line| format!("{line}\n")).collect()
    }

    fn yaml(&self, crls: bool) -> Value {
        serde_yaml::from_str(&self.block("yaml", crls)).expect("YAML")
    }

    /// A series that the text names in full, for [`Metrics::value`].
    fn series(&self, end: &str) -> (String, Vec<(String, String)>) {
        let named = self.text.split('`').find(|word| word.ends_with(end));
        let named = named.unwrap_or_else(|| panic!("no series with {end} in: {}", self.text));
        let parsed = Metrics::parse(&format!("{named} 0"));
        let series = parsed.0.first().expect("a series");
        let labels = series.labels.iter();
        let labels = labels.map(|(name, value)| (name.clone(), value.clone()));
        (series.name.clone(), labels.collect())
    }
}

/// The steps of a text: what stands before the first, and each with its number.
fn steps(text: &str) -> Vec<Step> {
    let mut steps = vec![Step::default()];
    let mut code: Option<(String, String)> = None;
    for line in text.lines() {
        let next = format!("{}. ", steps.len());
        let step = steps.last_mut().expect("one at least");
        if let Some(language) = line.trim_start().strip_prefix("```") {
            match code.take() {
                Some(block) => step.blocks.push(block),
                None => code = Some((language.to_owned(), String::new())),
            }
        } else if let Some((_, block)) = &mut code {
            block.push_str(line.strip_prefix("   ").unwrap_or(line));
            block.push('\n');
        } else if line.starts_with(&next) {
            let text = format!("{line}\n");
            steps.push(Step {
                text,
                blocks: Vec::new(),
            });
        } else {
            step.text.push_str(line);
            step.text.push('\n');
        }
    }
    assert!(code.is_none(), "a block that does not end");
    steps
}

/// What stands under the heading, by the headings below it.
fn section() -> Vec<(String, Vec<Step>)> {
    let document = read("trust.md");
    let (_, section) = document
        .split_once("\n## Step by step\n")
        .expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut parts = section.split("\n### ");
    let head = parts.next().unwrap_or_default();
    let named = parts.map(|part| {
        let (name, text) = part.split_once('\n').expect("a text");
        (name.to_owned(), steps(text))
    });
    let mut section = vec![(String::new(), steps(head))];
    section.extend(named);
    section
}

fn procedure(name: &str) -> Vec<Step> {
    let found = section().into_iter().find(|(heading, _)| heading == name);
    found.unwrap_or_else(|| panic!("no {name:?}")).1
}

/// Each command is known, and touches nothing but the folder that it is run in.
fn look_at(block: &str) {
    for line in block.lines() {
        let code = line.split(" # ").next().unwrap_or_default();
        let unquoted: String = code.split('\'').step_by(2).collect();
        for command in unquoted.split('|') {
            let word = command.split_whitespace().next().unwrap_or_default();
            assert!(COMMANDS.contains(&word), "an unknown command: {line}");
        }
        assert!(!unquoted.contains([';', '&', '$', '`', '"']), "{line}");
        for word in unquoted.split_whitespace() {
            let word = word.trim_start_matches(['<', '>', '2']);
            let inside = !word.starts_with('/') && !word.contains("..");
            assert!(inside || word == "/dev/null", "{line}");
        }
    }
}

/// Puts the members of one tree into another.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// A gateway whose files have the names of the documentation.
struct Stage {
    world: World,
    orders: Service,
    gateway: Gateway,
    crls: bool,
}

impl Stage {
    async fn new(crls: bool) -> Self {
        let world = World::new();
        let orders = world.orders().start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        lay_out(&world, &mut config, crls);
        let gateway = world.gateway_with(&config).await;
        Self {
            world,
            orders,
            gateway,
            crls,
        }
    }

    /// Runs the shell block of a step in the folder; what it prints.
    fn run(&self, step: &Step) -> String {
        self.run_text(&step.block("sh", self.crls))
    }

    fn run_text(&self, block: &str) -> String {
        look_at(block);
        let block = block.replace(ADMIN, &self.gateway.admin_address().to_string());
        let block = block.replace(EDGE, &self.gateway.address("edge").to_string());
        let output = Command::new("sh")
            .args(["-euc", &block])
            .current_dir(self.world.folder.path())
            .output()
            .expect("a shell");
        assert!(output.status.success(), "{block}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs it, and waits until the gateway goes by it.
    async fn take(&self, step: &Step) {
        let taken = self.gateway.reload_by(|| drop(self.run(step))).await;
        assert!(matches!(taken, Reloaded::Applied(_)), "{taken:?}");
    }

    async fn value(&self, (name, labels): &(String, Vec<(String, String)>)) -> f64 {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.gateway.metrics().await.value(name, &labels)
    }

    async fn risen(&self, series: &(String, Vec<(String, String)>), before: f64) {
        let labels: Vec<_> = series
            .1
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.gateway
            .wait_for_metric(&series.0, &labels, |now| now > before)
            .await;
    }

    /// A client that has a session, and a connection on which it has asked something.
    async fn connected(&self, identity: &Identity) -> (Client, Connection) {
        let client = self.gateway.client(identity).resumption();
        assert_eq!(status(&client).await, 200);
        let mut open = Box::pin(client.connect()).await;
        assert!(open.resumed());
        assert_eq!(open.get("/open/x").await.status, 200);
        (client, open)
    }

    /// New handshakes fail for this reason, also of who has a session.
    async fn refused(&self, client: &Client, identity: &Identity, reason: &str) {
        let before = failed(&self.gateway, reason).await;
        drop(Box::pin(client.rejection()).await);
        let fresh = self.gateway.client(identity);
        drop(Box::pin(fresh.rejection()).await);
        let labels = [("side", "downstream"), ("reason", reason)];
        self.gateway
            .wait_for_metric(HANDSHAKES, &labels, |now| now == before + 2.0)
            .await;
    }

    /// `/tls/failures` has the identity, with this reason.
    async fn is_on_record(&self, identity: &str, reason: &str) {
        let page = self.gateway.admin("/tls/failures").await.json();
        let identities = page["identities"].as_array().expect("a list");
        let found = identities.iter().find(|one| one["identity"] == identity);
        let found = found.unwrap_or_else(|| panic!("no {identity} in {page:#}"));
        assert!(found["reasons"].to_string().contains(reason), "{found:#}");
    }

    /// The connection ends within what is promised, and is counted and logged by this reason.
    async fn closed(&self, mut open: Connection, since: Instant, identity: &str, reason: &str) {
        assert!(open.closed().await.is_empty());
        let took = since.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let labels = [("listener", "edge"), ("reason", reason)];
        self.gateway
            .wait_for_metric(REVOKED, &labels, |count| count == 1.0)
            .await;
        self.gateway
            .wait_for_event(|line| {
                line["target"] == "revocation"
                    && line["peer"] == identity
                    && line["reason"] == reason
            })
            .await;
    }
}

/// What a client is told; its future is large, and not kept in those of the tests.
async fn status(client: &Client) -> u16 {
    Box::pin(client.get("/open/x")).await.status
}

/// The files and keys of the example in `docs/config.md`, and what the section itself adds.
fn lay_out(world: &World, config: &mut Config, crls: bool) {
    let document = read("config.md");
    let (_, example) = document
        .split_once("```yaml\nversion: 1\n")
        .expect("the example");
    let example = example.split("```").next().unwrap_or_default();
    let example: Value = serde_yaml::from_str(example).expect("YAML");
    for place in ["listeners.edge.tls", "trust", "identities"] {
        let pointer = format!("/{}", place.replace('.', "/"));
        let value = example.pointer(&pointer).expect(place).clone();
        config.set(place, value);
    }
    merge(&mut config.0, &procedure("")[0].yaml(true));
    if !crls {
        config.remove("trust.partners.crl");
    }
    let edge = Leaf::server("edge").dns(client::HOST);
    world
        .edge_authority
        .issue(edge)
        .write(&world.folder, "pki/edge");
    world.gateway_identity.write(&world.folder, "pki/gateway");
    let partners = Crl::of(&[]).pem(&world.partners);
    world
        .folder
        .write("pki/clients-ca.pem", world.partners.pem());
    world.folder.write("pki/mesh-ca.pem", world.mesh.pem());
    world.folder.write("pki/clients.crl", partners);
    world.folder.write("pki/deny.list", "# nobody yet\n");
}

#[test]
fn the_section_has_these_procedures_and_each_step_the_blocks_that_are_run() {
    let shape: Vec<(String, String)> = section()
        .iter()
        .map(|(name, steps)| {
            let of = |step: &Step| {
                let names: Vec<&str> = step.blocks.iter().map(|(name, _)| name.as_str()).collect();
                names.join("+")
            };
            let blocks: Vec<String> = steps.iter().map(of).collect();
            (name.clone(), blocks.join(","))
        })
        .collect();
    let want = [
        ("", "yaml"),
        (ROTATE, ",,sh,sh,"),
        (ROLL, ",sh,,yaml+sh+sh,sh"),
        (REVOKE, ",sh,sh,sh,"),
    ];
    let want = want.map(|(name, blocks)| (name.to_owned(), blocks.to_owned()));
    assert_eq!(shape, want);
    for (_, steps) in section() {
        for step in steps {
            let shell = step.blocks.iter().filter(|(name, _)| name == "sh");
            shell.for_each(|(_, block)| look_at(block));
        }
    }
}

#[tokio::test]
async fn a_certificate_of_the_gateway_is_rotated() {
    let stage = Stage::new(false).await;
    let folder = &stage.world.folder;
    let [_, see, put, taken, not_taken] = &procedure(ROTATE)[..] else {
        panic!("four steps")
    };
    // 1
    see.says(&format!(
        "`{NOT_AFTER}` has a series for each certificate in use"
    ));
    let (_, labels) = taken.series("result=\"ok\"}");
    let place = labels.iter().find(|(name, _)| name == "place");
    let place = place.expect("a place").1.clone();
    let ends = [("place", place.as_str())];
    assert!(stage.gateway.metrics().await.value(NOT_AFTER, &ends) > 0.0);
    // 2
    let web = stage.world.web();
    let (client, mut open) = Box::pin(stage.connected(&web)).await;
    let old = open.server_certificate();
    let renewed = Leaf::server("edge").dns(client::HOST).serial(SERIAL);
    let renewed = stage.world.edge_authority.issue(renewed);
    renewed.write(folder, "renewed");
    let before = stage.value(&taken.series("result=\"ok\"}")).await;
    stage.take(put).await;
    // 3
    taken.says("new handshakes show the new certificate");
    stage.risen(&taken.series("result=\"ok\"}"), before).await;
    let fresh = Box::pin(stage.gateway.client(&web).connect()).await;
    assert_eq!(&fresh.server_certificate(), renewed.leaf());
    let (side, missing) = ("downstream", "certificate_missing");
    taken.says(&format!("counts as one failed handshake (`{missing}`)"));
    let printed = stage.run(taken);
    let serial = printed
        .lines()
        .find_map(|line| line.strip_prefix("serial="));
    assert_eq!(serial, Some(format!("{SERIAL:X}").as_str()), "{printed}");
    assert!(printed.contains("notAfter="), "{printed}");
    stage
        .gateway
        .wait_for_metric(HANDSHAKES, &[("side", side), ("reason", missing)], |n| {
            n == 1.0
        })
        .await;
    taken.says("Open connections go on, with the old one");
    assert_ne!(&old, renewed.leaf());
    assert_eq!(open.server_certificate(), old);
    assert_eq!(open.get("/open/x").await.status, 200);
    assert_eq!(status(&client).await, 200);
    // 4
    let refused = not_taken.series("result=\"refused\"}");
    let before = stage.value(&refused).await;
    let other = Leaf::server("edge").dns(client::HOST);
    stage
        .world
        .edge_authority
        .issue(other)
        .write(folder, "renewed");
    stage.world.gateway_identity.write(folder, "another");
    std::fs::copy(folder.join("another.key"), folder.join("renewed.key")).expect("a wrong key");
    stage.run(put);
    stage.risen(&refused, before).await;
    stage
        .gateway
        .wait_for_event(|line| line["place"] == *place && line["problem"].is_string())
        .await;
    not_taken.says("The old certificate stays");
    let fresh = Box::pin(stage.gateway.client(&web).connect()).await;
    assert_eq!(&fresh.server_certificate(), renewed.leaf());
}

/// Rolls the CA of the clients to one of this name, as the text says.
async fn roll(name: &str, crls: bool, reason: &str) {
    let mut stage = Box::pin(Stage::new(crls)).await;
    let [_, beside, _issue, rehearse, away] = &procedure(ROLL)[..] else {
        panic!("four steps")
    };
    let new = Authority::new(name);
    stage.world.folder.write("new-ca.pem", new.pem());
    let crl = Crl::of(&[]).pem(&new);
    stage.world.folder.write("new-ca.crl", crl);
    let web = stage.world.web();
    let (_, mut early) = Box::pin(stage.connected(&web)).await;
    // 1
    beside.says("clients of both are let in; nobody is turned away");
    stage.take(beside).await;
    let moved = "spiffe://partners.example/web/moved";
    let leaf = Leaf::client("moved").spiffe(moved);
    let moved_client = new.issue(leaf);
    if crls {
        // Should the gateway have taken the CA before the CRL was there.
        let covered = Instant::now() + Duration::from_secs(5);
        let issuer = [("trust", "partners")];
        let crl = "portcullis_crl_next_update_timestamp_seconds";
        while stage.gateway.metrics().await.series(crl, &issuer).len() < 2 {
            assert!(
                Instant::now() < covered,
                "the CRL of the new CA is not there"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let (client, open) = Box::pin(stage.connected(&web)).await;
    assert_eq!(early.get("/open/x").await.status, 200);
    // 2
    let (_, mut stays) = Box::pin(stage.connected(&moved_client)).await;
    // 3
    let mut config = stage.gateway.config.clone();
    merge(&mut config.0, &rehearse.yaml(crls));
    let reloaded = Box::pin(stage.gateway.reload(&config)).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    let named = |number: usize| {
        let text = stage.run_text(&rehearse.nth_block("sh", number, crls));
        let page: Value = serde_json::from_str(&text).expect("JSON");
        let clients = page["clients"].as_array().expect("a list").iter();
        let names = clients.map(|client| client["identity"].as_str().expect("a name").to_owned());
        names.collect::<BTreeSet<String>>()
    };
    let (would, not_asked) = (0, 1);
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let everybody: BTreeSet<String> = set(&[WEB_ID, moved]);
    let the_old_one: BTreeSet<String> = set(&[WEB_ID]);
    rehearse.says("Right after the change nobody stands there, and that means nothing.");
    rehearse.says("see who has not yet");
    assert_eq!(
        (named(would), named(not_asked)),
        (BTreeSet::new(), everybody)
    );
    for identity in [&web, &moved_client] {
        assert_eq!(status(&stage.gateway.client(identity)).await, 200);
    }
    assert_eq!(
        (named(would), named(not_asked)),
        (the_old_one, BTreeSet::new())
    );
    rehearse.says("`portcullis_next_trust_verifications_total` counts the same");
    let would_fail = [("trust", "partners"), ("result", reason)];
    let verifications = "portcullis_next_trust_verifications_total";
    let metrics = stage.gateway.metrics().await;
    assert!(metrics.value(verifications, &would_fail) >= 1.0);
    let turned_away = [("side", "downstream"), ("result", "failed")];
    assert_eq!(
        metrics.value(HANDSHAKES, &turned_away),
        0.0,
        "nobody so far"
    );
    assert_eq!(metrics.value(REVOKED, &[]), 0.0, "nobody so far");
    // 4
    drop(early);
    away.says("When nobody stands in either list any more");
    away.says(&format!("`{reason}`"));
    away.says("closed within 5 s");
    let since = Instant::now();
    stage.run(away);
    let mut still = open;
    assert!(still.closed().await.is_empty());
    assert!(since.elapsed() < Duration::from_secs(5));
    let labels = [("listener", "edge"), ("reason", reason)];
    stage
        .gateway
        .wait_for_metric(REVOKED, &labels, |count| count >= 1.0)
        .await;
    stage.refused(&client, &web, reason).await;
    away.says("`/tls/failures` names them");
    stage.is_on_record(WEB_ID, reason).await;
    assert_eq!(stays.get("/open/x").await.status, 200);
    let fresh = stage.gateway.client(&moved_client);
    assert_eq!(status(&fresh).await, 200);
}

#[tokio::test]
async fn a_ca_with_crls_is_rolled_to_one_of_another_name() {
    Box::pin(roll("partners-2", true, "unknown_issuer")).await;
}

#[tokio::test]
async fn a_ca_without_crls_is_rolled_to_one_of_the_same_name() {
    Box::pin(roll("partners", false, "bad_signature")).await;
}

#[tokio::test]
async fn the_ca_of_services_is_rolled_by_the_same_steps() {
    let stage = Stage::new(false).await;
    let [_, beside, _issue, _rehearse, away] = &procedure(ROLL)[..] else {
        panic!("four steps")
    };
    away.says("requests to it are answered with 502");
    let new = Authority::new("mesh-2");
    stage.world.folder.write("new-ca.pem", new.pem());
    let of_services = |step: &Step| {
        let block = step.block("sh", false);
        assert!(block.contains("pki/clients-ca.pem"), "{block}");
        block.replace("pki/clients-ca.pem", "pki/mesh-ca.pem")
    };
    let client = stage.gateway.client(&stage.world.web());
    let take = async |block: String| {
        let taken = stage.gateway.reload_by(|| drop(stage.run_text(&block)));
        let taken = taken.await;
        assert!(matches!(taken, Reloaded::Applied(_)), "{taken:?}");
    };
    take(of_services(beside)).await;
    assert_eq!(status(&client).await, 200);
    take(of_services(away)).await;
    let answer = client.get("/open/x").await;
    assert_eq!(answer.status, 502);
    let failed = [("side", "upstream"), ("reason", "unknown_issuer")];
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value(HANDSHAKES, &failed), 1.0);
    // The service moves as well.
    let leaf = Leaf::server("service").spiffe(ORDERS_ID).dns(ORDERS_NAME);
    stage.orders.set_identity(&new.issue(leaf));
    assert_eq!(status(&client).await, 200);
}

#[tokio::test]
async fn a_client_is_revoked() {
    let stage = Stage::new(true).await;
    let [_, deny, crl, undeny, see] = &procedure(REVOKE)[..] else {
        panic!("four steps")
    };
    let leaf = Leaf::client("stolen").spiffe(WEB_ID).serial(SERIAL);
    let stolen = stage.world.partners.issue(leaf);
    let ours = stage.world.partner("spiffe://partners.example/web/ours");
    let (_, mut ours) = Box::pin(stage.connected(&ours)).await;
    // 1
    let (client, open) = Box::pin(stage.connected(&stolen)).await;
    deny.says("Within 5 s its open connections are closed, its sessions do not resume");
    deny.says("new handshakes fail as `certificate_denied`");
    let since = Instant::now();
    stage.run(deny);
    let denied = "certificate_denied";
    stage.closed(open, since, WEB_ID, denied).await;
    stage.refused(&client, &stolen, denied).await;
    // 2
    let revoked = "certificate_revoked";
    let list = Crl::of(&[SERIAL]).number(2).pem(&stage.world.partners);
    stage.world.folder.write("partners.crl", list);
    stage.take(crl).await;
    crl.says("fail as `certificate_revoked` from now on, whether or not the deny list names it");
    stage.refused(&client, &stolen, revoked).await;
    // 3
    undeny.says("The line in the deny list can go then");
    stage.take(undeny).await;
    stage.refused(&client, &stolen, revoked).await;
    let renewed = stage.gateway.client(&stage.world.web());
    assert_eq!(status(&renewed).await, 200);
    // 4
    see.says(&format!(
        "`{REVOKED}` counts the connections that were closed"
    ));
    see.says("`/tls/failures` shows who goes on trying");
    assert_eq!(stage.gateway.metrics().await.value(REVOKED, &[]), 1.0);
    stage.is_on_record(WEB_ID, denied).await;
    stage.is_on_record(WEB_ID, revoked).await;
    assert_eq!(ours.get("/open/x").await.status, 200);
}

/// A client that a CRL alone takes away.
#[tokio::test]
async fn a_client_is_revoked_by_its_ca_alone() {
    let stage = Stage::new(true).await;
    let leaf = Leaf::client("stolen").spiffe(WEB_ID).serial(SERIAL);
    let stolen = stage.world.partners.issue(leaf);
    let (client, open) = Box::pin(stage.connected(&stolen)).await;
    let list = Crl::of(&[SERIAL]).number(2).pem(&stage.world.partners);
    stage.world.folder.write("partners.crl", list);
    let since = Instant::now();
    stage.run(&procedure(REVOKE)[2]);
    let revoked = "certificate_revoked";
    stage.closed(open, since, WEB_ID, revoked).await;
    stage.refused(&client, &stolen, revoked).await;
}
