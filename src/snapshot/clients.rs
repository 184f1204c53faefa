//! Clients that ask servers over HTTPS: what their terms come to under the key material of now.

use std::sync::Arc;

use super::material::Material;
use super::planner::Planner;
use crate::config::fetch::{BelievedSpec, FetchTlsSpec};
use crate::fetch::{Believed, Client, Tls};
use crate::trust::TrustError;

impl Material {
    /// What the terms on which a server is asked come to. `None`, if a source has given nothing.
    ///
    /// # Errors
    ///
    /// [`TrustError`], if the file of CAs cannot be read.
    pub fn fetch_tls(&self, terms: &FetchTlsSpec) -> Result<Option<Tls>, TrustError> {
        let believed = match &terms.believed {
            BelievedSpec::Ca(file) => Believed::public(file)?,
            BelievedSpec::Trust(bundles) => match self.trust_store(bundles) {
                Some(store) => Believed::Store(store),
                None => return Ok(None),
            },
        };
        let key_pair = match &terms.identity {
            None => None,
            Some(name) => match self.identity(name) {
                Some(pair) => Some(pair),
                None => return Ok(None),
            },
        };
        Ok(Some(Tls { believed, key_pair }))
    }
}

impl Planner<'_> {
    /// The client that asks on these terms, which stand at `place`. It can ask when the snapshot is
    /// published. Notes a problem if its CAs cannot be read.
    pub(super) fn client(&mut self, place: &str, terms: &FetchTlsSpec) -> Option<Arc<Client>> {
        if let BelievedSpec::Ca(file) = &terms.believed
            && let Err(error) = Believed::public(file)
        {
            self.problem(&format!("{place}.ca"), &error.what(), Some(error.hint()));
            return None;
        }
        Some(self.stores.clients.client(terms))
    }
}
