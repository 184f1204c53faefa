//! [`Serials`]: the serial numbers of a CRL, in little memory.

use std::fmt;

/// Serial numbers, sorted: 20 bytes each and nothing besides, 2 MB for 100,000.
///
/// They are kept whole, not as hashes: no two numbers are ever taken for one another.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Serials(Box<[[u8; BYTES_MAX]]>);

/// RFC 5280, section 4.1.2.2: no CA makes longer ones.
pub(super) const BYTES_MAX: usize = 20;

impl Serials {
    pub(super) fn new(mut serials: Vec<[u8; BYTES_MAX]>) -> Self {
        serials.sort_unstable();
        serials.dedup();
        Self(serials.into_boxed_slice())
    }

    /// Whether this number, the content of an INTEGER, is one of them. Allocates nothing.
    pub(super) fn contain(&self, serial: &[u8]) -> bool {
        // A longer number cannot be in a CRL that was taken.
        packed(serial).is_some_and(|serial| self.0.binary_search(&serial).is_ok())
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// A number as it is kept: zeros in front, for CAs do not agree whether one stands there. `None` if
/// it is longer than 20 bytes.
pub(super) fn packed(serial: &[u8]) -> Option<[u8; BYTES_MAX]> {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    let serial = serial.get(zeros..)?;
    let mut packed = [0; BYTES_MAX];
    let at = BYTES_MAX.checked_sub(serial.len())?;
    packed.get_mut(at..)?.copy_from_slice(serial);
    Some(packed)
}

impl fmt::Debug for Serials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} serial numbers", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut make = || {
            let length = random.usize(1..=BYTES_MAX);
            (0..length).map(|_| random.u8(1..)).collect::<Vec<u8>>()
        };
        let inside: Vec<_> = (0..10_000).map(|_| make()).collect();
        let serials = Serials::new(inside.iter().map(|s| packed(s).unwrap()).collect());
        for serial in &inside {
            assert!(serials.contain(serial), "{serial:x?}");
            let with_a_zero: Vec<u8> = [0].into_iter().chain(serial.clone()).collect();
            assert!(serials.contain(&with_a_zero), "{serial:x?}");
        }
        for serial in (0..10_000).map(|_| make()) {
            assert_eq!(serials.contain(&serial), inside.contains(&serial));
        }
        assert!(!serials.contain(&[0]));
        assert!(!serials.contain(&[]));
        assert!(!serials.contain(&[1; 21]));
        assert!(Serials::new(vec![[0; BYTES_MAX]]).contain(&[0]));
    }
}
