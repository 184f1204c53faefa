//! The store of the shared state: what the configuration and the key material of now come to.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::material::Material;
use super::planner::Planner;
use crate::config::fetch::BelievedSpec;
use crate::config::shared_state::StoreSpec;
use crate::config::spec::Spec;
use crate::fetch::{Believed, Tls};
use crate::shared_state::{Password, Security, Terms};

/// The store of one snapshot.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    terms: Arc<Terms>,
    /// What its TLS was made from.
    tls: Option<Tls>,
}

impl Sharing {
    /// On what terms the store is spoken to.
    pub(super) const fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    fn new(
        spec: &StoreSpec,
        password: Option<Password>,
        material: &Material,
        before: Option<&Self>,
    ) -> Self {
        let before_tls = before.and_then(|before| before.tls.clone());
        let (security, tls) = security(spec, material, before, before_tls);
        let terms = Arc::new(Terms {
            spec: spec.clone(),
            password,
            security,
        });
        Self { terms, tls }
    }

    /// The same store with the key material of now.
    pub(super) fn with(&self, material: &Material) -> Self {
        let password = self.terms.password.clone();
        Self::new(&self.terms.spec, password, material, Some(self))
    }
}

/// TLS is that of before where it comes to the same: connections are used on then.
fn security(
    spec: &StoreSpec,
    material: &Material,
    before: Option<&Sharing>,
    before_tls: Option<Tls>,
) -> (Security, Option<Tls>) {
    let Some(wanted) = &spec.tls else {
        return (Security::None, None);
    };
    let made = match material.fetch_tls(wanted) {
        Ok(None) => return (Security::Awaited, None),
        Ok(Some(tls))
            if before_tls
                .as_ref()
                .is_some_and(|before| before.is_same(&tls)) =>
        {
            let security = before.map(|before| before.terms.security.clone());
            return (security.unwrap_or(Security::Awaited), Some(tls));
        }
        Ok(Some(tls)) => match tls.config() {
            Ok(config) => Ok((Security::Tls(Arc::new(config)), Some(tls))),
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(error.what()),
    };
    made.unwrap_or_else(|problem| {
        tracing::error!(
            place = TLS_PLACE,
            error = problem,
            "key material for the store of the shared state cannot be used, that of before stays"
        );
        let security = before.map(|before| before.terms.security.clone());
        (security.unwrap_or(Security::Awaited), before_tls)
    })
}

const TLS_PLACE: &str = "shared_state.redis.tls";
const PASSWORD_PLACE: &str = "shared_state.redis.password_file";

impl Planner<'_> {
    /// The store of the shared state, if there is one. Notes problems with its files.
    pub(super) fn sharing(&mut self, spec: &Spec, material: &Material) -> Option<Sharing> {
        let store = spec.shared_state.as_ref()?;
        if let Some(BelievedSpec::Ca(file)) = store.tls.as_ref().map(|tls| &tls.believed)
            && let Err(error) = Believed::public(file)
        {
            let place = format!("{TLS_PLACE}.ca");
            self.problem(&place, &error.what(), Some(error.hint()));
            return None;
        }
        let password = match &store.password_file {
            None => None,
            Some(file) => match password(file) {
                Ok(password) => Some(password),
                Err(what) => {
                    let what = format!("{}: {what}", file.display());
                    let hint = "write the password to it, alone and in one line";
                    self.problem(PASSWORD_PLACE, &what, Some(hint));
                    return None;
                }
            },
        };
        let before = self.previous.and_then(|before| before.sharing.as_ref());
        Some(Sharing::new(store, password, material, before))
    }
}

fn password(file: &Path) -> Result<Password, String> {
    let mut text = String::new();
    let read = crate::trust::open(file)
        .and_then(|file: File| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    Password::of_file(&text).ok_or_else(|| "it holds no password".to_owned())
}

const FILE_BYTES_MAX: u64 = 4096;
