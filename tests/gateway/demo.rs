//! `portcullis demo` as a new user meets it: each line that it prints is pasted into a shell, and
//! each entry of `demo.json` is asked with `curl`; both come out as they say, and are counted.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::PATIENCE;
use crate::bench::gateway::Metrics;
use crate::bench::pki::Folder;

/// A demo that runs until it is dropped.
struct Demo {
    child: Child,
    said: Arc<Mutex<String>>,
    folder: Folder,
    told: Value,
}

/// A debug build makes its keys slowly on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

fn curl() -> &'static str {
    let there = Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(
        there.is_ok_and(|status| status.success()),
        "curl is not installed: `apt-get install curl` brings it"
    );
    "curl"
}

impl Demo {
    fn start(change: impl FnOnce(&mut Command, &Path)) -> Self {
        let folder = Folder::new();
        // With a space: the lines must be quoted.
        let dir = folder.join("a demo");
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .args([
                "demo",
                "--edge",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--dir",
            ])
            .arg(&dir)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        change(&mut command, folder.path());
        let mut child = command.spawn().expect("start the demo");
        let said = Arc::new(Mutex::new(String::new()));
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("its stdout")),
            Box::new(child.stderr.take().expect("its stderr")),
        ];
        for output in outputs {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let mut said = said.lock().expect("what was said");
                    said.push_str(&line);
                    said.push('\n');
                }
            });
        }
        let mut demo = Self {
            child,
            said,
            folder,
            told: Value::Null,
        };
        demo.told = demo.wait_for_json(&dir.join("demo.json"));
        demo.wait_for_words("Ctrl-C");
        demo
    }

    fn wait_for_json(&mut self, file: &Path) -> Value {
        let end = Instant::now() + READY_WITHIN;
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if let Ok(told) = serde_json::from_str(&text) {
                return told;
            }
            let ended = self.child.try_wait().expect("look at the demo");
            assert!(
                ended.is_none(),
                "the demo ended ({ended:?}):\n{}",
                self.said()
            );
            assert!(
                Instant::now() < end,
                "no {}:\n{}",
                file.display(),
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_words(&self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.said().contains(words) {
            assert!(
                Instant::now() < end,
                "it does not say {words}:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn said(&self) -> String {
        self.said.lock().expect("what was said").clone()
    }

    fn lines(&self) -> &Vec<Value> {
        self.told["lines"].as_array().expect("lines")
    }

    fn text(&self, name: &str) -> &str {
        self.told[name].as_str().expect("a text")
    }

    fn metrics(&self) -> Metrics {
        let url = format!("http://{}/metrics", self.text("admin"));
        let output = Command::new(curl())
            .args(["-sS", &url])
            .output()
            .expect("curl");
        Metrics::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// What the metrics count for the reason of a line.
    fn count(&self, line: &Value) -> f64 {
        let reason = line["reason"].as_str().expect("a reason");
        let metrics = self.metrics();
        let (name, labels) = match (line["expect"].as_str(), reason) {
            (Some("tls"), _) => (
                "portcullis_handshakes_total",
                vec![("side", "downstream"), ("reason", reason)],
            ),
            (_, "none") => (
                "portcullis_requests_total",
                vec![("reason", "none"), ("status_class", "2xx")],
            ),
            _ => ("portcullis_refusals_total", vec![("reason", reason)]),
        };
        metrics.value(name, &labels)
    }

    /// Waits until that many are counted: the end of a request is a little after its answer.
    fn wait_for_count(&self, line: &Value, wanted: f64) {
        let end = Instant::now() + PATIENCE;
        while self.count(line) < wanted {
            assert!(Instant::now() < end, "{} is not counted", line["reason"]);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn interrupt(&self) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -INT {}", self.child.id())])
            .status();
        assert!(status.expect("a shell").success());
    }

    fn exited(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("look at the demo") {
                return status;
            }
            assert!(Instant::now() < end, "it goes on:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // By the signal that ends its gateway as well.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
            let end = Instant::now() + Duration::from_secs(5);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The status lines or bare statuses in what curl wrote.
fn statuses(text: &str) -> Vec<u16> {
    let status = |line: &str| {
        let word = line
            .strip_prefix("HTTP/")
            .map_or(line, |rest| rest.split(' ').nth(1).unwrap_or_default());
        word.trim()
            .parse::<u16>()
            .ok()
            .filter(|status| (100..600).contains(status))
    };
    text.lines().filter_map(status).collect()
}

/// Holds what curl did against what a line expects.
fn judge(line: &Value, output: &Output) {
    let name = line["name"].as_str().expect("a name");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if line["expect"] == "tls" {
        assert!(!output.status.success(), "{name}: curl is content:\n{out}");
        assert!(
            err.contains("SSL") || err.contains("alert"),
            "{name}: {err}"
        );
        assert_eq!(statuses(&out), Vec::<u16>::new(), "{name}: nobody answered");
        return;
    }
    assert!(output.status.success(), "{name}: {err}");
    let found = statuses(&out);
    let repeat = line["repeat"].as_u64().expect("a number");
    assert_eq!(found.len() as u64, repeat, "{name}: {out}");
    let expect = line["expect"].as_u64().expect("a status");
    assert_eq!(
        found.last().copied().map(u64::from),
        Some(expect),
        "{name}: {out}"
    );
}

#[test]
fn each_line_that_the_demo_prints_does_what_it_says_when_pasted() {
    curl();
    let demo = Demo::start(|_, _| {});
    let said = demo.said();
    let pasted: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(pasted.len(), demo.lines().len(), "{said}");
    for (text, line) in pasted.iter().zip(demo.lines()) {
        let before = demo.count(line);
        let output = Command::new("sh")
            .args(["-c", text])
            .current_dir(demo.folder.path())
            .output()
            .expect("a shell");
        judge(line, &output);
        demo.wait_for_count(line, before + 1.0);
        // What is said above the line is what comes of it.
        let above = said
            .lines()
            .zip(said.lines().skip(1))
            .find(|(_, below)| below == text);
        let above = above.expect("a title").0;
        match line["expect"].as_u64() {
            Some(status) => assert!(above.contains(&status.to_string()), "{above}"),
            None => assert!(above.contains("no handshake"), "{above}"),
        }
        let reason = line["reason"].as_str().expect("a reason");
        assert!(reason == "none" || above.contains(reason), "{above}");
    }
}

#[test]
fn each_line_of_demo_json_comes_out_as_it_says_and_is_counted_under_its_reason() {
    let demo = Demo::start(|_, _| {});
    let edge: SocketAddr = demo.text("edge").parse().expect("an address");
    let names: Vec<&str> = demo
        .lines()
        .iter()
        .map(|line| line["name"].as_str().expect("a name"))
        .collect();
    assert!(names.len() >= 8, "{names:?}");
    for line in demo.lines() {
        let url = line["url"].as_str().expect("a URL");
        let host = url
            .split('/')
            .nth(2)
            .and_then(|host| host.split(':').next())
            .expect("a host");
        let mut command = Command::new(curl());
        command
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}\\n"])
            .args([
                "--resolve",
                &format!("{host}:{}:{}", edge.port(), edge.ip()),
            ])
            .args(["--cacert", demo.text("ca")])
            .args(["-X", line["method"].as_str().expect("a method")]);
        if let Some(client) = line["client"].as_str() {
            let files = &demo.told["clients"][client];
            command.args(["--cert", files["cert"].as_str().expect("a path")]);
            command.args(["--key", files["key"].as_str().expect("a path")]);
        }
        if let Some(token) = line["token"].as_str() {
            let token = demo.told["tokens"][token].as_str().expect("a token");
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        let before = demo.count(line);
        let repeat = line["repeat"].as_u64().expect("a number");
        command.arg(url);
        let mut last = None;
        for _ in 0..repeat {
            last = Some(command.output().expect("curl"));
        }
        let last = last.expect("at least one");
        let code = String::from_utf8_lossy(&last.stdout).trim().to_owned();
        let name = line["name"].as_str().expect("a name");
        match line["expect"].as_u64() {
            Some(status) => assert_eq!(code, status.to_string(), "{name}"),
            None => assert_eq!(
                (code.as_str(), last.status.success()),
                ("000", false),
                "{name}"
            ),
        }
        demo.wait_for_count(line, before + 1.0);
    }
}

#[test]
fn the_file_that_it_names_is_the_one_that_the_gateway_watches() {
    let demo = Demo::start(|_, _| {});
    let config = PathBuf::from(demo.text("config"));
    assert!(config.is_absolute());
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let changed = text.replace("path: /health", "path: /well");
    assert_ne!(changed, text);
    std::fs::write(&config, changed).expect("changed");
    let end = Instant::now() + PATIENCE;
    while demo
        .metrics()
        .value("portcullis_configuration_generation", &[])
        < 2.0
    {
        assert!(Instant::now() < end, "the change was never taken");
        std::thread::sleep(Duration::from_millis(20));
    }
    // And `check` is content with it.
    let check = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["check", "--config"])
        .arg(&config)
        .output()
        .expect("check");
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
}

/// The processes that have this word in their command line.
fn processes_with(word: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let lines = entries.filter_map(|entry| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(word)).collect()
}

#[test]
fn ctrl_c_ends_the_gateway_and_the_services_and_takes_demo_json_away() {
    let mut demo = Demo::start(|_, _| {});
    let folder = demo.folder.path().display().to_string();
    let there = processes_with(&folder);
    assert!(
        there.iter().any(|line| line.contains(" run ")),
        "the gateway runs as its own process: {there:?}"
    );
    let edge: SocketAddr = demo.text("edge").parse().expect("an address");
    // As the terminal does it: both processes hear it. And as `kill` does it: only the demo.
    demo.interrupt();
    assert_eq!(demo.exited().code(), Some(0));
    assert_eq!(processes_with(&folder), Vec::<String>::new());
    assert!(std::net::TcpStream::connect(edge).is_err());
    assert!(!demo.folder.join("a demo/demo.json").exists());
    assert!(demo.said().contains("stopped"), "{}", demo.said());
    let secrets = demo.folder.join("a demo/pki/edge.key");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(secrets)
        .expect("a key")
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "keys are for their owner alone");
}

#[test]
fn a_second_run_takes_what_is_there_and_a_taken_port_is_told_with_what_to_do() {
    let first = Demo::start(|_, _| {});
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args([
            "demo",
            "--edge",
            first.text("edge"),
            "--admin",
            "127.0.0.1:0",
            "--dir",
        ])
        .arg(first.folder.join("another"))
        .output()
        .expect("a second demo");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(first.text("edge")) && said.contains("--edge"),
        "{said}"
    );
    assert!(
        first.folder.join("a demo/demo.json").exists(),
        "the first goes on"
    );
}
