//! When a certificate is renewed, and when a failed attempt is tried again.

use std::time::Duration;

use super::error::Retry;

/// The attempts that failed in a row.
#[derive(Debug, Default)]
pub(super) struct Attempts(u32);

/// Nothing was decided: 5 s, doubled each time.
const SOON: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// The directory said no: 2 min, doubled each time. Let's Encrypt allows five failed validations of
/// a name in an hour.
const LATER: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(6 * 3_600));

impl Attempts {
    /// Notes one more and says how long to wait: at least as long as the directory wants.
    /// `random` is from 0 to 1: many gateways do not come back at the same moment.
    pub(super) fn failed(
        &mut self,
        retry: Retry,
        not_before: Option<Duration>,
        random: f64,
    ) -> Duration {
        let (first, most) = match retry {
            Retry::Soon => SOON,
            Retry::Later => LATER,
        };
        let doubled = first.saturating_mul(2_u32.saturating_pow(self.0));
        self.0 = self.0.saturating_add(1);
        let wait = doubled
            .min(most)
            .mul_f64(1.0 + SPREAD * random.clamp(0.0, 1.0));
        wait.max(not_before.unwrap_or_default())
    }

    pub(super) const fn succeeded(&mut self) {
        self.0 = 0;
    }
}

const SPREAD: f64 = 0.2;

/// When a certificate is renewed, in seconds since 1970: at two thirds of its life, and up to a
/// fiftieth of it earlier. By how much, its digest says, so that a restart changes nothing.
pub(super) fn renewal(not_before: i64, not_after: i64, digest: &[u8; 32]) -> i64 {
    let life = not_after.saturating_sub(not_before).max(0);
    let [first, second, ..] = *digest;
    let spread = i64::from(u16::from_be_bytes([first, second]));
    let early = (life / 50).saturating_mul(spread) / 65_536;
    let two_thirds = life / 3 * 2 + life % 3 * 2 / 3;
    not_before.saturating_add(two_thirds).saturating_sub(early)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        let day = 86_400;
        let cases = [
            // (begins, ends, with the least spread, with the most)
            (0, 90 * day, 60 * day, 60 * day - 155_517),
            (1_000, 1_012, 1_008, 1_008),
            (1_000, 1_100, 1_066, 1_065),
            (5, 5, 5, 5),
            (10, 5, 10, 10),
        ];
        for (begins, ends, latest, earliest) in cases {
            assert_eq!(renewal(begins, ends, &[0; 32]), latest, "{begins} {ends}");
            assert_eq!(
                renewal(begins, ends, &[255; 32]),
                earliest,
                "{begins} {ends}"
            );
        }
        // Times that nobody means do not overflow.
        renewal(i64::MIN, i64::MAX, &[255; 32]);
        renewal(i64::MAX, i64::MIN, &[255; 32]);
    }

    #[test]
    fn failed_attempts_are_tried_again_more_and_more_seldom() {
        let mut attempts = Attempts::default();
        let waits: Vec<u64> = (0..12)
            .map(|_| attempts.failed(Retry::Later, None, 0.0).as_secs())
            .collect();
        assert_eq!(waits[..5], [120, 240, 480, 960, 1_920]);
        assert_eq!(waits[11], 21_600);
        attempts.succeeded();
        assert_eq!(attempts.failed(Retry::Soon, None, 0.0).as_secs(), 5);
        assert_eq!(attempts.failed(Retry::Soon, None, 1.0).as_secs(), 12);
        let told = Duration::from_secs(3_600);
        assert_eq!(attempts.failed(Retry::Soon, Some(told), 0.5), told);
        for _ in 0..100 {
            assert!(attempts.failed(Retry::Soon, None, 1.0).as_secs() <= 720);
        }
    }
}
