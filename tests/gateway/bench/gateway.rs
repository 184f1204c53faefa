//! The real binary as a process of its own: started, watched through its log and its metrics,
//! reloaded, signalled, and killed when dropped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::config::Config;
use super::http1::{Answer, Request, Wire};
use super::pki::{Identity, write_atomically};
use super::{PATIENCE, World, within};

/// The pause between two looks at a process.
const POLL: Duration = Duration::from_millis(10);
/// The gauge that a reload raises by one.
pub const GENERATION: &str = "portcullis_configuration_generation";
/// The counter of reloads, by `result`.
pub const RELOADS: &str = "portcullis_reloads_total";
/// The counter of takings of key material without a reload, by `result`.
pub const REFRESHES: &str = "portcullis_refreshes_total";

/// A gateway that runs until it is dropped.
pub struct Gateway {
    child: Child,
    log: Arc<Log>,
    file: PathBuf,
    /// The configuration with the ports that were chosen.
    pub config: Config,
    edge_authority: Arc<super::pki::Authority>,
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The new configuration is in use, under this generation.
    Applied(u64),
    /// The old one stays.
    Refused,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: watch::Sender<()>,
}

impl Log {
    fn follow(self: &Arc<Self>, output: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                log.lines.lock().expect("the log").push(line);
                log.changed.send_replace(());
            }
        });
    }
}

impl Gateway {
    /// Starts the gateway with this configuration and waits until it is ready.
    pub async fn start(world: &World, config: &Config) -> Self {
        for _ in 0..3 {
            let mut config = config.clone();
            config.choose_ports();
            let file = world.folder.write("gateway.yaml", config.yaml());
            let mut gateway = Self::spawn(world, config, file);
            if gateway.ready().await {
                return gateway;
            }
            let log = gateway.log().join("\n");
            // Another process may have taken the port between our look and its start.
            assert!(
                log.contains("in use"),
                "the gateway ended before it was ready:\n{log}"
            );
        }
        panic!("no free ports for the gateway");
    }

    /// Starts the gateway and waits until it answers at all, ready or not.
    pub async fn start_unready(world: &World, config: &Config) -> Self {
        let mut config = config.clone();
        config.choose_ports();
        let file = world.folder.write("gateway.yaml", config.yaml());
        let mut gateway = Self::spawn(world, config, file);
        let end = Instant::now() + PATIENCE;
        while gateway.try_admin("/readyz").await.is_none() {
            let ended = gateway.child.try_wait().expect("look at the gateway");
            let log = || gateway.log().join("\n");
            assert!(ended.is_none() && Instant::now() < end, "{}", log());
            sleep(POLL).await;
        }
        gateway
    }

    pub async fn wait_until_ready(&mut self) {
        let ready = self.ready().await;
        assert!(ready, "the gateway ended:\n{}", self.log().join("\n"));
    }

    /// Does something after which there is another generation, and waits until it is in use.
    pub async fn taken_by(&self, cause: impl FnOnce()) -> u64 {
        let before = self.metrics().await.value(GENERATION, &[]);
        cause();
        let taken = self.wait_for_metric(GENERATION, &[], |now| now > before);
        taken.await as u64
    }

    /// Starts the gateway with a file that the test has written itself from `config` (behind a
    /// link, say), after [`Config::choose_ports`]; waits until it is ready.
    pub async fn start_with_file(world: &World, config: &Config, file: PathBuf) -> Self {
        let mut gateway = Self::spawn(world, config.clone(), file);
        let ready = gateway.ready().await;
        assert!(
            ready,
            "the gateway ended before it was ready:\n{}",
            gateway.log().join("\n")
        );
        gateway
    }

