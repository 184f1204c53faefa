//! A handshake that looks for an ACME challenge is good for nothing else.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{HANDSHAKES, Stage, taken};
use crate::bench::client::{HOST, Rejection};
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Request, Wire};
use crate::bench::{provider, within};

/// Takes every certificate: a challenge's is signed by itself.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Connects as a directory does.
async fn look(
    gateway: &Gateway,
    name: &str,
    alpn: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(gateway.address("edge")).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    within(
        "TLS",
        TlsConnector::from(Arc::new(config)).connect(name, tcp),
    )
    .await
}

/// A port that tells of the first connection, holds all back until it is told, and then passes
/// them on: a directory looks several times at once.
async fn gate(to: std::net::SocketAddr) -> (u16, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (came, comes) = oneshot::channel();
    let (open, opens) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let first = listener.accept().await.expect("a connection");
        came.send(()).expect("somebody waits");
        if opens.await.is_err() {
            return;
        }
        let mut next = first.0;
        loop {
            let mut there = TcpStream::connect(to).await.expect("the gateway");
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut next, &mut there).await);
            });
            next = listener.accept().await.expect("a connection").0;
        }
    });
    (port, comes, open)
}

#[tokio::test]
async fn a_challenge_is_shown_for_its_name_alone_and_no_request_goes_over_its_connection() {
    let mut stage = Stage::new().await;
    let edge = stage.config.get("listeners.edge.address").as_str();
    let edge = edge.and_then(|text| text.parse().ok()).expect("an address");
    let (port, comes, open) = gate(edge).await;
    stage.pebble.tls_port = port;
    let pebble = stage.pebble().await;
    let gateway = stage.gateway().await;
    within("the directory to look", comes)
        .await
        .expect("it looks");
    // The challenge is open now, and stays so while the directory is held back.
    let both = rustls::ALL_VERSIONS;
    for version in both {
        let stream = look(&gateway, HOST, &["acme-tls/1"], &[version]).await;
        let stream = stream.expect("the challenge's certificate");
        let session = stream.get_ref().1;
        assert_eq!(session.alpn_protocol(), Some(&b"acme-tls/1"[..]));
        let shown = session.peer_certificates().expect("a certificate")[0].to_vec();
        // id-pe-acmeIdentifier, critical (RFC 8737, section 3).
        let extension = [0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 1, 1, 0xff, 4];
        assert!(shown.windows(extension.len()).any(|part| part == extension));
        let mut wire = Wire::new(stream);
        drop(wire.send(Request::get("/open/x").bytes(HOST)).await);
        drop(within("the end", wire.read_to_end()).await);
        assert_eq!(wire.buffered(), b"", "{version:?}");
    }
    // Other names, and other protocols beside it.
    for name in ["b.example.com", "x.api.example.com", "example.com"] {
        let refused = look(&gateway, name, &["acme-tls/1"], both).await;
        refused.expect_err(name);
    }
    for alpn in [
        &["acme-tls/1", "http/1.1"][..],
        &["http/1.1", "acme-tls/1"],
        &["h2"],
        &[],
    ] {
        let refused = look(&gateway, HOST, alpn, both).await;
        refused.expect_err(&format!("{alpn:?}"));
    }
    let client = stage.client(&gateway, &pebble).await;
    let rejection = client.rejection().await;
    let internal = rustls::Error::AlertReceived(AlertDescription::InternalError);
    assert!(
        matches!(&rejection, Rejection::Tls(error) if *error == internal),
        "{rejection:?}"
    );
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.value(HANDSHAKES, &[("reason", "no_common_alpn")]),
        3.0
    );
    assert_eq!(
        metrics.value(HANDSHAKES, &[("reason", "certificate_unavailable")]),
        5.0
    );
    assert_eq!(metrics.value("portcullis_requests_total", &[]), 0.0);
    assert_eq!(stage.orders.bytes(), 0);
    open.send(()).expect("the gate");
    taken(&gateway, 1.0).await;
    assert_eq!(client.get("/open/x").await.status, 200);
    // Now that the order is done, nothing is shown any more.
    let refused = look(&gateway, HOST, &["acme-tls/1"], both).await;
    refused.expect_err("the challenge is over");
    drop(pebble);
}
