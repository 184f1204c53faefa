//! What a demo shows: the requests, as `curl` lines for people and as `demo.json` for scripts.

use std::net::SocketAddr;
use std::path::{Path, absolute};

use serde_json::{Map, Value, json};

use crate::handshake_failure::HandshakeFailure;
use crate::refusal::Refusal;

use super::DemoError;
use super::material::{CLIENTS, Material};
use super::place::Place;

/// One request, and what comes of it.
struct Line {
    name: &'static str,
    /// For people.
    title: &'static str,
    method: &'static str,
    path: &'static str,
    client: Option<&'static str>,
    token: Option<&'static str>,
    repeat: u32,
    outcome: Outcome,
}

enum Outcome {
    LetThrough,
    NoHandshake(HandshakeFailure),
    Refused(Refusal),
}

const HOST: &str = "api.example.com";

const fn line(
    name: &'static str,
    title: &'static str,
    path: &'static str,
    outcome: Outcome,
) -> Line {
    Line {
        name,
        title,
        method: "GET",
        path,
        client: Some("shop"),
        token: None,
        repeat: 1,
        outcome,
    }
}

const LINES: [Line; 8] = [
    Line {
        token: Some("read"),
        ..line(
            "let-through",
            "Let through",
            "/orders/7",
            Outcome::LetThrough,
        )
    },
    Line {
        client: None,
        token: Some("read"),
        ..line(
            "no-certificate",
            "No certificate",
            "/orders/7",
            Outcome::NoHandshake(HandshakeFailure::CertificateMissing),
        )
    },
    Line {
        client: Some("stranger"),
        token: Some("read"),
        ..line(
            "strangers-certificate",
            "A stranger's certificate: the right name, another CA",
            "/orders/7",
            Outcome::NoHandshake(HandshakeFailure::UnknownIssuer),
        )
    },
    line(
        "no-token",
        "No token",
        "/orders/7",
        Outcome::Refused(Refusal::TokenMissing),
    ),
    Line {
        token: Some("list"),
        ..line(
            "no-scope",
            "A token without the scope",
            "/orders/7",
            Outcome::Refused(Refusal::ScopeMissing),
        )
    },
    Line {
        method: "POST",
        token: Some("write-of-warehouse"),
        ..line(
            "token-of-another",
            "A token that is bound to another certificate",
            "/orders/7",
            Outcome::Refused(Refusal::TokenOfAnotherPeer),
        )
    },
    line(
        "wrong-service",
        "A service with the wrong identity: it gets no byte",
        "/billing/7",
        Outcome::Refused(Refusal::UpstreamIdentityMismatch),
    ),
    Line {
        repeat: 12,
        ..line(
            "too-often",
            "Over the rate limit: twelve times in a row",
            "/health",
            Outcome::Refused(Refusal::RateExceeded),
        )
    },
];

impl Outcome {
    /// `expect` of `demo.json`.
    fn expect(&self) -> Value {
        match self {
            Self::LetThrough => json!(200),
            Self::NoHandshake(_) => json!("tls"),
            Self::Refused(refusal) => json!(refusal.status().as_u16()),
        }
    }

    /// The label that the metric counts.
    const fn reason(&self) -> &'static str {
        match self {
            Self::LetThrough => "none",
            Self::NoHandshake(failure) => failure.reason(),
            Self::Refused(refusal) => refusal.reason(),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::LetThrough => "200".to_owned(),
            Self::NoHandshake(failure) => format!("no handshake, {}", failure.reason()),
            Self::Refused(refusal) => {
                format!("{}, {}", refusal.status().as_u16(), refusal.reason())
            }
        }
    }
}

