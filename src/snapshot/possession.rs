//! Which proofs are taken with the tokens of each issuer, and what routes ask of them.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::planner::Planner;
use crate::authenticate::possession::Possession;
use crate::authenticate::possession::nonces::{NonceSecret, NonceSecrets, SECRET_BYTES_MAX};
use crate::authenticate::possession::replays::Replays;
use crate::authenticate::possession::terms::ProofTerms;
use crate::config::possession::Demand;
use crate::config::spec::{JwtSpec, Spec};
use crate::identity::name::Name;
use crate::observe::{PossessionMethod, RouteMetrics};

impl Planner<'_> {
    /// Reads the files that `dpop` of issuers names.
    pub(super) fn proof_terms(&mut self, spec: &Spec) {
        for (name, issuer) in &spec.issuers {
            let Some(secrets) = self.nonce_secrets(name, &issuer.dpop.nonce_keys) else {
                continue;
            };
            let replays = Replays::new(Arc::clone(&self.stores.shared));
            let terms = ProofTerms::new(name, issuer, secrets, replays);
            self.proof_terms.insert(name.clone(), Arc::new(terms));
        }
    }

    /// To be called before [`Self::possession`] is asked for each of a route's issuers.
    pub(super) fn begin_possession(&self, route: &Name) {
        let metrics = self.stores.metrics.route(route);
        for method in PossessionMethod::ALL {
            metrics.set_possession(method, false);
        }
    }

    /// What a route wants beside a token of one issuer.
    pub(super) fn possession(&self, route: &Name, token: &JwtSpec) -> Option<Possession> {
        let terms = self.proof_terms.get(&token.issuer)?;
        let metrics = self.stores.metrics.route(route);
        set_series(&metrics, token, terms);
        Some(Possession::new(
            token.bound_to_certificate,
            token.dpop,
            Arc::clone(terms),
            metrics,
        ))
    }

    fn nonce_secrets(
        &mut self,
        issuer: &Name,
        files: &[std::path::PathBuf],
    ) -> Option<NonceSecrets> {
        if files.is_empty() {
            let made = Arc::clone(&self.stores.nonce_secrets);
            return Some(NonceSecrets::OfProcess(made));
        }
        let read: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(index, file)| {
                let place = format!("issuers.{issuer}.dpop.nonce_keys[{index}]");
                self.nonce_secret(&place, file)
            })
            .collect();
        let secrets = read.into_iter().collect::<Option<Vec<_>>>()?;
        Some(NonceSecrets::OfFiles(secrets))
    }

    fn nonce_secret(&mut self, place: &str, path: &Path) -> Option<NonceSecret> {
        let limit = u64::try_from(SECRET_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut bytes = Vec::new();
        let read =
            crate::trust::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        if let Err(error) = read {
            let what = format!("{} cannot be read: {error}", path.display());
            let hint =
                "check the path, which is relative to the configuration, and who may read it";
            self.problem(place, &what, Some(hint));
            return None;
        }
        match NonceSecret::new(&bytes) {
            Ok(secret) => Some(secret),
            Err(error) => {
                let what = format!("{}: {error}", path.display());
                let hint = "make one with `openssl rand -hex 32`, and keep it as a private key";
                self.problem(place, &what, Some(hint));
                None
            }
        }
    }
}

/// The metrics that a route has from the start.
fn set_series(metrics: &RouteMetrics, token: &JwtSpec, terms: &ProofTerms) {
    let asks = |demand| demand != Demand::No;
    if asks(token.bound_to_certificate) {
        metrics.set_possession(PossessionMethod::Certificate, true);
    }
    if asks(token.dpop) {
        metrics.set_possession(PossessionMethod::Dpop, true);
    }
    if asks(token.dpop) && asks(terms.nonces()) {
        metrics.set_possession(PossessionMethod::Nonce, true);
    }
}
