//! [`ClientStore`]: the clients of the process, by their terms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::client::Client;
use super::verifier::Tls;
use crate::config::fetch::FetchTlsSpec;
use crate::trust::TrustError;

/// Every client that is in use, by its terms: equal terms are the same client, also after a reload.
/// The store holds none: a client lives as long as somebody may ask with it.
#[derive(Debug, Default)]
pub struct ClientStore(Mutex<HashMap<FetchTlsSpec, Weak<Client>>>);

impl ClientStore {
    /// The client on these terms. It can ask from the next [`Self::renew`] on.
    #[must_use]
    pub fn client(&self, terms: &FetchTlsSpec) -> Arc<Client> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(terms).and_then(Weak::upgrade) {
            return known;
        }
        clients.retain(|_, client| client.strong_count() > 0);
        let client = Arc::new(Client::new());
        clients.insert(terms.clone(), Arc::downgrade(&client));
        client
    }

    /// Gives every client the key material of now. `tls_of` says what these terms come to; `None`,
    /// if a source of it has given nothing. What cannot be used is told in the log, and that of before
    /// stays. Blocks on files.
    pub fn renew(&self, tls_of: impl Fn(&FetchTlsSpec) -> Result<Option<Tls>, TrustError>) {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (terms, client) in clients.iter() {
            let Some(client) = client.upgrade() else {
                continue;
            };
            let renewed = match tls_of(terms) {
                Ok(None) => {
                    client.withdraw();
                    continue;
                }
                Ok(Some(tls)) => client.renew(tls).map_err(|error| error.to_string()),
                Err(error) => Err(error.what()),
            };
            if let Err(problem) = renewed {
                tracing::error!(
                    error = problem,
                    "key material for asking servers cannot be used, that of before stays"
                );
            }
        }
    }
}
