//! [`TrustBundle`]: the CAs whose signatures are accepted, and the one place where a peer's chain
//! is verified against them.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, OtherError, RootCertStore};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::error::TrustError;
use super::info::{CertificateInfo, check_strength, parse, sha256};
use super::{pem, provider};

/// The CAs of one entry of `trust`.
pub struct TrustBundle {
    roots: Arc<RootCertStore>,
    /// In the order of `roots`.
    certificates: Vec<CertificateInfo>,
    digest: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a peer shows its certificate for (extended key usage, RFC 5280, section 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// To be let in at the edge.
    Client,
    /// To answer as a service.
    Server,
}

/// Chains of today have one or two. Each one more is work that a stranger can make us do.
const INTERMEDIATES_MAX: usize = 10;

impl TrustBundle {
    /// Reads the CA certificates of a PEM file. One that stands there twice counts once.
    ///
    /// A CA that is over is kept, so that metrics can show it; nothing verifies under it.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if the file cannot be read, has no certificate, or has one that is no CA's.
    pub fn load(ca: &Path) -> Result<Self, TrustError> {
        Self::from_der(pem::certificates(ca)?, ca)
    }

    /// Trusts nobody.
    #[must_use]
    pub fn nobody() -> Arc<Self> {
        static NOBODY: LazyLock<Arc<TrustBundle>> = LazyLock::new(|| {
            Arc::new(TrustBundle {
                roots: Arc::new(RootCertStore::empty()),
                certificates: Vec::new(),
                digest: sha256(&[]),
                algorithms: provider().signature_verification_algorithms,
            })
        });
        Arc::clone(&NOBODY)
    }

    /// Takes CA certificates as a source gave them. `ca` stands for the file in what is said about
    /// them.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if one cannot be read or is no CA's.
    pub fn from_der(ders: Vec<CertificateDer<'static>>, ca: &Path) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let mut certificates = Vec::new();
        let mut hashes: Vec<[u8; 32]> = Vec::new();
        for (der, number) in ders.into_iter().zip(1..) {
            let hash = sha256(&der);
            if hashes.contains(&hash) {
                continue;
            }
            let parsed = parse(&der, number, ca)?;
            check_strength(&parsed, ca)?;
            let info = CertificateInfo::of(&parsed, ca);
            if !info.is_ca {
                return Err(TrustError::NotACa {
                    file: ca.to_owned(),
                    number,
                    subject: info.subject,
                });
            }
            drop(parsed);
            roots
                .add(der)
                .map_err(|_unreadable| TrustError::CertificateMalformed {
                    file: ca.to_owned(),
                    number,
                })?;
            certificates.push(info);
            hashes.push(hash);
        }
        hashes.sort_unstable();
        Ok(Self {
            roots: Arc::new(roots),
            certificates,
            digest: sha256(hashes.as_flattened()),
            algorithms: provider().signature_verification_algorithms,
        })
    }

    /// The CAs for rustls: to name them to clients. To verify, use [`Self::verify`], which also
    /// looks at the validity of the CAs themselves.
    #[must_use]
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// SHA-256 over the set of certificates; their order in the file does not matter.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Every CA of the bundle.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.certificates.clone()
    }

    /// When the next CA of this bundle ends, in seconds since 1970: until then a chain that
    /// verifies goes on to do so as far as its CA goes.
    #[must_use]
    pub fn next_end(&self, now: UnixTime) -> i64 {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let ends = self.certificates.iter().map(|ca| ca.not_after);
        ends.filter(|end| *end >= now).min().unwrap_or(now)
    }

