//! What stands in `docker/` for Prometheus and Grafana, held to a real Prometheus that scrapes the
//! running gateway: each query of each panel, and each alert.
//!
//! Needs Debian's package `prometheus` (with `promtool`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::bench::config::{Config, free_port};
use crate::bench::crl::Crl;
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Request, Wire};
use crate::bench::token::Token;
use crate::bench::{ORDERS_ID, ORDERS_NAME, PATIENCE, World};
use crate::issuers::idp::Idp;

fn docker(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docker")
        .join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(docker(name)).unwrap_or_else(|error| panic!("docker/{name}: {error}"))
}

/// A program of Debian's package; panics with what to install.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/bin".into());
    let found = folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not installed: `apt-get install prometheus` (Debian, Ubuntu) brings it")
    })
}

/// Runs promtool in `docker/prometheus`; panics with what it says if it is not content.
fn promtool(arguments: &[&str]) {
    let output = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(docker("prometheus"))
        .output()
        .expect("run promtool");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
}

#[test]
fn promtool_accepts_the_configuration_and_the_rules() {
    promtool(&["check", "config", "prometheus.yaml"]);
    promtool(&["check", "rules", "alerts.yaml"]);
}

#[test]
fn each_alert_fires_when_it_should_and_has_a_test_that_says_so() {
    promtool(&["test", "rules", "alerts_test.yaml"]);
    let tests = read("prometheus/alerts_test.yaml");
    for (name, _) in alerts() {
        assert!(
            tests.contains(&format!("alertname=\"{name}\""))
                || tests.contains(&format!("alertname: {name}")),
            "no test names {name}"
        );
    }
}

/// Name and expression of each alert.
fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_yaml::from_str(&read("prometheus/alerts.yaml")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups");
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"));
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    let found: Vec<_> = rules
        .filter(|rule| rule["alert"].is_string())
        .map(|rule| (text(rule, "alert"), text(rule, "expr")))
        .collect();
    assert!(found.len() > 10, "the alerts were not found");
    found
}

/// Title and query of every panel and annotation of every dashboard, with Grafana's variables
/// filled in.
fn queries() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(docker("grafana/dashboards")).expect("dashboards") {
        let path = file.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a dashboard");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        let mut waiting: Vec<Value> = dashboard["panels"].as_array().expect("panels").clone();
        while let Some(panel) = waiting.pop() {
            waiting.extend(panel["panels"].as_array().into_iter().flatten().cloned());
            let title = panel["title"].as_str().unwrap_or_default();
            for target in panel["targets"].as_array().into_iter().flatten() {
                found.push((
                    title.to_owned(),
                    target["expr"].as_str().expect("a query").to_owned(),
                ));
            }
        }
        for annotation in dashboard["annotations"]["list"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if let Some(expr) = annotation["expr"].as_str() {
                found.push((
                    format!("annotation {}", annotation["name"]),
                    expr.to_owned(),
                ));
            }
        }
        // The variables, too, ask something.
        for variable in dashboard["templating"]["list"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let query = variable["query"]["query"]
                .as_str()
                .or(variable["query"].as_str());
            if let Some(asked) = query.and_then(|text| text.strip_prefix("label_values(")) {
                let metric = asked.split([',', ')']).next().unwrap_or_default();
                found.push((format!("variable {}", variable["name"]), metric.to_owned()));
            }
        }
    }
    for (title, expr) in &mut found {
        *expr = expr
            .replace("$__rate_interval", "5s")
            .replace("$instance", ".*");
        assert!(
            !expr.contains('$'),
            "{title}: a variable that is not known here: {expr}"
        );
    }
    assert!(found.len() > 30, "the queries were not found");
    found
}

/// The metrics that a query names, as `docs/metrics.md` names them.
fn metrics_of(expr: &str) -> BTreeSet<String> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let ours = words.filter(|word| word.starts_with("portcullis_") || word.starts_with("process_"));
    let plain = |word: &str| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| word.strip_suffix(end))
            .unwrap_or(word)
            .to_owned()
    };
    ours.map(plain).collect()
}

