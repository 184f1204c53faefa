//! [`AcmeSpec`]: an ACME directory that issues certificates of ours, as values.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::Uri;

use crate::identity::host::Host;
use crate::identity::name::Name;

/// One entry of `acme`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AcmeSpec {
    /// Where the directory is: `https`, with a host and without user information.
    pub directory: Uri,
    /// PEM: the CAs of the directory's own certificate.
    pub ca: PathBuf,
    /// Whom the directory writes to: `mailto:` addresses.
    pub contact: Vec<String>,
    /// Where the account and the certificates are kept.
    pub folder: PathBuf,
    /// How we prove that a name is ours. Default TLS-ALPN-01.
    pub challenge: AcmeChallenge,
    /// The account of the CA's customer that ours belongs to (RFC 8555, section 7.3.4).
    pub eab: Option<AcmeEabSpec>,
}

/// How we prove that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcmeChallenge {
    /// On our TLS listeners (RFC 8737).
    TlsAlpn01,
    /// On a plain HTTP listener that answers nothing else (RFC 8555, section 8.3).
    Http01 {
        /// Where it listens. Cannot change in a reload.
        address: SocketAddr,
    },
}

/// `acme.NAME.eab`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AcmeEabSpec {
    /// The key's name.
    pub key_id: String,
    /// The file of the key, in base64url as CAs give it out.
    pub key_file: PathBuf,
}

/// A certificate that an ACME directory issues.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AcmeCertificateSpec {
    /// The entry of `acme`.
    pub acme: Name,
    /// What it is for: DNS names, sorted, each once. At least one.
    pub names: Vec<Host>,
}

/// Where HTTP-01 challenges are answered: each address once, with an entry that names it.
#[must_use]
pub fn http_addresses(acme: &BTreeMap<Name, AcmeSpec>) -> BTreeMap<SocketAddr, &Name> {
    let listening = acme.iter().filter_map(|(name, spec)| match spec.challenge {
        AcmeChallenge::Http01 { address } => Some((address, name)),
        AcmeChallenge::TlsAlpn01 => None,
    });
    listening.collect()
}
