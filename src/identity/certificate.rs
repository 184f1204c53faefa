//! [`peer_identity`]: the one place where a certificate becomes names.
//!
//! Chains, times and signatures are not verified here: that is the verifier's work, and what this
//! file reads counts only for a certificate that was verified.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::host::Host;
use super::spiffe::SpiffeId;
use super::subject_name::SubjectName;
use super::subject_text::octet;

/// What the leaf certificate of a verified connection says about its holder. Read once for each
/// connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The SPIFFE ID, if the certificate has exactly one URI name and that is a SPIFFE ID.
    pub spiffe: Option<SpiffeId>,
    /// The DNS names, wildcards left out: an identity is one name.
    pub dns: Box<[Host]>,
    /// SHA-256 of the whole certificate (DER).
    pub fingerprint: Fingerprint,
    /// SHA-256 of the public key (DER `SubjectPublicKeyInfo`).
    pub public_key: PublicKeyPin,
    /// The exact subject, if it can be read.
    pub subject: Option<SubjectName>,
    /// When its validity ends, in seconds since 1970.
    pub not_after: i64,
    /// What logs show beside the identity; never a credential.
    pub shown: Shown,
}

/// Texts from the certificate for people: escaped where they are printed, cut to
/// [`Shown::CHARS_MAX`] characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The subject, as RFC 4514 text.
    pub subject: Box<str>,
    /// The issuer, as RFC 4514 text.
    pub issuer: Box<str>,
    /// The serial number in hexadecimal.
    pub serial: Box<str>,
    /// The common name of the subject, if it has one.
    pub common_name: Option<Box<str>>,
}

/// SHA-256 of a certificate: `x5t#S256` of RFC 8705, section 3.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// SHA-256 of a public key, as in RFC 7469, section 2.4.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKeyPin([u8; 32]);

/// A text is not the fingerprint of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not 32 bytes in hexadecimal")]
pub struct InvalidFingerprint;

/// Why a certificate gives no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// It cannot be read as X.509, or a part of it is out of bounds.
    #[error("the certificate cannot be read")]
    Malformed,
    /// It has a URI name that means to be a SPIFFE ID and is none. To read it as "no SPIFFE ID" would
    /// hand it to whoever asks for none.
    #[error("the certificate has a URI name that begins as a SPIFFE ID and is none")]
    InvalidSpiffeName,
    /// A DNS or URI name has characters that stand in none: NUL, `%` in a DNS name, `*` in a URI.
    #[error("a name in the certificate has characters that stand in no name")]
    InvalidName,
    /// It has a SPIFFE ID and another URI name beside it. Picking one would let the verifier and
    /// the policy look at different names (X509-SVID, section 2).
    #[error("the certificate has several URI names and one of them is a SPIFFE ID")]
    SeveralSpiffeNames,
    /// It has more names than we look at.
    #[error("the certificate has more than {NAMES_MAX} names")]
    TooManyNames,
}

/// More subject alternative names than this are no workload's certificate.
const NAMES_MAX: usize = 256;

impl Shown {
    /// Longer texts are cut, for logs.
    pub const CHARS_MAX: usize = 200;
}

/// Reads the one identity that a leaf certificate (DER) states.
///
/// # Errors
///
/// [`NoIdentity`]: such a certificate is refused in the handshake.
pub fn peer_identity(leaf: &[u8]) -> Result<PeerIdentity, NoIdentity> {
    let (rest, certificate) =
        X509Certificate::from_der(leaf).map_err(|_unreadable| NoIdentity::Malformed)?;
    if !rest.is_empty() {
        return Err(NoIdentity::Malformed);
    }
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.as_slice(),
        Ok(None) => &[],
        Err(_twice_or_unreadable) => return Err(NoIdentity::Malformed),
    };
    check_names(names)?;
    Ok(PeerIdentity {
        spiffe: spiffe_id(names)?,
        dns: dns_names(names),
        fingerprint: Fingerprint::of(leaf),
        public_key: PublicKeyPin(sha256(certificate.public_key().raw)),
        subject: SubjectName::of(certificate.subject().as_raw()),
        not_after: certificate.validity().not_after.timestamp(),
        shown: shown(&certificate),
    })
}

/// The SPIFFE ID of a leaf certificate (DER), as [`peer_identity`] reads it, and nothing else.
///
/// # Errors
///
/// [`NoIdentity`], as [`peer_identity`].
pub fn spiffe_name(leaf: &[u8]) -> Result<Option<SpiffeId>, NoIdentity> {
    let (_rest, certificate) =
        X509Certificate::from_der(leaf).map_err(|_unreadable| NoIdentity::Malformed)?;
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => {
            let names = extension.value.general_names.as_slice();
            check_names(names)?;
            spiffe_id(names)
        }
        Ok(None) => Ok(None),
        Err(_twice_or_unreadable) => Err(NoIdentity::Malformed),
    }
}

