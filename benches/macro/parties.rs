//! The processes: started, awaited, looked at through `/proc`, ended.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::arguments::Arguments;
use super::stage::{Ports, Stage};

/// How long a party may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// A tick of `/proc/PID/stat`: `USER_HZ` is 100 wherever Linux runs.
const TICK_MICROS: f64 = 10_000.0;

/// What can be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Gateway,
    GatewayQuiet,
    /// As `GatewayQuiet`, with a CRL of 100,000 entries. Only in the part `crl`.
    GatewayCrl,
    Nginx,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Floor, Self::Gateway, Self::GatewayQuiet, Self::Nginx];

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Gateway => "gateway",
            Self::GatewayQuiet => "gateway-quiet",
            Self::GatewayCrl => "gateway-crl",
            Self::Nginx => "nginx",
        }
    }

    pub fn is_installed(self) -> bool {
        let nginx = || {
            Command::new("nginx")
                .arg("-v")
                .stderr(Stdio::null())
                .status()
                .is_ok()
        };
        self != Self::Nginx || nginx()
    }
}

/// A process that ends when this is dropped.
pub struct Process {
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // SIGTERM, for nginx ends its worker then; and SIGKILL when that takes long.
        let command = format!("kill -TERM {}", self.child.id());
        drop(Command::new("sh").args(["-c", &command]).status());
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command with room for many open files.
fn command(program: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = "ulimit -n 65536 2>/dev/null || ulimit -n $(ulimit -H -n); exec \"$0\" \"$@\"";
    command.args(["-c", script]).arg(program);
    command
}

fn own_program() -> std::path::PathBuf {
    std::env::current_exe().expect("this program")
}

fn read_line(reader: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line of a child");
    line.trim().to_owned()
}

/// Starts one of this program's own commands that says where it listens.
fn start_own(name: &str, stage: &Stage, more: &[&str]) -> (Process, SocketAddr) {
    let mut child = command(&own_program())
        .args([name, "--folder"])
        .arg(stage.path())
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a child");
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let address = read_line(&mut output).parse().expect("an address");
    (Process { child }, address)
}

pub fn start_service(stage: &Stage) -> (Process, SocketAddr) {
    start_own("service", stage, &[])
}

/// A party that listens.
pub struct Party {
    pub kind: Kind,
    pub address: SocketAddr,
    /// From its start until it was ready.
    pub ready_after: Duration,
    process: Process,
}

impl Party {
    pub fn start(kind: Kind, stage: &Stage, service: SocketAddr, arguments: &Arguments) -> Self {
        match kind {
            Kind::Floor => Self::start_floor(stage, service, arguments),
            Kind::Nginx => Self::start_nginx(stage, service),
            Kind::Gateway | Kind::GatewayQuiet | Kind::GatewayCrl => {
                Self::start_gateway(kind, stage, service, arguments, 10)
            }
        }
    }

    fn start_floor(stage: &Stage, service: SocketAddr, arguments: &Arguments) -> Self {
        let begin = Instant::now();
        let service = service.to_string();
        let mut more = vec!["--service", &service];
        if arguments.has("fresh") {
            more.push("--fresh");
        }
        let (process, address) = start_own("floor", stage, &more);
        Self {
            kind: Kind::Floor,
            address,
            ready_after: begin.elapsed(),
            process,
        }
    }

