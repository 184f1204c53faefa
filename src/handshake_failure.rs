//! [`HandshakeFailure`]: every way in which a TLS handshake ends without a connection, on both
//! sides, as an operator counts it.
//!
//! Foreign errors are sorted here, once. The peer itself learns no more than a TLS alert.

use rustls::{
    AlertDescription, CertificateError, Error as Tls, InvalidMessage, PeerIncompatible,
    PeerMisbehaved,
};

macro_rules! handshake_failures {
    ($($(#[doc = $doc:literal])+ $variant:ident, $reason:literal;)+) => {
        /// Why a handshake failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum HandshakeFailure {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl HandshakeFailure {
            /// Every variant, for the metrics' start values and for the test that walks them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label in metrics and logs. Dashboards read it: once released, it stays.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)+ }
            }
        }
    };
}

handshake_failures! {
    /// The peer showed no certificate and one is required.
    CertificateMissing, "certificate_missing";
    /// The certificate's time, or that of a CA above it, is over.
    CertificateExpired, "certificate_expired";
    /// The certificate's time has not begun.
    CertificateNotYetValid, "certificate_not_yet_valid";
    /// No CA of the trust bundle signed it.
    UnknownIssuer, "unknown_issuer";
    /// A signature, of the certificate or of the handshake, is wrong.
    BadSignature, "bad_signature";
    /// The certificate is not made for this side (extended key usage), or is a CA.
    WrongUsage, "wrong_usage";
    /// The certificate has a SPIFFE ID and another URI name beside it.
    SeveralSpiffeNames, "several_spiffe_names";
    /// The certificate has a URI name that begins as a SPIFFE ID and is none.
    InvalidSpiffeName, "invalid_spiffe_name";
    /// No trust bundle vouches for the certificate's SPIFFE trust domain, or for its having none.
    UnknownTrustDomain, "unknown_trust_domain";
    /// A CRL lists the certificate, or a CA above it.
    CertificateRevoked, "certificate_revoked";
    /// The deny list names the certificate, its SPIFFE ID or key, or a CA above it.
    CertificateDenied, "certificate_denied";
    /// Revocation is `required`, and no CRL covers the certificate or a CA above it.
    RevocationUnknown, "revocation_unknown";
    /// Revocation is `required`, and the CRL that covers it has had its next update.
    CrlExpired, "crl_expired";
    /// An RSA key of the chain has less than 2,048 bits.
    KeyWeak, "key_weak";
    /// A certificate of the chain is signed with SHA-1, MD5 or another algorithm that is broken.
    SignatureWeak, "signature_weak";
    /// The chain is longer, larger or more entangled than is looked at.
    ChainTooLong, "chain_too_long";
    /// A CA may have fewer CAs below it (path length).
    PathLength, "path_length";
    /// A CA may not sign for this name (name constraints).
    NameConstraint, "name_constraint";
    /// The certificate cannot be read, has an unknown critical extension, too many names, or a name
    /// that is none.
    CertificateMalformed, "certificate_malformed";
    /// A message breaks the protocol.
    ProtocolMalformed, "protocol_malformed";
    /// No TLS version that both sides speak.
    NoCommonVersion, "no_common_version";
    /// No cipher suite that both sides have.
    NoCommonCipherSuite, "no_common_cipher_suite";
    /// No key exchange group that both sides have.
    NoCommonGroup, "no_common_group";
    /// No signature algorithm that both sides have.
    NoCommonSignature, "no_common_signature";
    /// No application protocol that both sides speak.
    NoCommonAlpn, "no_common_alpn";
    /// No certificate of ours is for the name that the client asked for.
    UnknownServerName, "unknown_server_name";
    /// The source of our certificate for the name has given none yet.
    CertificateUnavailable, "certificate_unavailable";
    /// The peer sent the alert `bad_certificate`, `certificate_unknown` or `unsupported_certificate`:
    /// it refused our certificate.
    AlertBadCertificate, "alert_bad_certificate";
    /// The peer sent the alert `unknown_ca`: it does not trust our CA.
    AlertUnknownCa, "alert_unknown_ca";
    /// The peer sent the alert `certificate_expired` or `certificate_revoked`.
    AlertCertificateExpired, "alert_certificate_expired";
    /// The peer sent the alert `certificate_required`.
    AlertCertificateRequired, "alert_certificate_required";
    /// The peer sent the alert `handshake_failure`.
    AlertHandshakeFailure, "alert_handshake_failure";
    /// The peer sent the alert `unrecognized_name`.
    AlertUnrecognizedName, "alert_unrecognized_name";
    /// The peer sent another alert.
    AlertOther, "alert_other";
    /// The peer closed the connection in the middle of the handshake.
    PeerClosed, "peer_closed";
    /// The handshake was not complete at its deadline.
    TimedOut, "timed_out";
    /// The peer spoke HTTP without TLS.
    PlainHttp, "plain_http";
    /// Upstream: the certificate verifies, and states none of the accepted identities.
    IdentityMismatch, "identity_mismatch";
    /// Upstream: the certificate verifies, and its key is none of the accepted pins.
    PinMismatch, "pin_mismatch";
    /// Something else, which the log says.
    Other, "other";
}

