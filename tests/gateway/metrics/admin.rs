//! The admin listener from outside: it shows, does nothing else, and lets nobody hold it up.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::gateway::Gateway;
use crate::bench::http1::Wire;
use crate::bench::{World, within};

/// Sends bytes to the admin listener and reads until it closes.
async fn admin_raw(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.admin_address())
        .await
        .expect("admin");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    drop(
        within(
            "the admin listener to close",
            stream.read_to_end(&mut answer),
        )
        .await,
    );
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_admin_listener_shows_and_does_nothing_else() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    for (path, status, text) in [
        ("/livez", 200, "alive\n"),
        ("/readyz", 200, "ready\n"),
        ("/nothing", 404, "not found\n"),
        ("/metrics/../livez", 404, "not found\n"),
    ] {
        let answer = gateway.admin(path).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, text),
            "{path}"
        );
    }
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "RELOAD",
    ] {
        for path in ["/metrics", "/readyz", "/livez", "/reload"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = admin_raw(&gateway, request.as_bytes()).await;
            let refused = answer.starts_with("HTTP/1.1 405 ")
                || (method == "CONNECT" && answer.starts_with("HTTP/1.1 4"));
            assert!(refused, "{method} {path}: {answer}");
        }
    }
    let wrong: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client hello\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET  /metrics\r\n\r\n",
    ];
    for bytes in wrong {
        let answer = admin_raw(&gateway, bytes).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let mut stream = TcpStream::connect(gateway.admin_address())
        .await
        .expect("admin");
    drop(stream.write_all(long.as_bytes()).await); // it may be closed on us half-way
    let answer = Wire::new(stream).read_answer("GET").await;
    assert!(answer.map_or(true, |answer| answer.status == 431));
    // The edge does not know these pages.
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(
            gateway.client(&world.web()).get(path).await.status,
            404,
            "{path}"
        );
    }
    assert_eq!(gateway.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn an_admin_client_that_sends_its_head_slowly_is_closed_and_holds_nobody_up() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(gateway.admin_address())
            .await
            .expect("admin");
        stream.write_all(b"GET /metr").await.expect("sent");
        silent.push(stream);
    }
    let scraped = tokio::time::timeout(Duration::from_secs(3), gateway.admin("/metrics")).await;
    assert_eq!(scraped.expect("a scrape between them").status, 200);
    let mut rest = Vec::new();
    let last = silent.last_mut().expect("one");
    drop(within("it to be closed", last.read_to_end(&mut rest)).await);
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}