    /// A gateway with so many routes.
    pub fn start_gateway(
        kind: Kind,
        stage: &Stage,
        service: SocketAddr,
        arguments: &Arguments,
        routes: usize,
    ) -> Self {
        let ports = Ports {
            edge: free_address(),
            admin: free_address(),
            service,
        };
        let crl = kind == Kind::GatewayCrl;
        let file = stage.gateway_yaml(&ports, routes, kind == Kind::Gateway, crl);
        let program = arguments
            .text("gateway")
            .unwrap_or(env!("CARGO_BIN_EXE_portcullis"));
        let begin = Instant::now();
        let child = command(Path::new(program))
            .args(["run", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("start the gateway");
        let mut process = Process { child };
        wait(&mut process, "the gateway", || is_ready(ports.admin));
        Self {
            kind,
            address: ports.edge,
            ready_after: begin.elapsed(),
            process,
        }
    }

    fn start_nginx(stage: &Stage, service: SocketAddr) -> Self {
        let ports = Ports {
            edge: free_address(),
            admin: free_address(),
            service,
        };
        let conf = stage.nginx_conf(&ports);
        let begin = Instant::now();
        let child = command(Path::new("nginx"))
            .arg("-c")
            .arg(conf)
            .arg("-e")
            .arg(stage.path().join("nginx-error.log"))
            .spawn()
            .expect("start nginx");
        let mut process = Process { child };
        wait(&mut process, "nginx", || {
            TcpStream::connect(ports.edge).is_ok()
        });
        Self {
            kind: Kind::Nginx,
            address: ports.edge,
            ready_after: begin.elapsed(),
            process,
        }
    }

    /// User and system time so far, with that of its children, in microseconds.
    pub fn cpu_micros(&self) -> f64 {
        self.pids()
            .iter()
            .map(|pid| ticks(*pid) as f64 * TICK_MICROS)
            .sum()
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.process.child.id());
        std::fs::read_dir(folder).expect("its descriptors").count()
    }

    /// Resident memory in KiB, with that of its children.
    pub fn resident_kib(&self) -> f64 {
        self.pids()
            .iter()
            .map(|pid| resident_kib(*pid) as f64)
            .sum()
    }

    /// Resident memory when it no longer moves.
    pub fn settled_kib(&self) -> f64 {
        let mut last = self.resident_kib();
        for _ in 0..20 {
            sleep(Duration::from_millis(250));
            let now = self.resident_kib();
            if (now - last).abs() < 64.0 {
                return now;
            }
            last = now;
        }
        last
    }

    fn pids(&self) -> Vec<u32> {
        let own = self.process.child.id();
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let children = children.unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        std::iter::once(own).chain(children).collect()
    }
}

fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its stat");
    // The name in parentheses may hold spaces. utime and stime are fields 14 and 15 of `man proc`.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let field = |number: usize| {
        rest.split_whitespace()
            .nth(number - 3)
            .and_then(|text| text.parse().ok())
    };
    field(14).unwrap_or(0) + field(15).unwrap_or(0)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}

fn wait(process: &mut Process, what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !ready() {
        let ended = process.child.try_wait().expect("look at a child");
        assert!(ended.is_none(), "{what} ended before it was ready");
        assert!(Instant::now() < end, "{what} is not ready");
        sleep(Duration::from_millis(5));
    }
}

/// A load that is connected and warm, and waits.
pub struct Load {
    _process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Load {
    pub fn start(
        stage: &Stage,
        to: SocketAddr,
        mode: &str,
        connections: usize,
        requests: usize,
    ) -> Self {
        Self::start_as(stage, to, "client", mode, connections, requests)
    }

    /// With the certificate of this name.
    pub fn start_as(
        stage: &Stage,
        to: SocketAddr,
        identity: &str,
        mode: &str,
        connections: usize,
        requests: usize,
    ) -> Self {
        let mut child = command(&own_program())
            .args([
                "load",
                "--identity",
                identity,
                "--mode",
                mode,
                "--address",
                &to.to_string(),
                "--folder",
            ])
            .arg(stage.path())
            .args([
                "--connections",
                &connections.to_string(),
                "--requests",
                &requests.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the load");
        let input = child.stdin.take().expect("its input");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        assert_eq!(
            read_line(&mut output),
            "ready",
            "the load must become ready"
        );
        Self {
            _process: Process { child },
            input,
            output,
        }
    }

    /// Lets it run and returns what it found. Its connections stay open until it is dropped.
    pub fn go(&mut self) -> Value {
        self.input.write_all(b"go\n").expect("tell the load");
        serde_json::from_str(&read_line(&mut self.output)).expect("what the load found")
    }
}
