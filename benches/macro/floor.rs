//! The floor: mTLS in, mTLS out, bytes copied, no HTTP. Nothing that terminates TLS on both sides
//! can cost less with the same libraries.
//!
//! As a gateway does, it keeps a connection to the service when its client has gone, and gives it
//! to the next one; so a handshake of a client costs one handshake, and not two. That is right for
//! this load alone: each client has its whole answer before it goes. With `--fresh` each client
//! gets a new (resumed) connection to the service.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::arguments::Arguments;
use super::{stage, tls};

type ToService = client::TlsStream<TcpStream>;

struct Floor {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    service: SocketAddr,
    kept: Option<Mutex<Vec<ToService>>>,
}

pub fn run(arguments: &Arguments) {
    let folder = arguments.folder();
    let floor = Arc::new(Floor {
        acceptor: tls::server(&folder, "edge", "partners-ca").into(),
        connector: tls::client(&folder, "gateway", "mesh-ca", true).into(),
        service: arguments.needed("service"),
        kept: (!arguments.has("fresh")).then(Mutex::default),
    });
    stage::on_one_thread(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        stage::say_address(&listener);
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let floor = Arc::clone(&floor);
            tokio::spawn(async move { floor.relay(stream).await });
        }
    });
}

impl Floor {
    async fn relay(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut client = self.acceptor.accept(stream).await?;
        let mut first = [0; 4096];
        let count = client.read(&mut first).await?;
        if count == 0 {
            return Ok(());
        }
        let mut service = self.to_service().await?;
        service.write_all(&first[..count]).await?;
        service.flush().await?;
        if copy(&mut client, &mut service).await? {
            client.shutdown().await?;
            if let Some(kept) = &self.kept {
                kept.lock().expect("the kept ones").push(service);
            }
        }
        Ok(())
    }

    async fn to_service(&self) -> io::Result<ToService> {
        let kept = self
            .kept
            .as_ref()
            .and_then(|kept| kept.lock().expect("the kept ones").pop());
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let stream = TcpStream::connect(self.service).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(stage::SERVICE_NAME).expect("a name");
        self.connector.connect(name, stream).await
    }
}

/// Copies both ways until one side ends; says whether it was the client.
async fn copy(
    client: &mut server::TlsStream<TcpStream>,
    service: &mut ToService,
) -> io::Result<bool> {
    let (mut there, mut back) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            count = client.read(&mut there) => match count? {
                0 => return Ok(true),
                count => {
                    service.write_all(&there[..count]).await?;
                    service.flush().await?;
                }
            },
            count = service.read(&mut back) => match count? {
                0 => return Ok(false),
                count => {
                    client.write_all(&back[..count]).await?;
                    client.flush().await?;
                }
            },
        }
    }
}