/// What an operator must see though nothing fails for it.
#[test]
fn what_was_taken_away_and_what_a_grace_let_in_is_shown() {
    let shown: BTreeSet<String> = queries()
        .iter()
        .flat_map(|(_, expr)| metrics_of(expr))
        .collect();
    for metric in [
        "portcullis_connections_revoked_total",
        "portcullis_grace_requests_total",
    ] {
        assert!(shown.contains(metric), "no panel shows {metric}");
    }
    let (_, share) = queries()
        .into_iter()
        .find(|(title, _)| title == "Ready for post-quantum key exchange")
        .expect("its panel");
    let (ready, all) = share.split_once(") / sum by (listener)").expect("a share");
    assert!(ready.contains("post_quantum=\"true\""), "{ready}");
    assert!(!all.contains("post_quantum"), "{all}");
}

#[test]
fn queries_and_alerts_name_metrics_that_are_documented() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = std::fs::read_to_string(file).expect("docs/metrics.md");
    for (title, expr) in queries().into_iter().chain(alerts()) {
        let named = metrics_of(&expr);
        let about = !named.is_empty() || expr.contains("up{");
        assert!(about, "{title} asks for nothing of ours: {expr}");
        for name in named {
            assert!(
                document.contains(&format!("| `{name}` |")),
                "{title}: {name}"
            );
        }
    }
}

