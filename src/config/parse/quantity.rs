//! Durations, sizes and rates: a whole number with its unit, and never a bare number.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::node::{Field, Node};
use crate::config::problem::shown;
use crate::config::spec::Rate;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Units with what one of them is, in milliseconds.
const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
/// In bytes.
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", KIB), ("MiB", MIB), ("GiB", GIB)];

/// More is no limit. Also keeps the arithmetic of the limiter far from its ends.
const RATE_MAX: u32 = 1_000_000_000;

/// A duration within `bounds`, both ends included.
pub(super) fn duration(node: &Node<'_>, bounds: RangeInclusive<Duration>) -> Option<Duration> {
    let (text, millis) = quantity(node, TIMES, ("a duration", "s", "`10s`, `500ms` or `5m`"))?;
    let time = Duration::from_millis(millis);
    if bounds.contains(&time) {
        return Some(time);
    }
    let (least, most) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
    node.refuse(
        format!("{} is out of bounds", shown(text)),
        format!("write a duration from {least} to {most}"),
    )
}

/// A size in bytes within `bounds`, both ends included.
pub(super) fn size(node: &Node<'_>, bounds: RangeInclusive<u64>) -> Option<u64> {
    let (text, bytes) = quantity(node, SIZES, ("a size", "B", "`16MiB`, `32KiB` or `128B`"))?;
    if bounds.contains(&bytes) {
        return Some(bytes);
    }
    let (least, most) = (show_size(*bounds.start()), show_size(*bounds.end()));
    node.refuse(
        format!("{} is out of bounds", shown(text)),
        format!("write a size from {least} to {most}"),
    )
}

/// A speed in bytes a second: `128B/s`.
pub(super) fn bytes_a_second(node: &Node<'_>, most: u64) -> Option<NonZeroU32> {
    let hint = format!(
        "write bytes a second from `1B/s` to `{}/s`",
        show_size(most)
    );
    if let Some(number) = node.number() {
        return node.refuse(format!("{number} has no unit"), hint);
    }
    let text = node.text("`128B/s`")?;
    let size = text
        .strip_suffix("/s")
        .and_then(|size| read(size, SIZES).ok());
    let rate = size
        .filter(|bytes| *bytes <= most)
        .and_then(|n| u32::try_from(n).ok());
    if let Some(rate) = rate.and_then(NonZeroU32::new) {
        return Some(rate);
    }
    let what = format!("{} is no speed within the bounds", shown(text));
    node.refuse(what, hint)
}

/// `rate` and `burst` of a limit. Without `burst`, as many at once as in the time.
pub(super) fn rate(rate: &Field<'_>, burst: &Field<'_>) -> Option<Rate> {
    let rate = rate.needed("write `rate: 100/s`", |node| {
        if let Some(number) = node.number() {
            return node.refuse(
                format!("{number} does not say in which time"),
                format!("write `{number}/s`, `{number}/m` or `{number}/h`"),
            );
        }
        let text = node.text("`100/s`")?;
        match read_rate(text) {
            Some(rate) => Some(rate),
            None => node.refuse(
                format!("{} is not a rate", shown(text)),
                format!(
                    "write a number from 1 to {RATE_MAX} and a time: `100/s`, `5/m` or `1000/h`"
                ),
            ),
        }
    });
    let burst = burst.optional(|node| node.count(u64::from(RATE_MAX)));
    let ((count, per), burst) = (rate?, burst?);
    Some(Rate {
        count,
        per,
        burst: burst.unwrap_or(count),
    })
}

fn read_rate(text: &str) -> Option<(NonZeroU32, Duration)> {
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let digits = count.bytes().all(|b| b.is_ascii_digit()); // not `+5`
    let count: NonZeroU32 = digits.then(|| count.parse().ok()).flatten()?;
    (count.get() <= RATE_MAX).then_some((count, Duration::from_secs(seconds)))
}

/// Why a text is no quantity.
enum Unread {
    NoUnit,
    NotWhole,
    UnitUnknown,
    TooLarge,
}

