//! What a refused client learns: an alert, and not a byte more.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::bench::client::HOST;
use crate::bench::pki::Leaf;
use crate::bench::{World, within};

/// A socket that keeps what came since the last write.
struct Ear {
    tcp: TcpStream,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Ear {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.heard.lock().unwrap().extend(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for Ear {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.heard.lock().unwrap().clear();
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_refused_client_is_sent_one_alert_and_nothing_else() {
    let world = World::new();
    let gateway = world.gateway_with(&world.config()).await;
    let leaf = || Leaf::client("a").spiffe("spiffe://partners.example/web/a");
    let refused = [
        ("unknown_issuer", world.stranger.issue(leaf())),
        (
            "certificate_expired",
            world.partners.issue(leaf().expired()),
        ),
        (
            "certificate_not_yet_valid",
            world.partners.issue(leaf().not_yet_valid()),
        ),
        (
            "several_spiffe_names",
            world.partners.issue(leaf().spiffe("spiffe://b.example/c")),
        ),
        ("wrong_usage", world.partners.issue(leaf().authority())),
    ];
    for (reason, identity) in &refused {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = gateway.client(identity).versions(&[version]);
            let heard = Arc::default();
            let ear = Ear {
                tcp: client.tcp().await.expect("TCP"),
                heard: Arc::clone(&heard),
            };
            let connector = TlsConnector::from(Arc::new(client.config()));
            let name = ServerName::try_from(HOST).expect("a name");
            let refusal = async {
                // In TLS 1.3 the refusal comes when the handshake is complete for the client.
                connector
                    .connect(name, ear)
                    .await?
                    .read_u8()
                    .await
                    .map(drop)
            };
            let error = within("a refusal", refusal).await.expect_err(reason);
            let alert = error.get_ref().and_then(|inner| inner.downcast_ref());
            assert!(
                matches!(alert, Some(rustls::Error::AlertReceived(_))),
                "{reason}: {error}"
            );
            let heard = heard.lock().unwrap().clone();
            if *version == rustls::version::TLS12 {
                // In the clear: type alert, version, two bytes: fatal, and which.
                assert_eq!(
                    heard.get(..6),
                    Some(&[21, 3, 3, 0, 2, 2][..]),
                    "{reason}: {heard:?}"
                );
                assert_eq!(heard.len(), 7, "{reason}: {heard:?}");
            } else {
                // Encrypted: two bytes, the type, and the 16 bytes of the tag. No ticket before it.
                assert_eq!(
                    heard.get(..5),
                    Some(&[23, 3, 3, 0, 19][..]),
                    "{reason}: {heard:?}"
                );
                assert_eq!(heard.len(), 24, "{reason}: {heard:?}");
            }
        }
    }
}
