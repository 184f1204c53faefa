//! [`Lifetime`]: `90d` and the like, as people write it at the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long a certificate or a token is valid: a number and a unit, `30s`, `15m`, `24h`, `90d` or
/// `1y` (365 days). At most 100 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(Duration);

/// Why a text is no [`Lifetime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lifetime is a number and a unit (s, m, h, d, y): `15m`, `24h`, `90d`; at most `100y`")]
pub struct InvalidLifetime;

const DAY_SECONDS: u64 = 86_400;
const SECONDS_MAX: u64 = 100 * 365 * DAY_SECONDS;

impl Lifetime {
    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// So many days.
    #[must_use]
    pub const fn days(count: u32) -> Self {
        Self(Duration::from_secs(count as u64 * DAY_SECONDS))
    }
}

impl FromStr for Lifetime {
    type Err = InvalidLifetime;

    fn from_str(text: &str) -> Result<Self, InvalidLifetime> {
        let unit = text.chars().next_back().ok_or(InvalidLifetime)?;
        let unit_seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => DAY_SECONDS,
            'y' => 365 * DAY_SECONDS,
            _ => return Err(InvalidLifetime),
        };
        let digits = text.strip_suffix(unit).ok_or(InvalidLifetime)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidLifetime);
        }
        let count: u64 = digits.parse().map_err(|_no_number| InvalidLifetime)?;
        let seconds = count.checked_mul(unit_seconds).ok_or(InvalidLifetime)?;
        if seconds == 0 || seconds > SECONDS_MAX {
            return Err(InvalidLifetime);
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (unit, unit_seconds) in [("d", DAY_SECONDS), ("h", 3_600), ("m", 60)] {
            if seconds.is_multiple_of(unit_seconds) {
                return write!(f, "{}{unit}", seconds / unit_seconds);
            }
        }
        write!(f, "{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_with_a_unit_is_a_lifetime() {
        let good = [
            ("90s", "90s"),
            ("15m", "15m"),
            ("24h", "1d"),
            ("90d", "90d"),
            ("1y", "365d"),
        ];
        for (text, want) in good {
            assert_eq!(text.parse::<Lifetime>().unwrap().to_string(), want);
        }
        for text in [
            "",
            "90",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1.5h",
            "1w",
            "101y",
            "99999999999999999999d",
            "1 d",
            "1é",
        ] {
            assert_eq!(text.parse::<Lifetime>(), Err(InvalidLifetime), "{text}");
        }
    }
}
