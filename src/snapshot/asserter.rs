//! Who signs what services are told, from `signed_identity` and the keys that it names.

use std::path::Path;
use std::sync::Arc;

use super::planner::Planner;
use crate::assertion::Asserter;
use crate::assertion::key::AssertionKey;
use crate::config::spec::{SignedIdentitySpec, SigningKeysSpec, Spec};
use crate::trust::{TrustError, signing_key};

impl Planner<'_> {
    /// The one of this configuration, if it has one and there is no problem with its keys.
    pub(super) fn asserter(&mut self, spec: &Spec) -> Option<Arc<Asserter>> {
        let SignedIdentitySpec {
            issuer,
            lifetime,
            keys,
        } = spec.signed_identity.as_ref()?;
        let store = Arc::clone(&self.stores.assertions);
        let files = match keys {
            SigningKeysSpec::Made { rotate } => {
                let rotating = Asserter::rotating(issuer, *lifetime, *rotate, store);
                return Some(Arc::new(rotating));
            }
            SigningKeysSpec::Files(files) => files.iter().enumerate(),
        };
        let read: Vec<_> = files
            .map(|(index, file)| self.key(&format!("signed_identity.keys[{index}]"), file))
            .collect();
        let keys = read.into_iter().collect::<Option<Vec<_>>>()?;
        match Asserter::with_keys(issuer, *lifetime, keys, store) {
            Ok(asserter) => Some(Arc::new(asserter)),
            Err(error) => {
                let hint = "name each key once; the first signs";
                self.problem("signed_identity.keys", &error, Some(hint));
                None
            }
        }
    }

    fn key(&mut self, place: &str, file: &Path) -> Option<AssertionKey> {
        let told = |error: TrustError| self.problem(place, &error.what(), Some(error.hint()));
        let read = signing_key(file).map_err(told).ok()?;
        let warnings = read.warnings.iter();
        self.warnings
            .extend(warnings.map(|warning| format!("{place}: {warning}")));
        let unusable = |_says_nothing_more| {
            let file = file.to_owned();
            let error = TrustError::KeyNotP256 { file };
            self.problem(place, &error.what(), Some(error.hint()));
        };
        AssertionKey::new(read.key).map_err(unusable).ok()
    }
}
