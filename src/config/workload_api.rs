//! The values of `workload_api`, and of the places that name one of its entries.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::identity::name::Name;
use crate::identity::spiffe::{SpiffeId, TrustDomain};

/// One entry of `workload_api`: an agent of the SPIFFE Workload API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadApiSpec {
    /// Where it listens.
    pub socket: AgentSocket,
}

/// Where an agent listens (SPIFFE Workload Endpoint, section 4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AgentSocket {
    /// `unix:///run/spire/agent.sock`.
    Unix(PathBuf),
    /// `tcp://127.0.0.1:8081`: an address of this machine.
    Tcp(SocketAddr),
}

/// A key pair that an agent gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SvidSpec {
    /// An entry of `workload_api`.
    pub agent: Name,
    /// Which; by default the first that the agent sends.
    pub spiffe_id: Option<SpiffeId>,
}

/// A trust bundle that an agent gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentBundleSpec {
    /// An entry of `workload_api`.
    pub agent: Name,
    /// Of which trust domain.
    pub trust_domain: TrustDomain,
}

/// Why a text says of no agent where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAgentSocket {
    /// Neither `unix:` nor `tcp:`.
    #[error("an agent listens at `unix:///PATH` or `tcp://127.0.0.1:PORT`")]
    Scheme,
    /// The path does not begin at the root.
    #[error("the path of a socket begins at the root: `unix:///PATH`, with three slashes")]
    Relative,
    /// The system takes no path of this length.
    #[error("the path of a socket has at most {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// A character that stands in no path.
    #[error("the path of a socket has no control characters")]
    Control,
    /// Not an IP address with a port.
    #[error("`tcp://` is followed by an IP address and a port")]
    Address,
    /// Private keys come over it without TLS.
    #[error("private keys would come over the network in the clear")]
    NotLoopback,
}

/// `sun_path` has 108 bytes, one of which ends it.
const PATH_BYTES_MAX: usize = 107;

impl FromStr for AgentSocket {
    type Err = InvalidAgentSocket;

    fn from_str(text: &str) -> Result<Self, InvalidAgentSocket> {
        if let Some(address) = text.strip_prefix("tcp://") {
            let address: SocketAddr = address
                .parse()
                .map_err(|_not_an_address| InvalidAgentSocket::Address)?;
            if address.port() == 0 {
                return Err(InvalidAgentSocket::Address);
            }
            if !address.ip().is_loopback() {
                return Err(InvalidAgentSocket::NotLoopback);
            }
            return Ok(Self::Tcp(address));
        }
        let path = text
            .strip_prefix("unix:")
            .ok_or(InvalidAgentSocket::Scheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') || path == "/" {
            return Err(InvalidAgentSocket::Relative);
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(InvalidAgentSocket::TooLong);
        }
        if path.contains(char::is_control) {
            return Err(InvalidAgentSocket::Control);
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for AgentSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}
