//! The text of a subject name (RFC 4514, section 3), read strictly into a [`SubjectName`].
//!
//! The parser of `x509-cert` reads more than the RFC says: `/` and `;` part names there, and
//! spaces are kept. A rule that lets somebody in must not be read in two ways.

use std::str::FromStr;

use super::subject_name::{BYTES_MAX, SubjectName, Tlv, Value, attribute, relative_name};

/// Why a text is no subject name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubjectName {
    /// There is no attribute in it.
    #[error("`subject:` is followed by a name, like `CN=orders,O=Example`")]
    Empty,
    /// It is longer than any name that we read in a certificate.
    #[error("a subject name has at most {BYTES_MAX} bytes")]
    TooLong,
    /// No `=` follows what should be an attribute type.
    #[error("`,` and `+` part attributes, and each is `TYPE=VALUE`; escape them in values: `\\,`")]
    NoValue,
    /// The attribute type is neither a name that we know nor an OID.
    #[error(
        "`{0}` is no attribute type: CN, O, OU, C, L, ST, STREET, DC, UID, emailAddress and others \
         of OpenSSL's short names are read, any other is written as its OID"
    )]
    Type(Box<str>),
    /// A space stands where RFC 4514 has none.
    #[error("a space stands beside `,`, `+` or `=`; one that is part of a value is written `\\ `")]
    Space,
    /// A value is empty.
    #[error("a value is empty")]
    EmptyValue,
    /// A character must not stand plainly, or `\` is followed by what it does not escape.
    #[error(
        "`\"`, `;`, `<`, `>`, `\\` and control characters in values are escaped: `\\;`, `\\0A`"
    )]
    Escape,
    /// The bytes that `\XX` names are not UTF-8.
    #[error("a value is not UTF-8")]
    Utf8,
    /// What follows `#` is not one value in DER.
    #[error("`#` is followed by a value in DER, in hexadecimal")]
    Hex,
    /// One relative name has the same attribute twice.
    #[error("an attribute stands twice in one relative name")]
    Twice,
}

/// The attribute types that have a name, with the content of their OIDs in DER: those of RFC 4514,
/// section 3, and those that CAs use, as OpenSSL calls them. Compared without case.
const TYPES: &[(&str, &[u8])] = &[
    ("CN", &[85, 4, 3]),
    ("SN", &[85, 4, 4]),
    ("serialNumber", &[85, 4, 5]),
    ("C", &[85, 4, 6]),
    ("L", &[85, 4, 7]),
    ("ST", &[85, 4, 8]),
    ("STREET", &[85, 4, 9]),
    ("O", &[85, 4, 10]),
    ("OU", &[85, 4, 11]),
    ("title", &[85, 4, 12]),
    ("description", &[85, 4, 13]),
    ("businessCategory", &[85, 4, 15]),
    ("postalCode", &[85, 4, 17]),
    ("name", &[85, 4, 41]),
    ("initials", &[85, 4, 43]),
    ("dnQualifier", &[85, 4, 46]),
    ("pseudonym", &[85, 4, 65]),
    ("GN", &[85, 4, 42]),
    ("organizationIdentifier", &[85, 4, 97]),
    ("DC", &[9, 146, 38, 137, 147, 242, 44, 100, 1, 25]),
    ("UID", &[9, 146, 38, 137, 147, 242, 44, 100, 1, 1]),
    ("emailAddress", &[42, 134, 72, 134, 247, 13, 1, 9, 1]),
];

impl FromStr for SubjectName {
    type Err = InvalidSubjectName;

    /// Reads the text of RFC 4514, section 3, without the spaces that RFC 2253 allowed around
    /// `,`, `+` and `=`.
    fn from_str(text: &str) -> Result<Self, InvalidSubjectName> {
        if text.is_empty() {
            return Err(InvalidSubjectName::Empty);
        }
        if text.len() > BYTES_MAX {
            return Err(InvalidSubjectName::TooLong);
        }
        let mut canonical = Vec::new();
        let mut rest = Some(text);
        while let Some(after) = rest {
            let mut attributes = Vec::new();
            let mut set = Some(after);
            rest = None;
            while let Some(after) = set {
                let (attribute, end) = parse_attribute(after)?;
                attributes.push(attribute);
                set = end.strip_prefix('+');
                rest = end.strip_prefix(',');
            }
            canonical.push(relative_name(attributes).ok_or(InvalidSubjectName::Twice)?);
        }
        canonical.reverse(); // the text begins with the last: RFC 4514, section 2.1
        Ok(Self::from_canonical(&canonical))
    }
}