/// `demo.json`. Its paths are absolute.
///
/// # Errors
///
/// [`DemoError::System`] if there is no working directory.
pub(super) fn told(place: &Place, material: &Material) -> Result<Value, DemoError> {
    let path = |path: &Path| {
        absolute(path)
            .map(|path| json!(path.to_string_lossy()))
            .map_err(DemoError::system("there is no working directory"))
    };
    let mut clients = Map::new();
    for name in CLIENTS {
        let cert = path(&material.pki(&format!("{name}.pem")))?;
        let key = path(&material.pki(&format!("{name}.key")))?;
        clients.insert(name.to_owned(), json!({"cert": cert, "key": key}));
    }
    let lines: Vec<_> = LINES.iter().map(|line| line.told(place)).collect();
    Ok(json!({
        "edge": reachable(place.edge).to_string(),
        "admin": reachable(place.admin).to_string(),
        "config": path(&place.config)?,
        "ca": path(&material.pki("edge-ca.pem"))?,
        "clients": clients,
        "tokens": material.tokens,
        "lines": lines,
    }))
}

/// What the person at the terminal reads.
pub(super) fn page(place: &Place, material: &Material, colours: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let port = place.edge.port();
    let admin = reachable(place.admin);
    let log = place.dir.join("gateway.log");
    let mut page = vec![
        String::new(),
        paint("1", "  PORTCULLIS"),
        String::new(),
        format!("  edge     https://{HOST}:{port}  (on {})", place.edge),
        format!("  metrics  http://{admin}/metrics"),
        format!(
            "  config   {}  (edit it: a change counts at once)",
            place.config.display()
        ),
        format!("  log      {}", log.display()),
        String::new(),
        "  Paste these into another terminal, in this directory.".to_owned(),
    ];
    for line in &LINES {
        let mark = match line.outcome {
            Outcome::LetThrough => paint("1;32", "✓"),
            Outcome::NoHandshake(_) | Outcome::Refused(_) => paint("1;31", "✗"),
        };
        let outcome = paint("2", &line.outcome.in_words());
        page.push(String::new());
        page.push(format!("{mark} {}  {outcome}", paint("1", line.title)));
        page.push(line.curl(place, material));
    }
    page.push(String::new());
    page.push("  Ctrl-C ends it.".to_owned());
    page.join("\n")
}

impl Line {
    fn url(&self, place: &Place) -> String {
        format!("https://{HOST}:{}{}", place.edge.port(), self.path)
    }

    fn told(&self, place: &Place) -> Value {
        json!({
            "name": self.name,
            "method": self.method,
            "url": self.url(place),
            "client": self.client,
            "token": self.token,
            "repeat": self.repeat,
            "expect": self.outcome.expect(),
            "reason": self.outcome.reason(),
        })
    }

    fn curl(&self, place: &Place, material: &Material) -> String {
        let edge = reachable(place.edge);
        let ip = match edge {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        let mut words = vec!["curl".to_owned()];
        // Of many answers the statuses are enough.
        words.push(match self.repeat {
            1 => "-sSi".to_owned(),
            _ => r"-sS -o /dev/null -w '%{http_code}\n'".to_owned(),
        });
        words.push(format!("--resolve {HOST}:{}:{ip}", edge.port()));
        words.push(format!("--cacert {}", quoted(&material.pki("edge-ca.pem"))));
        if let Some(client) = self.client {
            words.push(format!(
                "--cert {}",
                quoted(&material.pki(&format!("{client}.pem")))
            ));
            words.push(format!(
                "--key {}",
                quoted(&material.pki(&format!("{client}.key")))
            ));
        }
        if let Some(token) = self.token {
            let file = quoted(&material.token_file(token));
            words.push(format!("-H \"Authorization: Bearer $(cat {file})\""));
        }
        if self.method != "GET" {
            words.push(format!("-X {}", self.method));
        }
        words.push(match self.repeat {
            1 => self.url(place),
            repeat => format!("'{}?[1-{repeat}]'", self.url(place)),
        });
        words.join(" ")
    }
}

/// Where a client on this machine connects to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        reachable.set_ip(loopback);
    }
    reachable
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@%".contains(&b);
    if text.bytes().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
