//! [`close_politely`]: the last words to a peer whose handshake failed.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::socket::Socket;

/// Sends what the peer can still understand, and then reads on for a moment: closing a socket with
/// unread bytes in it sends a reset, which can overtake the alert.
pub(super) async fn close_politely(mut socket: Socket, last_words: &[u8]) {
    let farewell = async {
        socket.write_all(last_words).await?;
        socket.shutdown().await?;
        let mut sink = [0; 4096];
        let mut left = FAREWELL_BYTES_MAX;
        while left > 0 {
            match socket.read(&mut sink).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    // The peer may be gone already, or never go: both are fine.
    drop(timeout(FAREWELL_TIME_MAX, farewell).await);
}

pub(super) const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);
const FAREWELL_BYTES_MAX: usize = 64 * 1024;

pub(super) const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\nContent-Length: 33\r\nConnection: close\r\n\r\n\
    This port speaks HTTPS, not HTTP\n";

/// A TLS record with the fatal alert `unrecognized_name` (RFC 8446, section 6.2): rustls sends none
/// for a choice that we make before it has a configuration.
pub(super) const UNRECOGNIZED_NAME_ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 112];
/// The same with `internal_error`: there is none for a name that will be known.
pub(super) const INTERNAL_ERROR_ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 80];
/// The same with `no_application_protocol`.
pub(super) const NO_APPLICATION_PROTOCOL_ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 120];
