//! As much of DER as a signed list takes: one value after the other, each with a definite length.
//!
//! webpki reads what is inside of a CRL and of a certificate, but gives back neither what was
//! signed nor by which algorithm.

use rustls::crypto::WebPkiSupportedAlgorithms;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;

/// Values that stand one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// One value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next value.
    pub(super) fn tag(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value; `None` if there is none, or none that is whole.
    pub(super) fn next(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        if tag & 0x1f == 0x1f {
            return None; // tags of several bytes stand nowhere in X.509
        }
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let bytes = usize::from(first & 0x7f);
            if !(1..=4).contains(&bytes) {
                return None;
            }
            let (length, rest) = rest.split_at_checked(bytes)?;
            let length = length
                .iter()
                .fold(0, |sum: usize, byte| (sum << 8) | usize::from(*byte));
            (length, rest)
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len().checked_sub(after.len())?)?;
        self.0 = after;
        Some(Value {
            tag,
            content,
            whole,
        })
    }

    /// The content of the next value, if it has this tag; else nothing is read.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.tag() != Some(tag) {
            return None;
        }
        self.next().map(|value| value.content)
    }
}

/// What is signed in a certificate or a CRL, by which algorithm, and the signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// What is signed, with tag and length.
    pub(super) message: &'a [u8],
    /// The content of what is signed.
    pub(super) content: &'a [u8],
    /// The content of the `AlgorithmIdentifier`.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    Right,
    Wrong,
    /// By an algorithm that is not accepted, or not for this kind of key.
    NotAccepted,
}

impl<'a> Signed<'a> {
    /// `None` if it is no whole certificate or CRL, or if something stands behind it.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut parts = Reader::new(outer.take(SEQUENCE)?);
        let message = parts.next().filter(|value| value.tag == SEQUENCE)?;
        let algorithm = parts.take(SEQUENCE)?;
        let signature = bits(parts.take(BIT_STRING)?)?;
        (outer.is_empty() && parts.is_empty()).then_some(Self {
            message: message.whole,
            content: message.content,
            algorithm,
            signature,
        })
    }

    /// Holds the signature against a key (the content of a `SubjectPublicKeyInfo`).
    pub(super) fn verify(&self, key: &[u8], accepted: &WebPkiSupportedAlgorithms) -> Signature {
        let mut parts = Reader::new(key);
        let of_key = parts.take(SEQUENCE);
        let (Some(of_key), Some(key)) = (of_key, parts.take(BIT_STRING).and_then(bits)) else {
            return Signature::NotAccepted;
        };
        let mut ended = Signature::NotAccepted;
        // One identifier may stand for several: ECDSA with SHA-256, on each of the curves.
        for algorithm in accepted.all {
            let same = algorithm.signature_alg_id().as_ref() == self.algorithm
                && algorithm.public_key_alg_id().as_ref() == of_key;
            if !same {
                continue;
            }
            match algorithm.verify_signature(key, self.message, self.signature) {
                Ok(()) => return Signature::Right,
                Err(_wrong) => ended = Signature::Wrong,
            }
        }
        ended
    }
}

/// The bytes of a bit string that is made of whole bytes.
fn bits(content: &[u8]) -> Option<&[u8]> {
    match content.split_first() {
        Some((0, bytes)) => Some(bytes),
        Some(_) | None => None,
    }
}

/// The content of a `SEQUENCE` that is given whole.
pub(super) fn unwrapped(whole: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader::new(whole);
    let content = outer.take(SEQUENCE)?;
    outer.is_empty().then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_are_whole_are_read() {
        let cases: &[(&[u8], Option<&[u8]>)] = &[
            (&[0x30, 1, 7], Some(&[7])),
            (&[0x30, 0], Some(&[])),
            (&[0x30, 0x81, 1, 7], Some(&[7])),
            (&[0x30, 0x82, 0, 1, 7], Some(&[7])),
            (&[0x30, 2, 7], None),
            (&[0x30], None),
            (&[], None),
            (&[0x30, 0x80, 0, 0], None), // indefinite
            (&[0x30, 0x85, 0, 0, 0, 0, 1, 7], None),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 7], None),
            (&[0x1f, 0x81, 1, 7], None),
        ];
        for (bytes, want) in cases {
            let read = Reader::new(bytes).next().map(|value| value.content);
            assert_eq!(read, *want, "{bytes:x?}");
        }
    }

    #[test]
    fn noise_is_refused_and_ends() {
        for seed in 0..20_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            if let Some(first) = bytes.first_mut() {
                *first = 0x30;
            }
            let mut reader = Reader::new(&bytes);
            let mut read = 0;
            while let Some(value) = reader.next() {
                read += value.whole.len();
            }
            assert!(read <= bytes.len());
            assert!(Signed::read(&bytes).is_none(), "{bytes:x?} is signed?");
        }
    }
}