/// `TYPE=VALUE` in canonical form, and what follows: nothing, or a text that begins with `,` or `+`.
fn parse_attribute(text: &str) -> Result<(Vec<u8>, &str), InvalidSubjectName> {
    let at = text.find(['=', ',', '+']);
    let (name, value) = at
        .and_then(|at| text.split_at_checked(at))
        .ok_or(InvalidSubjectName::NoValue)?;
    let value = value.strip_prefix('=').ok_or(InvalidSubjectName::NoValue)?;
    if name.starts_with(' ') || name.ends_with(' ') || value.starts_with(' ') {
        return Err(InvalidSubjectName::Space);
    }
    let known = TYPES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    let oid = match known {
        Some((_, oid)) => oid.to_vec(),
        None => oid(name).ok_or_else(|| InvalidSubjectName::Type(cut(name)))?,
    };
    let (value, rest) = match value.strip_prefix('#') {
        Some(hex) => parse_hex(hex)?,
        None => parse_text(value)?,
    };
    Ok((attribute(&oid, &value), rest))
}

/// A `hexstring`: a whole value in BER, here in DER.
fn parse_hex(text: &str) -> Result<(Value, &str), InvalidSubjectName> {
    let end = text.find([',', '+']).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).ok_or(InvalidSubjectName::Hex)?;
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return Err(InvalidSubjectName::Hex);
    };
    let der: Option<Vec<u8>> = pairs.iter().map(|[high, low]| octet(*high, *low)).collect();
    let der = der.ok_or(InvalidSubjectName::Hex)?;
    let mut after = &der[..];
    let value = Tlv::next(&mut after).filter(|_| after.is_empty());
    let value = value.and_then(|value| Value::of(&value));
    Ok((value.ok_or(InvalidSubjectName::Hex)?, rest))
}

/// A `string`, with its escapes undone.
fn parse_text(text: &str) -> Result<(Value, &str), InvalidSubjectName> {
    let bytes = text.as_bytes();
    let mut value = Vec::new();
    let mut at = 0;
    let mut after_space = false;
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b',' | b'+') {
            break;
        }
        after_space = *byte == b' ';
        match byte {
            b'"' | b';' | b'<' | b'>' | 0..0x20 | 0x7f => return Err(InvalidSubjectName::Escape),
            b'\\' => match (bytes.get(at + 1), bytes.get(at + 2)) {
                (Some(plain), _) if ESCAPED.contains(plain) => {
                    value.push(*plain);
                    at += 1;
                }
                (Some(high), Some(low)) => {
                    value.push(octet(*high, *low).ok_or(InvalidSubjectName::Escape)?);
                    at += 2;
                }
                (None | Some(_), _) => return Err(InvalidSubjectName::Escape),
            },
            other => value.push(*other),
        }
        at += 1;
    }
    if after_space {
        return Err(InvalidSubjectName::Space);
    }
    if value.is_empty() {
        return Err(InvalidSubjectName::EmptyValue);
    }
    let value = String::from_utf8(value).map_err(|_bytes| InvalidSubjectName::Utf8)?;
    Ok((Value::Text(value), text.get(at..).unwrap_or_default()))
}

/// What `\` may stand in front of as itself (RFC 4514, section 3: `special` and `ESC`).
const ESCAPED: &[u8] = b"\\\"+,;<> #=";

/// The byte that two hexadecimal digits name.
pub(super) fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    Some(digit(high)? << 4 | digit(low)?)
}

/// The content in DER of an OID in dotted decimal form (RFC 4512, section 1.4: `numericoid`).
fn oid(text: &str) -> Option<Vec<u8>> {
    let number = |text: &str| {
        let plain = text == "0" || !text.starts_with('0');
        let plain = plain && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u32>().ok()).flatten()
    };
    let mut numbers = text.split('.').map(number);
    let (first, second) = (numbers.next()??, numbers.next()??);
    if first > 2 || first < 2 && second > 39 {
        return None;
    }
    let mut der = Vec::new();
    push_base128(&mut der, u64::from(first) * 40 + u64::from(second));
    for number in numbers {
        push_base128(&mut der, number?.into());
    }
    Some(der)
}

fn push_base128(der: &mut Vec<u8>, number: u64) {
    let septets = (1..10).rev().filter(|place| number >> (7 * place) > 0);
    let high: Vec<u8> = septets
        .map(|place| low_byte(number >> (7 * place)) | 0x80)
        .collect();
    der.extend(high);
    der.push(low_byte(number) & 0x7f);
}

fn low_byte(number: u64) -> u8 {
    let [.., low] = number.to_be_bytes();
    low
}

/// Names in messages are short: what stands there may be a whole line that was meant otherwise.
fn cut(text: &str) -> Box<str> {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
#[path = "subject_text_tests.rs"]
mod tests;
