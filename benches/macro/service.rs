//! The service: mTLS, and the same KiB for each head that comes. It knows just so much HTTP.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::arguments::Arguments;
use super::{stage, tls};

pub fn run(arguments: &Arguments) {
    let acceptor = TlsAcceptor::from(tls::server(&arguments.folder(), "orders", "mesh-ca"));
    stage::on_one_thread(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        stage::say_address(&listener);
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let acceptor = acceptor.clone();
            tokio::spawn(serve(acceptor, stream));
        }
    });
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n".to_vec();
    answer.resize(answer.len() + 1024, b'x');
    let mut heads: Vec<u8> = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut heads).await? == 0 {
            return Ok(());
        }
        while let Some(end) = heads.windows(4).position(|window| window == b"\r\n\r\n") {
            heads.drain(..end + 4);
            stream.write_all(&answer).await?;
        }
        stream.flush().await?;
    }
}
