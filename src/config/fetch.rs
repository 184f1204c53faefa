//! How servers are asked over HTTPS: `tls` of an issuer's keys, of introspection, and of whatever
//! else the gateway asks.

use std::path::PathBuf;

use crate::identity::name::Name;

/// On whose word a server is believed, and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchTlsSpec {
    /// Who may have signed its certificate.
    pub believed: BelievedSpec,
    /// Our key pair, by its name in `identities`. Default none.
    pub identity: Option<Name>,
}

/// Who may have signed a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BelievedSpec {
    /// Entries of `trust`. At least one.
    Trust(Vec<Name>),
    /// A PEM file with public CAs, such as an operating system has.
    Ca(PathBuf),
}

impl FetchTlsSpec {
    /// The file of public CAs, if that is whose word counts.
    #[must_use]
    pub const fn ca(&self) -> Option<&PathBuf> {
        match &self.believed {
            BelievedSpec::Ca(file) => Some(file),
            BelievedSpec::Trust(_) => None,
        }
    }
}