/// A Prometheus that runs until it is dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Prometheus {
    /// With the configuration and the rules of `docker/`; scraped is this gateway, twice a second.
    fn start(world: &World, gateway: &Gateway) -> Self {
        let mut config: Value =
            serde_yaml::from_str(&read("prometheus/prometheus.yaml")).expect("YAML");
        config["global"] = json!({"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"});
        let jobs = config["scrape_configs"].as_array_mut().expect("jobs");
        assert_eq!(jobs.len(), 1, "one job: the gateway");
        jobs[0]["static_configs"] = json!([{"targets": [gateway.admin_address().to_string()]}]);
        let file = world.folder.write(
            "prometheus/prometheus.yaml",
            serde_yaml::to_string(&config).expect("YAML"),
        );
        world
            .folder
            .write("prometheus/alerts.yaml", read("prometheus/alerts.yaml"));
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = world.folder.join("prometheus/log");
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                world.folder.join("prometheus/data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("its log"))
            .spawn()
            .expect("start Prometheus");
        Self {
            child,
            address,
            log,
        }
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let mut wire = Wire::new(TcpStream::connect(self.address).await.ok()?);
        let request = Request::get(path).header("Connection", "close");
        wire.send(request.bytes("prometheus")).await.ok()?;
        let answer = wire.read_answer("GET").await.ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// The values of a query; what Prometheus says if it refuses it.
    async fn query(&self, expr: &str) -> Result<Vec<f64>, String> {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.ask(&format!("/api/v1/query?query={encoded}")).await;
        let answer = answer.ok_or("no answer")?;
        if answer["status"] != "success" {
            return Err(answer.to_string());
        }
        let samples = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let value = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        Ok(samples.iter().filter_map(value).collect())
    }

    /// Waits until a query has a value that is a number; returns all that are.
    async fn answered(&self, title: &str, expr: &str) -> Vec<f64> {
        let end = Instant::now() + PATIENCE;
        loop {
            let refused = match self.query(expr).await {
                Ok(values) => {
                    let numbers: Vec<f64> =
                        values.into_iter().filter(|value| !value.is_nan()).collect();
                    if !numbers.is_empty() {
                        return numbers;
                    }
                    None
                }
                Err(refused) => Some(refused),
            };
            if Instant::now() >= end {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                panic!("{title} stays empty: {expr}\n{refused:?}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Everything that asks others about tokens and requests, of whom none answers as it should.
async fn ask_others(world: &World, config: &mut Config, address: SocketAddr) -> Idp {
    let idp = Idp::start(world).await;
    idp.publish(&[&world.issuer]);
    let mut fetched = config.get("issuers.corp").clone();
    fetched["keys"] = idp.keys("/jwks");
    config.set("issuers.fetched", fetched);
    let client = json!({"client_id": "us", "tls": "gateway"});
    config.set("oauth_clients.us", client);
    let asked = json!({"url": idp.url("/ask"), "tls": {"trust": "mesh"}, "client": "us"});
    config.set("issuers.corp.introspection", asked);
    config.set(
        "routes.orders-read.token.bound_to_certificate",
        "report_only",
    );
    config.route("asks", "/asks", "orders");
    let opa = crate::external_authorization::external_authorization(address);
    config.set("external_authorization.opa", opa);
    config.set("routes.asks.external_authorization", "opa");
    crate::token_exchange::set(config, "open", world, address);
    crate::login::set_up_idle(world, config);
    world.folder.write("keys.yaml", "owners: {}\n");
    config.set("api_keys.partners.file", "keys.yaml");
    config.set(
        "routes.limited.policy",
        json!([{"name": "watched", "cel": "now < 0", "report_only": true}]),
    );
    idp
}

/// Something of every kind that a dashboard shows.
async fn traffic(world: &World, gateway: &Gateway) {
    let client = gateway.client(&world.web());
    let token = Token::new().scope("orders:read").sign(&world.issuer);
    let mut h2 = client.connect_h2().await;
    for _ in 0..3 {
        assert_eq!(
            h2.request(&Request::get("/orders/7").bearer(&token))
                .await
                .status,
            200
        );
    }
    for (path, status) in [
        ("/nowhere", 404),
        ("/dead", 502),
        ("/orders/7", 401),
        ("/limited", 0),
        ("/asks", 503),
    ] {
        let answer = h2.get(path).await;
        assert!(
            status == 0 || answer.status == status,
            "{path}: {}",
            answer.status
        );
    }
    let opaque = Request::get("/orders/7").bearer("opaque");
    assert_eq!(h2.request(&opaque).await.status, 503);
    drop(gateway.anonymous().rejection().await);
}

#[tokio::test]
async fn a_real_prometheus_answers_each_panel_and_evaluates_each_alert() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.route("limited", "/limited", "orders");
    config.set(
        "routes.limited.limits",
        json!([{"rate": "1/h", "per": "client"}]),
    );
    config.set("routes.limited.grace_after_expiry", "1h");
    let dead = format!("127.0.0.1:{}", free_port())
        .parse()
        .expect("an address");
    config.upstream("dead", dead, ORDERS_NAME, &[ORDERS_ID]);
    config.route("dead", "/dead", "dead");
    let crl = Crl::of(&[7]).pem(&world.partners);
    config.set(
        "trust.partners.crl",
        json!(world.folder.write("partners.crl", crl)),
    );
    let both = [world.partners.pem(), world.stranger.pem()].concat();
    config.set(
        "trust.partners.next",
        json!({"ca": world.folder.write("next-ca.pem", both)}),
    );
    let _idp = ask_others(&world, &mut config, orders.address).await;
    let gateway = world.gateway_with(&config).await;
    let prometheus = Prometheus::start(&world, &gateway);
    prometheus
        .answered("the first scrape", "up{job=\"portcullis\"} == 1")
        .await;
    // Traffic goes on while queries are asked, so that every rate has something to show.
    let busy = async {
        loop {
            traffic(&world, &gateway).await;
            gateway.reload_by(|| gateway.sighup()).await;
        }
    };
    let asked = async {
        for (title, expr) in queries() {
            let values = prometheus.answered(&title, &expr).await;
            assert!(
                values.iter().all(|value| value.is_finite()),
                "{title}: {values:?}"
            );
        }
        for (name, expr) in alerts() {
            // Whether they fire is promtool's test; here, that Prometheus takes them with real data.
            let values = prometheus.query(&expr).await;
            assert!(values.is_ok(), "{name}: {values:?}");
        }
        // What is wrong on purpose is seen, with the names that the dashboard shows.
        let shown = [
            "sum(rate(portcullis_handshakes_total{side=\"downstream\",reason=\"certificate_missing\"}[5s])) > 0",
            "portcullis_upstream_endpoint_up{upstream=\"dead\"} == 0",
            "sum(rate(portcullis_refusals_total{reason=\"route_unknown\"}[5s])) > 0",
        ];
        for expr in shown {
            prometheus.answered(expr, expr).await;
        }
        healthy_rules(&prometheus).await;
    };
    tokio::select! {
        () = asked => {}
        () = busy => unreachable!("traffic does not end"),
    }
}

/// Prometheus itself says that it could evaluate every rule.
async fn healthy_rules(prometheus: &Prometheus) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = prometheus.ask("/api/v1/rules").await.expect("the rules");
        let groups = answer["data"]["groups"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        assert_eq!(rules.len(), alerts().len(), "every alert was loaded");
        let unwell: Vec<&Value> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
        if unwell.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{unwell:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