impl HandshakeFailure {
    /// Why a client that was let in may have to go: what a change of trust, or time alone, can make of
    /// a chain that was good. Whatever else is found counts as the last.
    pub const OF_STANDING: &[Self] = &[
        Self::CertificateMissing,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::UnknownIssuer,
        Self::BadSignature,
        Self::UnknownTrustDomain,
        Self::CertificateRevoked,
        Self::CertificateDenied,
        Self::RevocationUnknown,
        Self::CrlExpired,
        Self::SignatureWeak,
        Self::ChainTooLong,
        Self::PathLength,
        Self::NameConstraint,
        Self::CertificateMalformed,
        Self::Other,
    ];

    /// Sorts what tokio-rustls answers: rustls' error inside, or that of the socket.
    #[must_use]
    pub fn from_io(error: &std::io::Error) -> Self {
        if let Some(tls) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Tls>())
        {
            return Self::from_rustls(tls);
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "std's enum grows")]
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe => Self::PeerClosed,
            std::io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other,
        }
    }

    /// Sorts rustls' error.
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls' enums grow: what is new to us counts as `other`, and its text is logged"
    )]
    pub fn from_rustls(error: &Tls) -> Self {
        match error {
            Tls::NoCertificatesPresented => Self::CertificateMissing,
            Tls::InvalidCertificate(certificate) => Self::from_certificate(certificate),
            Tls::AlertReceived(alert) => Self::from_alert(*alert),
            Tls::PeerIncompatible(incompatible) => Self::from_incompatible(incompatible),
            Tls::NoApplicationProtocol => Self::NoCommonAlpn,
            Tls::UnsupportedNameType => Self::UnknownServerName,
            Tls::PeerMisbehaved(
                PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme
                | PeerMisbehaved::SignedKxWithWrongAlgorithm,
            ) => Self::BadSignature,
            Tls::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge) => Self::ChainTooLong,
            Tls::InappropriateMessage { .. }
            | Tls::InappropriateHandshakeMessage { .. }
            | Tls::InvalidMessage(_)
            | Tls::PeerMisbehaved(_)
            | Tls::PeerSentOversizedRecord
            | Tls::DecryptError => Self::ProtocolMalformed,
            _ => Self::Other,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' enums grow")]
    const fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::CertificateNotYetValid
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::BadSignature
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongUsage
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::IdentityMismatch
            }
            CertificateError::Revoked => Self::CertificateRevoked,
            CertificateError::UnknownRevocationStatus => Self::RevocationUnknown,
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::CrlExpired,
            CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => {
                Self::CertificateMalformed
            }
            _ => Self::CertificateMalformed,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' enums grow")]
    const fn from_incompatible(error: &PeerIncompatible) -> Self {
        match error {
            PeerIncompatible::NoCipherSuitesInCommon => Self::NoCommonCipherSuite,
            PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NamedGroupsExtensionRequired
            | PeerIncompatible::NoEcPointFormatsInCommon
            | PeerIncompatible::UncompressedEcPointsRequired
            | PeerIncompatible::EcPointsExtensionRequired
            | PeerIncompatible::KeyShareExtensionRequired => Self::NoCommonGroup,
            PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired => Self::NoCommonSignature,
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerSentHelloRetryRequestWithUnknownExtension => {
                Self::NoCommonVersion
            }
            _ => Self::Other,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' enums grow")]
    const fn from_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate => Self::AlertBadCertificate,
            AlertDescription::UnknownCA => Self::AlertUnknownCa,
            AlertDescription::CertificateExpired | AlertDescription::CertificateRevoked => {
                Self::AlertCertificateExpired
            }
            AlertDescription::CertificateRequired => Self::AlertCertificateRequired,
            AlertDescription::HandshakeFailure => Self::AlertHandshakeFailure,
            AlertDescription::UnrecognisedName => Self::AlertUnrecognizedName,
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => Self::PeerClosed,
            AlertDescription::ProtocolVersion => Self::NoCommonVersion,
            AlertDescription::NoApplicationProtocol => Self::NoCommonAlpn,
            _ => Self::AlertOther,
        }
    }
}
