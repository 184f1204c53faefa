//! A real Pebble (Debian's package `pebble`) on loopback, with a name server that answers 127.0.0.1
//! for every name, so that nothing leaves this machine.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::bench::config::{Config, free_port};
use crate::bench::http1::{Request, Wire};
use crate::bench::pki::{Authority, Folder, Leaf};
use crate::bench::{provider, within};

/// How Pebble is set up, before it runs.
pub struct Settings {
    /// Where its ACME directory is.
    pub port: u16,
    /// Where it looks for TLS-ALPN-01 challenges.
    pub tls_port: u16,
    /// Where it looks for HTTP-01 challenges.
    pub http_port: u16,
    /// How long its certificates are valid, in seconds.
    pub lifetime: u64,
    /// What it issues nothing for.
    pub blocked: Vec<String>,
    /// The key ids and keys of its customers; with any, an account must be bound to one.
    pub customers: Vec<(String, String)>,
}

/// Pebble, until it is dropped.
pub struct Pebble {
    child: Child,
    authority: Arc<Authority>,
    pub port: u16,
    management: SocketAddr,
    log: Arc<Log>,
    _names: Names,
}

/// A name server for which every name is 127.0.0.1.
struct Names {
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: watch::Sender<()>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: free_port(),
            tls_port: free_port(),
            http_port: free_port(),
            lifetime: 90 * 86_400,
            blocked: vec!["blocked.example".to_owned()],
            customers: Vec::new(),
        }
    }
}

impl Settings {
    /// Looks for TLS-ALPN-01 challenges at the listener `edge` of this configuration, whose ports
    /// are chosen here.
    pub fn at_edge(config: &mut Config) -> Self {
        config.choose_ports();
        let edge: SocketAddr = config
            .get("listeners.edge.address")
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("an address");
        Self {
            tls_port: edge.port(),
            ..Self::default()
        }
    }

    /// The URL of the directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    fn json(&self, management: SocketAddr) -> Value {
        let customers: serde_json::Map<String, Value> = self
            .customers
            .iter()
            .map(|(id, key)| (id.clone(), json!(key)))
            .collect();
        json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": management.to_string(),
            "certificate": "pebble.pem",
            "privateKey": "pebble.key",
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !customers.is_empty(),
            "externalAccountMACKeys": customers,
            "domainBlocklist": self.blocked,
            "certificateValidityPeriod": self.lifetime,
        } })
    }

    /// Starts Pebble with a certificate of `authority` and waits until it serves.
    pub async fn start(&self, folder: &Folder, authority: &Arc<Authority>) -> Pebble {
        let names = Names::start().await;
        let management = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let leaf = Leaf::server("pebble").dns("localhost");
        authority.issue(leaf).write(folder, "pebble");
        folder.write("pebble.json", self.json(management).to_string());
        let spawned = Command::new("pebble")
            .args(["-config", "pebble.json", "-dnsserver"])
            .arg(names.address.to_string())
            .current_dir(folder.path())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_VA_ALWAYS_VALID", "0")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| {
            panic!("pebble cannot be started ({error}): `apt-get install pebble` (Debian, Ubuntu) brings it")
        });
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().expect("its stdout"));
        log.follow(child.stderr.take().expect("its stderr"));
        let pebble = Pebble {
            child,
            authority: Arc::clone(authority),
            port: self.port,
            management,
            log,
            _names: names,
        };
        pebble.wait_for("ACME directory available").await;
        pebble.serves(self.port).await;
        pebble
    }
}

impl Pebble {
    /// Waits until the log has a line with this in it, also one that is there already.
    pub async fn wait_for(&self, wanted: &str) {
        let mut changes = self.log.changed.subscribe();
        within(wanted, async {
            while !self.log().iter().any(|line| line.contains(wanted)) {
                changes.changed().await.expect("the log lives");
            }
        })
        .await;
    }

    /// Every line so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().expect("the log").clone()
    }

    /// How many orders it has taken.
    pub fn orders(&self) -> usize {
        let of_order = |line: &&String| line.contains("Added order");
        self.log().iter().filter(of_order).count()
    }

    /// It says that it serves a moment before it does.
    async fn serves(&self, port: u16) {
        within("pebble's port", async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_err()
            {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// The CA of what it issues.
    pub async fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let answer = self.managed("/roots/0").await;
        let ca = CertificateDer::from_pem_slice(answer.as_bytes()).expect("a certificate");
        roots.add(ca).expect("a CA");
        roots
    }

    async fn managed(&self, path: &str) -> String {
        self.serves(self.management.port()).await;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.authority.roots())
            .with_no_client_auth();
        let stream = TcpStream::connect(self.management).await.expect("pebble");
        let name = ServerName::try_from("localhost").expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let mut wire = Wire::new(within("TLS with pebble", connecting).await.expect("TLS"));
        let request = Request::get(path).header("Connection", "close");
        wire.send(request.bytes("localhost")).await.expect("sent");
        let answer = within("pebble's answer", wire.read_answer("GET")).await;
        answer.expect("an answer").text()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let lines = self.log();
            eprintln!("pebble's last lines:");
            let last = lines.iter().skip(lines.len().saturating_sub(40));
            last.for_each(|line| eprintln!("  {line}"));
        }
    }
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

impl Names {
    async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let socket = socket.expect("a UDP port");
        let address = socket.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, asker)) = socket.recv_from(&mut query).await {
                if let Some(answer) = localhost(&query[..length]) {
                    drop(socket.send_to(&answer, asker).await);
                }
            }
        });
        Self { address, task }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a DNS query with one question (RFC 1035, section 4): A is 127.0.0.1, and there is
/// nothing else.
fn localhost(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const A: [u8; 2] = [0, 1];
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(HEADER..HEADER + name + 4)?;
    let is_a = question.get(name..name + 2)? == A;
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(question);
    if is_a {
        // The name of the question, A, IN, for a second, four bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
