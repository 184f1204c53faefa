//! Whether an RSA public key is strong enough to believe.

/// The least number of bits of a modulus (RFC 7518, section 3.3), and the most that we calculate
/// with.
const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why an RSA key is not used, for the operator.
///
/// `modulus` and `exponent` are big-endian without leading zeros.
pub(super) fn weakness(modulus: &[u8], exponent: &[u8]) -> Option<&'static str> {
    let Some((first, last)) = modulus.first().zip(modulus.last()) else {
        return Some("its modulus is empty");
    };
    let leading = usize::try_from(first.leading_zeros()).unwrap_or(8);
    let bits = (modulus.len() * 8).saturating_sub(leading);
    if bits < *BITS.start() {
        return Some("it is an RSA key of less than 2048 bits");
    }
    if bits > *BITS.end() {
        return Some("it is an RSA key of more than 8192 bits");
    }
    if last % 2 == 0 {
        return Some("its modulus is even");
    }
    // 65,537 or more, and odd (FIPS 186-5, section A.1.1); at most 32 bits, so that verifying stays
    // cheap.
    let exponent = exponent.iter().try_fold(0_u32, |value, &byte| {
        Some(value.checked_mul(256)? | u32::from(byte))
    });
    match exponent {
        Some(value) if value >= 65_537 && value % 2 == 1 => {}
        Some(_) | None => return Some("its exponent is not an odd number from 65537 to 2^32"),
    }
    has_roca_fingerprint(modulus).then_some("it comes from a broken generator (CVE-2017-15361)")
}

/// Whether the modulus has the structure of keys made by Infineon's RSALib (ROCA): its remainder
/// is a power of 65,537 for each of these primes. A sound key has it once in some 100 million.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [
        11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
    ];
    PRIMES.iter().all(|&prime| {
        let remainder = modulus
            .iter()
            .fold(0_u32, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_exponent| {
            let found = power == remainder;
            power = power * (65_537 % prime) % prime;
            found
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_keys_have_no_weakness() {
        let modulus = |bytes: usize, last: u8| {
            let mut modulus = vec![0xA5; bytes];
            *modulus.last_mut().unwrap() = last;
            modulus
        };
        let usual: &[u8] = &[1, 0, 1];
        assert_eq!(weakness(&modulus(256, 1), usual), None);
        assert_eq!(weakness(&modulus(1024, 1), usual), None);
        let mut short = modulus(256, 1);
        short[0] = 0x7F;
        let weak = [
            (vec![], usual),
            (modulus(64, 1), usual),
            (modulus(128, 1), usual),
            (short, usual),
            (modulus(1025, 1), usual),
            (modulus(256, 2), usual),
            (modulus(256, 1), &[]),
            (modulus(256, 1), &[1]),
            (modulus(256, 1), &[3]),
            (modulus(256, 1), &[1, 0, 0]),
            (modulus(256, 1), &[1, 0, 0, 0, 1]),
        ];
        for (modulus, exponent) in weak {
            assert!(weakness(&modulus, exponent).is_some(), "{exponent:?}");
        }
    }
}
