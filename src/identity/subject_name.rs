//! [`SubjectName`]: the exact subject of a certificate, whatever its encoding.
//!
//! Two names are equal if they have the same relative names in the same order, each with the same
//! set of attribute types and values. Values are compared by their characters, not by the ASN.1
//! string type that holds them; letters of another case are other letters, and no attribute counts
//! more than another. What cannot be read without doubt is no name, and matches nothing.
//!
//! `subject_text.rs` reads the same from the text of RFC 4514.

use super::certificate::sha256;

/// SHA-256 over a subject name in one canonical form: what a connection remembers of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubjectName([u8; 32]);

/// A name of a certificate that is longer is none: real ones have some hundred bytes.
pub(super) const BYTES_MAX: usize = 4096;

impl SubjectName {
    /// The subject of a certificate (DER, with its outer tag). `None` if it is empty, too long, or
    /// cannot be read to its last byte.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        if der.len() > BYTES_MAX {
            return None;
        }
        let mut rest = der;
        let mut name = Tlv::next(&mut rest)?.content_of(SEQUENCE)?;
        if !rest.is_empty() || name.is_empty() {
            return None;
        }
        let mut canonical = Vec::with_capacity(der.len() * 2);
        while !name.is_empty() {
            let mut set = Tlv::next(&mut name)?.content_of(SET)?;
            let mut attributes = Vec::new();
            while !set.is_empty() {
                let mut pair = Tlv::next(&mut set)?.content_of(SEQUENCE)?;
                let oid = Tlv::next(&mut pair)?.content_of(OID)?;
                let value = Value::of(&Tlv::next(&mut pair)?)?;
                if !pair.is_empty() {
                    return None;
                }
                attributes.push(attribute(oid, &value));
            }
            canonical.push(relative_name(attributes)?);
        }
        Some(Self::from_canonical(&canonical))
    }

    /// From relative names in canonical form, in the order of the certificate.
    pub(super) fn from_canonical(relative_names: &[Vec<u8>]) -> Self {
        Self(sha256(&relative_names.concat()))
    }
}

/// What an attribute says.
pub(super) enum Value {
    /// These characters.
    Text(String),
    /// Something else, as its DER.
    Other(Vec<u8>),
}

impl Value {
    /// `None` if it says that it is a text and cannot be read as one.
    pub(super) fn of(value: &Tlv<'_>) -> Option<Self> {
        let bytes = value.content;
        let text = match value.tag {
            UTF8_STRING => std::str::from_utf8(bytes).ok()?.to_owned(),
            NUMERIC_STRING | PRINTABLE_STRING | TELETEX_STRING | IA5_STRING | VISIBLE_STRING => {
                // Beyond ASCII, readers of TeletexString do not agree on what a byte means.
                bytes
                    .is_ascii()
                    .then(|| std::str::from_utf8(bytes))?
                    .ok()?
                    .to_owned()
            }
            BMP_STRING => {
                let (units, []) = bytes.as_chunks::<2>() else {
                    return None;
                };
                let code = |unit: &[u8; 2]| char::from_u32(u16::from_be_bytes(*unit).into());
                units.iter().map(code).collect::<Option<_>>()?
            }
            UNIVERSAL_STRING => {
                let (units, []) = bytes.as_chunks::<4>() else {
                    return None;
                };
                let code = |unit: &[u8; 4]| char::from_u32(u32::from_be_bytes(*unit));
                units.iter().map(code).collect::<Option<_>>()?
            }
            _ => return Some(Self::Other(value.whole.to_vec())),
        };
        Some(Self::Text(text))
    }
}

/// An attribute in canonical form.
pub(super) fn attribute(oid: &[u8], value: &Value) -> Vec<u8> {
    let (kind, value) = match value {
        Value::Text(text) => (0, text.as_bytes()),
        Value::Other(der) => (1, &**der),
    };
    [&behind_length(oid)[..], &[kind], &behind_length(value)].concat()
}

/// A relative name in canonical form: a set has no order. `None` if it is none: it has no
/// attribute, or one twice.
pub(super) fn relative_name(mut attributes: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    attributes.sort_unstable();
    let twice = attributes
        .windows(2)
        .any(|pair| pair.first() == pair.last());
    (!twice && !attributes.is_empty()).then(|| behind_length(&attributes.concat()))
}

fn behind_length(bytes: &[u8]) -> Vec<u8> {
    [&bytes.len().to_be_bytes()[..], bytes].concat()
}

const OID: u8 = 6;
const UTF8_STRING: u8 = 12;
const NUMERIC_STRING: u8 = 18;
const PRINTABLE_STRING: u8 = 19;
const TELETEX_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const VISIBLE_STRING: u8 = 26;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// One value in DER.
pub(super) struct Tlv<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Takes the first value off `rest`. `None` unless tag and length are in their shortest form.
    pub(super) fn next(rest: &mut &'a [u8]) -> Option<Self> {
        let whole = *rest;
        let (tag, after) = whole.split_first()?;
        let (first, after) = after.split_first()?;
        let (length, after) = match first {
            0..=0x7f => (usize::from(*first), after),
            0x81 => {
                let (length, after) = after.split_first()?;
                (usize::from(*length), after)
            }
            0x82 => {
                let ([high, low], after) = after.split_first_chunk()?;
                (usize::from(u16::from_be_bytes([*high, *low])), after)
            }
            _ => return None, // no name is that long
        };
        let shortest = match first {
            0x81 => length >= 0x80,
            0x82 => length >= 0x100,
            _ => true,
        };
        if !shortest || tag & 0x1f == 0x1f {
            return None;
        }
        let (content, after) = after.split_at_checked(length)?;
        *rest = after;
        let whole = whole.get(..whole.len() - after.len())?;
        Some(Self {
            tag: *tag,
            content,
            whole,
        })
    }

    fn content_of(&self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}
