//! A real Redis on loopback, and a way to it that can be held up.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use portcullis::config::shared_state::{StoreSpec, WhenAway};
use portcullis::config::spec::EndpointSpec;
use portcullis::shared_state::{Counts, Password, Security, SharedState, Terms};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use crate::bench::config::free_port;
use crate::bench::pki::{Authority, Folder, Identity};
use crate::bench::{PATIENCE, provider, within};

/// A Redis, until it is dropped.
pub struct Redis {
    child: Child,
    pub port: u16,
    folder: Folder,
    more: Vec<String>,
}

impl Redis {
    /// Starts one that keeps nothing on disk; `more` are arguments.
    pub fn start(more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(|text| (*text).to_owned()).collect();
        for _ in 0..5 {
            let (port, folder) = (free_port(), Folder::new());
            if let Some(child) = launch(port, false, &folder, &more) {
                return Self {
                    child,
                    port,
                    folder,
                    more,
                };
            }
        }
        panic!("redis-server does not start; it is Debian's package redis-server");
    }

    /// The same with TLS alone, and this certificate.
    pub fn with_tls(identity: &Identity, more: &[&str]) -> Self {
        let folder = Folder::new();
        identity.write(&folder, "redis");
        let path = |name: &str| folder.join(name).display().to_string();
        let mut all = vec!["--tls-auth-clients".to_owned(), "no".to_owned()];
        all.extend(["--tls-cert-file".to_owned(), path("redis.pem")]);
        all.extend(["--tls-key-file".to_owned(), path("redis.key")]);
        all.extend(["--tls-ca-cert-file".to_owned(), path("redis.pem")]);
        all.extend(more.iter().map(|text| (*text).to_owned()));
        for _ in 0..5 {
            let port = free_port();
            if let Some(child) = launch(port, true, &folder, &all) {
                return Self {
                    child,
                    port,
                    folder,
                    more: all,
                };
            }
        }
        panic!("redis-server does not start with TLS");
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was ours");
    }

    /// At the same port, with nothing in it.
    pub fn start_again(&mut self) {
        self.child = launch(self.port, false, &self.folder, &self.more).expect("it starts again");
    }

    /// What it answers to a command in the words of its console.
    pub async fn ask(&self, command: &[&[u8]]) -> String {
        ask(self.port, command).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts it and waits until it says that it is ready. `None` if it ends before.
fn launch(port: u16, tls: bool, folder: &Folder, more: &[String]) -> Option<Child> {
    let ports = match tls {
        true => ["0".to_owned(), port.to_string()],
        false => [port.to_string(), "0".to_owned()],
    };
    let mut command = Command::new("redis-server");
    command.args(["--port", &ports[0], "--tls-port", &ports[1]]);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--daemonize", "no", "--dir"]);
    command.arg(folder.path());
    command.args(more);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is there: it is Debian's package redis-server");
    let output = child.stdout.take().expect("it was piped");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    if !lines.any(|line| line.contains("Ready to accept connections")) {
        drop(child.kill());
        drop(child.wait());
        return None;
    }
    std::thread::spawn(move || lines.for_each(drop)); // else it would wait for a reader
    Some(child)
}

/// One command on a connection of its own; the answer as it stands on the wire, at most 64 KiB.
pub async fn ask(port: u16, command: &[&[u8]]) -> String {
    let mut wire = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it listens");
    let mut text = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        text.extend(format!("${}\r\n", part.len()).into_bytes());
        text.extend_from_slice(part);
        text.extend(b"\r\n");
    }
    text.extend(b"*1\r\n$4\r\nQUIT\r\n");
    wire.write_all(&text).await.expect("it reads");
    let mut answer = Vec::new();
    let mut wire = wire.take(64 * 1024);
    wire.read_to_end(&mut answer).await.expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Passes bytes on, until it is told to hold them.
pub struct Proxy {
    pub port: u16,
    holds: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (holds, held) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let held = held.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", to))
                        .await
                        .expect("it listens");
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        pass(from_client, to_server, held.clone()),
                        pass(from_server, to_client, held)
                    );
                });
            }
        });
        Self { port, holds, task }
    }

    pub fn hold(&self, hold: bool) {
        self.holds.send_replace(hold);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held).await.is_err()
            || to.write_all(&buffer[..length]).await.is_err()
        {
            return;
        }
    }
}

/// One gateway's view of the shared state.
pub struct Member {
    pub state: SharedState,
    pub counts: Arc<Counts>,
}

pub fn spec(port: u16) -> StoreSpec {
    StoreSpec {
        endpoints: vec![endpoint("127.0.0.1", port)],
        cluster: false,
        username: None,
        password_file: None,
        timeout: Duration::from_secs(2),
        prefix: "portcullis:".to_owned(),
        tls: None,
        when_away: WhenAway::Refuse,
    }
}

pub fn endpoint(host: &str, port: u16) -> EndpointSpec {
    EndpointSpec {
        host: host.parse().expect("a host"),
        port,
    }
}

pub fn terms(spec: StoreSpec) -> Terms {
    Terms {
        spec,
        password: None,
        security: Security::None,
    }
}

pub fn with_password(username: Option<&str>, password: &str, mut spec: StoreSpec) -> Terms {
    spec.username = username.map(str::to_owned);
    Terms {
        password: Password::of_file(password),
        ..terms(spec)
    }
}

pub fn with_trust(authority: &Authority, spec: StoreSpec) -> Terms {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    Terms {
        security: Security::Tls(Arc::new(config)),
        ..terms(spec)
    }
}

impl Member {
    pub fn new(terms: Terms) -> Self {
        let counts = Arc::<Counts>::default();
        let state = SharedState::new(Arc::clone(&counts));
        state.follow(Some(&Arc::new(terms)));
        Self { state, counts }
    }

    /// Waits until there is a connection to so many nodes.
    pub async fn connected(&self, nodes: u64) {
        within("connections to the store", async {
            while self.counts.stores().1 != nodes {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

/// Asks again until the answer is as wanted: what follows from an event elsewhere.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            match ask().await {
                Some(found) => return found,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, asked).await;
    found.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Where a server that is none listens: what it does with each connection is the test's.
pub async fn impostor<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((wire, _)) = listener.accept().await {
            tokio::spawn(serve(wire));
        }
    });
    address
}
