//! The load: a fixed number of requests over mTLS. It says `ready` when all is connected and warm,
//! waits for a line, and then says what it measured as one line of JSON. It holds its connections
//! until its standard input ends.

use std::io::{self, BufRead as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::arguments::Arguments;
use super::{stage, tls};

/// Requests of each connection before anything is measured.
const WARM_UP: usize = 50;
/// The same, where each takes a handshake.
const WARM_UP_HANDSHAKES: usize = 5;
/// The pause of a steady load.
const PACE: Duration = Duration::from_millis(15);
/// A request that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// One connection for all requests of a task.
    KeepAlive,
    /// The same with a pause after each request, as of clients that ask now and then.
    Steady,
    /// A new connection and a full handshake for each request.
    Full,
    /// A new connection and a resumed handshake for each request.
    Resumed,
    /// Connections without any request.
    Idle,
    /// Connections after one request.
    IdleAfterOne,
}

impl Mode {
    fn read(text: &str) -> Self {
        match text {
            "keep-alive" => Self::KeepAlive,
            "steady" => Self::Steady,
            "full" => Self::Full,
            "resumed" => Self::Resumed,
            "idle" => Self::Idle,
            "idle-after-one" => Self::IdleAfterOne,
            other => panic!("no such mode: {other}"),
        }
    }

    fn connects_each_time(self) -> bool {
        matches!(self, Self::Full | Self::Resumed)
    }
}

/// What one task does, and has found so far.
struct Task {
    mode: Mode,
    address: SocketAddr,
    /// Where sessions are resumed, each task has its own.
    config: Arc<ClientConfig>,
    request: Arc<[u8]>,
    connection: Option<TlsStream<TcpStream>>,
    found: Found,
}

#[derive(Default)]
struct Found {
    micros: Vec<u32>,
    handshakes: usize,
    resumed: usize,
    errors: Vec<String>,
}

pub fn run(arguments: &Arguments) {
    let mode = Mode::read(arguments.text("mode").unwrap_or("keep-alive"));
    let folder = arguments.folder();
    let token = std::fs::read_to_string(folder.join("token")).expect("the token");
    let request = stage::request(token.trim()).into_bytes().into();
    let resumes = mode != Mode::Full;
    let identity = arguments.text("identity").unwrap_or("client");
    let shared = tls::client(&folder, identity, "edge-ca", resumes);
    let make = |_| Task {
        mode,
        address: arguments.needed("address"),
        config: match mode {
            Mode::Resumed => tls::client(&folder, identity, "edge-ca", resumes),
            Mode::KeepAlive | Mode::Steady | Mode::Full | Mode::Idle | Mode::IdleAfterOne => {
                Arc::clone(&shared)
            }
        },
        request: Arc::clone(&request),
        connection: None,
        found: Found::default(),
    };
    let tasks: Vec<Task> = (0..arguments.number("connections", 64)).map(make).collect();
    stage::on_one_thread(drive(tasks, mode, arguments.number("requests", 10_000)));
}

async fn drive(mut tasks: Vec<Task>, mode: Mode, requests: usize) {
    let idle = matches!(mode, Mode::Idle | Mode::IdleAfterOne);
    let warm_up = match mode {
        Mode::KeepAlive | Mode::Steady => WARM_UP,
        Mode::Full | Mode::Resumed => WARM_UP_HANDSHAKES,
        Mode::Idle => 0,
        Mode::IdleAfterOne => 1,
    };
    let mut warm = Vec::new();
    if idle {
        // One after the other: what is measured is idle connections, not a burst of handshakes.
        for task in &mut tasks {
            task.warm_up(warm_up).await;
        }
        warm = tasks;
    } else {
        let warming = tasks.into_iter().map(|mut task| {
            tokio::spawn(async move {
                task.warm_up(warm_up).await;
                task
            })
        });
        for task in warming.collect::<Vec<_>>() {
            warm.push(task.await.expect("a task"));
        }
    }
    let early: Vec<String> = warm
        .iter()
        .flat_map(|task| task.found.errors.clone())
        .collect();
    for task in &mut warm {
        task.found = Found::default();
    }
    println!("ready");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).expect("a line");
    let begin = Instant::now();
    let left = Arc::new(AtomicUsize::new(if idle { 0 } else { requests }));
    let running: Vec<_> = warm
        .into_iter()
        .map(|mut task| {
            let left = Arc::clone(&left);
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    task.one().await;
                    if task.mode == Mode::Steady {
                        tokio::time::sleep(PACE).await;
                    }
                }
                task
            })
        })
        .collect();
    let mut done = Vec::new();
    for task in running {
        done.push(task.await.expect("a task"));
    }
    report(&done, begin.elapsed(), &early);
    line.clear();
    // The connections stay open until the other side has looked.
    drop(io::stdin().lock().read_line(&mut line));
    drop(done);
}

fn report(done: &[Task], took: Duration, early: &[String]) {
    let mut micros: Vec<u32> = done
        .iter()
        .flat_map(|task| task.found.micros.clone())
        .collect();
    micros.sort_unstable();
    let at = |share: f64| {
        let place = (micros.len() as f64 * share) as usize;
        micros
            .get(place.min(micros.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    };
    let sum =
        |count: fn(&Found) -> usize| done.iter().map(|task| count(&task.found)).sum::<usize>();
    let first = early
        .first()
        .or_else(|| done.iter().find_map(|task| task.found.errors.first()));
    let line = json!({
        "requests": micros.len(),
        "seconds": took.as_secs_f64(),
        "p50": at(0.5),
        "p99": at(0.99),
        "handshakes": sum(|found| found.handshakes),
        "resumed": sum(|found| found.resumed),
        "errors": early.len() + sum(|found| found.errors.len()),
        "first_error": first,
    });
    println!("{line}");
}

impl Task {
    async fn warm_up(&mut self, requests: usize) {
        if requests == 0 {
            match self.connect().await {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => self.found.errors.push(error.to_string()),
            }
        }
        for _ in 0..requests {
            self.one().await;
        }
    }

    /// One request, counted.
    async fn one(&mut self) {
        let begin = Instant::now();
        let ended = tokio::time::timeout(PATIENCE, self.exchange()).await;
        match ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => self.found.micros.push(begin.elapsed().as_micros() as u32),
            Err(error) => {
                self.connection = None;
                self.found.errors.push(error.to_string());
            }
        }
    }

    async fn exchange(&mut self) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.write_all(&self.request).await?;
        connection.flush().await?;
        let stays = read_answer(&mut connection).await?;
        if self.mode.connects_each_time() || !stays {
            connection.shutdown().await?;
        } else {
            self.connection = Some(connection);
        }
        Ok(())
    }

    async fn connect(&mut self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(stage::HOST).expect("a name");
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, stream).await?;
        self.found.handshakes += 1;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        self.found.resumed += usize::from(resumed);
        Ok(stream)
    }
}

/// Reads one whole answer, which must be 200; says whether the connection stays.
async fn read_answer(connection: &mut TlsStream<TcpStream>) -> io::Result<bool> {
    let mut answer: Vec<u8> = Vec::with_capacity(4096);
    let end = loop {
        if connection.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(io::Error::other(
            head.lines().next().unwrap_or_default().to_owned(),
        ));
    }
    let field = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let length: usize = field("content-length")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("no length"))?;
    while answer.len() < end + length {
        if connection.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(field("connection") != Some("close"))
}
