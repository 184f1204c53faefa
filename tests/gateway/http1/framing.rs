//! Where a request ends: its length is said in one way, and what follows it is never a request.

use serde_json::json;

use super::Stage;
use crate::bench::client::HOST;
use crate::bench::http1::Request;

const POST: &str = "POST /open/a HTTP/1.1\r\nHost: api.example.com\r\n";

#[tokio::test]
async fn a_transfer_coding_other_than_one_chunked_is_refused() {
    let stage = Stage::new().await;
    for fields in [
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding:",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: cow\r\nContent-Length: 5",
    ] {
        let request = format!("{POST}{fields}\r\n\r\n0\r\n\r\n");
        let answer = stage.connect().await.exchange(&request).await;
        let answer = answer.unwrap_or_else(|error| panic!("{fields:?}: {error}"));
        assert_eq!(answer.status, 400, "{fields:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{fields:?}");
        assert_eq!(stage.orders.bytes(), 0, "{fields:?} reached the service");
    }
    let old = "POST /open/a HTTP/1.0\r\nHost: api.example.com\r\n";
    let request = format!("{old}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let answer = stage.connect().await.exchange(&request).await;
    assert_eq!(
        answer.expect("an answer").status,
        400,
        "HTTP/1.0 has no codings"
    );
    assert_eq!(stage.orders.bytes(), 0);
}

#[tokio::test]
async fn refused_codings_are_counted_as_framing() {
    let stage = Stage::new().await;
    for fields in [
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        let request = format!("{POST}{fields}\r\n\r\n0\r\n\r\n");
        stage.refuses(request, 400, "framing_ambiguous").await;
    }
}

#[tokio::test]
async fn a_content_length_that_is_not_one_number_is_refused() {
    let stage = Stage::new().await;
    for fields in [
        "Content-Length: 5, 6",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5a",
        "Content-Length: 5 5",
        "Content-Length: 5.0",
        "Content-Length:",
        "Content-Length: 99999999999999999999999",
        "Content-Length: \u{665}",
    ] {
        let request = format!("{POST}{fields}\r\n\r\nhello");
        let answer = stage.connect().await.exchange(&request).await;
        let answer = answer.unwrap_or_else(|error| panic!("{fields:?}: {error}"));
        assert_eq!(answer.status, 400, "{fields:?}: {}", answer.text());
        assert_eq!(stage.orders.bytes(), 0, "{fields:?} reached the service");
    }
    let answer = stage
        .client()
        .request(&Request::post("/open/a", "hello"))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(stage.orders.only_request().body, b"hello");
}

#[tokio::test]
async fn chunks_that_are_not_well_formed_never_end_as_a_whole_request() {
    let stage = Stage::new().await;
    for body in [
        "\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhelloXX0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
    ] {
        let smuggled = format!("GET /open/smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let request = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}{smuggled}");
        let mut connection = stage.connect().await;
        connection.send(&request).await.expect("send");
        let came = String::from_utf8_lossy(&connection.closed().await).into_owned();
        assert!(came.matches("HTTP/1.1 ").count() <= 1, "{body:?}: {came}");
    }
    let requests = stage.orders.requests();
    assert!(
        requests.iter().all(|request| request.target == "/open/a"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn chunk_extensions_and_trailers_end_at_the_gateway() {
    let stage = Stage::new().await;
    let body = "5;ext=\"v\"\r\nhello\r\n0\r\nX-Client-Identity: forged\r\nX-Trailer: t\r\n\r\n";
    let request = format!("{POST}Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n{body}");
    let answer = stage.connect().await.exchange(&request).await;
    assert_eq!(answer.expect("an answer").status, 200);
    let request = stage.orders.only_request();
    assert_eq!(request.body, b"hello");
    assert!(request.trailers.0.is_empty(), "{:?}", request.trailers);
    assert!(!request.headers.has("trailer"));
    assert_eq!(request.headers.all("transfer-encoding"), ["chunked"]);
}

#[tokio::test]
async fn what_follows_a_request_before_its_answer_is_never_a_second_request() {
    let stage = Stage::new().await;
    let second = format!("GET /open/second HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for first in [
        format!("GET /open/first HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("{POST}Content-Length: 5\r\n\r\nhello"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let mut connection = stage.connect().await;
        connection
            .send(format!("{first}{second}"))
            .await
            .expect("send");
        let came = String::from_utf8_lossy(&connection.closed().await).into_owned();
        assert!(came.matches("HTTP/1.1 ").count() <= 1, "{came}");
    }
    let requests = stage.orders.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.target != "/open/second"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_body_of_a_refused_request_is_never_read_as_a_request() {
    let stage = Stage::new().await;
    let smuggled = format!("GET /open/smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let length = smuggled.len();
    let mut connection = stage.connect().await;
    let head =
        format!("POST /nowhere HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n");
    connection
        .send(format!("{head}{smuggled}"))
        .await
        .expect("send");
    assert_eq!(
        connection.read_answer().await.expect("an answer").status,
        404
    );
    let answer = connection.try_request(&Request::get("/open/next")).await;
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 200);
        assert_eq!(stage.orders.only_request().target, "/open/next");
    } else {
        assert_eq!(stage.orders.bytes(), 0, "closing is as good");
    }
}

#[tokio::test]
async fn a_body_larger_than_max_body_is_refused_before_a_byte_of_it_is_read() {
    let stage = Stage::with(|config| {
        config.set("routes.open.max_body", "1KiB");
    })
    .await;
    let full = stage
        .client()
        .request(&Request::post("/open/a", [b'x'; 1024]))
        .await;
    assert_eq!(full.status, 200);
    let told = stage.orders.bytes();
    let head = format!("{POST}Content-Length: 1025\r\n\r\n");
    let answer = stage.refuses(head, 413, "body_too_large").await;
    assert_eq!(answer.header("connection"), Some("close"));
    let before = stage.refused("body_too_large").await;
    let mut h2 = stage.client().connect_h2().await;
    let request = Request::new("POST", "/open/a").header("content-length", "1025");
    let (response, _stream) = h2.open(&request).await.expect("a stream");
    let answer = crate::bench::client::read_h2(response)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 413);
    stage.wait_for_refused("body_too_large", before + 1.0).await;
    assert_eq!(stage.orders.bytes(), told, "the service was told nothing");
}

#[tokio::test]
async fn a_body_that_grows_too_large_on_its_way_is_cut_off() {
    let stage = Stage::build(
        |config| {
            config.set("routes.open.max_body", "64KiB");
        },
        |service| service,
    )
    .await;
    let mut connection = stage.connect().await;
    let head = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    connection.send(head).await.expect("send");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    for _ in 0..17 {
        // The gateway may have answered and closed before the last.
        drop(connection.send(&chunk).await);
    }
    let answer = connection.read_answer().await.expect("an answer");
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["status"], json!(413));
    stage.wait_for_refused("body_too_large", 1.0).await;
    connection.closed().await;

    let mut h2 = stage.client().connect_h2().await;
    let large = Request::new("POST", "/open/a");
    let (response, mut stream) = h2.open(&large).await.expect("a stream");
    for _ in 0..17 {
        if stream.send_data(vec![b'x'; 4096].into(), false).is_err() {
            break; // reset already
        }
    }
    let answer = crate::bench::client::read_h2(response)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 413);
    stage.wait_for_refused("body_too_large", 2.0).await;
    assert_eq!(h2.get("/open/a").await.status, 200, "the connection lives");
    let whole: Vec<_> = stage.orders.requests();
    assert!(whole.iter().all(|request| request.method == "GET"));
}