    /// Whether a chain leads from `leaf` over `intermediates` (at most 10) to a CA of this bundle:
    /// signatures, the validity of each certificate and of the CA at `now`, key usage, name
    /// constraints, path length (RFC 5280, section 6). Whom the leaf names is not looked at.
    ///
    /// # Errors
    ///
    /// [`rustls::Error::InvalidCertificate`] with the most telling reason.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if intermediates.len() > INTERMEDIATES_MAX {
            return Err(certificate_error(webpki::Error::MaximumPathDepthExceeded));
        }
        let leaf = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
        let usage = match usage {
            Usage::Client => KeyUsage::client_auth(),
            Usage::Server => KeyUsage::server_auth(),
        };
        let ca_is_valid = |path: &VerifiedPath<'_>| self.check_validity(path.anchor(), now);
        leaf.verify_for_usage(
            self.algorithms.all,
            &self.roots.roots,
            intermediates,
            now,
            usage,
            None,
            Some(&ca_is_valid),
        )
        .map(|_path| ())
        .map_err(certificate_error)
    }

    /// webpki keeps no validity of a trust anchor and looks at none. A CA that stands in the
    /// bundle with several certificates for one key counts while one of them is valid.
    fn check_validity(&self, used: &TrustAnchor<'_>, now: UnixTime) -> Result<(), webpki::Error> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut refused = Err(webpki::Error::UnknownIssuer);
        for (anchor, info) in self.roots.roots.iter().zip(&self.certificates) {
            let same = anchor.subject == used.subject
                && anchor.subject_public_key_info == used.subject_public_key_info;
            if !same {
                continue;
            }
            refused = check_time(info, seconds, now);
            if refused.is_ok() {
                break;
            }
        }
        refused
    }
}

fn check_time(ca: &CertificateInfo, seconds: i64, time: UnixTime) -> Result<(), webpki::Error> {
    let at = |seconds: i64| {
        let since_1970 = u64::try_from(seconds).unwrap_or(0);
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(since_1970))
    };
    if seconds > ca.not_after {
        let not_after = at(ca.not_after);
        return Err(webpki::Error::CertExpired { time, not_after });
    }
    if seconds < ca.not_before {
        let not_before = at(ca.not_before);
        return Err(webpki::Error::CertNotValidYet { time, not_before });
    }
    Ok(())
}

/// Says webpki's reason in rustls' words.
fn certificate_error(error: webpki::Error) -> rustls::Error {
    use CertificateError as Certificate;
    use webpki::Error as Chain;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "webpki's enum grows: what is new to us keeps its own text"
    )]
    let reason = match error {
        Chain::BadDer
        | Chain::BadDerTime
        | Chain::TrailingData(_)
        | Chain::ExtensionValueInvalid
        | Chain::MalformedExtensions
        | Chain::MalformedDnsIdentifier
        | Chain::MalformedNameConstraint
        | Chain::InvalidSerialNumber
        | Chain::UnsupportedCertVersion => Certificate::BadEncoding,
        Chain::UnsupportedCriticalExtension => Certificate::UnhandledCriticalExtension,
        Chain::CertExpired { time, not_after } => Certificate::ExpiredContext { time, not_after },
        Chain::InvalidCertValidity => Certificate::Expired,
        Chain::CertNotValidYet { time, not_before } => {
            Certificate::NotValidYetContext { time, not_before }
        }
        // An intermediate that is no CA has signed nothing that counts.
        Chain::UnknownIssuer | Chain::EndEntityUsedAsCa => Certificate::UnknownIssuer,
        Chain::CertRevoked => Certificate::Revoked,
        Chain::InvalidSignatureForPublicKey | Chain::SignatureAlgorithmMismatch => {
            Certificate::BadSignature
        }
        Chain::UnsupportedSignatureAlgorithmContext(context) => {
            Certificate::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: context.signature_algorithm_id,
                supported_algorithms: context.supported_algorithms,
            }
        }
        Chain::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
            Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: context.signature_algorithm_id,
                public_key_algorithm_id: context.public_key_algorithm_id,
            }
        }
        Chain::CaUsedAsEndEntity
        | Chain::EmptyEkuExtension
        | Chain::RequiredEkuNotFoundContext(_) => Certificate::InvalidPurpose,
        other => Certificate::Other(OtherError(Arc::new(other))),
    };
    rustls::Error::InvalidCertificate(reason)
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}
