//! [`KeyPair`]: a certificate with its chain and its private key, taken only when they fit.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::Error as Tls;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::identity::host::Host;

use super::error::TrustError;
use super::info::{CertificateInfo, check_strength, parse, sha256};
use super::{pem, provider};

/// With what the gateway proves who it is: to clients at the edge, to services upstream.
///
/// Holding one means: the key is that of the leaf, strong enough, and the leaf was valid when it
/// was loaded.
pub struct KeyPair {
    certified: Arc<CertifiedKey>,
    digest: [u8; 32],
    names: Box<[ServedName]>,
    certificates: Vec<CertificateInfo>,
    warnings: Vec<String>,
}

/// A name that the leaf is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServedName {
    Exact(Host),
    /// `*.example.com`, kept as `example.com`: one label in front (RFC 9525, section 6.3).
    Below(Host),
}

/// The leaf and ten above it, as a peer's chain; see `bundle`.
const CHAIN_MAX: usize = 11;

impl KeyPair {
    /// Reads the PEM files `cert` (the leaf first, then its chain) and `key`.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if a file cannot be read or is not what it should be, if the two do not
    /// belong together, or if the leaf is not valid at `now`. An expired certificate above the
    /// leaf is kept: [`Self::certificates`] shows it, and peers may know another way up.
    pub fn load(cert: &Path, key: &Path, now: UnixTime) -> Result<Self, TrustError> {
        let chain = pem::certificates(cert)?;
        let read = Self::of(chain, || pem::private_key(key), [cert, key], now)?;
        Ok(Self {
            warnings: warnings(key),
            ..read
        })
    }

    /// Takes a chain (the leaf first) and its key as a source gave them. `origin` stands for the
    /// files in what is said about them.
    ///
    /// # Errors
    ///
    /// [`TrustError`], as [`Self::load`].
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        origin: &Path,
        now: UnixTime,
    ) -> Result<Self, TrustError> {
        Self::of(chain, || Ok(key), [origin, origin], now)
    }

    fn of(
        chain: Vec<CertificateDer<'static>>,
        key: impl FnOnce() -> Result<PrivateKeyDer<'static>, TrustError>,
        [cert, key_file]: [&Path; 2],
        now: UnixTime,
    ) -> Result<Self, TrustError> {
        if chain.len() > CHAIN_MAX {
            return Err(TrustError::ChainTooLong {
                file: cert.to_owned(),
                count: chain.len(),
            });
        }
        let parsed = chain
            .iter()
            .zip(1..)
            .map(|(der, number)| parse(der, number, cert))
            .collect::<Result<Vec<_>, _>>()?;
        let certificates: Vec<_> = parsed
            .iter()
            .map(|certificate| CertificateInfo::of(certificate, cert))
            .collect();
        let mut names = Box::default();
        if let (Some(leaf), Some(info)) = (parsed.first(), certificates.first()) {
            check_strength(leaf, cert)?;
            check_leaf(info, now)?;
            names = served_names(leaf);
        }
        drop(parsed);
        Ok(Self {
            digest: sha256_of_all(&chain),
            certified: certified_key(chain, key()?, cert, key_file)?,
            names,
            certificates,
            warnings: Vec::new(),
        })
    }

    /// When the leaf ends, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.certificates
            .first()
            .map_or(i64::MIN, |leaf| leaf.not_after)
    }

    /// Leaf, chain and signing key, for a rustls configuration.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// SHA-256 over the chain. The key is that of the leaf, so that equal digests mean equal
    /// key pairs.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whether the leaf is made for this host. A wildcard stands for exactly one label.
    #[must_use]
    pub fn serves(&self, host: &Host) -> bool {
        let above = host
            .dns_name()
            .and_then(|name| name.split_once('.'))
            .map(|(_label, above)| above);
        self.names.iter().any(|name| match name {
            ServedName::Exact(exact) => exact == host,
            ServedName::Below(below) => above.is_some() && below.dns_name() == above,
        })
    }

    /// Says of a key pair whose leaf is over that it is.
    pub(super) fn ended(&self) -> TrustError {
        let leaf = self.certificates.first();
        TrustError::Expired {
            file: leaf.map(|leaf| leaf.file.clone()).unwrap_or_default(),
            subject: leaf.map(|leaf| leaf.subject.clone()).unwrap_or_default(),
            not_after: self.not_after(),
        }
    }

    /// Every certificate of the chain, the leaf first.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.certificates.clone()
    }

    /// What should be looked at and does not stop the gateway, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn check_leaf(leaf: &CertificateInfo, now: UnixTime) -> Result<(), TrustError> {
    let (file, subject) = (leaf.file.clone(), leaf.subject.clone());
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if leaf.is_ca {
        return Err(TrustError::LeafIsCa { file, subject });
    }
    if now > leaf.not_after {
        let not_after = leaf.not_after;
        return Err(TrustError::Expired {
            file,
            subject,
            not_after,
        });
    }
    if now < leaf.not_before {
        let not_before = leaf.not_before;
        return Err(TrustError::NotYetValid {
            file,
            subject,
            not_before,
        });
    }
    Ok(())
}

/// Brings chain and key together.
fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
    cert: &Path,
    key: &Path,
) -> Result<Arc<CertifiedKey>, TrustError> {
    let unusable = |_says_nothing_more| TrustError::KeyUnusable {
        file: key.to_owned(),
    };
    let signing_key = provider()
        .key_provider
        .load_private_key(private)
        .map_err(unusable)?;
    let certified = CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        Ok(()) => Ok(Arc::new(certified)),
        Err(Tls::InconsistentKeys(_)) => Err(TrustError::KeyMismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        }),
        Err(_unreadable) => Err(TrustError::CertificateMalformed {
            file: cert.to_owned(),
            number: 1,
        }),
    }
}

/// The names in `subjectAltName`; the common name is none (RFC 9525, section 6.3). A name that
/// is no host serves nobody.
fn served_names(leaf: &X509Certificate<'_>) -> Box<[ServedName]> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Box::default();
    };
    let names = extension.value.general_names.iter();
    names.filter_map(served_name).collect()
}

fn served_name(name: &GeneralName<'_>) -> Option<ServedName> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other names are of no host")]
    match name {
        GeneralName::DNSName(text) => match text.strip_prefix("*.") {
            Some(above) => {
                let host: Host = above.parse().ok()?;
                host.dns_name()?;
                Some(ServedName::Below(host))
            }
            None => text.parse().ok().map(ServedName::Exact),
        },
        GeneralName::IPAddress(bytes) => {
            let v4 = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from);
            let v6 = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from);
            let address = v4(bytes).or_else(|| v6(bytes))?;
            Some(ServedName::Exact(Host::from(address)))
        }
        _ => None,
    }
}

pub(super) fn warnings(key: &Path) -> Vec<String> {
    let mode = |found: &Metadata| found.permissions().mode();
    match std::fs::metadata(key) {
        Ok(found) if mode(&found) & 0o077 != 0 => vec![format!(
            "{} can be read by others than its owner (mode {:o}): `chmod 600` it",
            key.display(),
            mode(&found) & 0o777
        )],
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// Each certificate is hashed first, so that the same bytes cut elsewhere give another digest.
fn sha256_of_all(chain: &[CertificateDer<'_>]) -> [u8; 32] {
    let hashes: Vec<u8> = chain.iter().flat_map(|der| sha256(der)).collect();
    sha256(&hashes)
}

impl fmt::Debug for KeyPair {
    /// Whose it is; nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}
