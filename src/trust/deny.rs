//! [`DenyList`]: certificates, keys and SPIFFE IDs that are not believed, whoever vouches for them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::error::TrustError;
use super::info::sha256;
use super::pem;
use super::serials::{BYTES_MAX, packed};
use crate::identity::spiffe::SpiffeId;
use crate::identity::subject_name::SubjectName;

/// What the files of `deny` name. The empty list names nothing.
#[derive(Default)]
pub struct DenyList {
    parts: Vec<Arc<Part>>,
    digest: [u8; 32],
}

/// What one file names.
#[derive(Default)]
struct Part {
    file: PathBuf,
    hash: [u8; 32],
    spiffe: HashSet<SpiffeId>,
    /// Serial numbers, each with the issuers that it is of.
    serials: HashMap<[u8; BYTES_MAX], Vec<SubjectName>>,
    fingerprints: HashSet<[u8; 32]>,
    pins: HashSet<[u8; 32]>,
    entries: usize,
}

/// Some 20 MB of memory.
pub(super) const ENTRIES_MAX: usize = 100_000;
const MIB_MAX: u64 = 16;
/// A SPIFFE ID has 2,048 bytes at most, a name 4,096.
const LINE_BYTES_MAX: usize = 8192;
/// In the line of a serial number: each costs a look at the name in front of it.
const NUMBER_SIGNS_MAX: usize = 8;
/// What some programs take for the end of a line. An entry behind one would be part of the comment
/// in front of it.
const ENDS_OF_LINES: [char; 6] = ['\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];

impl DenyList {
    /// Reads these files, as one list.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if a file cannot be read or is too large, or a line is no entry.
    pub fn load(files: &[PathBuf]) -> Result<Self, TrustError> {
        let (list, refused) = Self::load_on(files, &Self::default());
        refused.into_iter().next().map_or(Ok(list), Err)
    }

    /// As [`Self::load`], where a file that is not good leaves in use what `before` has of it; what
    /// is wrong with it is told with the list.
    #[must_use]
    pub fn load_on(files: &[PathBuf], before: &Self) -> (Self, Vec<TrustError>) {
        let mut list = Self::default();
        let mut refused = Vec::new();
        for file in files {
            let known = before.parts.iter().find(|part| part.file == *file);
            match Part::load(file, known, list.len()) {
                Ok(part) => list.parts.push(part),
                Err(error) => {
                    refused.push(error);
                    list.parts.extend(known.map(Arc::clone));
                }
            }
        }
        let hashes: Vec<_> = list.parts.iter().map(|part| part.hash).collect();
        list.digest = sha256(hashes.as_flattened());
        (list, refused)
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.entries).sum()
    }

    /// Whether it names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 over the files.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whether it names the SPIFFE ID of a leaf.
    pub(super) fn has_spiffe(&self, id: Option<&SpiffeId>) -> bool {
        id.is_some_and(|id| self.parts.iter().any(|part| part.spiffe.contains(id)))
    }

    pub(super) fn asks_for_spiffe(&self) -> bool {
        self.parts.iter().any(|part| !part.spiffe.is_empty())
    }

    /// Whether it names a certificate (DER, with its number) or its key (a `SubjectPublicKeyInfo`,
    /// asked for only if it is needed). What nobody asks for is not computed.
    pub(super) fn has<K: AsRef<[u8]>>(
        &self,
        der: &[u8],
        serial: &[u8],
        key: impl FnOnce() -> K,
    ) -> bool {
        let any = |has: &dyn Fn(&Part) -> bool| self.parts.iter().any(|part| has(part));
        if any(&|part| !part.fingerprints.is_empty()) {
            let hash = sha256(der);
            if any(&|part| part.fingerprints.contains(&hash)) {
                return true;
            }
        }
        if any(&|part| !part.pins.is_empty()) {
            let hash = sha256(key().as_ref());
            if any(&|part| part.pins.contains(&hash)) {
                return true;
            }
        }
        any(&|part| part.has_serial(der, serial))
    }

    /// Whether it names anything but SPIFFE IDs.
    pub(super) fn has_certificates(&self) -> bool {
        self.parts.iter().any(|part| part.has_certificates())
    }
}

impl Part {
    /// `known` is what was read from the file before.
    fn load(
        file: &Path,
        known: Option<&Arc<Self>>,
        others: usize,
    ) -> Result<Arc<Self>, TrustError> {
        let content = pem::read(file, MIB_MAX)?;
        let hash = sha256(&content);
        let fits = |part: &&Arc<Self>| part.entries.saturating_add(others) <= ENTRIES_MAX;
        if let Some(known) = known.filter(|part| part.hash == hash).filter(fits) {
            return Ok(Arc::clone(known));
        }
        let mut part = Self {
            file: file.to_owned(),
            hash,
            ..Self::default()
        };
        part.read(&content, file, others)?;
        Ok(Arc::new(part))
    }