    /// Starts the gateway and does not wait. Ports must be chosen.
    fn spawn(world: &World, config: Config, file: PathBuf) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the gateway");
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().expect("its stdout"));
        log.follow(child.stderr.take().expect("its stderr"));
        Self {
            child,
            log,
            file,
            config,
            edge_authority: Arc::clone(&world.edge_authority),
        }
    }

    /// Waits for `/readyz`; false if the process ended.
    async fn ready(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            if self
                .try_admin("/readyz")
                .await
                .is_some_and(|answer| answer.status == 200)
            {
                return true;
            }
            if self
                .child
                .try_wait()
                .expect("look at the gateway")
                .is_some()
            {
                // Its last words are on their way through the pipes.
                sleep(POLL * 5).await;
                return false;
            }
            assert!(
                Instant::now() < end,
                "the gateway is not ready:\n{}",
                self.log().join("\n")
            );
            sleep(POLL).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file.
    pub fn file(&self) -> &PathBuf {
        &self.file
    }

    /// The address of a listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.address_at(&format!("listeners.{listener}.address"))
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.address_at("admin.address")
    }

    fn address_at(&self, place: &str) -> SocketAddr {
        self.config
            .get(place)
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("an address")
    }

    /// A client of the listener `edge` without a certificate.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address("edge"), &self.edge_authority)
    }

    /// A client of the listener `edge` with this certificate.
    pub fn client(&self, identity: &Identity) -> Client {
        self.anonymous().identity(identity)
    }

    // ---- the admin listener

    async fn try_admin(&self, path: &str) -> Option<Answer> {
        let exchange = async {
            let mut wire = Wire::new(TcpStream::connect(self.admin_address()).await?);
            let request = Request::get(path).header("Connection", "close");
            wire.send(request.bytes("admin")).await?;
            wire.read_answer("GET").await
        };
        within("the admin listener", exchange).await.ok()
    }

    /// GET on the admin listener; panics if it does not answer.
    pub async fn admin(&self, path: &str) -> Answer {
        let answer = self.try_admin(path).await;
        answer.unwrap_or_else(|| panic!("admin does not answer:\n{}", self.log().join("\n")))
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin("/metrics").await.text())
    }

    /// Waits until the sum of the series with these labels is as wanted; returns it.
    pub async fn wait_for_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) -> f64 {
        let end = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics().await;
            let value = metrics.get(name, labels);
            if let Some(value) = value.filter(|value| wanted(*value)) {
                return value;
            }
            if Instant::now() > end {
                let own = metrics.series(name, &[]);
                panic!("{name} {labels:?} stays at {value:?}; of that name there are {own:#?}");
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the metrics are as wanted; returns them.
    pub async fn wait_for_metrics(&self, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
        let end = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics().await;
            if wanted(&metrics) {
                return metrics;
            }
            let log = || self.log().join("\n");
            assert!(
                Instant::now() < end,
                "waited too long for {what}:\n{}",
                log()
            );
            sleep(POLL).await;
        }
    }

    // ---- the log

    /// Every line so far of stdout and stderr.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().expect("the log").clone()
    }

    /// Waits for a line of the log, also one that is there already; returns the first.
    pub async fn wait_for_log(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_log_within(PATIENCE, wanted).await
    }

    pub async fn wait_for_log_within(
        &self,
        time: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        let mut changes = self.log.changed.subscribe();
        let search = async {
            let mut looked_at = 0;
            loop {
                let lines = self.log();
                if let Some(line) = lines.iter().skip(looked_at).find(|line| wanted(line)) {
                    return line.clone();
                }
                looked_at = lines.len();
                changes.changed().await.expect("the log lives");
            }
        };
        let found = tokio::time::timeout(time, search).await;
        found.unwrap_or_else(|_| panic!("no such line in the log:\n{}", self.log().join("\n")))
    }

    /// Waits for a line that is JSON and is as wanted.
    pub async fn wait_for_event(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let parse = |line: &str| serde_json::from_str::<Value>(line).ok();
        let line = self
            .wait_for_log(|line| parse(line).is_some_and(|value| wanted(&value)))
            .await;
        parse(&line).expect("JSON, as it was a moment ago")
    }

    /// The line of the access log that belongs to an answer.
    pub async fn access_line(&self, answer: &Answer) -> Value {
        let id = answer.header("x-request-id");
        let id = id.unwrap_or_else(|| panic!("no X-Request-Id: {answer:?}"));
        self.wait_for_event(|event| event["target"] == "access" && event["request_id"] == id)
            .await
    }

    /// Why a request was refused, as the access log has it; `None` if it was not.
    pub async fn reason(&self, answer: &Answer) -> Option<String> {
        let line = self.access_line(answer).await;
        line["reason"].as_str().map(str::to_owned)
    }

    // ---- reload

    /// Replaces the configuration file in one step and waits until the gateway has taken or
    /// refused it. Listeners keep their ports. The file must differ from the one before.
    pub async fn reload(&mut self, config: &Config) -> Reloaded {
        let mut config = config.clone();
        config.keep_ports(&self.config);
        let file = self.file.clone();
        let reloaded = self
            .reload_by(|| write_atomically(&file, config.yaml().as_bytes()))
            .await;
        if matches!(reloaded, Reloaded::Applied(_)) {
            self.config = config;
        }
        reloaded
    }

    /// As [`Gateway::reload`], with any text.
    pub async fn reload_text(&mut self, text: &str) -> Reloaded {
        let file = self.file.clone();
        self.reload_by(|| write_atomically(&file, text.as_bytes()))
            .await
    }

    /// Does something that makes the gateway reload (writes a certificate, sends SIGHUP) and
    /// waits for one to end, or for key material to be taken.
    pub async fn reload_by(&self, cause: impl FnOnce()) -> Reloaded {
        let ended = |metrics: &Metrics| metrics.value(RELOADS, &[]) + metrics.value(REFRESHES, &[]);
        let before = self.metrics().await;
        cause();
        self.wait_for_metrics("a reload", |now| ended(now) > ended(&before))
            .await;
        // Anew: a page is not of one moment.
        let now = self.metrics().await;
        if now.value(GENERATION, &[]) > before.value(GENERATION, &[]) {
            Reloaded::Applied(now.value(GENERATION, &[]) as u64)
        } else {
            Reloaded::Refused
        }
    }

    // ---- signals and the end

    /// Sends SIGHUP.
    pub fn sighup(&self) {
        self.signal("HUP");
    }

    /// Sends SIGTERM.
    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    /// Sends any signal, `INT` say.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh")
            .args(["-c", &command])
            .status()
            .expect("a shell");
        assert!(status.success(), "{command}");
    }

    /// Waits until the process has ended.
    pub async fn exited(&mut self) -> ExitStatus {
        self.exited_within(PATIENCE).await
    }

    pub async fn exited_within(&mut self, time: Duration) -> ExitStatus {
        let end = Instant::now() + time;
        loop {
            if let Some(status) = self.child.try_wait().expect("look at the gateway") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "the gateway goes on:\n{}",
                self.log().join("\n")
            );
            sleep(POLL).await;
        }
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the gateway's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("VmRSS in kB") * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let lines = self.log();
            let last = lines.iter().skip(lines.len().saturating_sub(40));
            eprintln!("the gateway's last lines:");
            last.for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// Runs `portcullis` with arguments to its end (`check`, `run` with a bad file ..) in the world's
