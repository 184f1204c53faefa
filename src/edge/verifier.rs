//! [`ClientVerifier`]: whether rustls lets a client's certificate pass, and what it was.
//!
//! rustls tells a failed handshake's caller no more than an error. What the verifier saw, the
//! certificate that it refused or the identity that it read, reaches the caller through [`SEEN`].

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::config::spec::ClientCertificate;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::PeerIdentity;
use crate::observe::ListenerMetrics;
use crate::trust::{TrustStore, Untrusted, Usage, provider};

tokio::task_local! {
    /// What the verifier saw in the handshake that is polled right now.
    pub(super) static SEEN: RefCell<Seen>;
}

/// What a verifier saw.
#[derive(Debug, Default)]
pub(super) enum Seen {
    /// It was not asked: no certificate came, or the session was resumed.
    #[default]
    Nothing,
    /// A certificate that it let pass.
    Passed(Box<PeerIdentity>),
    /// A certificate that it refused.
    Refused {
        /// The certificate (DER).
        leaf: Vec<u8>,
        /// Certificates that were shown, that one included.
        chain_length: usize,
        /// Why.
        reason: HandshakeFailure,
        /// The same in more words, for the log.
        detail: String,
    },
}

/// Verifies clients against the trust bundles of a listener.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    trust: Arc<TrustStore>,
    metrics: Arc<ListenerMetrics>,
    /// How long after its end a leaf passes.
    grace: Duration,
    mandatory: bool,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    pub(super) fn new(
        trust: Arc<TrustStore>,
        certificate: ClientCertificate,
        grace: Duration,
        metrics: Arc<ListenerMetrics>,
    ) -> Self {
        let hints = trust.hints();
        let mandatory = match certificate {
            ClientCertificate::Required => true,
            ClientCertificate::Optional => false,
        };
        Self {
            trust,
            metrics,
            grace,
            mandatory,
            hints,
        }
    }
}

/// Verifies a chain and reads who it is: on a full handshake, and again on each resumption.
///
/// # Errors
///
/// [`Untrusted`], with our own word where rustls has none.
pub(super) fn judge(
    trust: &TrustStore,
    metrics: &ListenerMetrics,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    grace: Duration,
) -> Result<PeerIdentity, Untrusted> {
    let began = Instant::now();
    let verified = trust.verify_with_grace(leaf, intermediates, Usage::Client, now, grace);
    metrics.chain_verified(began.elapsed());
    verified?;
    trust.identity(leaf)
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judged = judge(
            &self.trust,
            &self.metrics,
            leaf,
            intermediates,
            now,
            self.grace,
        );
        let (seen, result) = match judged {
            Ok(identity) => (
                Seen::Passed(Box::new(identity)),
                Ok(ClientCertVerified::assertion()),
            ),
            Err(Untrusted {
                error,
                reason,
                detail,
            }) => (
                Seen::Refused {
                    leaf: leaf.to_vec(),
                    chain_length: intermediates.len().saturating_add(1),
                    reason,
                    detail,
                },
                Err(error),
            ),
        };
        // Outside of our own handshake nobody asks what was seen.
        drop(SEEN.try_with(|slot| slot.replace(seen)));
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
