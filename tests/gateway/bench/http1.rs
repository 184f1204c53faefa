//! HTTP/1.1 as bytes, for both ends of the bench: it reads what is there and judges nothing.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Header fields in the order and the spelling in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The first value of a field, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// All values of a field, whatever its case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .0
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The names, as spelt.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub fn parse(lines: &str) -> Self {
        let mut fields = Vec::new();
        for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Self(fields)
    }
}

/// Start line and fields of a head in bytes.
pub fn split_head(head: &[u8]) -> (String, Fields) {
    let text = String::from_utf8_lossy(head).into_owned();
    let (first, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
    (first.to_owned(), Fields::parse(rest))
}

/// An answer as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The status line; empty in HTTP/2.
    pub status_line: String,
    pub headers: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// The status of each informational answer before it.
    pub informational: Vec<u16>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics if it is none.
    pub fn json(&self) -> serde_json::Value {
        let read = serde_json::from_slice(&self.body);
        read.unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// A request to be written. Nothing in it is checked: it may be as bad as the test wants.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// `None`: the connection's host. `Some("")`: no Host field.
    pub host: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self {
            method,
            target,
            host: None,
            headers: Vec::new(),
            body: None,
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target).body(body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// A body with a `Content-Length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// The bytes of the request.
    pub fn bytes(&self, default_host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let host = self.host.as_deref().unwrap_or(default_host);
        if !host.is_empty() {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

/// A stream with what was read ahead of it.
#[derive(Debug)]
pub struct Wire<S> {
    pub stream: S,
    buffer: Vec<u8>,
    /// Bytes that came in all.
    pub received: usize,
}

fn ended(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the stream ended in {what}"),
    )
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            received: 0,
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Bytes that came and were not taken yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads once; 0 is the end.
    pub async fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece).await?;
        self.buffer.extend_from_slice(&piece[..count]);
        self.received += count;
        Ok(count)
    }

    /// Everything until the end. An end without close_notify is an error, as rustls has it.
    pub async fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    pub async fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill().await? == 0 {
                return Err(ended("a body"));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Up to and with `end`; `None` if the stream ended before a byte came.
    pub async fn read_until(&mut self, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut looked_at = 0;
        loop {
            let rest = &self.buffer[looked_at..];
            if let Some(at) = rest.windows(end.len()).position(|window| window == end) {
                return Ok(Some(
                    self.buffer.drain(..looked_at + at + end.len()).collect(),
                ));
            }
            looked_at = self.buffer.len().saturating_sub(end.len() - 1);
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(ended("a head"))
                };
            }
        }
    }

    /// A head with the empty line that ends it.
    pub async fn read_head(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.read_until(b"\r\n\r\n").await
    }

    /// The body that these fields announce, and its trailers. `to_end`: without any announcement
    /// it goes on to the end of the stream (answers).
    pub async fn read_body(
        &mut self,
        fields: &Fields,
        to_end: bool,
    ) -> io::Result<(Vec<u8>, Fields)> {
        if fields
            .get("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"))
        {
            return self.read_chunked().await;
        }
        if let Some(length) = fields.get("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            return Ok((self.read_exact(length).await?, Fields::default()));
        }
        let body = if to_end {
            self.read_to_end().await?
        } else {
            Vec::new()
        };
        Ok((body, Fields::default()))
    }

    async fn read_chunked(&mut self) -> io::Result<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        loop {
            let line = self
                .read_until(b"\r\n")
                .await?
                .ok_or_else(|| ended("a chunk"))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let size = line.trim_end().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                break;
            }
            let piece = self.read_exact(size + 2).await?;
            body.extend_from_slice(&piece[..size]);
        }
        let mut lines = String::new();
        loop {
            let line = self
                .read_until(b"\r\n")
                .await?
                .ok_or_else(|| ended("trailers"))?;
            if line == b"\r\n" {
                return Ok((body, Fields::parse(&lines)));
            }
            lines.push_str(&String::from_utf8_lossy(&line));
        }
    }

    /// The answer to a request with this method.
    pub async fn read_answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut informational = Vec::new();
        loop {
            let head = self
                .read_head()
                .await?
                .ok_or_else(|| ended("waiting for an answer"))?;
            let (status_line, headers) = split_head(&head);
            let status = status_line
                .split(' ')
                .nth(1)
                .and_then(|text| text.parse().ok());
            let status: u16 = status.ok_or_else(|| io::Error::other(status_line.clone()))?;
            if status < 200 && status != 101 {
                informational.push(status);
                continue;
            }
            let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            let (body, trailers) = if bodiless {
                (Vec::new(), Fields::default())
            } else {
                self.read_body(&headers, true).await?
            };
            return Ok(Answer {
                status,
                status_line,
                headers,
                body,
                trailers,
                informational,
            });
        }
    }
}
