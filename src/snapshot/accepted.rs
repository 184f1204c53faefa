//! [`Accepted`]: what was read from a file and is published once the configuration is in use.

use std::sync::Arc;

use crate::authenticate::api_keys::KeyList;
use crate::oauth::credential::Credential;
use crate::trust::{DenyList, KeyPair, Source, TrustBundle};

/// A source, and what it is to give from then on.
#[derive(Debug)]
pub(super) enum Accepted {
    KeyPair(Arc<Source<KeyPair>>, Arc<KeyPair>),
    Bundle(Arc<Source<TrustBundle>>, Arc<TrustBundle>),
    Deny(Arc<Source<DenyList>>, Arc<DenyList>),
    Credential(Arc<Source<Credential>>, Arc<Credential>),
    KeyList(Arc<Source<KeyList>>, Arc<KeyList>),
}

impl Accepted {
    pub(super) fn publish(&self) {
        match self {
            Self::KeyPair(source, pair) => source.publish(pair),
            Self::Bundle(source, bundle) => source.publish(bundle),
            Self::Deny(source, list) => source.publish(list),
            Self::Credential(source, credential) => source.publish(credential),
            Self::KeyList(source, list) => source.publish(list),
        };
    }
}
