//! [`StoreSpec`]: the store through which several gateways share what each must know of the others.

use std::path::PathBuf;
use std::time::Duration;

use super::fetch::FetchTlsSpec;
use super::spec::EndpointSpec;

/// `shared_state.redis`: a Valkey or Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Where it listens; of a cluster, some of its nodes. At least one.
    pub endpoints: Vec<EndpointSpec>,
    /// Whether it is a cluster. Default false.
    pub cluster: bool,
    /// The user of its ACL. Default that of its password alone.
    pub username: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// How long a question may take. Default 100 ms.
    pub timeout: Duration,
    /// What all names begin with. Default `portcullis:`.
    pub prefix: String,
    /// TLS towards it; `None` is written out.
    pub tls: Option<FetchTlsSpec>,
    /// What happens when it is away.
    pub when_away: WhenAway,
}

/// What happens when the store cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// Whoever needs it is refused.
    Refuse,
    /// The memory of this gateway alone decides.
    Local,
}

impl WhenAway {
    /// As it is written.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Local => "local",
        }
    }
}
