//! Names in a certificate, as they are told to services: the subject as RFC 4514 text, and URIs.
//!
//! They are for services that ask for them. Nothing here decides who somebody is: that is
//! [`peer_identity`](super::certificate::peer_identity).

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Oid, ToDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AttributeTypeAndValue;

/// Attributes of names by their object identifiers: those of RFC 4514, section 3, and the two
/// that everybody else knows by name as well.
const TYPES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.5", "serialNumber"),
];

/// The whole subject of a certificate (DER) as RFC 4514 text, the most specific name first. Only
/// visible ASCII and inner spaces: every other character, and every one that has a meaning there,
/// is written as the hexadecimal digits of its UTF-8 bytes. So `"` is not in it, and `\` only in
/// front of two digits. `None` if the certificate cannot be read.
#[must_use]
pub fn subject(certificate: &[u8]) -> Option<String> {
    let (_rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names: Vec<_> = certificate.subject().iter_rdn().collect();
    let mut text = String::new();
    for (place, name) in names.into_iter().rev().enumerate() {
        if place > 0 {
            text.push(',');
        }
        for (place, attribute) in name.iter().enumerate() {
            if place > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute)?;
        }
    }
    Some(text)
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let value = known(attribute.attr_type()).zip(attribute.as_str().ok());
    let Some((name, value)) = value else {
        // RFC 4514, sections 2.3 and 2.4: the number of the type, and the value's encoding.
        text.push_str(&attribute.attr_type().to_id_string());
        text.push_str("=#");
        let encoding = attribute.attr_value().to_der_vec().ok()?;
        for byte in encoding {
            write!(text, "{byte:02x}").ok()?;
        }
        return Some(());
    };
    text.push_str(name);
    text.push('=');
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let edge = at == 0 || at == last;
        let plain = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'.' | b'-' | b'_' | b':' | b'/' | b'@' | b'(' | b')' | b'*' | b'\''
            )
            || (byte == b' ' && !edge);
        if plain {
            text.push(char::from(byte));
        } else {
            write!(text, "\\{byte:02X}").ok()?;
        }
    }
    Some(())
}

fn known(oid: &Oid<'_>) -> Option<&'static str> {
    let oid = oid.to_id_string();
    let found = TYPES.iter().find(|(number, _)| *number == oid);
    found.map(|(_, name)| *name)
}

/// The URI names of a certificate (DER), as they stand there. Empty if it cannot be read.
#[must_use]
pub fn uris(certificate: &[u8]) -> Vec<String> {
    let Ok((_rest, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names.filter_map(uri).map(str::to_owned).collect()
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name {
        Some(uri)
    } else {
        None
    }
}