/// A certificate with a name that two readers could read in two ways is no one's.
fn check_names(names: &[GeneralName<'_>]) -> Result<(), NoIdentity> {
    if names.len() > NAMES_MAX {
        return Err(NoIdentity::TooManyNames);
    }
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
    let in_uri = |byte: u8| byte.is_ascii_graphic() && byte != b'*';
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other names are not looked at"
    )]
    let sound = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) => text.bytes().all(in_host),
        GeneralName::URI(text) => SpiffeId::is_meant(text) || text.bytes().all(in_uri),
        GeneralName::Invalid(..) => false,
        _ => true,
    };
    let sound = names.iter().all(sound);
    sound.then_some(()).ok_or(NoIdentity::InvalidName)
}

/// When the validity of a certificate (DER) ends, in seconds since 1970; `None` if it cannot be read.
#[must_use]
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn spiffe_id(names: &[GeneralName<'_>]) -> Result<Option<SpiffeId>, NoIdentity> {
    let mut uris = names.iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name {
            Some(*uri)
        } else {
            None
        }
    });
    let Some(first) = uris.next() else {
        return Ok(None);
    };
    let mut others = uris.peekable();
    if others.peek().is_none() {
        return match first.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_not_well_formed) if SpiffeId::is_meant(first) => {
                Err(NoIdentity::InvalidSpiffeName)
            }
            Err(_another_uri) => Ok(None),
        };
    }
    if SpiffeId::is_meant(first) || others.any(SpiffeId::is_meant) {
        return Err(NoIdentity::SeveralSpiffeNames);
    }
    Ok(None)
}

fn dns_names(names: &[GeneralName<'_>]) -> Box<[Host]> {
    let canonical = |name: &GeneralName<'_>| {
        let GeneralName::DNSName(text) = name else {
            return None;
        };
        text.parse()
            .ok()
            .filter(|host: &Host| host.dns_name().is_some())
    };
    names.iter().filter_map(canonical).collect()
}

pub(super) fn name_text(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::URI(text) = name {
        return Some(format!("URI:{}", cut(text)));
    }
    let GeneralName::DNSName(text) = name else {
        return None;
    };
    Some(format!("DNS:{}", cut(text)))
}

pub(super) fn shown(certificate: &X509Certificate<'_>) -> Shown {
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    Shown {
        subject: cut(&certificate.subject().to_string()),
        issuer: cut(&certificate.issuer().to_string()),
        serial: cut(&certificate.raw_serial_as_string()),
        common_name: common_name.map(cut),
    }
}

fn cut(text: &str) -> Box<str> {
    text.chars().take(Shown::CHARS_MAX).collect()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

impl PeerIdentity {
    /// The identity for logs and for services: the SPIFFE ID, else the first DNS name, else the
    /// fingerprint. Never the common name.
    #[must_use]
    pub fn display(&self) -> String {
        if let Some(id) = &self.spiffe {
            return id.to_string();
        }
        match self.dns.first() {
            Some(name) => format!("dns:{name}"),
            None => format!("sha256:{}", self.fingerprint),
        }
    }

    /// For how many seconds the certificate has been over at `now`, in seconds since 1970.
    #[must_use]
    pub fn seconds_over(&self, now: i64) -> u32 {
        let over = now.saturating_sub(self.not_after).max(0);
        u32::try_from(over).unwrap_or(u32::MAX)
    }
}

impl Fingerprint {
    /// That of a certificate (DER).
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(sha256(certificate))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text of `x5t#S256` (RFC 8705, section 3.1): base64url without padding.
    #[must_use]
    pub fn to_base64url(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Display for Fingerprint {
    /// 64 hexadecimal digits in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    /// 64 hexadecimal digits, or 32 pairs of them with colons between, as openssl prints them; of
    /// either case.
    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut pairs = match text.contains(':') {
            true => text.split(':').map(str::as_bytes).collect::<Vec<_>>(),
            false => text.as_bytes().chunks(2).collect(),
        }
        .into_iter();
        let mut hash = [0; 32];
        for byte in &mut hash {
            let Some([high, low]) = pairs.next() else {
                return Err(InvalidFingerprint);
            };
            *byte = octet(*high, *low).ok_or(InvalidFingerprint)?;
        }
        match pairs.next() {
            None => Ok(Self(hash)),
            Some(_) => Err(InvalidFingerprint),
        }
    }
}

impl FromStr for PublicKeyPin {
    type Err = base64::DecodeError;

    fn from_str(text: &str) -> Result<Self, base64::DecodeError> {
        let bytes = STANDARD.decode(text)?;
        let hash = bytes
            .try_into()
            .map_err(|_length| base64::DecodeError::InvalidLength(0))?;
        Ok(Self(hash))
    }
}

impl fmt::Display for PublicKeyPin {
    /// Base64 with padding, as in `pin:sha256/...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PeerIdentity {
    /// An identity that was never verified, for `tests:` in the configuration and for unit tests:
    /// it states the given name and has a fingerprint that no certificate has.
    #[must_use]
    pub fn rehearsed(spiffe: Option<SpiffeId>, dns: Vec<Host>) -> Self {
        Self {
            spiffe,
            dns: dns.into(),
            fingerprint: Fingerprint([0; 32]),
            public_key: PublicKeyPin([0; 32]),
            subject: None,
            not_after: i64::MAX,
            shown: Shown::default(),
        }
    }
}
