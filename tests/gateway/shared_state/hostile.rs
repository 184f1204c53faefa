//! A store that is not what it should be: what it gives is bounded and looked at.

use std::time::Duration;

use bytes::Bytes;
use portcullis::shared_state::{Away, Space};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::server::{Member, Redis, impostor, spec, terms};
use crate::bench::within;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_value_that_we_did_not_put_is_refused() {
    let redis = Redis::start(&[]);
    let member = Member::new(terms(spec(redis.port)));
    let space = Space::Introspection;
    member
        .state
        .put(space, b"key", Bytes::from_static(b"v"), MINUTE)
        .await
        .expect("kept");
    let names = redis.ask(&[b"KEYS", b"*"]).await;
    let name = names.lines().nth(2).expect("a name").to_owned();
    let long = [&[1][..], &vec![b'x'; 1 << 20]].concat();
    let most = [&[1][..], &vec![b'x'; 256 * 1024]].concat();
    let cases: [(&[u8], Result<usize, Away>); 5] = [
        (&long, Err(Away::TooLong)),
        (&most, Ok(256 * 1024)),
        (b"{\"active\":true}", Err(Away::Invalid)),
        (b"\0", Err(Away::Invalid)),
        (b"\x01", Ok(0)),
    ];
    for (value, want) in cases {
        redis.ask(&[b"SET", name.as_bytes(), value]).await;
        let got = member.state.get(space, b"key").await;
        let length = got.map(|value| value.expect("it is there").len());
        assert_eq!(length, want, "{} bytes", value.len());
    }
    redis.ask(&[b"DEL", name.as_bytes()]).await;
    redis.ask(&[b"LPUSH", name.as_bytes(), b"x"]).await;
    assert_eq!(member.state.get(space, b"key").await, Err(Away::Refused));
    let put = member
        .state
        .put(space, b"key", Bytes::from(vec![0; 256 * 1024 + 1]), MINUTE)
        .await;
    assert_eq!(put, Err(Away::TooLong));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_none() {
    let answers: [&[u8]; 9] = [
        b"+OK\r\n+WHY NOT\r\n",
        b":7\r\n",
        b"$2\r\nno\r\n",
        b"*1\r\n$-1\r\n",
        b"-ERR no\r\n",
        b"!garbage\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"$-2\r\n",
        b"",
    ];
    for answer in answers {
        let address = impostor(move |mut wire: TcpStream| async move {
            let mut buffer = [0; 1024];
            while let Ok(1..) = wire.read(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer);
                let sent = match text.contains("PING") {
                    true => wire.write_all(b"+PONG\r\n").await,
                    false if answer.is_empty() => return,
                    false => wire.write_all(answer).await,
                };
                if sent.is_err() {
                    return;
                }
                buffer.fill(0);
            }
        })
        .await;
        let member = Member::new(terms(spec(address.port())));
        let shown = String::from_utf8_lossy(answer);
        let got = member.state.get(Space::Session, b"x").await;
        if answer.starts_with(b"$2") {
            assert_eq!(got, Err(Away::Invalid), "{shown:?}");
        } else {
            assert!(got.is_err(), "{shown:?}: {got:?}");
        }
        let new = member.state.put_new(Space::DpopProof, b"x", MINUTE).await;
        match answer {
            b"+OK\r\n+WHY NOT\r\n" => {} // it is what it should say
            // The client takes every negative length for "nothing": a key that was there.
            b"$-2\r\n" => assert_eq!(new, Ok(false)),
            _ => assert!(new.is_err(), "{shown:?}: {new:?}"),
        }
    }
}

#[tokio::test]
async fn a_store_that_gives_without_end_is_left() {
    let (tell, mut sent) = watch::channel(0_usize);
    let address = impostor(move |mut wire: TcpStream| {
        let tell = tell.clone();
        async move {
            let mut buffer = [0; 1024];
            drop(wire.read(&mut buffer).await);
            drop(wire.write_all(b"+PONG\r\n").await);
            drop(wire.read(&mut buffer).await);
            drop(wire.write_all(b"$536870911\r\n").await);
            let block = vec![b'x'; 1 << 20];
            let mut all = 0;
            while wire.write_all(&block).await.is_ok() {
                all += block.len();
            }
            tell.send_if_modified(|sent| std::mem::replace(sent, all.max(1)) == 0);
        }
    })
    .await;
    let member = Member::new(terms(spec(address.port())));
    let got = member.state.get(Space::Session, b"x").await;
    assert!(got.is_err(), "{got:?}");
    let all = within("the end of the connection", sent.wait_for(|sent| *sent > 0)).await;
    let all = *all.expect("it was told");
    assert!(all < 64 << 20, "{all} bytes were taken");
}
