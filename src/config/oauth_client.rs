//! [`OauthClientSpec`]: who we are to authorization servers, as values.

use std::path::PathBuf;

use super::spec::SignatureAlgorithm;
use crate::identity::name::Name;

/// One entry of `oauth_clients`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OauthClientSpec {
    /// Under which name the server knows us.
    pub client_id: String,
    /// How we prove it.
    pub proof: ClientProofSpec,
}

/// How we prove to an authorization server who we are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientProofSpec {
    /// `client_secret_basic` (RFC 6749, section 2.3.1): the file with the secret.
    Secret(PathBuf),
    /// `private_key_jwt` (RFC 7523, section 2.2).
    PrivateKeyJwt(PrivateKeyJwtSpec),
    /// `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705, section 2): an entry of
    /// `identities`.
    Tls(Name),
}

/// `oauth_clients.NAME.private_key_jwt`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrivateKeyJwtSpec {
    /// A PEM file with the private key.
    pub key_file: PathBuf,
    /// The key's name at the server. Default: none is said.
    pub kid: Option<String>,
    /// What it signs with.
    pub algorithm: SignatureAlgorithm,
    /// The claim `aud`. Default: the issuer where one is named, else the URL that is asked.
    pub audience: Option<String>,
}

impl OauthClientSpec {
    /// The file with the secret or with the key, if there is one.
    #[must_use]
    pub const fn file(&self) -> Option<&PathBuf> {
        match &self.proof {
            ClientProofSpec::Secret(file) => Some(file),
            ClientProofSpec::PrivateKeyJwt(spec) => Some(&spec.key_file),
            ClientProofSpec::Tls(_) => None,
        }
    }

    /// The entry of `identities` that it shows in TLS, if that is its proof.
    #[must_use]
    pub const fn identity(&self) -> Option<&Name> {
        match &self.proof {
            ClientProofSpec::Tls(name) => Some(name),
            ClientProofSpec::Secret(_) | ClientProofSpec::PrivateKeyJwt(_) => None,
        }
    }
}
