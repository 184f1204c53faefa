//! [`Place`]: which configuration, folder and addresses a demo has.
//!
//! Without flags, and where the repository's `gateway.yaml` stands in the working directory, the
//! gateway runs with that very file. Else it runs with a copy in the demo's folder, with other
//! paths and addresses in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::pki::{Overwrite, read_text, write_public};

use super::{DemoError, Options};

pub(super) const DIR: &str = ".portcullis/demo";
pub(super) const EDGE: &str = "127.0.0.1:8443";
pub(super) const ADMIN: &str = "127.0.0.1:9901";
const ORDERS: &str = "127.0.0.1:9443";
const BILLING: &str = "127.0.0.1:9444";

/// Without flags, from this file.
const OWN_FILE: &str = "gateway.yaml";

/// The repository's own, as it was when this was built.
const OWN_TEXT: &str = include_str!("../../gateway.yaml");

/// Stands in every `gateway.yaml` that is the demo's, however it was edited.
const MARK: &str = ".portcullis/demo/pki/edge.pem";

/// Where a demo runs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The demo's folder.
    pub(super) dir: PathBuf,
    /// What the gateway runs with and watches.
    pub(super) config: PathBuf,
    /// Where clients connect.
    pub(super) edge: SocketAddr,
    /// Where metrics and health are.
    pub(super) admin: SocketAddr,
    /// Where the service `orders` listens; port 0 until it does.
    pub(super) orders: SocketAddr,
    /// Where the impostor of `billing` listens; port 0 until it does.
    pub(super) billing: SocketAddr,
    /// The text to make `config` from; none: `config` is used as it is.
    copied: Option<String>,
}

impl Place {
    /// # Errors
    ///
    /// [`DemoError::Port`] if no port is free.
    pub(super) fn choose(options: &Options) -> Result<Self, DemoError> {
        let own = read_text(Path::new(OWN_FILE))
            .ok()
            .filter(|text| text.contains(MARK));
        let plain = options.dir == Path::new(DIR)
            && options.edge.to_string() == EDGE
            && options.admin.to_string() == ADMIN;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let fixed = |text: &str| {
            if plain {
                text.parse().unwrap_or(any)
            } else {
                any
            }
        };
        let as_it_is = plain && own.is_some();
        Ok(Self {
            dir: options.dir.clone(),
            config: if as_it_is {
                OWN_FILE.into()
            } else {
                options.dir.join(OWN_FILE)
            },
            edge: with_port(options.edge)?,
            admin: with_port(options.admin)?,
            orders: fixed(ORDERS),
            billing: fixed(BILLING),
            copied: (!as_it_is).then(|| own.unwrap_or_else(|| OWN_TEXT.to_owned())),
        })
    }

    /// Whether the gateway will be able to listen. Else another process would answer for it.
    ///
    /// # Errors
    ///
    /// [`DemoError::Port`].
    pub(super) async fn check_free(&self) -> Result<(), DemoError> {
        for address in [self.edge, self.admin] {
            let bound = TcpListener::bind(address).await;
            drop(bound.map_err(|error| DemoError::Port { address, error })?);
        }
        Ok(())
    }

    /// Writes the copy, if the gateway runs with one. The services listen by now.
    ///
    /// # Errors
    ///
    /// [`DemoError::Pki`] if it cannot be written.
    pub(super) fn write_config(&self) -> Result<(), DemoError> {
        if let Some(text) = &self.copied {
            write_public(&self.config, &self.rendered(text), Overwrite::Yes)?;
        }
        Ok(())
    }

    /// The text with this place's addresses, and with paths beside it.
    fn rendered(&self, text: &str) -> String {
        let replaced = [
            (EDGE, self.edge),
            (ADMIN, self.admin),
            (ORDERS, self.orders),
            (BILLING, self.billing),
        ];
        // In two steps, for one's new address may be another's old one.
        let mut text = text.replace(".portcullis/demo/", "");
        for (number, (old, _new)) in replaced.iter().enumerate() {
            text = text.replace(old, &format!("\0{number}\0"));
        }
        for (number, (_old, new)) in replaced.iter().enumerate() {
            text = text.replace(&format!("\0{number}\0"), &new.to_string());
        }
        text
    }
}

/// A free port in place of port 0: the configuration must name one.
fn with_port(address: SocketAddr) -> Result<SocketAddr, DemoError> {
    if address.port() != 0 {
        return Ok(address);
    }
    std::net::TcpListener::bind(address)
        .and_then(|listener| listener.local_addr())
        .map_err(|error| DemoError::Port { address, error })
}

#[cfg(test)]
impl Place {
    /// A place that nothing was written to.
    pub(super) fn sample() -> Self {
        Self {
            dir: "/tmp/a demo".into(),
            config: "/tmp/a demo/gateway.yaml".into(),
            edge: ([127, 0, 0, 1], 9443).into(),
            admin: ([127, 0, 0, 1], 7001).into(),
            orders: ([127, 0, 0, 1], 7002).into(),
            billing: ([127, 0, 0, 1], 7003).into(),
            copied: Some(String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_its_own_addresses_and_paths_and_nothing_else_is_changed() {
        let text = Place::sample().rendered(OWN_TEXT);
        for gone in [".portcullis/demo/", EDGE, ADMIN, BILLING] {
            assert!(!text.contains(gone), "{gone}");
        }
        for there in [
            "    address: 127.0.0.1:9443\n",
            "admin: { address: 127.0.0.1:7001 }",
            "endpoints: [\"127.0.0.1:7002\"]",
            "endpoints: [\"127.0.0.1:7003\"]",
            "{ cert: pki/edge.pem, key: pki/edge.key }",
            "keys: { file: jwks.json }",
        ] {
            assert!(text.contains(there), "{there}");
        }
        assert_eq!(text.lines().count(), OWN_TEXT.lines().count());
        assert!(OWN_TEXT.contains(MARK));
    }
}
