//! What is trusted changes while a client shakes hands: the handshake ends under the terms with which
//! it began, and the connection is held against those of now at once.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{How, Stage};
use crate::bench::within;

#[tokio::test]
async fn a_handshake_across_the_change_makes_no_connection_that_stays() {
    for how in How::ALL {
        let stage = Stage::new(how).await;
        let (hello, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let between = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = between.local_addr().expect("an address");
        let edge = stage.gateway.address("edge");
        let (said, held) = (Arc::clone(&hello), Arc::clone(&go_on));
        let relay = tokio::spawn(async move {
            let (client, _) = between.accept().await.expect("a client");
            let gateway = TcpStream::connect(edge).await.expect("the gateway");
            let ((mut from_client, mut to_client), (mut from_gateway, mut to_gateway)) =
                (client.into_split(), gateway.into_split());
            let back = async move {
                let mut buffer = vec![0; 16 << 10];
                let mut first = true;
                while let Ok(read @ 1..) = from_gateway.read(&mut buffer).await {
                    if std::mem::take(&mut first) {
                        said.notify_one(); // its side of the handshake
                    }
                    to_client.write_all(&buffer[..read]).await?;
                }
                to_client.shutdown().await
            };
            let forth = async move {
                let mut buffer = vec![0; 16 << 10];
                let mut first = true;
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    if !std::mem::take(&mut first) {
                        held.notified().await; // the certificate of the client
                        held.notify_one();
                    }
                    to_gateway.write_all(&buffer[..read]).await?;
                }
                to_gateway.shutdown().await
            };
            tokio::join!(back, forth)
        });
        let client = stage.their_client().address(address);
        let connecting = tokio::spawn(async move { client.connect().await });
        within("the handshake to begin", hello.notified()).await;
        stage.revoke_and_wait().await;
        go_on.notify_one();
        let mut connection = within("the handshake", connecting).await.expect("no panic");
        assert!(connection.closed().await.is_empty(), "{how:?}");
        stage.closed(1.0).await;
        let ok = [("side", "downstream"), ("result", "ok")];
        let metrics = stage.gateway.metrics().await;
        let handshakes = metrics.value("portcullis_handshakes_total", &ok);
        assert_eq!(handshakes, 1.0, "{how:?}: it was good when it began");
        relay.abort();
    }
}
