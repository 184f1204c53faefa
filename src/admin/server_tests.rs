//! The admin listener over a real socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

struct Bench {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn bench() -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (metrics, readiness) = (Metrics::new(), Arc::new(Readiness::new()));
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { stopped.await.unwrap_or_default() };
    let server = tokio::spawn(serve(
        listener,
        Arc::clone(&metrics),
        Arc::clone(&readiness),
        KeySets::none(),
        shutdown,
    ));
    Bench {
        address,
        metrics,
        readiness,
        stop,
        server,
    }
}

/// The whole answer, from the status line on.
async fn ask(address: SocketAddr, method: &str, target: &str) -> String {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    raw(address, head.as_bytes()).await
}

async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn ready_is_said_only_while_requests_are_taken() {
    let bench = bench().await;
    let answer = ask(bench.address, "GET", "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nstarting\n"));
    bench.readiness.ready();
    let answer = ask(bench.address, "GET", "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nready\n"));
    bench.readiness.draining();
    let answer = ask(bench.address, "GET", "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\ndraining\n"));
    assert!(
        ask(bench.address, "GET", "/livez")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn the_metrics_page_is_what_the_metrics_say() {
    let bench = bench().await;
    drop(bench.metrics.listener(&"edge".parse().unwrap()));
    let answer = ask(bench.address, "GET", "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\nportcullis_connections{listener=\"edge\"} 0\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn everything_else_is_refused() {
    let bench = bench().await;
    let cases = [
        ("POST", "/metrics", "405"),
        ("DELETE", "/readyz", "405"),
        ("OPTIONS", "*", "405"),
        ("GET", "/metrics/", "404"),
        ("GET", "/..//metrics", "404"),
        ("GET", "/nothing", "404"),
        ("GET", "/", "200"),
        ("HEAD", "/metrics", "200"),
    ];
    for (method, target, want) in cases {
        let answer = ask(bench.address, method, target).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {want} ")),
            "{method} {target}: {answer}"
        );
        if method == "HEAD" {
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
        if want == "405" {
            assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        }
    }
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert!(
        raw(bench.address, long.as_bytes())
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    assert!(
        raw(bench.address, b"\x16\x03\x01 not HTTP\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn connections_are_bounded_and_those_behind_wait() {
    let bench = bench().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        // One answer each, so that all are known to be accepted; they stay open.
        stream
            .write_all(b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        silent.push(stream);
    }
    let waiting = ask(bench.address, "GET", "/livez");
    let mut waiting = pin!(waiting);
    // There is no event for "nothing happens".
    assert!(
        timeout(Duration::from_millis(100), &mut waiting)
            .await
            .is_err()
    );
    silent.pop();
    assert!(waiting.await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn it_stops_though_connections_are_open() {
    let bench = bench().await;
    let mut idle = TcpStream::connect(bench.address).await.unwrap();
    idle.write_all(b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);
    bench.stop.send(()).unwrap();
    bench.server.await.unwrap();
    assert_eq!(idle.read(&mut [0; 1024]).await.unwrap(), 0);
    assert!(TcpStream::connect(bench.address).await.is_err());
}