/// folder; `gateway.yaml` there holds `config`.
pub fn run(world: &World, config: &Config, arguments: &[&str]) -> Output {
    let mut config = config.clone();
    config.choose_ports();
    world.folder.write("gateway.yaml", config.yaml());
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(world.folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("run the gateway")
}

/// The metrics of one moment.
#[derive(Clone, Debug, Default)]
pub struct Metrics(pub Vec<Series>);

/// One line of the metrics page.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Metrics {
    /// Reads the text format, version 0.0.4.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        Self(lines.map(Series::parse).collect())
    }

    /// The sum of all series of this name that have these labels; `None` if there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.series(name, labels).into_iter().peekable();
        found.peek()?;
        Some(found.map(|series| series.value).sum())
    }

    /// As [`Metrics::get`]; panics if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or_else(|| {
            let own: Vec<_> = self.0.iter().filter(|series| series.name == name).collect();
            panic!("no series {name} {labels:?}; of that name there are {own:#?}")
        })
    }

    /// All series of this name that have these labels.
    pub fn series(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Series> {
        let has = |series: &&Series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(name, value)| series.labels.get(*name).is_some_and(|own| own == value))
        };
        self.0.iter().filter(has).collect()
    }
}

impl Series {
    fn parse(line: &str) -> Self {
        let (key, value) = line.rsplit_once(' ').expect("a name and a value");
        let value = value
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}"));
        let (name, rest) = key.split_once('{').unwrap_or((key, ""));
        let mut labels = BTreeMap::new();
        let mut rest = rest.trim_end_matches('}');
        while let Some((label, after)) = rest.split_once("=\"") {
            let (mut text, mut chars) = (String::new(), after.char_indices());
            let end = loop {
                match chars.next() {
                    Some((at, '"')) => break at,
                    Some((_, '\\')) => match chars.next() {
                        Some((_, 'n')) => text.push('\n'),
                        Some((_, other)) => text.push(other),
                        None => panic!("a label ends in a backslash: {line}"),
                    },
                    Some((_, other)) => text.push(other),
                    None => panic!("a label has no end: {line}"),
                }
            };
            labels.insert(label.trim_start_matches(',').to_owned(), text);
            rest = &after[end + 1..];
        }
        Self {
            name: name.to_owned(),
            labels,
            value,
        }
    }
}
