//! Plays the rows of the table: clients that fail, and what stands behind the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::CertificateError;
use rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier as Verifier,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::hello::{Hello, alert};
use super::services::orders;
use super::table::Cause;
use crate::bench::client::{Client, HOST};
use crate::bench::gateway::Gateway;
use crate::bench::http1::Wire;
use crate::bench::pki::Leaf;
use crate::bench::service::{Plain, Service};
use crate::bench::{World, provider, within};

/// A client's verifier that refuses.
#[derive(Debug)]
struct Refuse(CertificateError);

impl Verifier for Refuse {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(self.0.clone().into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Does what the row says, from the client's side.
pub(super) async fn attack(gateway: &Gateway, client: &Client, cause: Cause) {
    let hasty = client.clone().address(gateway.address("hasty"));
    match cause {
        Cause::Client(client) | Cause::ClientOf(_, client) => drop(client.rejection().await),
        Cause::Refusing(error) => {
            let mut config = client.config();
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(Refuse(error)));
            let name = ServerName::try_from(HOST).expect("a name");
            let tcp = client.tcp().await.expect("TCP");
            let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
            within("a handshake", connecting)
                .await
                .expect_err("a refusal");
        }
        Cause::Bytes(bytes) => drop(talk(client, &bytes).await),
        Cause::Hasty(bytes) => drop(talk(&hasty, &bytes).await),
        Cause::Alert(description) => {
            let mut wire = Wire::new(client.tcp().await.expect("TCP"));
            wire.send(Hello::tls12(HOST).record()).await.expect("send");
            within("a ServerHello", wire.fill())
                .await
                .expect("an answer");
            wire.send(alert(description)).await.expect("send");
            drop(within("the end", wire.read_to_end()).await);
        }
        Cause::Close(bytes) => {
            let mut tcp = client.tcp().await.expect("TCP");
            tcp.write_all(&bytes).await.expect("send");
            tcp.shutdown().await.expect("close");
        }
        _ => unreachable!("an upstream row"),
    }
}

/// Sends bytes on a bare connection and returns what came until it was closed.
pub(super) async fn talk(client: &Client, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = client.tcp().await.expect("TCP");
    let mut answer = Vec::new();
    tcp.write_all(bytes).await.expect("send");
    // A reset is an end as well.
    drop(within("the end", tcp.read_to_end(&mut answer)).await);
    answer
}

/// What stands behind the gateway for one upstream row. Kept until the row is done.
pub(super) enum Behind {
    Service(Service),
    Plain(Plain),
    Closer(SocketAddr),
}

impl Behind {
    pub(super) async fn start(world: &World, cause: &Cause) -> Self {
        match cause {
            Cause::Service(identity) | Cause::ServicePinned(identity) => {
                Self::Service(world.service_as(identity).start().await)
            }
            Cause::ServiceAlpn(names) => Self::Service(world.orders().alpn(names).start().await),
            Cause::ServiceRefuses => {
                let identity = world.mesh.issue(orders(Leaf::server("service")));
                Self::Service(Service::builder(&identity, &world.stranger).start().await)
            }
            Cause::ServiceSays(bytes) => Self::Plain(Plain::start(bytes).await),
            Cause::ServiceCloses => Self::Closer(closer().await),
            _ => unreachable!("a downstream row"),
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        match self {
            Self::Service(service) => service.address,
            Self::Plain(plain) => plain.address,
            Self::Closer(address) => *address,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Service(service) => service.bytes(),
            Self::Plain(_) | Self::Closer(_) => 0,
        }
    }
}

async fn closer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            // All of the ClientHello, so that what follows is an end and no reset.
            drop(tcp.read(&mut [0; 16 * 1024]).await);
        }
    });
    address
}
