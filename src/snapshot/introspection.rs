//! Who asks issuers about tokens, from `issuers.NAME.introspection` and the files that it names.

use super::oauth::Server;
use super::planner::Planner;
use crate::authenticate::introspection::{Introspector, Sharing};
use crate::authenticate::issuer::Issuer;
use crate::config::introspection::IntrospectionSpec;
use crate::config::spec::{IssuerSpec, RouteSpec, Spec, TokenSpec};
use crate::identity::name::Name;
use crate::trust::{SecretFile, secret};

impl Planner<'_> {
    /// An issuer that is asked about every token.
    pub(super) fn issuer_without_keys(&self, name: &Name, spec: &IssuerSpec) -> Issuer {
        let before = self.previous.and_then(|before| before.issuers.get(name));
        Issuer::without_keys(name, spec, self.stores.metrics.issuer(name), before)
    }

    /// Who asks this issuer about tokens: nobody, if it is not to be asked. The outer `None` is a
    /// problem, which is noted.
    pub(super) fn introspector(
        &mut self,
        spec: &Spec,
        name: &Name,
        issuer: &IssuerSpec,
    ) -> Option<Option<Introspector>> {
        let Some(introspection) = &issuer.introspection else {
            return Some(None);
        };
        let place = format!("issuers.{name}.introspection");
        let server = Server {
            client: &introspection.client,
            tls: &introspection.tls,
            audience: &issuer.issuer,
            bounds: Introspector::bounds(introspection),
        };
        let client = self.oauth_client(spec, &format!("{place}.tls"), &server);
        let at = format!("{place}.share_key");
        let secret = self.share_key(&at, introspection);
        let (client, secret) = (client?, secret?);
        let sharing = secret.as_ref().map(|read| Sharing {
            state: &self.stores.shared,
            secret: &read.text,
        });
        let metrics = self.stores.metrics.introspection(name);
        match Introspector::new(introspection, client, sharing, metrics) {
            Ok(introspector) => Some(Some(introspector)),
            Err(error) => {
                let hint = "make one that nobody can guess: `openssl rand -base64 32`";
                self.problem(&at, &error, Some(hint));
                None
            }
        }
    }

    /// Notes a route that takes tokens of several issuers which are asked about opaque ones: nobody
    /// knows whose such a token is, and it is shown to nobody else.
    pub(super) fn check_asked(&mut self, name: &Name, route: &RouteSpec) {
        let TokenSpec::Wanted(wanted) = &route.token else {
            return;
        };
        let issuers = wanted.any.iter();
        let issuers = issuers.filter_map(|jwt| self.issuers.get(&jwt.issuer));
        if issuers.filter(|issuer| issuer.takes_opaque()).count() > 1 {
            let what = "several of these issuers have `introspection`, and an opaque token does not say whose it is";
            let hint = "leave one of them, or write a route for each";
            self.problem(&format!("routes.{name}.token.any"), &what, Some(hint));
        }
    }

    /// The secret that seals shared answers. The outer `None` is a problem, which is noted.
    fn share_key(&mut self, at: &str, spec: &IntrospectionSpec) -> Option<Option<SecretFile>> {
        let Some(file) = &spec.share_key else {
            return Some(None);
        };
        match secret(file) {
            Ok(read) => {
                let warnings = read.warnings.iter();
                self.warnings
                    .extend(warnings.map(|warning| format!("{at}: {warning}")));
                Some(Some(read))
            }
            Err(error) => {
                self.problem(at, &error.what(), Some(error.hint()));
                None
            }
        }
    }
}
