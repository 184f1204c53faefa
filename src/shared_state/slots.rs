//! Which node of a cluster has an entry: the slot of its name, and what the cluster says of slots.

use redis::Value;

use crate::config::spec::EndpointSpec;
use crate::identity::host::Host;

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// Consecutive slots, and the node that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) endpoint: EndpointSpec,
}

/// The slot of a name without braces: CRC-16/XMODEM of all of it.
pub(super) fn slot(name: &[u8]) -> u16 {
    let crc = name.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

/// What `CLUSTER SLOTS` answers, in the order of slots. `asked` is the node that answers: it may
/// leave out its own name. `None` if it makes no sense.
pub(super) fn ranges(answer: &Value, asked: &EndpointSpec) -> Option<Vec<Range>> {
    let Value::Array(entries) = answer else {
        return None;
    };
    if entries.len() > usize::from(SLOTS) {
        return None;
    }
    let ranges = entries.iter().map(|entry| range(entry, asked));
    let mut ranges = ranges.collect::<Option<Vec<_>>>()?;
    ranges.sort_by_key(|range| range.first);
    let apart = ranges.is_sorted_by(|a, b| a.last < b.first);
    apart.then_some(ranges)
}

fn range(entry: &Value, asked: &EndpointSpec) -> Option<Range> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = parts.as_slice()
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    (first <= last && last < SLOTS).then_some(())?;
    Some(Range {
        first,
        last,
        endpoint: EndpointSpec {
            host: self::host(host, asked)?,
            port: u16::try_from(*port).ok().filter(|port| *port != 0)?,
        },
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client's enum, which grows"
)]
fn host(value: &Value, asked: &EndpointSpec) -> Option<Host> {
    match value {
        Value::Nil => Some(asked.host.clone()),
        Value::BulkString(text) if text.is_empty() => Some(asked.host.clone()),
        Value::BulkString(text) => node_host(std::str::from_utf8(text).ok()?),
        Value::SimpleString(text) => node_host(text),
        _ => None,
    }
}

/// A name or an address, as a cluster names its nodes: IPv6 without brackets.
fn node_host(text: &str) -> Option<Host> {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]").parse().ok(),
        Err(_no_ipv6) => text.parse().ok(),
    }
}

/// Where an error of a cluster sends us: `MOVED 3999 127.0.0.1:6381`, after its first word.
pub(super) fn redirect(details: &str, asked: &EndpointSpec) -> Option<EndpointSpec> {
    let (_slot, target) = details.trim().split_once(' ')?;
    let (host, port) = target.rsplit_once(':')?;
    let host = match host {
        "" => asked.host.clone(),
        host => node_host(host)?,
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(EndpointSpec { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> EndpointSpec {
        let (host, port) = text.rsplit_once(':').expect("HOST:PORT");
        EndpointSpec {
            host: host.parse().expect("a host"),
            port: port.parse().expect("a port"),
        }
    }

    fn entry(first: i64, last: i64, host: Value, port: i64) -> Value {
        let node = Value::Array(vec![host, Value::Int(port)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        // The last is from the specification of the cluster: CRC-16 of "123456789" is 0x31C3.
        let cases = [
            ("", 0),
            ("foo", 12_182),
            ("hello", 866),
            ("123456789", 0x31C3),
        ];
        for (name, want) in cases {
            assert_eq!(slot(name.as_bytes()), want % SLOTS, "{name}");
        }
    }

    #[test]
    fn only_a_sound_map_is_taken() {
        let asked = endpoint("10.0.0.1:7000");
        let one = |first, last, host, port| Value::Array(vec![entry(first, last, host, port)]);
        let sound = [
            (one(0, 16_383, text("10.0.0.2"), 7_001), "10.0.0.2:7001"),
            (one(0, 0, text("redis-1.internal"), 1), "redis-1.internal:1"),
            (one(5, 9, Value::Nil, 7_000), "10.0.0.1:7000"),
            (one(5, 9, text(""), 7_002), "10.0.0.1:7002"),
            (one(5, 9, text("::1"), 7_002), "[::1]:7002"),
        ];
        for (answer, want) in sound {
            let ranges = ranges(&answer, &asked).expect("it is sound");
            assert_eq!(ranges[0].endpoint, endpoint(want));
        }
        let both = |a, b| Value::Array(vec![a, b]);
        let unsound = [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            one(0, 16_384, text("a"), 1),
            one(-1, 5, text("a"), 1),
            one(9, 5, text("a"), 1),
            one(0, 5, text("a"), 0),
            one(0, 5, text("a"), 65_536),
            one(0, 5, text("a b"), 1),
            one(0, 5, text("a/b"), 1),
            one(0, 5, Value::Int(1), 1),
            both(entry(0, 9, text("a"), 1), entry(9, 20, text("b"), 1)),
            Value::Array(vec![entry(0, 1, text("a"), 1); 16_385]),
        ];
        for answer in unsound {
            assert_eq!(ranges(&answer, &asked), None, "{answer:?}");
        }
    }

    #[test]
    fn redirects_are_read() {
        let asked = endpoint("10.0.0.1:7000");
        let cases = [
            ("3999 127.0.0.1:6381", Some("127.0.0.1:6381")),
            ("3999 redis-2.internal:6381", Some("redis-2.internal:6381")),
            ("3999 ::1:6381", Some("[::1]:6381")),
            ("3999 :6381", Some("10.0.0.1:6381")),
            ("3999", None),
            ("3999 127.0.0.1", None),
            ("3999 127.0.0.1:0", None),
            ("3999 a b:1", None),
            ("", None),
        ];
        for (details, want) in cases {
            assert_eq!(redirect(details, &asked), want.map(endpoint), "{details}");
        }
    }
}
