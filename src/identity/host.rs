//! [`Host`]: the one canonical form of a host name, and the only form in which hosts are compared.
//!
//! SNI, `Host`, `:authority`, DNS names in certificates and hosts in the configuration all become
//! a [`Host`]; two texts name the same host exactly when their `Host`s are equal.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A DNS name in lower case, without a trailing dot, IDN as A-labels; or an IP address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Kind);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Dns(Box<str>),
    Ip(IpAddr),
}

/// A host and, where one was written, a port: `Host` or `:authority` of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host in its canonical form.
    pub host: Host,
    /// The port, if the text has one.
    pub port: Option<u16>,
}

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// Nothing is there.
    #[error("the host is empty")]
    Empty,
    /// A label is empty, too long, or has a character that host names do not have.
    #[error("the host is no DNS name and no IP address")]
    Malformed,
    /// The port is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

/// RFC 1035, section 2.3.4.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

impl Host {
    /// The name, if it is a DNS name and not an address.
    #[must_use]
    pub fn dns_name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Dns(name) => Some(name),
            Kind::Ip(_) => None,
        }
    }

    /// The address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.0 {
            Kind::Dns(_) => None,
            Kind::Ip(address) => Some(*address),
        }
    }

    /// Reads a host name without a port, where IPv6 may go without brackets: an entry of a certificate,
    /// SNI, a name in the configuration.
    ///
    /// # Errors
    ///
    /// [`InvalidHost`] if it is no host.
    pub fn parse_name(text: &str) -> Result<Self, InvalidHost> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Self::from(IpAddr::V6(address)));
        }
        canonical(text)
    }
}

impl Authority {
    /// Reads the value of `Host` or `:authority` (RFC 9110, section 7.2): exactly one host, with
    /// or without a port, and without user information.
    ///
    /// # Errors
    ///
    /// [`InvalidHost`] if it is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or(InvalidHost::Malformed)?;
            let address: Ipv6Addr = address.parse().map_err(|_bad| InvalidHost::Malformed)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if port.is_empty() => None,
                None => return Err(InvalidHost::Malformed),
            };
            return Ok(Self {
                host: Host::from(IpAddr::V6(address)),
                port,
            });
        }
        match text.split_once(':') {
            Some((host, port)) => Ok(Self {
                host: canonical(host)?,
                port: Some(parse_port(port)?),
            }),
            None => Ok(Self {
                host: canonical(text)?,
                port: None,
            }),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, InvalidHost> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let port: u16 = digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(InvalidHost::Port)?;
    if port == 0 {
        Err(InvalidHost::Port)
    } else {
        Ok(port)
    }
}

/// The canonical form of a host without port and brackets.
fn canonical(text: &str) -> Result<Host, InvalidHost> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err(InvalidHost::Empty);
    }
    if name.len() > 4 * NAME_BYTES_MAX {
        return Err(InvalidHost::Malformed); // bounds the work of the IDN tables
    }
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        // `127.0.0.1.` is a DNS name to some and an address to others.
        let plain = name.len() == text.len();
        return if plain {
            Ok(Host::from(IpAddr::V4(address)))
        } else {
            Err(InvalidHost::Malformed)
        };
    }
    let lower: Box<str> = if name.is_ascii() {
        name.to_ascii_lowercase().into()
    } else {
        // UTS #46, the strict profile; A-labels come out in lower case.
        idna::domain_to_ascii_strict(name)
            .map_err(|_bad| InvalidHost::Malformed)?
            .into()
    };
    let labels_well_formed = lower.split('.').all(is_label);
    // `1.2.3`, `0x7f.1`: other software reads these as addresses (WHATWG URL, section 3.5).
    let numeric_end = lower.rsplit('.').next().is_some_and(looks_numeric);
    if lower.len() > NAME_BYTES_MAX || !labels_well_formed || numeric_end {
        return Err(InvalidHost::Malformed);
    }
    Ok(Host(Kind::Dns(lower)))
}

fn is_label(label: &str) -> bool {
    // `_` is no letter of host names, but names in clusters have it.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn looks_numeric(label: &str) -> bool {
    label.bytes().all(|b| b.is_ascii_digit())
        || label
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl From<IpAddr> for Host {
    /// An IPv4 address that is written as IPv6 is the IPv4 address.
    fn from(address: IpAddr) -> Self {
        Self(Kind::Ip(address.to_canonical()))
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        Self::parse_name(text)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Dns(name) => f.write_str(name),
            Kind::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Kind::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_equal() {
        let cases = [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api.example.com:8443", "api.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example.", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("[::1]:443", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[::ffff:192.0.2.1]", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
        ];
        for (text, want) in cases {
            assert_eq!(
                Authority::parse(text).unwrap().host.to_string(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn a_name_reads_what_it_writes() {
        for text in ["api.example.com", "192.0.2.1", "[2001:db8::1]"] {
            assert_eq!(Host::parse_name(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Host::parse_name("2001:db8::1"),
            Host::parse_name("[2001:DB8:0::1]")
        );
        for text in [
            "[192.0.2.1]",
            "[api.example.com]",
            "[2001:db8::1",
            "2001:db8::1]",
            "[]",
        ] {
            assert!(Host::parse_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_exactly_one_host_is_refused() {
        let cases = [
            "",
            ".",
            "a..b",
            "-a.example",
            "a-.example",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "user@a.example",
            "*.example.com",
            "a.example:",
            "a.example:0",
            "a.example:99999",
            "a.example:abc",
            "a.example:80:80",
            "a.example:+80",
            "[::1",
            "::1",
            "[::1]x",
            "[::1%eth0]",
            "[v1.a]",
            "127.1",
            "0x7f.0.0.1",
            "1.2.3.4.",
            "1.2.3.4.5",
            "a\0b",
            "a%2eb",
            "a#b",
            "a?b",
            "a\\b",
            "\u{ad}",
            "a.\u{202e}b",
        ];
        for text in cases {
            assert!(Authority::parse(text).is_err(), "{text:?}");
        }
        assert!(Authority::parse(&"a".repeat(64)).is_err());
        assert!(Authority::parse(&"a.".repeat(200)).is_err());
        assert!(Authority::parse(&"ü".repeat(5000)).is_err());
    }
}