    /// `others` is how many entries the files before it have.
    fn read(&mut self, content: &[u8], file: &Path, others: usize) -> Result<(), TrustError> {
        for (line, number) in content.split(|byte| *byte == b'\n').zip(1..) {
            let refused = |what: String| TrustError::DenyLine {
                file: file.to_owned(),
                line: number,
                what,
            };
            if line.len() > LINE_BYTES_MAX {
                return Err(refused(format!("has more than {LINE_BYTES_MAX} bytes")));
            }
            let line = std::str::from_utf8(line)
                .map_err(|_bytes| refused("is no UTF-8 text".to_owned()))?;
            let line = line.trim();
            if line.contains(ENDS_OF_LINES) {
                return Err(refused("has an end of line that is not `\\n`".to_owned()));
            }
            let mut readings = readings(line);
            let entry = readings.next().unwrap_or_default();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            if self.entries.saturating_add(others) >= ENTRIES_MAX {
                let file = file.to_owned();
                return Err(TrustError::DenyTooMany { file });
            }
            self.add(entry, readings).map_err(refused)?;
            self.entries += 1;
        }
        Ok(())
    }

    /// `longer` are the readings of the line in which a ` #` begins no comment. What is wrong with
    /// the entry goes behind "line 7 of FILE".
    fn add<'l>(
        &mut self,
        entry: &str,
        longer: impl Iterator<Item = &'l str>,
    ) -> Result<(), String> {
        if SpiffeId::is_meant(entry) {
            let id = entry.parse();
            let id = id.map_err(|error| format!("is no SPIFFE ID: {error}"))?;
            self.spiffe.insert(id);
        } else if let Some(hex) = entry.strip_prefix("fingerprint:sha256/") {
            let whole = hex.chars().filter(|c| *c != ':').count() == 64;
            let bytes = bytes(hex).filter(|_| whole);
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            let hash = bytes.ok_or("is no fingerprint: write 64 hexadecimal digits")?;
            self.fingerprints.insert(hash);
        } else if let Some(text) = entry.strip_prefix("pin:sha256/") {
            let hash = STANDARD.decode(text).ok();
            let hash = hash.and_then(|bytes| bytes.try_into().ok());
            let hash = hash.ok_or("is no pin: write SHA-256 of the public key, as base64")?;
            self.pins.insert(hash);
        } else if let Some(rest) = entry.strip_prefix("serial:") {
            let (serial, issuer) = rest
                .split_once(" issuer:")
                .ok_or("names no issuer: write `serial:HEX issuer:NAME`")?;
            let serial = bytes(serial.trim()).and_then(|serial| packed(&serial));
            let serial = serial.ok_or("is no serial number: write 1 to 40 hexadecimal digits")?;
            let of_serial = self.serials.entry(serial).or_default();
            of_serial.extend(names(issuer.trim())?);
            // The name of a CA may have ` #` in it, as OpenSSL prints it: each name that the line can
            // mean is meant.
            for (longer, number) in longer.zip(1..) {
                if number > NUMBER_SIGNS_MAX {
                    return Err(format!(
                        "has an issuer with more than {NUMBER_SIGNS_MAX} ` #` behind it"
                    ));
                }
                let issuer = longer
                    .split_once(" issuer:")
                    .map(|(_serial, issuer)| issuer);
                let also = issuer.and_then(|issuer| names(issuer.trim()).ok());
                of_serial.extend(also.into_iter().flatten());
            }
        } else {
            return Err("is none of the entries that are known".to_owned());
        }
        Ok(())
    }

    fn has_serial(&self, der: &[u8], serial: &[u8]) -> bool {
        let issuers = packed(serial).and_then(|serial| self.serials.get(&serial));
        issuers.is_some_and(|issuers| match X509Certificate::from_der(der) {
            // An issuer that cannot be compared may be the one that is meant.
            Ok((_rest, certificate)) => SubjectName::of(certificate.issuer().as_raw())
                .is_none_or(|issuer| issuers.contains(&issuer)),
            Err(_unreadable) => true,
        })
    }

    fn has_certificates(&self) -> bool {
        !(self.fingerprints.is_empty() && self.pins.is_empty() && self.serials.is_empty())
    }
}

/// What a line says, by where its comment begins: at the first ` #`, at each later one, nowhere.
fn readings(line: &str) -> impl Iterator<Item = &str> {
    let signs = line.match_indices(" #").map(|(at, _)| at);
    let ends = signs.chain([line.len()]);
    ends.filter_map(|end| line.get(..end)).map(str::trim)
}

/// A name in the order of RFC 4514, and in that of the certificate, in which some tools print it:
/// an entry that means one of them must not miss it.
fn names(text: &str) -> Result<[SubjectName; 2], String> {
    let refused = |error| format!("has an issuer that cannot be read: {error}");
    let name = text.parse().map_err(refused)?;
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        let splits = character == ',' && !escaped;
        escaped = character == '\\' && !escaped;
        if splits {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.reverse();
    let turned = parts.join(",").parse().map_err(refused)?;
    Ok([name, turned])
}

/// Hexadecimal digits, with or without colons; an odd one in front stands alone.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |character: char| u8::try_from(character.to_digit(16)?).ok();
    let digits = text.chars().filter(|character| *character != ':');
    let mut digits: Vec<u8> = digits.map(digit).collect::<Option<_>>()?;
    if digits.is_empty() {
        return None;
    }
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    let (pairs, _none) = digits.as_chunks::<2>();
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl fmt::Debug for DenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DenyList({} entries)", self.len())
    }
}
