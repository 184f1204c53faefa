//! [`ServiceVerifier`]: is this certificate that of a service which may answer?
//!
//! First the chain, under the upstream's trust bundle; then the one identity that the leaf states;
//! then whether that identity is accepted. The name that we send as SNI proves nothing here: a
//! service is who `accept` says.
//!
//! rustls knows few reasons for a refusal and does not give back what a verifier has learnt. So the
//! judgement is left in a slot of the task that shakes hands: see [`judged`].

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::PeerIdentity;
use crate::identity::pattern::ServerPattern;
use crate::observe::{Rehearsed, Side, UpstreamMetrics};
use crate::trust::{TrustStore, Untrusted, Usage};

/// Judges the certificates of services for one policy.
#[derive(Debug)]
pub(super) struct ServiceVerifier {
    trust: Arc<TrustStore>,
    accept: Box<[ServerPattern]>,
    metrics: Arc<UpstreamMetrics>,
    provider: Arc<CryptoProvider>,
}

/// What the verifier said in one handshake.
#[derive(Debug, Default)]
pub(super) enum Judgement {
    /// Nothing: it was not asked. So it is when a session is resumed, and when the handshake failed
    /// before there was a certificate.
    #[default]
    NotAsked,
    /// This service may answer, as far as its certificate goes.
    Accepted(Arc<PeerIdentity>),
    /// It may not.
    Refused {
        reason: HandshakeFailure,
        leaf: CertificateDer<'static>,
        /// Certificates that were shown, that one included.
        chain_length: usize,
        /// The reason in more words, for the log.
        detail: String,
    },
}

tokio::task_local! {
    static JUDGEMENT: RefCell<Judgement>;
}

/// Runs a handshake and tells what the verifier said in it.
pub(super) async fn judged<F: Future>(handshake: F) -> (F::Output, Judgement) {
    let both = async {
        let outcome = handshake.await;
        (outcome, JUDGEMENT.with(RefCell::take))
    };
    JUDGEMENT.scope(RefCell::default(), both).await
}

impl ServiceVerifier {
    pub(super) fn new(
        trust: Arc<TrustStore>,
        accept: &[ServerPattern],
        metrics: Arc<UpstreamMetrics>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self {
            trust,
            accept: accept.into(),
            metrics,
            provider,
        }
    }

    /// Judges a chain as it stands, in a handshake or as a resumed session has kept it.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<PeerIdentity>, Refused> {
        let began = Instant::now();
        let verified = self.trust.verify(leaf, intermediates, Usage::Server, now);
        self.metrics.chain_verified(began.elapsed());
        verified.map_err(Refused::from)?;
        let identity = self.trust.identity(leaf)?;
        if self.accept.iter().any(|wanted| wanted.matches(&identity)) {
            self.rehearse(&identity, leaf, intermediates, now);
            Ok(Arc::new(identity))
        } else {
            Err(self.not_accepted())
        }
    }

    /// Counts what would become of the service under the bundles that are to come.
    fn rehearse(
        &self,
        identity: &PeerIdentity,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) {
        for rehearsal in self.trust.rehearsals() {
            let fate = || match rehearsal.verify(
                leaf,
                intermediates,
                Usage::Server,
                now,
                Duration::ZERO,
            )? {
                Ok(()) => Some(Rehearsed::Passes),
                Err(untrusted) => Some(Rehearsed::Fails(untrusted.reason)),
            };
            let (side, fingerprint) = (Side::Upstream, identity.fingerprint);
            let nexts = &self.metrics.next_trusts;
            nexts.rehearsed(&rehearsal.name, rehearsal.digest(), side, fingerprint, fate);
        }
    }

    fn not_accepted(&self) -> Refused {
        let is_pin = |wanted: &ServerPattern| matches!(wanted, ServerPattern::Pin(_));
        Refused {
            reason: if !self.accept.is_empty() && self.accept.iter().all(is_pin) {
                HandshakeFailure::PinMismatch
            } else {
                HandshakeFailure::IdentityMismatch
            },
            // The service sees the alert `access_denied`: its chain is fine, and it is not meant.
            error: CertificateError::ApplicationVerificationFailure.into(),
            detail: "what the certificate states is not accepted".to_owned(),
        }
    }
}

/// A refusal, for us and for rustls, which makes the alert from it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: HandshakeFailure,
    error: rustls::Error,
    detail: String,
}

impl From<Untrusted> for Refused {
    fn from(untrusted: Untrusted) -> Self {
        let Untrusted {
            reason,
            error,
            detail,
        } = untrusted;
        Self {
            reason,
            error,
            detail,
        }
    }
}

impl ServerCertVerifier for ServiceVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>, // see the head of this file
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (judgement, answer) = match self.judge(end_entity, intermediates, now) {
            Ok(identity) => (
                Judgement::Accepted(identity),
                Ok(ServerCertVerified::assertion()),
            ),
            Err(Refused {
                reason,
                error,
                detail,
            }) => {
                let leaf = end_entity.clone().into_owned();
                let refused = Judgement::Refused {
                    reason,
                    leaf,
                    chain_length: intermediates.len().saturating_add(1),
                    detail,
                };
                (refused, Err(error))
            }
        };
        // Outside `judged` nobody reads it; the answer to rustls counts all the same.
        drop(JUDGEMENT.try_with(|slot| slot.replace(judgement)));
        answer
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
