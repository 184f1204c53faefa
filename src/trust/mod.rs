//! What the gateway holds and what it believes: key pairs with which it proves who it is, and
//! bundles of CAs whose signatures it accepts.
//!
//! Both come from a [`Source`] and never change afterwards: a source publishes new ones. Whom a
//! certificate names is not asked here but in `identity::certificate`; [`TrustStore::verify`]
//! says whether what it says may be believed. Private keys never leave this folder but inside
//! rustls' or aws-lc's signing key, and are in no `Debug` text.

mod authority;
mod bundle;
mod candidates;
mod crl;
mod crl_files;
mod crl_problem;
mod crl_scope;
mod deny;
mod der;
mod error;
mod info;
mod intermediates;
mod judge;
mod key_pair;
mod pem;
mod roots;
mod revocation;
mod serials;
mod signing_key;
mod source;
mod rehearsal;
mod secret;
mod store;
mod untrusted;
#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod crl_tests;
#[cfg(test)]
mod deny_tests;
#[cfg(test)]
mod tests;
pub mod workload_api;

use std::sync::{Arc, LazyLock};

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};

pub use bundle::{BundleFiles, CrlInfo, TrustBundle, Usage, Vouches};
pub use crl_problem::CrlProblem;
pub use deny::DenyList;
pub use error::TrustError;
pub use info::CertificateInfo;
pub use key_pair::KeyPair;
pub use pem::open;
pub use rehearsal::Rehearsal;
pub use revocation::RevocationMode;
pub use roots::roots;
pub use secret::{SecretFile, SecretProblem, WhyNoSecret, private_key_text, secret};
pub use signing_key::{SigningKeyFile, signing_key};
pub use source::{Published, Source, SourceKind, SourceResult, SourceStatus};
pub use store::TrustStore;
pub use untrusted::Untrusted;

/// Key exchange groups, the best first. The hybrid one is safe as long as either half is.
static GROUPS: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

/// Cipher suites, the best first. AES-128 before AES-256: no attack tells them apart, and SHA-256,
/// which comes with it, is an instruction on today's processors where SHA-384 is not.
static SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// The one cryptography of the process: aws-lc-rs, with [`X25519MLKEM768`] first.
///
/// Its cipher suites are those of TLS 1.3 and, for TLS 1.2, ECDHE with an AEAD.
///
/// [`X25519MLKEM768`]: kx_group::X25519MLKEM768
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            cipher_suites: SUITES.to_vec(),
            kx_groups: GROUPS.to_vec(),
            ..aws_lc_rs::default_provider()
        })
    });
    Arc::clone(&PROVIDER)
}
