//! HTTP/2 by hand (RFC 9113), for what the `h2` crate would never send: frames with any kind,
//! flags, stream and payload, and header blocks of literals without index (RFC 7541, 6.2.2).

use std::io;

use super::client::{Client, Connection};
use super::within;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY (RFC 9113, section 7).
    pub fn error_code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
        )
    }

    /// `:status` of HEADERS, if it stands first, as it must.
    pub fn status(&self) -> Option<u16> {
        // A change of the dynamic table's size may come first (RFC 7541, section 6.3).
        let sizes = self
            .payload
            .iter()
            .take_while(|byte| (0x20..=0x3e).contains(*byte))
            .count();
        let block = &self.payload[sizes..];
        match (self.kind, *block.first()?) {
            (HEADERS, index @ 0x88..=0x8e) => {
                Some([200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)])
            }
            // A literal with the name of static entry 8 to 14.
            (HEADERS, 0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e) => digits(&block[1..]),
            _ => None,
        }
    }
}

/// A text of three digits, plain or in the Huffman code of RFC 7541, appendix B.
fn digits(text: &[u8]) -> Option<u16> {
    let (huffman, length) = (text.first()? & 0x80 != 0, usize::from(text.first()? & 0x7f));
    let bytes = text.get(1..=length)?;
    if !huffman {
        return std::str::from_utf8(bytes).ok()?.parse().ok();
    }
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let take = |count: usize| {
            bits.get(at..at + count)
                .map(|b| b.iter().fold(0, |s, bit| s << 1 | u16::from(*bit)))
        };
        let short = take(5)?;
        let (digit, width) = if short <= 2 {
            (short, 5)
        } else {
            (take(6)?.checked_sub(0x16)?, 6)
        };
        number = number * 10 + digit;
        at += width;
    }
    Some(number)
}

/// A header block of literals without index, without Huffman code. Names and values may be any bytes.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        text(&mut bytes, name.as_bytes());
        text(&mut bytes, value.as_bytes());
    }
    bytes
}

/// A string with a length in a prefix of 7 bits (RFC 7541, section 5).
fn text(bytes: &mut Vec<u8>, content: &[u8]) {
    if content.len() < 127 {
        bytes.push(content.len() as u8);
    } else {
        bytes.push(127);
        let mut rest = content.len() - 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 0x80);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(content);
}

/// A frame in bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The fields of a GET.
pub fn get<'a>(host: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", host),
        (":path", path),
    ]
}

/// A connection that speaks frames.
#[derive(Debug)]
pub struct RawH2 {
    pub connection: Connection,
}

impl RawH2 {
    /// Connects with ALPN `h2` and sends nothing.
    pub async fn connect(client: &Client) -> Self {
        let connection = client.clone().alpn(&["h2"]).connect().await;
        assert_eq!(connection.alpn(), "h2", "the server must choose h2");
        Self { connection }
    }

    /// Connects, sends preface and SETTINGS (no dynamic table, so that [`Frame::status`] can
    /// read every answer), and acknowledges the server's SETTINGS.
    pub async fn start(client: &Client) -> Self {
        Self::start_with(client, &[(1, 0)]).await
    }

    /// As [`RawH2::start`], with these settings (RFC 9113, section 6.5.2).
    pub async fn start_with(client: &Client, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self::connect(client).await;
        raw.connection
            .send(PREFACE)
            .await
            .expect("send the preface");
        raw.settings(settings).await.expect("send SETTINGS");
        raw.until(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0)
            .await;
        raw.frame(SETTINGS, ACK, 0, &[])
            .await
            .expect("acknowledge SETTINGS");
        raw
    }

    pub async fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        self.connection
            .send(frame(kind, flags, stream, payload))
            .await
    }

    pub async fn settings(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.frame(SETTINGS, 0, 0, &payload).await
    }

    /// HEADERS with END_HEADERS; with END_STREAM if `end`.
    pub async fn headers(
        &mut self,
        stream: u32,
        fields: &[(&str, &str)],
        end: bool,
    ) -> io::Result<()> {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.frame(HEADERS, flags, stream, &block(fields)).await
    }

    pub async fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        self.frame(DATA, if end { END_STREAM } else { 0 }, stream, bytes)
            .await
    }

    pub async fn reset(&mut self, stream: u32, error_code: u32) -> io::Result<()> {
        self.frame(RST_STREAM, 0, stream, &error_code.to_be_bytes())
            .await
    }

    pub async fn window_update(&mut self, stream: u32, increment: u32) -> io::Result<()> {
        self.frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
            .await
    }

    pub async fn ping(&mut self) -> io::Result<()> {
        self.frame(PING, 0, 0, b"portcull").await
    }

    /// The next frame; `None` when the connection has ended, cleanly or not.
    pub async fn next(&mut self) -> Option<Frame> {
        let wire = &mut self.connection.wire;
        let head = within("a frame", wire.read_exact(9)).await.ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = within("a payload", wire.read_exact(length)).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream,
            payload,
        })
    }

    /// Reads until a frame is as wanted; panics if the connection ends before.
    pub async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        let found = self.find(wanted).await;
        found.unwrap_or_else(|| panic!("the connection ended before the frame came"))
    }

    /// Reads until a frame is as wanted; `None` if the connection ends before.
    pub async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// The status of the answer on this stream; panics if there is none.
    pub async fn status(&mut self, stream: u32) -> u16 {
        let frame = self
            .until(|frame| frame.kind == HEADERS && frame.stream == stream)
            .await;
        frame
            .status()
            .unwrap_or_else(|| panic!("no status: {frame:?}"))
    }
}