/// The number of smallest units, with the text it was read from.
fn quantity<'a>(
    node: &Node<'a>,
    units: &[(&str, u64)],
    (noun, unit, examples): (&str, &str, &str),
) -> Option<(&'a str, u64)> {
    if let Some(number) = node.number() {
        let hint = format!(
            "write {noun} with its unit: {examples}; {number} may have meant `{number}{unit}`"
        );
        return node.refuse(format!("{number} has no unit"), hint);
    }
    let text = node.text(examples)?;
    let names = units
        .iter()
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(", ");
    let what = match read(text, units) {
        Ok(number) => return Some((text, number)),
        Err(Unread::NoUnit) => format!("{} has no unit", shown(text)),
        Err(Unread::NotWhole) => format!("{} is not one whole number with one unit", shown(text)),
        Err(Unread::UnitUnknown) => format!("{} has a unit that is none of {names}", shown(text)),
        Err(Unread::TooLarge) => format!("{} is too large", shown(text)),
    };
    node.refuse(what, format!("write {noun} like {examples}"))
}

fn read(text: &str, units: &[(&str, u64)]) -> Result<u64, Unread> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or(Unread::NotWhole)?;
    if number.is_empty() || unit.contains(|c: char| c.is_ascii_digit()) {
        return Err(Unread::NotWhole);
    }
    if unit.is_empty() {
        return Err(Unread::NoUnit);
    }
    let known = units.iter().find(|(name, _)| *name == unit);
    let (_, one) = known.ok_or(Unread::UnitUnknown)?;
    let number: u64 = number.parse().map_err(|_too_long| Unread::TooLarge)?;
    number.checked_mul(*one).ok_or(Unread::TooLarge)
}

fn show_duration(time: Duration) -> String {
    if time.is_zero() {
        return "0s".to_owned();
    }
    show(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), TIMES)
}

fn show_size(bytes: u64) -> String {
    show(bytes, SIZES)
}

/// In the largest unit that gives a whole number.
fn show(number: u64, units: &[(&str, u64)]) -> String {
    let whole = |(_, one): &&(&str, u64)| number > 0 && number.is_multiple_of(*one);
    let (name, one) = units.iter().rev().find(whole).copied().unwrap_or(("B", 1));
    format!("{}{name}", number / one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_number_with_one_unit_is_read() {
        let good = [
            ("0s", 0),
            ("10s", 10_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ];
        for (text, want) in good {
            assert_eq!(read(text, TIMES).ok(), Some(want), "{text}");
        }
        let bad = [
            "",
            "s",
            "10",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            " 1s",
            "1s ",
            "1m30s",
            "1S",
            "1d",
            "1e3s",
            "0x1s",
            "١s",
            "18446744073709551616s",
            "18446744073709551615h",
            "1\0s",
        ];
        for text in bad {
            assert!(read(text, TIMES).is_err(), "{text}");
        }
        for text in ["16", "16MB", "16mib", "16M", "1.5MiB", "99999999999GiB"] {
            assert!(read(text, SIZES).is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_number_and_one_time_make_a_rate() {
        assert_eq!(
            read_rate("100/s").map(|(n, per)| (n.get(), per.as_secs())),
            Some((100, 1))
        );
        assert_eq!(
            read_rate("5/h").map(|(n, per)| (n.get(), per.as_secs())),
            Some((5, 3_600))
        );
        for text in [
            "",
            "/",
            "/s",
            "5",
            "5/",
            "0/s",
            "+5/s",
            "5/d",
            "5/s/s",
            "1.5/s",
            "2000000000/s",
            "5 /s",
        ] {
            assert_eq!(read_rate(text), None, "{text}");
        }
    }

    #[test]
    fn bounds_are_shown_in_the_unit_people_write() {
        let shown = [10, 1_000, 60_000, 90_000, 3_600_000].map(|n| show(n, TIMES));
        assert_eq!(shown, ["10ms", "1s", "1m", "90s", "1h"]);
        assert_eq!(show_size(1 << 40), "1024GiB");
    }
}
