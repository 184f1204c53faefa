//! [`Untrusted`]: why a chain is not believed, for us, for the log and for rustls.

use std::fmt;
use std::sync::Arc;

use rustls::{CertificateError, OtherError};
use webpki::Error as Chain;

use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::NoIdentity;

/// Why a chain is not believed.
#[derive(Debug)]
pub struct Untrusted {
    /// For metrics and the log.
    pub reason: HandshakeFailure,
    /// For rustls, which makes the alert from it: all that the peer learns.
    pub error: rustls::Error,
    /// For the log: which certificate, which CRL. Has texts from certificates in it.
    pub detail: String,
}

impl Untrusted {
    pub(super) fn new(reason: HandshakeFailure, error: CertificateError, detail: String) -> Self {
        Self {
            reason,
            error: rustls::Error::InvalidCertificate(error),
            detail,
        }
    }

    /// Where the peer learns no more than `certificate_unknown`.
    pub(super) fn plain(reason: HandshakeFailure, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let text = OtherError(Arc::new(Text(detail.clone())));
        Self::new(reason, CertificateError::Other(text), detail)
    }

    /// Says webpki's reason in our words and in rustls'.
    pub(super) fn of_chain(error: Chain) -> Self {
        let detail = error.to_string();
        let own = own_reason(&error);
        let error = rustls::Error::InvalidCertificate(certificate_error(error));
        Self {
            reason: own.unwrap_or_else(|| HandshakeFailure::from_rustls(&error)),
            error,
            detail,
        }
    }
}

impl From<rustls::Error> for Untrusted {
    fn from(error: rustls::Error) -> Self {
        Self {
            reason: HandshakeFailure::from_rustls(&error),
            detail: error.to_string(),
            error,
        }
    }
}

impl From<NoIdentity> for Untrusted {
    fn from(no_identity: NoIdentity) -> Self {
        let reason = match no_identity {
            NoIdentity::SeveralSpiffeNames => HandshakeFailure::SeveralSpiffeNames,
            NoIdentity::InvalidSpiffeName => HandshakeFailure::InvalidSpiffeName,
            NoIdentity::Malformed | NoIdentity::InvalidName | NoIdentity::TooManyNames => {
                HandshakeFailure::CertificateMalformed
            }
        };
        let error = CertificateError::BadEncoding;
        Self::new(reason, error, no_identity.to_string())
    }
}

/// A text as an error.
#[derive(Debug)]
struct Text(String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Text {}

/// Where rustls' words are coarser than ours.
#[expect(clippy::wildcard_enum_match_arm, reason = "webpki's enum grows")]
const fn own_reason(error: &Chain) -> Option<HandshakeFailure> {
    match error {
        Chain::NameConstraintViolation => Some(HandshakeFailure::NameConstraint),
        Chain::PathLenConstraintViolated => Some(HandshakeFailure::PathLength),
        Chain::UnsupportedSignatureAlgorithmContext(_) => Some(HandshakeFailure::SignatureWeak),
        Chain::MaximumPathDepthExceeded
        | Chain::MaximumSignatureChecksExceeded
        | Chain::MaximumPathBuildCallsExceeded
        | Chain::MaximumNameConstraintComparisonsExceeded => Some(HandshakeFailure::ChainTooLong),
        _ => None,
    }
}

/// Says webpki's reason in rustls' words.
fn certificate_error(error: Chain) -> CertificateError {
    use CertificateError as Certificate;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "webpki's enum grows: what is new to us keeps its own text"
    )]
    match error {
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
    }
}
